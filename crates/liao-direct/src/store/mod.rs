//! The address book of direct mode on disk: the dictionary of everyone's key, name and addresses.

use crate::Key;
use crate::limits::ADDRESSES;
use rusqlite::{Connection, Row, params};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Each version's change from the one before.
const VERSIONS: &[&str] = &[include_str!("schema-1.sql")];

/// What is wrong with the address book or the key, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The folder or a file cannot be used.
    #[error("{path}: {error}; give another folder with --client-data")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The key's file is damaged.
    #[error(
        "{path} is no key of 32 bytes; put your copy of it back, or move it away and be somebody new"
    )]
    Key {
        /// Which.
        path: PathBuf,
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
    #[error("the address book: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Somebody in the address book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Friend {
    /// Who.
    pub key: Key,
    /// Our name for them.
    pub name: String,
    /// Where they were reached, the most recent first.
    pub addresses: Vec<SocketAddr>,
    /// We take what they say; without it they are here only because they are blocked.
    pub let_in: bool,
    /// Nothing of them is heard.
    pub blocked: bool,
    /// When they were connected last, milliseconds since 1970, UTC.
    pub seen_ms: i64,
}

/// The address book; clones share it.
#[derive(Clone)]
pub struct Book(Arc<Mutex<Connection>>);

fn friend(row: &Row<'_>) -> rusqlite::Result<Option<Friend>> {
    let key: String = row.get("key")?;
    let addresses: String = row.get("addresses")?;
    let Ok(key) = Key::from_z32(&key) else {
        return Ok(None);
    };
    Ok(Some(Friend {
        key,
        name: row.get("name")?,
        addresses: serde_json::from_str(&addresses).unwrap_or_default(),
        let_in: row.get("let_in")?,
        blocked: row.get("blocked")?,
        seen_ms: row.get("seen_ms")?,
    }))
}

impl Book {
    /// Opens or makes `direct.sqlite3` in the client's folder.
    pub fn open(folder: &Path) -> Result<Book, BookError> {
        let wrong = |error| BookError::Folder {
            path: folder.to_owned(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        let path = folder.join("direct.sqlite3");
        liao_net::os::touch_private(&path).map_err(wrong)?;
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let newest = VERSIONS.len() as i64;
        let change =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let found: i64 = change.pragma_query_value(None, "user_version", |r| r.get(0))?;
        if found > newest {
            return Err(BookError::Newer { path, found });
        }
        for sql in VERSIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            change.execute_batch(sql)?;
        }
        change.pragma_update(None, "user_version", newest)?;
        change.commit()?;
        Ok(Book(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everyone, by name.
    pub fn all(&self) -> Result<Vec<Friend>, BookError> {
        let db = self.lock();
        let mut query = db.prepare_cached("SELECT * FROM friend ORDER BY name, key")?;
        let rows = query.query_map([], friend)?;
        let all: Result<Vec<_>, _> = rows.collect();
        Ok(all?.into_iter().flatten().collect())
    }

    /// Adds somebody, or keeps what has changed about them.
    pub fn keep(&self, friend: &Friend) -> Result<(), BookError> {
        let few = &friend.addresses[..friend.addresses.len().min(ADDRESSES)];
        let addresses = serde_json::to_string(few).unwrap_or_default();
        self.lock().execute(
            "INSERT INTO friend VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE
             SET name = ?2, addresses = ?3, let_in = ?4, blocked = ?5, seen_ms = ?6",
            params![
                friend.key.to_z32(),
                friend.name,
                addresses,
                friend.let_in,
                friend.blocked,
                friend.seen_ms
            ],
        )?;
        Ok(())
    }

    /// Forgets somebody.
    pub fn remove(&self, key: &Key) -> Result<(), BookError> {
        self.lock()
            .execute("DELETE FROM friend WHERE key = ?1", [key.to_z32()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn friends_are_kept_changed_and_forgotten_and_a_newer_file_is_refused() {
        let folder =
            std::env::temp_dir().join(format!("liao-direct-book-{}", liao_client::random_id()));
        let mut anna = Friend {
            key: iroh::SecretKey::generate().public(),
            name: "安娜".into(),
            addresses: vec!["10.0.0.1:5297".parse().unwrap()],
            let_in: true,
            blocked: false,
            seen_ms: 7,
        };
        {
            let book = Book::open(&folder).unwrap();
            book.keep(&anna).unwrap();
            anna.blocked = true;
            book.keep(&anna).unwrap();
        }
        let book = Book::open(&folder).unwrap();
        assert_eq!(book.all().unwrap(), [anna.clone()]);
        book.remove(&anna.key).unwrap();
        assert!(book.all().unwrap().is_empty());
        book.lock().pragma_update(None, "user_version", 99).unwrap();
        drop(book);
        assert!(matches!(
            Book::open(&folder),
            Err(BookError::Newer { found: 99, .. })
        ));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
