//! What administrators decided for everyone: with whom nobody here communicates, and what everybody is told
//! (XEP-0133 sections 4.11, 4.12 and 4.24 to 4.28). One row in the store; read at the start, kept in memory.

use crate::engines::matching;
use crate::store::{CommitError, Op, Store, StoreError};
use liao_proto::jid::Jid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

const COLLECTION: &str = "server";
const KEY: &str = "rules";

/// A message that everybody gets once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// By this it is known who has had it.
    pub id: String,
    /// The words.
    pub text: String,
}

/// The decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decided {
    /// Nobody here communicates with these.
    pub blocked: BTreeSet<String>,
    /// If there is one: with nobody else, but for accounts of this server.
    pub allowed: BTreeSet<String>,
    /// Message of the day.
    pub motd: Option<Notice>,
    /// What a new account is told at its first login.
    pub welcome: Option<String>,
}

impl Decided {
    fn has_lists(&self) -> bool {
        !self.blocked.is_empty() || !self.allowed.is_empty()
    }

    /// Whether an address is kept out. `domain`: the server's own, whose accounts need not be allowed.
    pub fn refuses(&self, jid: &Jid, domain: &str) -> bool {
        let entries = || matching::entries(jid);
        let within = |set: &BTreeSet<String>| entries().iter().any(|e| set.contains(e));
        let own = || {
            let of = jid.domain().as_str();
            of == domain || of.strip_suffix(domain).is_some_and(|d| d.ends_with('.'))
        };
        (!self.blocked.is_empty() && within(&self.blocked))
            || (!self.allowed.is_empty() && !own() && !within(&self.allowed))
    }
}

/// The decisions in force.
pub struct Rules {
    store: Store,
    now: RwLock<Arc<Decided>>,
    /// Whether there is a list at all: looked at for every stanza.
    lists: AtomicBool,
    /// Changes are made one after the other.
    order: tokio::sync::Mutex<()>,
}

impl Rules {
    /// Reads them.
    pub async fn open(store: Store) -> Result<Rules, StoreError> {
        let row = store.get(COLLECTION, "", KEY).await?;
        let decided: Option<Decided> = row.and_then(|v| serde_json::from_slice(&v).ok());
        let decided = decided.unwrap_or_default();
        Ok(Rules {
            store,
            lists: AtomicBool::new(decided.has_lists()),
            now: RwLock::new(Arc::new(decided)),
            order: tokio::sync::Mutex::default(),
        })
    }

    /// As they are.
    pub fn now(&self) -> Arc<Decided> {
        self.now
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether one of these is kept out.
    pub fn refuse(&self, jids: &[&Jid], domain: &str) -> bool {
        if !self.lists.load(Ordering::Acquire) {
            return false;
        }
        let now = self.now();
        jids.iter().any(|jid| now.refuses(jid, domain))
    }

    /// Changes them; they are in force once they are on the disk.
    pub async fn change(&self, change: impl FnOnce(&mut Decided)) -> Result<(), CommitError> {
        let _order = self.order.lock().await;
        let mut new = (*self.now()).clone();
        change(&mut new);
        let value = serde_json::to_vec(&new).unwrap_or_default();
        self.store
            .committed(vec![Op::Put {
                collection: COLLECTION,
                owner: String::new(),
                key: KEY.to_owned(),
                value,
            }])
            .await?;
        self.lists.store(new.has_lists(), Ordering::Release);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep_0133_sections_4_11_and_4_12_who_is_kept_out() {
        let set = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect();
        let out = |d: &Decided, jid: &str| d.refuses(&Jid::new(jid).unwrap(), "here.example");
        let mut d = Decided::default();
        assert!(!out(&d, "a@far.example"));
        d.blocked = set(&["far.example", "bad@here.example"]);
        assert!(out(&d, "a@far.example/r") && out(&d, "bad@here.example"));
        assert!(!out(&d, "good@here.example") && !out(&d, "a@near.example"));
        d.allowed = set(&["near.example"]);
        assert!(!out(&d, "a@near.example") && out(&d, "a@else.example"));
        assert!(!out(&d, "good@here.example") && !out(&d, "conference.here.example"));
        assert!(out(&d, "x@nothere.example"));
        d.blocked = set(&["a@near.example"]);
        assert!(out(&d, "a@near.example/r"), "blocked comes first");
    }
}
