//! The foundation: protocol code without I/O.
//!
//! [`xml`] checks and splits bytes into elements, [`stream`] turns a connection's bytes into events
//! (RFC 6120 section 4), [`stanza`] keeps a stanza as start tag + payload + edits,
//! `sasl` authenticates, `xep` builds and reads payloads, `sockets` is the tutorial's plain talk.

pub mod address;
pub mod ns;
pub mod sasl;
pub mod sockets;
pub mod stanza;
pub mod stream;
pub mod xep;
pub mod xml;

pub use jid;
pub use minidom;
