//! What the client keeps on disk, in one SQLite file: accounts, whom it trusts, messages and outbox, address book.

mod agent;
mod view;

pub use agent::Agent;

use crate::backend::{Message, State};
use crate::now_ms;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use view::{Conversation, Kept, Page};

/// Each version's change from the one before.
const VERSIONS: &[&str] = &[include_str!("schema-1.sql"), include_str!("schema-2.sql")];

/// What is wrong with the client's data, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or the file cannot be used.
    #[error("{path}: {error}; give another folder with --client-data")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "{path} was written by a newer liao (format {found}); use that one, or give another folder with --client-data"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// SQLite.
    #[error("the client's data: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// An account that was used here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its bare address.
    pub jid: String,
    /// Its password.
    pub password: String,
    /// `HOST:PORT` or `https://HOST:PORT` of its server, if not found by the address alone.
    pub server: Option<String>,
}

/// The client's data; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Connection>>);

const MESSAGE: &str = "peer, outgoing, id, body, time_ms, delayed";

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        peer: row.get(0)?,
        outgoing: row.get(1)?,
        id: row.get(2)?,
        text: row.get(3)?,
        time_ms: row.get(4)?,
        delayed: row.get(5)?,
    })
}

impl Store {
    /// Opens or makes `client.sqlite3` in a folder that only its owner can read.
    pub fn open(folder: &Path) -> Result<Store, StoreError> {
        let wrong = |error| StoreError::Folder {
            path: folder.to_owned(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        let path = folder.join("client.sqlite3");
        liao_net::os::touch_private(&path).map_err(wrong)?;
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection, &path)?;
        Ok(Store(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account used last, or a given one.
    pub fn account(&self, jid: Option<&str>) -> Result<Option<Account>, StoreError> {
        let sql = "SELECT jid, password, server FROM account WHERE ?1 IS NULL OR jid = ?1
                   ORDER BY used_ms DESC LIMIT 1";
        let read = |row: &Row<'_>| {
            Ok(Account {
                jid: row.get(0)?,
                password: row.get(1)?,
                server: row.get(2)?,
            })
        };
        Ok(self.lock().query_row(sql, [jid], read).optional()?)
    }

    /// Keeps an account as the one used last.
    pub fn keep_account(&self, account: &Account) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO account VALUES (?1, ?2, ?3, ?4) ON CONFLICT (jid) DO UPDATE
             SET password = ?2, server = ?3, used_ms = ?4",
            params![account.jid, account.password, account.server, now_ms()],
        )?;
        Ok(())
    }

    /// How a domain is known: a fingerprint, or that the roots vouched for it.
    pub fn pin(&self, domain: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT trust FROM pin WHERE domain = ?1";
        Ok(self
            .lock()
            .query_row(sql, [domain], |r| r.get(0))
            .optional()?)
    }

    /// Remembers how a domain is known.
    pub fn set_pin(&self, domain: &str, trust: &str) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO pin VALUES (?1, ?2, ?3) ON CONFLICT (domain) DO UPDATE SET trust = ?2, since_ms = ?3",
            params![domain, trust, now_ms()],
        )?;
        Ok(())
    }

    /// Puts a message of ours into the outbox.
    pub fn queue(&self, account: &str, message: &Message) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO message (account, peer, outgoing, id, body, time_ms, delayed, state)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, 0, 0) ON CONFLICT DO NOTHING",
            params![
                account,
                message.peer,
                message.id,
                message.text,
                message.time_ms
            ],
        )?;
        Ok(())
    }

    /// Keeps a message that came; `false`: it is here already (the same XEP-0359 id).
    pub fn received(
        &self,
        account: &str,
        message: &Message,
        stanza_id: Option<&str>,
    ) -> Result<bool, StoreError> {
        let rows = self.lock().execute(
            "INSERT INTO message (account, peer, outgoing, id, stanza_id, body, time_ms, delayed, state)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, 1) ON CONFLICT DO NOTHING",
            params![
                account,
                message.peer,
                message.id,
                stanza_id,
                message.text,
                message.time_ms,
                message.delayed
            ],
        )?;
        Ok(rows == 1)
    }

    /// A message of ours has come further; `false`: it was there already, or is none of ours.
    pub fn advance(&self, account: &str, id: &str, state: &State) -> Result<bool, StoreError> {
        let (number, why) = match state {
            State::Queued | State::Waiting { .. } => return Ok(false),
            State::Sent => (1, None),
            State::Delivered => (2, None),
            State::Failed { why } => (3, Some(why)),
        };
        let rows = self.lock().execute(
            "UPDATE message SET state = ?3, why = ?4 WHERE account = ?1 AND id = ?2 AND outgoing = 1 AND state < ?3",
            params![account, id, number, why],
        )?;
        Ok(rows == 1)
    }

    /// The outbox, oldest first.
    pub fn unsent(&self, account: &str) -> Result<Vec<Message>, StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE account = ?1 AND outgoing = 1 AND state = 0 ORDER BY n"
        );
        let connection = self.lock();
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map([account], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest messages with a peer, oldest first.
    pub fn history(
        &self,
        account: &str,
        peer: &str,
        count: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE account = ?1 AND peer = ?2 ORDER BY n DESC LIMIT ?3"
        );
        let connection = self.lock();
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map(
            params![account, peer, i64::try_from(count).unwrap_or(i64::MAX)],
            message,
        )?;
        let mut all: Vec<Message> = rows.collect::<Result<_, _>>()?;
        all.reverse();
        Ok(all)
    }

    /// Adds or changes a name in the address book.
    pub fn book(&self, name: &str, address: &str) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO book VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET address = ?2",
            [name, address],
        )?;
        Ok(())
    }

    /// Takes a name out of the address book; `false` if it is not there.
    pub fn unbook(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self
            .lock()
            .execute("DELETE FROM book WHERE name = ?1", [name])?
            == 1)
    }

    /// The address book: (name, `HOST:PORT`), by name.
    pub fn addresses(&self) -> Result<Vec<(String, String)>, StoreError> {
        let connection = self.lock();
        let mut query =
            connection.prepare_cached("SELECT name, address FROM book ORDER BY name")?;
        let rows = query.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Brings the file to the newest version, after a backup.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let newest = VERSIONS.len() as i64;
    // Two programs may start at once: the second waits here and then finds nothing to do.
    let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = change.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found > newest {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    if found > 0 && found < newest {
        let backup = path.with_extension(format!("sqlite3.before-{newest}"));
        // A read connection of its own: VACUUM cannot run inside the transaction.
        Connection::open(path)?.execute("VACUUM INTO ?1", [backup.to_string_lossy()])?;
    }
    for sql in VERSIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        change.execute_batch(sql)?;
    }
    change.pragma_update(None, "user_version", newest)?;
    change.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outgoing: bool, id: &str) -> Message {
        Message {
            peer: "b@x".into(),
            outgoing,
            id: id.into(),
            text: format!("words {id} 汉字"),
            time_ms: 1,
            delayed: false,
        }
    }

    #[test]
    fn the_outbox_outlives_the_program_and_states_only_go_forward() {
        let folder = std::env::temp_dir().join(format!("liao-client-store-{}", crate::random_id()));
        let store = Store::open(&folder).unwrap();
        store.queue("a@x", &said(true, "1")).unwrap();
        store.queue("a@x", &said(true, "1")).unwrap();
        store.queue("a@x", &said(true, "2")).unwrap();
        drop(store);
        let store = Store::open(&folder).unwrap();
        assert_eq!(
            store.unsent("a@x").unwrap(),
            [said(true, "1"), said(true, "2")]
        );
        assert!(store.unsent("other@x").unwrap().is_empty());
        assert!(store.advance("a@x", "1", &State::Delivered).unwrap());
        assert!(!store.advance("a@x", "1", &State::Sent).unwrap());
        assert_eq!(store.unsent("a@x").unwrap(), [said(true, "2")]);
        assert!(store.received("a@x", &said(false, "3"), Some("s")).unwrap());
        assert!(!store.received("a@x", &said(false, "3"), Some("s")).unwrap());
        assert!(store.received("a@x", &said(false, "3"), None).unwrap());
        let ids: Vec<String> = store
            .history("a@x", "b@x", 3)
            .unwrap()
            .into_iter()
            .map(|m| m.id)
            .collect();
        assert_eq!(ids, ["2", "3", "3"]);
        store.book("Tom", "127.0.0.1:1").unwrap();
        store.book("tom", "127.0.0.1:2").unwrap();
        assert_eq!(
            store.addresses().unwrap(),
            [("Tom".to_owned(), "127.0.0.1:2".to_owned())]
        );
        store
            .lock()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        drop(store);
        assert!(matches!(
            Store::open(&folder),
            Err(StoreError::Newer { found: 99, .. })
        ));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
