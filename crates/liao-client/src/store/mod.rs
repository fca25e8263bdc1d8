//! What the client keeps on disk, in one SQLite file: accounts, whom it trusts, messages and outbox, address book.

mod agent;
mod archive;
mod changes;
mod history;
mod messages;
mod place;
mod view;

use crate::now_ms;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Each version's change from the one before.
const VERSIONS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

pub use agent::Agent;
pub use archive::{ArchivePage, Mark};
pub use history::{Before, Gap};
pub use messages::{Arrival, Arriving};
pub use view::{Conversation, Kept, Page};

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
pub struct Store {
    db: Arc<Mutex<Connection>>,
    /// New messages get no lower place: room for what is still fetched.
    floor: Arc<AtomicI64>,
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
        Ok(Store::of(connection))
    }

    /// One that is nowhere but in memory.
    #[cfg(test)]
    pub(crate) fn memory() -> Store {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("")).unwrap();
        Store::of(connection)
    }

    fn of(connection: Connection) -> Store {
        Store {
            db: Arc::new(Mutex::new(connection)),
            floor: Arc::default(),
        }
    }

    fn floor(&self) -> i64 {
        self.floor.load(Ordering::Relaxed)
    }

    fn raise(&self, floor: i64) {
        self.floor.fetch_max(floor, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
