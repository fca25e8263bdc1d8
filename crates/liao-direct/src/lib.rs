//! Direct mode: people who talk over UDP, peer to peer, with no server (DESIGN section 4; `docs/ext/direct.md`).
//!
//! Each program is server and client at once. A person is a key ([`Identity`]); a friend is a key in the address book.
//! Finding somebody (the local network, an address, a [`Ticket`]) is apart from talking: whoever is found is dialled by
//! key over QUIC, and only the holder of the key answers. [`Direct`] is a `Backend` like the other ways to talk: words,
//! outbox and history are in the client's store, under the account [`ACCOUNT`].

mod check;
mod endpoint;
mod frame;
mod identity;
mod lan;
mod limits;
mod node;
mod probe;
mod store;
mod ticket;

pub use check::check;
pub use endpoint::DEFAULT_PORT;
pub use frame::{Bad, Decoder, Frame, Hello};
pub use identity::{Identity, safety_words};
pub use node::Direct;
pub use probe::find;
pub use store::{Book, BookError, Friend};
pub use ticket::Ticket;

/// Under this name the client's store keeps what is said directly.
pub const ACCOUNT: &str = "direct";

/// Our own ticket, for a port that is given or usual.
pub fn own_ticket(identity: &Identity, port: Option<u16>) -> Ticket {
    Ticket {
        key: identity.key(),
        addresses: endpoint::addresses(port.unwrap_or(DEFAULT_PORT)),
    }
}

/// Who somebody is.
pub type Key = iroh::EndpointId;
