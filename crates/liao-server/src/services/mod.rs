//! Services at addresses of their own. The router knows this trait, never a service's name.

use crate::mailbox::End;
use crate::server::Server;
use liao_proto::jid::BareJid;
use liao_proto::stanza::Stanza;

pub mod components;
pub mod sockets;
pub mod upload;

/// What answers for a whole domain beside the server's own.
pub trait Service: Send + Sync {
    /// Whether this domain is the service's.
    fn addresses(&self, domain: &str) -> bool;
    /// Its address and name for disco#items (XEP-0030 section 4).
    fn item(&self) -> (String, &'static str);
    /// Takes a stanza; gives what is to be sent.
    fn handle(&self, server: &Server, stanza: Stanza) -> Vec<Stanza>;
    /// The server stops.
    fn stop(&self, _end: End) {}
    /// An account of the server is gone.
    fn account_removed(&self, _bare: &BareJid) {}
}
