//! Sessions that can be resumed, and how far those that no longer can had come (XEP-0198 section 5).

use crate::limits;
use crate::mailbox::Mailbox;
use crate::server::Server;
use crate::session::Resume;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liao_proto::jid::BareJid;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What this process knows of streams, by number.
#[derive(Default)]
pub struct Streams {
    open: HashMap<i64, mpsc::Sender<Box<Resume>>>,
    ended: VecDeque<(i64, Arc<Mailbox>)>,
}

impl Streams {
    /// A session can be resumed.
    pub fn begun(&mut self, stream: i64, resume: mpsc::Sender<Box<Resume>>) {
        self.open.insert(stream, resume);
    }

    /// It no longer can; what it had handled is in its mailbox's account.
    pub fn ended(&mut self, stream: i64, mailbox: &Arc<Mailbox>) {
        if self.open.remove(&stream).is_some() {
            self.ended.push_back((stream, mailbox.clone()));
            if self.ended.len() > limits::ENDED_STREAMS {
                self.ended.pop_front();
            }
        }
    }
}

/// What there is to be resumed.
pub enum Found {
    /// The way to the session.
    Session(mpsc::Sender<Box<Resume>>),
    /// It is gone; it had handled so many stanzas, as far as is known.
    Gone(Option<u32>),
}

/// The number of a new stream: nobody guesses it, and no two are alike.
pub fn random_stream() -> i64 {
    let mut bytes = [0u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = crate::server::now_ms().to_be_bytes();
    }
    i64::from_be_bytes(bytes)
}

impl Server {
    /// The SM-ID of an account's stream: its number, and what proves that the stream is this account's.
    pub fn sm_id(&self, bare: &BareJid, stream: i64) -> String {
        let mut hash = Sha256::new();
        hash.update(b"stream of");
        hash.update(self.store.secret());
        hash.update(stream.to_be_bytes());
        hash.update(bare.as_str());
        let mut id = stream.to_be_bytes().to_vec();
        id.extend_from_slice(&hash.finalize()[..10]);
        URL_SAFE_NO_PAD.encode(id)
    }

    /// What an account's SM-ID leads to. For a session that is gone the answer waits for what it still has under
    /// way, as only then `h` is the truth; after a crash it is what was committed.
    pub async fn find_stream(&self, sm_id: &str, bare: &BareJid) -> Found {
        let bytes = URL_SAFE_NO_PAD.decode(sm_id).unwrap_or_default();
        let number = bytes.first_chunk::<8>().map(|b| i64::from_be_bytes(*b));
        let Some(stream) = number.filter(|n| self.sm_id(bare, *n) == sm_id) else {
            return Found::Gone(None);
        };
        let mailbox = {
            let streams = self.streams_lock();
            if let Some(session) = streams.open.get(&stream) {
                return Found::Session(session.clone());
            }
            let ended = streams.ended.iter().rev();
            ended.filter(|e| e.0 == stream).map(|e| e.1.clone()).next()
        };
        if let Some(mailbox) = mailbox {
            let patience = Duration::from_secs(self.bounds.unauthenticated_s / 2);
            let settled = timeout(patience, mailbox.all_handled(&self.store)).await;
            return Found::Gone(settled.is_ok().then(|| mailbox.handled().0 as u32));
        }
        match self.store.stream_h(stream).await {
            Ok(h) => Found::Gone(h.map(|h| h as u32)),
            Err(error) => {
                tracing::error!(%error, "a stream's count cannot be read");
                Found::Gone(None)
            }
        }
    }
}
