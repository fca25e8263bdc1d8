//! Payloads of the extensions, by what they do.

pub mod bosh;
pub mod caps;
pub mod component;
pub mod delay;
pub mod external;
pub mod forms;
pub mod invite;
pub mod upload;
