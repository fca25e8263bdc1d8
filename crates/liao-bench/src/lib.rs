//! A load generator for XMPP servers: ours or any other's, with a bare TCP relay beside it in the same run.
//!
//! [`chat`] sends messages between pairs of clients and proves that each arrived once and in order; [`idle`] opens
//! connections and holds them. Both measure the server's process from outside ([`os`]) and do the same to [`relay`],
//! which only copies bytes: what it needs is the floor of the machine. [`target`] starts our own server or finds
//! another, [`client`] and [`accounts`] log in, [`report`] makes the table and the JSON.

pub mod accounts;
pub mod chat;
pub mod client;
pub mod idle;
pub mod load;
pub mod os;
pub mod relay;
pub mod report;
pub mod target;

/// Receives a line of progress each time there is news.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Why a bench has no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The wish makes no sense, or the machine's limits are too low for it.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers, or a connection broke.
    #[error("{0}")]
    Network(String),
    /// The server does not let us in.
    #[error("{0}")]
    Refused(String),
    /// Messages were lost, doubled, swapped or refused: the figures would be worth nothing.
    #[error("{0}")]
    Wrong(String),
}

impl BenchError {
    /// The process's exit code: 1 refused, 2 usage, 3 network, 4 not authorised.
    pub fn exit_code(&self) -> u8 {
        match self {
            BenchError::Wrong(_) => 1,
            BenchError::Usage(_) => 2,
            BenchError::Network(_) => 3,
            BenchError::Refused(_) => 4,
        }
    }
}

/// Eight random letters and digits that no other run has.
pub(crate) fn random_tag() -> Result<String, BenchError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|e| BenchError::Usage(format!("the system gives no random numbers: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
