//! Plain sockets as a way to talk: the tutorial's programs, `nc` and ourselves (DESIGN section 5).
//!
//! No protocol but UTF-8: who a peer is, is its address; whether it talks in turn or in lines shows in what it sends
//! (`liao_proto::sockets`).

mod talk;
mod tcp;
mod udp;

use crate::backend::{Backend, Event, Failure, Link, link};
use crate::store::Store;
use liao_proto::sockets::Kind;
use std::io;
use std::net::SocketAddr;
use tokio::net::lookup_host;

/// Callers of a TCP server at once; each costs a task and a file descriptor.
const CALLERS: usize = 1000;
/// Peers that a UDP program remembers; beyond that the one that was silent for longest is forgotten.
const UDP_PEERS: usize = 10_000;

/// Which of the four programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes TCP callers, all at once.
    TcpServer,
    /// Calls one TCP server.
    TcpClient,
    /// Answers anyone, speaks first to whom it knows.
    UdpServer,
    /// The same from a port of its own, beginning with one peer.
    UdpClient,
}

/// The settings of a program.
pub struct Sockets {
    /// Which program.
    pub role: Role,
    /// Where to listen or whom to call.
    pub address: SocketAddr,
    /// What stands before each message that we send: `NAME: text`.
    pub name: Option<String>,
    /// How peers talk, if it is not to be found out.
    pub kind: Option<Kind>,
    /// The address book, if there is one.
    pub store: Option<Store>,
}

impl Sockets {
    fn words(&self, text: &str) -> String {
        match &self.name {
            Some(name) => format!("{name}: {text}"),
            None => text.to_owned(),
        }
    }

    /// The name of an address in the book.
    fn known(&self, address: SocketAddr) -> Option<String> {
        let book = self.store.as_ref()?.addresses().ok()?;
        let text = address.to_string();
        book.into_iter().find(|(_, a)| *a == text).map(|(n, _)| n)
    }
}

impl Backend for Sockets {
    fn start(self: Box<Self>) -> Link {
        let (link, inner) = link();
        tokio::spawn(async move {
            let events = inner.events.clone();
            let end = match self.role {
                Role::TcpServer => tcp::serve(*self, inner).await,
                Role::TcpClient => tcp::call(*self, inner).await,
                Role::UdpServer | Role::UdpClient => udp::run(*self, inner).await,
            };
            let _ = events.send(Event::Closed { error: end.err() }).await;
        });
        link
    }
}

/// The address that `HOST:PORT` means. If the name has several, one of IPv4: programs of this kind know no other, and
/// `localhost` is where ours listen unless they are told otherwise.
pub async fn resolve(text: &str) -> Result<SocketAddr, String> {
    let found = lookup_host(text).await.map(preferred);
    match found {
        Ok(Some(address)) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(format!("{text:?} is no HOST:PORT, such as 127.0.0.1:8080"))
        }
        Ok(None) => Err(format!("{text}: the name has no address")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

fn preferred(all: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    // `false` comes first, and of equals the first one.
    all.min_by_key(|a| !a.is_ipv4())
}

/// A port could not be had: who may have it, what to do.
fn not_bound(what: &str, address: SocketAddr, error: &io::Error) -> Failure {
    Failure::Network(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{what} {address} is taken by {}; give another, such as {}",
            liao_net::os::holder(address).unwrap_or_else(|| {
                "another program (perhaps `liao serve`, whose gateway is there, too)".to_owned()
            }),
            SocketAddr::new(address.ip(), address.port().wrapping_add(1))
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{what} {address}: not allowed; ports under 1024 are root's, take a higher one")
        }
        _ => format!("{what} {address}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_one_of_ipv4_is_taken() {
        let of = |all: &[&str]| preferred(all.iter().map(|a| a.parse().unwrap()));
        let four: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(
            of(&["[::1]:8080", "127.0.0.1:8080", "127.0.0.2:8080"]),
            Some(four)
        );
        assert!(of(&["[::1]:8080"]).is_some_and(|a| a.is_ipv6()));
        assert_eq!(of(&[]), None);
    }
}
