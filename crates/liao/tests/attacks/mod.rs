//! The attacks of `hostile.rs`: each runs in a process of its own, so that it does not slow the clients that are
//! measured. It says in a line what happened, and fails if the server answers anything else than the standard names.

mod connections;
mod input;
mod sessions;

use crate::world::{Client, PATIENCE};
use liao_net::Wire;
use liao_proto::stream::Limits;
use serde_json::Value;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub use connections::half_hello;

/// A stream header.
pub const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'>";

/// Contacts of the account whose presence storms.
pub const FRIENDS: usize = 1_000;
/// What the server under attack is told.
pub const CONFIG: &str = "[limits]\nroster_size = 1200\n";

type Run = fn(Target) -> Pin<Box<dyn Future<Output = String> + Send>>;

/// One row of [`ALL`].
pub struct Attack {
    /// For people, and to choose it.
    pub name: &'static str,
    /// What it may cost the server at its highest, in MiB above what it had before. Near what is measured in a debug
    /// build, which is a third more than the bounds add up to.
    pub bound_mib: u64,
    /// Files that attacker and server need open at once.
    pub files: u64,
    /// What it does until the time is over; says what happened.
    pub run: Run,
}

macro_rules! attacks {
    ($($name:literal, $bound:literal, $files:literal, $run:path;)*) => {
        /// Every attack.
        pub static ALL: &[Attack] = &[$(Attack {
            name: $name,
            bound_mib: $bound,
            files: $files,
            run: |target| Box::pin($run(target)),
        },)*];
    };
}

attacks! {
    "ill-formed input", 6, 100, input::before_login;
    "ill-formed input after the login", 12, 100, input::after_login;
    "ill-formed input over TLS, WebSocket and BOSH", 12, 100, input::other_carriers;
    "connections of one address", 16, 2_000, connections::one_address;
    "10,000 connections", 96, 11_000, connections::many_addresses;
    "half-open TLS", 64, 2_000, connections::half_open_tls;
    "slow senders", 32, 2_000, connections::slow_senders;
    "slow readers", 48, 100, sessions::slow_readers;
    "wrong passwords", 16, 200, sessions::wrong_passwords;
    "a flood", 24, 100, sessions::flood;
    "a flood by twelve sessions of one account", 32, 100, sessions::floods;
    "a presence storm", 24, 100, sessions::presence_storm;
    "roster bombs", 32, 100, sessions::roster_bombs;
}

/// Where the server is, and how long to go on.
#[derive(Clone)]
pub struct Target {
    addresses: Value,
    until: Instant,
}

impl Target {
    pub fn new(addresses: &str, lasts: Duration) -> Target {
        Target {
            addresses: serde_json::from_str(addresses).unwrap(),
            until: Instant::now() + lasts,
        }
    }

    pub fn address(&self, what: &str) -> SocketAddr {
        self.addresses[what].as_str().unwrap().parse().unwrap()
    }

    /// Time is left.
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    pub async fn rest(&self) {
        tokio::time::sleep_until(self.until.into()).await;
    }

    /// A connection from 127.0.0.`last`: an address of its own for the server.
    pub async fn dial(&self, what: &str, last: u8) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
        let dialled = tokio::time::timeout(PATIENCE, socket.connect(self.address(what))).await;
        dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// A stream from there.
    pub async fn client(&self, last: u8) -> Client {
        let stream = self.dial("c2s", last).await.unwrap();
        Client::open(Wire::stream(stream, false, Limits::default())).await
    }

    pub async fn log_in(&self, name: &str) -> Client {
        let mut client = self.client(1).await;
        let answer = client.authenticate(name, &format!("pw-{name}")).await;
        assert!(answer.is("success", crate::world::SASL), "{answer:?}");
        assert_eq!(client.bind().await.attr("type"), Some("result"));
        client.send("<presence/>").await;
        client
    }
}

/// All that is said until the end, while bytes are sent: the server may close before all is written.
pub async fn answer<S>(stream: S, bytes: &[u8]) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async { drop(write.write_all(bytes).await) };
    let mut said = Vec::new();
    let hear = async { drop(read.read_to_end(&mut said).await) };
    let both = async { tokio::join!(send, hear) };
    let both = tokio::time::timeout(PATIENCE, both).await;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    assert!(both.is_ok(), "the server ends the stream after {start}");
    String::from_utf8_lossy(&said).into_owned()
}
