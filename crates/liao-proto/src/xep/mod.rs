//! Payloads of the extensions, by what they do.

pub mod delay;
pub mod archive;
pub mod forward;
pub mod invite;
