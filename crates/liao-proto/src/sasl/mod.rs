//! SASL, both sides, without I/O: PLAIN and SCRAM with and without channel binding (RFC 6120 section 6, RFC 4616,
//! RFC 5802, RFC 7677).

mod binding;
mod choice;
mod client;
mod profile;
mod scram;
mod server;

pub use binding::{Binding, BindingType};
pub use choice::{ChoiceError, Offer};
pub use client::{Channel, Client, ClientError};
pub use profile::Profile;
pub use scram::{Credentials, ITERATIONS, PasswordError, ScramKeys};
pub use server::{Server, Step};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest accepted message of either side, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// A mechanism. The order is the preference of clients, weakest first: that nobody sits in between counts more than
/// the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 4616; only under TLS.
    Plain,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802 section 6: with channel binding.
    ScramSha1Plus,
    /// RFC 7677, with channel binding.
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 5] = [
        Mechanism::Plain,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256Plus,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Whether it binds the channel.
    pub fn is_plus(self) -> bool {
        matches!(self, Mechanism::ScramSha1Plus | Mechanism::ScramSha256Plus)
    }

    /// Whether it hashes with SHA-1; the others use SHA-256, and so does the check of PLAIN.
    pub(crate) fn is_sha1(self) -> bool {
        matches!(self, Mechanism::ScramSha1 | Mechanism::ScramSha1Plus)
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
    /// The client sees another channel than we do: somebody sits in between.
    BindingMismatch,
    /// The client believes that we cannot bind channels, but we said so: somebody changed our words (RFC 5802
    /// section 6).
    Downgrade,
    /// A type of channel binding that we did not announce.
    BindingUnsupported,
}

impl Condition {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Condition::NotAuthorized
            | Condition::BindingMismatch
            | Condition::Downgrade
            | Condition::BindingUnsupported => "not-authorized",
            Condition::MalformedRequest => "malformed-request",
            Condition::IncorrectEncoding => "incorrect-encoding",
        }
    }

    /// The error of RFC 5802 section 7, where it says more than the element; empty otherwise.
    pub fn text(self) -> &'static str {
        match self {
            Condition::BindingMismatch => "channel-bindings-dont-match",
            Condition::Downgrade => "server-does-support-channel-binding",
            Condition::BindingUnsupported => "unsupported-channel-binding-type",
            _ => "",
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
