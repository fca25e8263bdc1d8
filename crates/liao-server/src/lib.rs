//! The liao server: an XMPP server in one process.
//!
//! Data flows one way: socket → [`c2s`] → [`session`] → the sender's entity → router → the recipient's
//! [`entity`] → store (group commit) → released in order → mailbox → socket. A feature is a module, see
//! [`modules::ALL`].

pub mod accounts;
mod acks;
pub mod admin;
mod backoff;
mod banner;
pub mod c2s;
mod catching_up;
pub mod check;
pub mod config;
mod ending;
pub mod engines;
pub mod entity;
pub mod hooks;
mod http;
mod lan;
pub mod limits;
mod listener;
pub mod mailbox;
pub mod modules;
mod os;

mod peer;
mod places;
mod registration;
mod retention;
pub mod rules;
pub mod server;
pub mod services;
mod session;
mod shard;
pub mod store;
mod streams;

pub use config::{Config, ConfigError};
pub use ending::Ended;
pub use lan::qr;
pub use listener::{ServeError, serve};
