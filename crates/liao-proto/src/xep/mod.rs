//! Payloads of the extensions, by what they do.

pub mod archive;
pub mod bosh;
pub mod caps;
pub mod component;
pub mod delay;
pub mod external;
pub mod forms;
pub mod forward;
pub mod invite;
pub mod upload;
