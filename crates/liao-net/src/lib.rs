//! The ground floor: what carries elements between two programs.
//!
//! A [`Wire`] takes and gives whole elements, in batches, never a byte stream: over TCP and TLS
//! (RFC 6120 section 4) or WebSocket (RFC 7395). One task drives both directions.

mod binding;
pub mod https;
pub mod os;
pub mod resolve;
pub mod tcp;
pub mod tls;
mod validity;
pub mod websocket;
mod wire;

pub use rustls;
pub use wire::{Io, Progress, Wire};

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other side is gone without a goodbye.
    #[error("the other side closed the connection")]
    Closed,
    /// The network.
    #[error("{}", words(.0))]
    Io(#[from] std::io::Error),
    /// What arrived is no XMPP.
    #[error("{0}")]
    Stream(#[from] liao_proto::stream::StreamError),
    /// Bytes came between the STARTTLS request and TLS: somebody may be injecting them.
    #[error("bytes before TLS began")]
    Injected,
    /// The WebSocket layer.
    #[error("websocket: {0}")]
    WebSocket(String),
}

/// What an error of the network means for people; TLS libraries speak to programmers.
fn words(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|e| e.downcast_ref());
    match (error.kind(), tls) {
        (std::io::ErrorKind::UnexpectedEof, _) => WireError::Closed.to_string(),
        (_, Some(rustls::Error::InvalidMessage(_))) => "there is no TLS".into(),
        _ => error.to_string(),
    }
}
