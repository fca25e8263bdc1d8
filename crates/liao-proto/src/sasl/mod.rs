//! SASL, both sides, without I/O: PLAIN and SCRAM (RFC 6120 section 6, RFC 4616, RFC 5802, RFC 7677).

mod client;
mod scram;
mod server;

pub use client::{Client, ClientError};
pub use scram::{Credentials, ITERATIONS, PasswordError, ScramKeys};
pub use server::{Server, Step};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest accepted message of either side, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// A mechanism. The order is the preference of clients, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 4616; only under TLS.
    Plain,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 3] = [
        Mechanism::Plain,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// By its registered name.
    pub fn parse(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// Why an authentication failed (RFC 6120 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Wrong name or password; which of them is not said.
    NotAuthorized,
    /// The message is not what the mechanism's grammar allows.
    MalformedRequest,
    /// Bad base64.
    IncorrectEncoding,
}

impl Condition {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Condition::NotAuthorized => "not-authorized",
            Condition::MalformedRequest => "malformed-request",
            Condition::IncorrectEncoding => "incorrect-encoding",
        }
    }
}

/// Base64 as RFC 6120 section 6.4.2 wants it: `=` is an empty message, nothing is nothing.
pub fn decode(text: &str) -> Result<Vec<u8>, Condition> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Condition::MalformedRequest);
    }
    if text == "=" {
        return Ok(Vec::new());
    }
    STANDARD
        .decode(text)
        .map_err(|_| Condition::IncorrectEncoding)
}

/// Base64; an empty message is `=`.
pub fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "=".to_owned()
    } else {
        STANDARD.encode(bytes)
    }
}
