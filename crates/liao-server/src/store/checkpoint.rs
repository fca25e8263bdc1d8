//! Copies the log into the database's file on a thread of its own, beside the writer.

use super::lock;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Checkpointer {
    state: Mutex<(u64, u64, bool)>,
    /// The log itself must go, too: it still holds what was erased.
    truncate: AtomicBool,
    changed: Condvar,
}

impl Checkpointer {
    pub(super) fn ask(&self) {
        lock(&self.state).0 += 1;
        self.changed.notify_all();
    }

    /// The next checkpoint empties the log's file.
    pub(super) fn ask_to_truncate(&self) {
        self.truncate.store(true, Ordering::Relaxed);
        self.ask();
    }

    pub(super) fn ask_and_wait(&self) {
        let mut state = lock(&self.state);
        state.0 += 1;
        let wanted = state.0;
        self.changed.notify_all();
        let wait = |s: &mut (u64, u64, bool)| s.1 < wanted && !s.2;
        drop(
            self.changed
                .wait_timeout_while(state, Duration::from_secs(10), wait),
        );
    }

    pub(super) fn stop(&self) {
        lock(&self.state).2 = true;
        self.changed.notify_all();
    }

    pub(super) fn run(&self, connection: &Connection) {
        loop {
            let wanted = {
                let state = lock(&self.state);
                let state = self.changed.wait_while(state, |s| s.0 == s.1 && !s.2);
                let state = state.unwrap_or_else(std::sync::PoisonError::into_inner);
                if state.2 {
                    return;
                }
                state.0
            };
            let truncate = self.truncate.swap(false, Ordering::Relaxed);
            match checkpoint(connection, truncate) {
                Ok(true) => {}
                // Somebody reads: with the next one.
                Ok(false) => self.truncate.store(truncate, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, "the database's log could not be checkpointed");
                }
            }
            lock(&self.state).1 = wanted;
            self.changed.notify_all();
        }
    }
}

/// Copies the log into the file; `truncate`: and empties the log. `false`: not all of it, somebody reads.
pub(super) fn checkpoint(connection: &Connection, truncate: bool) -> rusqlite::Result<bool> {
    let sql = if truncate {
        "PRAGMA wal_checkpoint(TRUNCATE)"
    } else {
        "PRAGMA wal_checkpoint(PASSIVE)"
    };
    connection
        .query_row(sql, [], |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
}
