//! External components (XEP-0114): programs that answer for a domain of their own, as an administrator allows them to.
//!
//! What is sent to a component is handed to its mailbox; what it has not got when its connection ends is answered
//! with an error, so that nobody waits for an answer that cannot come.

mod stream;

pub use stream::listen;

use crate::config;
use crate::mailbox::{End, Mailbox};
use crate::server::Server;
use crate::services::Service;
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// RFC 6120 section 10.4.3: it is known where it belongs, but nothing gets there.
const ABSENT: ErrorKind =
    ErrorKind::REMOTE_SERVER_TIMEOUT.with_text("this component is not connected");

/// One component: its name, and its connection while there is one.
pub struct Component {
    address: BareJid,
    secret: String,
    live: Mutex<Option<Arc<Mailbox>>>,
}

impl Service for Component {
    fn addresses(&self, domain: &str) -> bool {
        domain == self.address.as_str()
    }

    fn item(&self) -> (String, &'static str) {
        (self.address.to_string(), "")
    }

    fn handle(&self, _: &Server, stanza: Stanza) -> Vec<Stanza> {
        let live = self.live().clone();
        let refused = match live {
            None => ABSENT,
            Some(mailbox) if mailbox.push(stanza.to_bytes_in(ns::COMPONENT), None) => {
                return Vec::new();
            }
            Some(_) => ErrorKind::RESOURCE_CONSTRAINT.with_text("this component reads too slowly"),
        };
        refuse(&stanza, &refused).into_iter().collect()
    }

    fn stop(&self, end: End) {
        if let Some(mailbox) = self.live().as_ref() {
            mailbox.end(end);
        }
    }
}

/// An error for who can be told.
fn refuse(stanza: &Stanza, kind: &ErrorKind) -> Option<Stanza> {
    (!stanza.is_answer() && stanza.from.is_some()).then(|| stanza.error(kind))
}

impl Component {
    /// As the configuration has it.
    pub fn new(config: &config::Component) -> Result<Component, String> {
        let address = BareJid::new(&config.name).map_err(|e| e.to_string())?;
        Ok(Component {
            address,
            secret: config.read_secret()?,
            live: Mutex::default(),
        })
    }

    fn live(&self) -> MutexGuard<'_, Option<Arc<Mailbox>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection takes the name; `false`: another has it.
    fn attach(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut live = self.live();
        if live.is_some() {
            return false;
        }
        *live = Some(mailbox.clone());
        true
    }

    fn detach(&self) {
        *self.live() = None;
    }
}
