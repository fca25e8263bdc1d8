//! Retention: what is too old or too much of an archive goes, oldest first (XEP-0313 section 3.2). The rule is the
//! configuration's (`archive.keep_days`, `archive.keep_mb`) or one of the account's own. What nobody has been given yet
//! stays, whatever the rule.

use crate::config::Config;
use crate::engines::offline;
use crate::limits;
use crate::server::{Server, now_ms};
use crate::store::{At, CommitError, Op, PageError, PageQuery, Store, StoreError};
use liao_proto::jid::BareJid;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The store's collection of accounts' own rules; its one key is [`KEY`].
const COLLECTION: &str = "retention";
const KEY: &str = "rule";
const DAY_MS: i64 = 24 * 3600 * 1000;
const MB: u64 = 1024 * 1024;

/// How much of an archive is kept; 0 is without end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Days.
    pub days: u64,
    /// Megabytes (2^20 bytes) of stanzas.
    pub mb: u64,
}

/// Why a look at an archive failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Rule {
    /// The configuration's.
    pub fn of(config: &Config) -> Rule {
        Rule {
            days: config.number("archive.keep_days"),
            mb: config.number("archive.keep_mb"),
        }
    }
}

/// Gives an account a rule of its own, or takes it back.
pub async fn set(store: &Store, account: &BareJid, rule: Option<Rule>) -> Result<(), CommitError> {
    let (owner, key) = (account.to_string(), KEY.to_owned());
    let collection = COLLECTION;
    let op = match rule {
        None => Op::Delete {
            collection,
            owner,
            key,
        },
        // Two numbers can always be written.
        Some(rule) => Op::Put {
            collection,
            owner,
            key,
            value: serde_json::to_vec(&rule).unwrap_or_default(),
        },
    };
    store.committed(vec![op]).await.map(drop)
}

/// Looks at every account now and then.
pub async fn run(server: Arc<Server>) {
    loop {
        let accounts = server.accounts.list().await.unwrap_or_default();
        let rule = Rule::of(&server.config());
        for account in accounts {
            let Ok(jid) = BareJid::new(&account.jid) else {
                continue;
            };
            if let Err(error) = look(&server.store, &jid, rule, now_ms()).await {
                tracing::error!(account = %jid, %error, "old messages could not be removed");
            }
        }
        tokio::time::sleep(Duration::from_secs(limits::RETENTION_S)).await;
    }
}

/// Removes what an account's rule, or else `rule`, does not keep; gives the last number that went, 0 for none.
pub async fn look(
    store: &Store,
    account: &BareJid,
    rule: Rule,
    now_ms: i64,
) -> Result<u64, Failure> {
    let owner = account.as_str();
    let own = store.get(COLLECTION, owner, KEY).await?;
    let rule = own
        .and_then(|v| serde_json::from_slice(&v).ok())
        .unwrap_or(rule);
    let before_ms = (rule.days > 0).then(|| now_ms - rule.days as i64 * DAY_MS);
    let bytes = (rule.mb > 0).then(|| rule.mb * MB);
    if before_ms.is_none() && bytes.is_none() {
        return Ok(0);
    }
    let mut last = store.outdated(owner, before_ms, bytes).await?;
    if last == 0 {
        return Ok(0);
    }
    let cursor = store.get(offline::COLLECTION, owner, offline::KEY).await?;
    let cursor = cursor.and_then(|c| String::from_utf8(c).ok()?.parse().ok());
    let waiting = PageQuery {
        after: vec![At::Seq(cursor.unwrap_or(0))],
        undelivered: true,
        limit: 1,
        ..PageQuery::default()
    };
    let waiting = match store.page(owner, waiting).await {
        Ok(page) => page.rows.first().map(|r| r.seq),
        Err(PageError::Store(error)) => return Err(error.into()),
        Err(PageError::Unknown) => None,
    };
    last = last.min(waiting.map_or(u64::MAX, |seq| seq - 1));
    if last > 0 {
        let owner = owner.to_owned();
        store
            .committed(vec![Op::Floor { owner, seq: last }])
            .await?;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{NewMessage, Sync};

    #[tokio::test]
    async fn old_and_too_many_messages_go_but_never_what_waits_to_be_delivered() {
        let folder = std::env::temp_dir().join(format!("liao-retention-{}", std::process::id()));
        let store = Store::open(&folder, Sync::Off).unwrap();
        let (a, b) = (BareJid::new("a@x").unwrap(), BareJid::new("b@x").unwrap());
        for n in 0..30 {
            let message = Op::Archive(NewMessage {
                from_owner: Some(a.to_string()),
                to_owner: Some(b.to_string()),
                from_peer: b.to_string(),
                to_peer: a.to_string(),
                time_ms: n * DAY_MS,
                dedup: None,
                stanza: vec![b'x'; 128 * 1024].into(),
                kept: false,
            });
            store.committed(vec![message]).await.unwrap();
        }
        store.close();
        drop(store);
        let store = Store::open(&folder, Sync::Off).unwrap();
        let rule = |days, mb| Rule { days, mb };
        let now = 30 * DAY_MS;
        assert_eq!(look(&store, &a, rule(0, 0), now).await.unwrap(), 0);
        assert_eq!(look(&store, &a, rule(25, 0), now).await.unwrap(), 5);
        assert_eq!(
            look(&store, &a, rule(0, 2), now).await.unwrap(),
            14,
            "2 MB are 16 of them"
        );
        let put = |key: &str| Op::Put {
            collection: offline::COLLECTION,
            owner: b.to_string(),
            key: offline::KEY.into(),
            value: key.into(),
        };
        store.committed(vec![put("3")]).await.unwrap();
        assert_eq!(
            look(&store, &b, rule(1, 1), now).await.unwrap(),
            3,
            "4 waits"
        );
        set(&store, &b, Some(rule(0, 0))).await.unwrap();
        store.committed(vec![put("30")]).await.unwrap();
        assert_eq!(
            look(&store, &b, rule(1, 1), now).await.unwrap(),
            0,
            "its own rule"
        );
        set(&store, &b, None).await.unwrap();
        assert_eq!(look(&store, &b, rule(10, 0), now).await.unwrap(), 20);
        store.close();
        let _ = std::fs::remove_dir_all(&folder);
    }
}
