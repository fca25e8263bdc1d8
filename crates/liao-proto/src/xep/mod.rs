//! Payloads of the extensions, by what they do.

pub mod delay;
pub mod invite;
pub mod upload;
