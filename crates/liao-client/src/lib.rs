//! The client without a screen: commands in, events out (DESIGN sections 1 and 6).
//!
//! A [`Backend`] is a way to talk; it is started once and lives in tasks of its own behind a [`Link`]. [`Model`] is
//! what a person would remember of its events. [`Store`] keeps accounts, pins, messages and the address book on disk.

mod backend;
mod features;
mod model;
mod own;
pub mod sockets;
mod store;
pub mod xmpp;

pub use backend::{
    Backend, Command, Contact, Event, Failure, FileLink, Inner, Link, Message, More, Older, Peer,
    Reaction, Reply, Show, State, link,
};
pub use features::files::unpercent;
pub use features::reply::quote;
pub use features::{By, Change};
pub use model::{Line, Lookup, Model, Person, Window};
pub use own::{Done, Own};
pub use store::{Account, Arrival, Arriving, Before, Conversation, Kept, Page, Store, StoreError};

/// A random id for a message or a connection: 96 bits in hex.
pub fn random_id() -> String {
    let mut bytes = [0u8; 12];
    if getrandom::fill(&mut bytes).is_err() {
        // No randomness on this system: the clock is unique enough for an id, which is no secret.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        bytes.copy_from_slice(&now.as_nanos().to_le_bytes()[..12]);
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Milliseconds since 1970, UTC.
pub fn now_ms() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
