//! Opening, the schema's versions, and migration forward after a backup.

use super::{StoreError, Sync};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::Path;
use std::time::Duration;

/// Each version's change from the one before.
const VERSIONS: &[&str] = &[include_str!("schema-1.sql"), include_str!("schema-2.sql")];
/// The version that this program writes.
pub const SCHEMA_VERSION: i64 = VERSIONS.len() as i64;

pub(super) fn connect(path: &Path, sync: Sync) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(
        None,
        "synchronous",
        if sync == Sync::Full { "FULL" } else { "OFF" },
    )?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // What is erased is overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that changes nothing; an older schema is read as it is.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    refuse_newer(version(&connection)?, path)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |r| r.get(0))
}

fn refuse_newer(found: i64, path: &Path) -> Result<(), StoreError> {
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    Ok(())
}

pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = version(connection)?;
    refuse_newer(found, path)?;
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    if found > 0 {
        let backup = path.with_extension(format!("sqlite3.before-{SCHEMA_VERSION}"));
        connection.execute("VACUUM INTO ?1", [backup.to_string_lossy()])?;
        tracing::info!(backup = %backup.display(), from = found, to = SCHEMA_VERSION, "the database is brought up to date");
    }
    let change = connection.transaction()?;
    for sql in VERSIONS.iter().skip(found as usize) {
        change.execute_batch(sql)?;
    }
    change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    change.commit()?;
    Ok(())
}

pub(super) fn secret(connection: &Connection) -> Result<[u8; 32], StoreError> {
    let found: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM meta WHERE key = 'secret'", [], |r| {
            r.get(0)
        })
        .optional()?;
    if let Some(secret) = found.and_then(|v| v.try_into().ok()) {
        return Ok(secret);
    }
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret).map_err(|e| StoreError::Io {
        path: "random numbers".into(),
        error: std::io::Error::other(e.to_string()),
    })?;
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('secret', ?1)",
        [&secret[..]],
    )?;
    Ok(secret)
}
