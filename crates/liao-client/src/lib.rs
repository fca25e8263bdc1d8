//! The headless client core: commands in, events out.
//!
//! [`Backend`] is the trait that every way to talk implements; [`sockets`] is plain TCP and UDP.

pub mod backend;

pub use backend::{Backend, Command, Contact, Event, Link, Message, Peer, Show, State};
