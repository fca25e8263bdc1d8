//! The writer: one thread, group commit, and the derived index of the owners behind it.

use super::{
    Commit, CommitError, Committed, DEDUP_MS, NewMessage, Op, Stats, StoreError, Stored, lock,
    name_id, schema,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// Commits in one transaction: bounds the wait of the first.
const GROUP: usize = 1024;
/// Bytes in one transaction.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Entries of the tail after which the index is written.
const TAIL: usize = 8192;
/// Bytes written after which the log is checkpointed.
const CHECKPOINT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes written after which the writer waits for the checkpointer: PASSIVE ones starve under steady writes.
const WAIT_BYTES: usize = 64 * 1024 * 1024;
/// How long lazy values may wait.
const LAZY: Duration = Duration::from_secs(1);

pub(super) struct Job {
    pub commit: Commit,
    pub size: usize,
}

/// One message in one owner's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub message: i64,
    pub incoming: bool,
    pub peer: i64,
    pub time_ms: i64,
}

/// The owners' index of the newest rows, not yet in its table.
#[derive(Default)]
pub(super) struct Tail {
    pub owners: HashMap<i64, BTreeMap<u64, Entry>>,
    dedup: HashMap<[u8; 16], i64>,
    entries: usize,
    last: i64,
}

impl Tail {
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
            "SELECT id, from_owner, from_seq, to_owner, to_seq, from_peer, to_peer, time_ms, dedup FROM messages WHERE id > ?1",
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
                        },
                    );
                }
            }
            tail.last = message;
            if let Some(hash) = dedup.and_then(|d| d.try_into().ok()) {
                tail.dedup.insert(hash, time_ms);
            }
        }
        Ok(tail)
    }

    fn add(&mut self, owner: i64, seq: u64, entry: Entry) {
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
        .prepare_cached("SELECT seq FROM owner_head WHERE owner = ?1")?
        .query_row([owner], |r| r.get(0))
        .optional()?;
    Ok(index.unwrap_or(0).max(erased.unwrap_or(0)) as u64)
}

struct Writer {
    connection: Connection,
    tail: Arc<Mutex<Tail>>,
    stats: Arc<Stats>,
    names: HashMap<String, i64>,
    heads: HashMap<i64, u64>,
    lazy: BTreeMap<(String, &'static str, String), Vec<u8>>,
    /// Of the transaction in the making.
    fresh: Vec<(i64, u64, Entry)>,
    fresh_dedup: Vec<([u8; 16], i64)>,
    erased: Vec<i64>,
    written: usize,
    checkpointer: Arc<Checkpointer>,
}

/// Starts the writer and its checkpointer.
pub(super) fn start(
    connection: Connection,
    path: &Path,
    tail: Arc<Mutex<Tail>>,
    stats: Arc<Stats>,
) -> Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>), StoreError> {
    let (sender, receiver) = mpsc::channel();
    let checkpointer = Arc::new(Checkpointer::default());
    let side = schema::connect(path, super::Sync::Full)?;
    let io = |error| StoreError::Io {
        path: path.to_owned(),
        error,
    };
    let worker = checkpointer.clone();
    std::thread::Builder::new()
        .name("liao-checkpoint".into())
        .spawn(move || worker.run(&side))
        .map_err(io)?;
    let mut writer = Writer {
        connection,
        tail,
        stats,
        names: HashMap::new(),
        heads: HashMap::new(),
        lazy: BTreeMap::new(),
        fresh: Vec::new(),
        fresh_dedup: Vec::new(),
        erased: Vec::new(),
        written: 0,
        checkpointer,
    };
    let thread = std::thread::Builder::new()
        .name("liao-writer".into())
        .spawn(move || writer.run(&receiver))
        .map_err(io)?;
    Ok((sender, thread))
}

impl Writer {
    fn run(&mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            let mut group = Vec::new();
            match jobs.recv_timeout(LAZY) {
                Ok(job) => group.push(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.idle();
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let mut bytes = group[0].size;
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.size;
                group.push(job);
            }
            self.group(group, bytes);
            if lock(&self.tail).entries > TAIL {
                self.flush_index();
            }
            self.pace();
        }
        self.idle();
        self.flush_index();
        self.checkpointer.stop();
        let _ = self
            .connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    /// One transaction for all; if it fails, one for each, so that only the guilty fail.
    fn group(&mut self, group: Vec<Job>, bytes: usize) {
        let results = match self.transaction(&group) {
            Ok(all) => all.into_iter().map(Ok).collect(),
            Err(error) if group.len() == 1 => vec![Err(kind(&error))],
            Err(_) => {
                let one = |job| {
                    self.transaction(std::slice::from_ref(job))
                        .map_err(|e| kind(&e))
                };
                group
                    .iter()
                    .map(one)
                    .map(|r| r.map(|mut v| v.pop().unwrap_or_default()))
                    .collect::<Vec<_>>()
            }
        };
        self.written += bytes * 2;
        self.stats.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.stats
            .commits
            .fetch_add(group.len() as u64, Ordering::Relaxed);
        for (job, result) in group.into_iter().zip(results) {
            (job.commit.then)(result);
        }
    }

    fn transaction(&mut self, group: &[Job]) -> rusqlite::Result<Vec<Committed>> {
        let result = self.try_transaction(group);
        match &result {
            Ok(_) => self.settle(),
            Err(error) => {
                tracing::error!(%error, "a transaction failed");
                let _ = self.connection.execute_batch("ROLLBACK");
                self.fresh.clear();
                self.fresh_dedup.clear();
                self.erased.clear();
                self.names.clear();
                self.heads.clear();
            }
        }
        result
    }

    fn try_transaction(&mut self, group: &[Job]) -> rusqlite::Result<Vec<Committed>> {
        if group
            .iter()
            .all(|j| j.commit.ops.iter().all(|op| matches!(op, Op::Lazy { .. })))
        {
            for op in group.iter().flat_map(|j| &j.commit.ops) {
                self.keep_lazy(op);
            }
            return Ok(group.iter().map(|_| Committed::default()).collect());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut all = Vec::with_capacity(group.len());
        for job in group {
            let mut committed = Committed::default();
            for op in &job.commit.ops {
                if let Some(stored) = self.apply(op)? {
                    committed.seqs.push(stored);
                }
            }
            all.push(committed);
        }
        for ((owner, collection, key), value) in &self.lazy {
            put(&self.connection, collection, owner, key, value)?;
        }
        self.connection.execute_batch("COMMIT")?;
        self.lazy.clear();
        self.stats.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(all)
    }

    fn keep_lazy(&mut self, op: &Op) {
        if let Op::Lazy {
            collection,
            owner,
            key,
            value,
        } = op
        {
            self.lazy
                .insert((owner.clone(), collection, key.clone()), value.clone());
        }
    }

    fn apply(&mut self, op: &Op) -> rusqlite::Result<Option<Stored>> {
        match op {
            Op::Lazy { .. } => self.keep_lazy(op),
            Op::Put {
                collection,
                owner,
                key,
                value,
            } => {
                self.lazy.remove(&(owner.clone(), *collection, key.clone()));
                put(&self.connection, collection, owner, key, value)?;
            }
            Op::Delete {
                collection,
                owner,
                key,
            } => {
                self.connection
                    .prepare_cached(
                        "DELETE FROM kv WHERE owner = ?1 AND collection = ?2 AND key = ?3",
                    )?
                    .execute(params![owner, collection, key])?;
            }
            Op::DeleteOwner { owner } => self.erase(owner)?,
            Op::Archive(message) => return self.archive(message).map(Some),
        }
        Ok(None)
    }

    fn name(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let id = match name_id(&self.connection, name)? {
            Some(id) => id,
            None => {
                self.connection
                    .prepare_cached("INSERT INTO names (name) VALUES (?1)")?
                    .execute([name])?;
                self.connection.last_insert_rowid()
            }
        };
        if self.names.len() > 200_000 {
            self.names.clear();
        }
        self.names.insert(name.to_owned(), id);
        Ok(id)
    }

    /// The next number of an owner, without holes.
    fn next(&mut self, owner: i64) -> rusqlite::Result<u64> {
        let head = match self.heads.get(&owner) {
            Some(head) => *head,
            None => lock(&self.tail)
                .head(owner)
                .max(stored_head(&self.connection, owner)?),
        };
        if self.heads.len() > 200_000 {
            // Only numbers that are settled may be read again from the tables.
            self.heads
                .retain(|o, _| self.fresh.iter().any(|(f, ..)| f == o));
        }
        self.heads.insert(owner, head + 1);
        Ok(head + 1)
    }

    fn is_duplicate(&self, hash: &[u8; 16], now_ms: i64) -> rusqlite::Result<bool> {
        let recent = |time: i64| now_ms - time < DEDUP_MS;
        if self.fresh_dedup.iter().any(|(h, _)| h == hash)
            || lock(&self.tail).dedup.get(hash).is_some_and(|t| recent(*t))
        {
            return Ok(true);
        }
        let time: Option<i64> = self
            .connection
            .prepare_cached("SELECT time_ms FROM dedup WHERE hash = ?1")?
            .query_row([&hash[..]], |r| r.get(0))
            .optional()?;
        Ok(time.is_some_and(recent))
    }

    fn archive(&mut self, m: &NewMessage) -> rusqlite::Result<Stored> {
        if let Some(hash) = &m.dedup {
            if self.is_duplicate(hash, m.time_ms)? {
                return Ok(Stored {
                    duplicate: true,
                    ..Stored::default()
                });
            }
            self.fresh_dedup.push((*hash, m.time_ms));
        }
        let (from_peer, to_peer) = (self.name(&m.from_peer)?, self.name(&m.to_peer)?);
        let mut side = |owner: &Option<String>| -> rusqlite::Result<(Option<i64>, Option<u64>)> {
            let Some(owner) = owner else {
                return Ok((None, None));
            };
            let id = self.name(owner)?;
            Ok((Some(id), Some(self.next(id)?)))
        };
        let (from_owner, from_seq) = side(&m.from_owner)?;
        let (to_owner, to_seq) = side(&m.to_owner)?;
        self.connection
            .prepare_cached(
                "INSERT INTO messages (from_owner, from_seq, to_owner, to_seq, from_peer, to_peer, time_ms, dedup, stanza)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                from_owner,
                from_seq.map(|s| s as i64),
                to_owner,
                to_seq.map(|s| s as i64),
                from_peer,
                to_peer,
                m.time_ms,
                m.dedup.as_ref().map(|d| &d[..]),
                &m.stanza[..]
            ])?;
        let message = self.connection.last_insert_rowid();
        let sides = [
            (from_owner, from_seq, from_peer, false),
            (to_owner, to_seq, to_peer, true),
        ];
        for (owner, seq, peer, incoming) in sides {
            if let (Some(owner), Some(seq)) = (owner, seq) {
                self.fresh.push((
                    owner,
                    seq,
                    Entry {
                        message,
                        incoming,
                        peer,
                        time_ms: m.time_ms,
                    },
                ));
            }
        }
        Ok(Stored {
            from_seq,
            to_seq,
            duplicate: false,
        })
    }

    /// Removes an owner's values and its side of each message; rows that nobody has any more go.
    fn erase(&mut self, owner: &str) -> rusqlite::Result<()> {
        self.connection
            .execute("DELETE FROM kv WHERE owner = ?1", [owner])?;
        self.lazy.retain(|(o, ..), _| o != owner);
        let Some(id) = name_id(&self.connection, owner)? else {
            return Ok(());
        };
        let head = self.next(id)? - 1;
        self.connection.execute(
            "INSERT OR REPLACE INTO owner_head VALUES (?1, ?2)",
            params![id, head as i64],
        )?;
        for column in ["from", "to"] {
            self.connection.execute(
                &format!("UPDATE messages SET {column}_owner = NULL, {column}_seq = NULL WHERE {column}_owner = ?1"),
                [id],
            )?;
        }
        self.connection.execute(
            "DELETE FROM messages WHERE from_owner IS NULL AND to_owner IS NULL",
            [],
        )?;
        self.connection
            .execute("DELETE FROM owner_index WHERE owner = ?1", [id])?;
        self.heads.insert(id, head);
        self.erased.push(id);
        self.fresh.retain(|(o, ..)| *o != id);
        Ok(())
    }

    /// After the commit: what was appended becomes visible.
    fn settle(&mut self) {
        let mut tail = lock(&self.tail);
        for owner in self.erased.drain(..) {
            if let Some(gone) = tail.owners.remove(&owner) {
                tail.entries -= gone.len();
            }
        }
        for (owner, seq, entry) in self.fresh.drain(..) {
            tail.last = tail.last.max(entry.message);
            tail.add(owner, seq, entry);
        }
        tail.dedup.extend(self.fresh_dedup.drain(..));
    }

    /// Nothing comes in: lazy values and the index are written.
    fn idle(&mut self) {
        if !self.lazy.is_empty() {
            let group = Job {
                commit: Commit {
                    ops: Vec::new(),
                    then: Box::new(|_| ()),
                },
                size: 0,
            };
            // No operation of its own is no lazy operation either: make it a real transaction.
            let _ = self.write_lazy(&group);
        }
        if lock(&self.tail).entries > TAIL / 8 {
            self.flush_index();
        }
        if self.written > 0 {
            self.checkpointer.ask();
            self.written = 0;
        }
    }

    fn write_lazy(&mut self, _: &Job) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let write = || {
            for ((owner, collection, key), value) in &self.lazy {
                put(&self.connection, collection, owner, key, value)?;
            }
            self.connection.execute_batch("COMMIT")
        };
        let result: rusqlite::Result<()> = write();
        match &result {
            Ok(()) => self.lazy.clear(),
            Err(_) => drop(self.connection.execute_batch("ROLLBACK")),
        }
        result
    }

    /// Moves the tail into its tables, in owner order, in one transaction.
    fn flush_index(&mut self) {
        let (owners, dedup, last) = {
            let tail = lock(&self.tail);
            if tail.entries == 0 {
                return;
            }
            let mut owners: Vec<_> = tail.owners.iter().map(|(o, m)| (*o, m.clone())).collect();
            owners.sort_unstable_by_key(|(o, _)| *o);
            (owners, tail.dedup.clone(), tail.last)
        };
        let connection = &self.connection;
        let write = || -> rusqlite::Result<()> {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO owner_index VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (owner, entries) in &owners {
                for (seq, e) in entries {
                    insert.execute(params![
                        owner,
                        *seq as i64,
                        e.message,
                        e.incoming,
                        e.peer,
                        e.time_ms
                    ])?;
                }
            }
            let mut insert =
                connection.prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?1, ?2)")?;
            for (hash, time) in &dedup {
                insert.execute(params![&hash[..], time])?;
            }
            connection.execute(
                "DELETE FROM dedup WHERE time_ms < ?1",
                [crate::server::now_ms() - DEDUP_MS],
            )?;
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('indexed', ?1)", [last])?;
            connection.execute_batch("COMMIT")
        };
        if let Err(error) = write() {
            tracing::error!(%error, "the archive's index could not be written; it stays in memory");
            let _ = connection.execute_batch("ROLLBACK");
            return;
        }
        let mut tail = lock(&self.tail);
        let kept: HashSet<[u8; 16]> = dedup.into_keys().collect();
        tail.dedup.retain(|h, _| !kept.contains(h));
        tail.owners.clear();
        tail.entries = 0;
    }

    /// Lets the checkpointer work, and waits for it when the log has grown too far.
    fn pace(&mut self) {
        if self.written > WAIT_BYTES {
            self.checkpointer.ask_and_wait();
            self.written = 0;
        } else if self.written > CHECKPOINT_BYTES {
            self.checkpointer.ask();
        }
    }
}

fn put(
    connection: &Connection,
    collection: &str,
    owner: &str,
    key: &str,
    value: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO kv (owner, collection, key, value) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![owner, collection, key, value])
        .map(drop)
}

fn kind(error: &rusqlite::Error) -> CommitError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CommitError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            CommitError::ReadOnly
        }
        _ => CommitError::Other,
    }
}

/// Copies the log into the file beside the writer.
#[derive(Default)]
struct Checkpointer {
    state: Mutex<(u64, u64, bool)>,
    changed: Condvar,
}

impl Checkpointer {
    fn ask(&self) {
        lock(&self.state).0 += 1;
        self.changed.notify_all();
    }

    fn ask_and_wait(&self) {
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

    fn stop(&self) {
        lock(&self.state).2 = true;
        self.changed.notify_all();
    }

    fn run(&self, connection: &Connection) {
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
            if let Err(error) =
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            {
                tracing::warn!(%error, "the database's log could not be checkpointed");
            }
            lock(&self.state).1 = wanted;
            self.changed.notify_all();
        }
    }
}
