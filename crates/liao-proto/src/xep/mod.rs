//! Payloads of the extensions, by what they do.

pub mod archive;
pub mod delay;
pub mod forward;
pub mod invite;
