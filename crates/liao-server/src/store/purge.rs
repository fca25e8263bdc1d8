//! Removing: accounts, the beginning of an archive, what was kept until its delivery. A floor hides at once; the rows
//! below it go in the background, a few at a time, so that nobody waits for a large archive to vanish.

use super::write::{Writer, put_stream};
use super::{lock, name_id};
use rusqlite::{OptionalExtension, params};

/// Messages that are removed in one transaction.
const PURGE: u64 = 256;

impl Writer {
    /// Removes an owner's values, and its side of each message by a floor at its end.
    pub(super) fn erase(&mut self, owner: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM kv WHERE owner = ?1")?
            .execute([owner])?;
        let waits = self.lazy.extract_if(.., |(o, ..), _| o == owner);
        self.overtaken.extend(waits);
        let Some(id) = name_id(&self.connection, owner)? else {
            return Ok(());
        };
        let head = self.next(id)? - 1;
        self.heads.insert(id, head);
        self.set_floor(id, head)
    }

    /// Hides the beginning of an archive.
    pub(super) fn floor(&mut self, owner: &str, seq: u64) -> rusqlite::Result<()> {
        let Some(id) = name_id(&self.connection, owner)? else {
            return Ok(());
        };
        let head = self.next(id)? - 1;
        self.heads.insert(id, head);
        self.set_floor(id, seq.min(head))
    }

    fn set_floor(&mut self, owner: i64, seq: u64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO owner_head (owner, seq, purged) VALUES (?1, ?2, 0)
                 ON CONFLICT (owner) DO UPDATE SET seq = MAX(seq, excluded.seq)",
            )?
            .execute(params![owner, seq as i64])?;
        self.purging = true;
        Ok(())
    }

    /// Removes a message that was only kept for its recipient.
    pub(super) fn forget(&mut self, owner: &str, seq: u64) -> rusqlite::Result<()> {
        let Some(id) = name_id(&self.connection, owner)? else {
            return Ok(());
        };
        let fresh = self.fresh.iter().find(|(o, s, _)| (*o, *s) == (id, seq));
        let newest = match fresh {
            Some((.., entry)) => Some(*entry),
            None => lock(&self.tail)
                .owners
                .get(&id)
                .and_then(|m| m.get(&seq).copied()),
        };
        let message = match newest {
            Some(entry) if entry.kept => entry.message,
            Some(_) => return Ok(()),
            None => {
                let found = self
                    .connection
                    .prepare_cached(
                        "SELECT message FROM owner_index WHERE owner = ?1 AND seq = ?2 AND kept",
                    )?
                    .query_row(params![id, seq as i64], |r| r.get(0))
                    .optional()?;
                let Some(message) = found else { return Ok(()) };
                message
            }
        };
        self.keep_derived(message)?;
        self.remove_side(message, true)?;
        self.connection
            .prepare_cached("DELETE FROM owner_index WHERE owner = ?1 AND seq = ?2")?
            .execute(params![id, seq as i64])?;
        // Without its entry the number must not be given again.
        self.connection
            .prepare_cached(
                "INSERT INTO owner_head (owner, seq, head) VALUES (?1, 0, ?2)
                 ON CONFLICT (owner) DO UPDATE SET head = MAX(head, excluded.head)",
            )?
            .execute(params![id, seq as i64])?;
        self.forgotten.push((id, seq));
        Ok(())
    }

    /// The row may go before the index is written: what else it told must not go with it, or after a crash the sender's
    /// stream would have come less far than was told, and the same message would be delivered again.
    fn keep_derived(&self, message: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO dedup SELECT dedup, time_ms FROM messages WHERE id = ?1 AND dedup IS NOT NULL",
            )?
            .execute([message])?;
        let told: Option<(i64, i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT stream, h, time_ms FROM messages WHERE id = ?1 AND stream IS NOT NULL AND h IS NOT NULL",
            )?
            .query_row([message], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        match told {
            Some((stream, h, time_ms)) => put_stream(&self.connection, stream, h as u64, time_ms),
            None => Ok(()),
        }
    }

    /// Takes one owner's side of a message away; the row goes with the last one.
    fn remove_side(&self, message: i64, incoming: bool) -> rusqlite::Result<()> {
        let sql = if incoming {
            "UPDATE messages SET to_owner = NULL, to_seq = NULL WHERE id = ?1"
        } else {
            "UPDATE messages SET from_owner = NULL, from_seq = NULL WHERE id = ?1"
        };
        self.connection.prepare_cached(sql)?.execute([message])?;
        self.connection
            .prepare_cached(
                "DELETE FROM messages WHERE id = ?1 AND from_owner IS NULL AND to_owner IS NULL",
            )?
            .execute([message])?;
        Ok(())
    }

    /// Removes some of what lies below the floors.
    pub(super) fn purge(&mut self) {
        if !self.purging {
            return;
        }
        match self.try_purge() {
            Ok(true) => {}
            Ok(false) => {
                self.purging = false;
                // The log still holds what was erased.
                self.checkpointer.ask_to_truncate();
            }
            Err(error) => {
                tracing::error!(%error, "erased messages could not be removed yet");
                let _ = self.connection.execute_batch("ROLLBACK");
                // Tried again after the next floor or start.
                self.purging = false;
            }
        }
    }

    /// One step; `false`: nothing is left to do.
    fn try_purge(&mut self) -> rusqlite::Result<bool> {
        let next: Option<(i64, i64, i64)> = self
            .connection
            .prepare_cached("SELECT owner, seq, purged FROM owner_head WHERE purged < seq LIMIT 1")?
            .query_row([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        let Some((owner, floor, purged)) = next else {
            return Ok(false);
        };
        if lock(&self.tail).owners.contains_key(&owner) {
            self.flush_index();
            if lock(&self.tail).owners.contains_key(&owner) {
                // The disk refuses; the index stays in memory, and this waits with it.
                self.purging = false;
                return Ok(true);
            }
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let entries: Vec<(i64, i64, bool)> = self
            .connection
            .prepare_cached(
                "SELECT seq, message, incoming FROM owner_index
                 WHERE owner = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
            )?
            .query_map(params![owner, purged, floor, PURGE as i64], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (_, message, incoming) in &entries {
            self.remove_side(*message, *incoming)?;
        }
        let done = match entries.last() {
            Some((seq, ..)) if entries.len() as u64 == PURGE => *seq,
            _ => floor,
        };
        self.connection
            .prepare_cached("DELETE FROM owner_index WHERE owner = ?1 AND seq <= ?2")?
            .execute(params![owner, done])?;
        self.connection
            .prepare_cached("UPDATE owner_head SET purged = ?2 WHERE owner = ?1")?
            .execute(params![owner, done])?;
        self.connection.execute_batch("COMMIT")?;
        Ok(true)
    }
}
