//! The newest part of the owners' index, in memory: derived from the appended rows, made again from them after a crash.

use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, HashMap};

/// One message in one owner's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub message: i64,
    pub incoming: bool,
    pub peer: i64,
    pub time_ms: i64,
    pub bytes: i64,
    /// Not archived: only until it is delivered.
    pub kept: bool,
}

/// The owners' index of the newest rows, not yet in its table.
#[derive(Default)]
pub(super) struct Tail {
    pub owners: HashMap<i64, BTreeMap<u64, Entry>>,
    pub dedup: HashMap<[u8; 16], i64>,
    /// How far streams have come, and when: `h` by stream.
    pub streams: HashMap<i64, (u64, i64)>,
    pub entries: usize,
    /// The newest message's row.
    pub last: i64,
}

impl Tail {
    /// Removes one entry.
    pub(super) fn remove(&mut self, owner: i64, seq: u64) {
        if let Some(entries) = self.owners.get_mut(&owner)
            && entries.remove(&seq).is_some()
        {
            self.entries -= 1;
        }
    }

    /// From the rows above the mark: after a crash nothing is missing.
    pub(super) fn rebuild(connection: &Connection) -> rusqlite::Result<Tail> {
        let mark: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'indexed'", [], |r| {
                r.get(0)
            })
            .optional()?;
        let mut tail = Tail {
            last: mark.unwrap_or(0),
            ..Tail::default()
        };
        let mut rows = connection.prepare(
            "SELECT id, from_owner, from_seq, to_owner, to_seq, from_peer, to_peer, time_ms, dedup, length(stanza), kept, stream, h
             FROM messages WHERE id > ?1",
        )?;
        let mut rows = rows.query([tail.last])?;
        while let Some(r) = rows.next()? {
            let (message, time_ms) = (r.get(0)?, r.get(7)?);
            let dedup: Option<Vec<u8>> = r.get(8)?;
            for (owner, seq, peer, incoming) in [(1, 2, 5, false), (3, 4, 6, true)] {
                let (owner, seq): (Option<i64>, Option<i64>) = (r.get(owner)?, r.get(seq)?);
                if let (Some(owner), Some(seq)) = (owner, seq) {
                    tail.add(
                        owner,
                        seq as u64,
                        Entry {
                            message,
                            incoming,
                            peer: r.get(peer)?,
                            time_ms,
                            bytes: r.get(9)?,
                            kept: incoming && r.get(10)?,
                        },
                    );
                }
            }
            tail.last = message;
            if let (Some(stream), Some(h)) = (r.get(11)?, r.get::<_, Option<i64>>(12)?) {
                tail.counted(stream, h as u64, time_ms);
            }
            if let Some(hash) = dedup.and_then(|d| d.try_into().ok()) {
                tail.dedup.insert(hash, time_ms);
            }
        }
        Ok(tail)
    }

    /// A stream has come so far.
    pub(super) fn counted(&mut self, stream: i64, h: u64, time_ms: i64) {
        let known = self.streams.entry(stream).or_default();
        *known = (known.0.max(h), time_ms);
    }

    pub(super) fn add(&mut self, owner: i64, seq: u64, entry: Entry) {
        self.owners.entry(owner).or_default().insert(seq, entry);
        self.entries += 1;
    }

    pub(super) fn head(&self, owner: i64) -> u64 {
        self.owners
            .get(&owner)
            .and_then(|m| m.last_key_value())
            .map_or(0, |(s, _)| *s)
    }
}

/// The highest number an owner has in the table.
pub(super) fn stored_head(connection: &Connection, owner: i64) -> rusqlite::Result<u64> {
    let index: Option<i64> = connection
        .prepare_cached("SELECT MAX(seq) FROM owner_index WHERE owner = ?1")?
        .query_row([owner], |r| r.get(0))?;
    let erased: Option<i64> = connection
        .prepare_cached("SELECT MAX(seq, head) FROM owner_head WHERE owner = ?1")?
        .query_row([owner], |r| r.get(0))
        .optional()?;
    Ok(index.unwrap_or(0).max(erased.unwrap_or(0)) as u64)
}
