//! The writer: one thread, group commit, and the derived index of the owners behind it.

use super::checkpoint::{self, Checkpointer};
use super::ids::Ids;
use super::tail::{Entry, Tail, stored_head};
use super::{
    Commit, CommitError, Committed, Counted, DEDUP_MS, NewMessage, Op, Place, STREAMS_MS, Stats,
    StoreError, Stored, lock, name_id, schema,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
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
/// Pause between two steps of removing what was erased, when nothing else is to be done.
const PURGE: Duration = Duration::from_millis(5);
/// Owners whose highest numbers are remembered.
const HEADS: usize = 200_000;
/// How long lazy values may wait.
const LAZY: Duration = Duration::from_secs(1);

/// Of a value: owner, collection, key.
pub(super) type Key = (String, &'static str, String);

pub(super) struct Job {
    pub commit: Commit,
    pub size: usize,
}

/// One stream's part in a transaction.
struct Counting {
    stream: Arc<dyn Counted>,
    touched: Vec<u64>,
    done: Vec<u64>,
    h: u64,
    /// A message's row carries `h`.
    in_row: bool,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) tail: Arc<Mutex<Tail>>,
    stats: Arc<Stats>,
    ids: Arc<Ids>,
    names: HashMap<String, i64>,
    pub(super) heads: HashMap<i64, u64>,
    pub(super) lazy: BTreeMap<Key, Vec<u8>>,
    /// Of the transaction in the making.
    pub(super) overtaken: Vec<(Key, Vec<u8>)>,
    pub(super) fresh: Vec<(i64, u64, Entry)>,
    fresh_dedup: Vec<([u8; 16], i64)>,
    /// Kept messages that were delivered: (owner, seq).
    pub(super) forgotten: Vec<(i64, u64)>,
    counting: BTreeMap<i64, Counting>,
    /// Something below a floor has still to be removed.
    pub(super) purging: bool,
    written: usize,
    pub(super) checkpointer: Arc<Checkpointer>,
    checkpointing: Option<std::thread::JoinHandle<()>>,
}

/// Starts the writer and its checkpointer.
pub(super) fn start(
    connection: Connection,
    path: &Path,
    tail: Arc<Mutex<Tail>>,
    stats: Arc<Stats>,
    ids: Arc<Ids>,
) -> Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>), StoreError> {
    let (sender, receiver) = mpsc::channel();
    let checkpointer = Arc::new(Checkpointer::default());
    let side = schema::connect(path, super::Sync::Full)?;
    let io = |error| StoreError::Io {
        path: path.to_owned(),
        error,
    };
    let worker = checkpointer.clone();
    let checkpointing = std::thread::Builder::new()
        .name("liao-checkpoint".into())
        .spawn(move || worker.run(&side))
        .map_err(io)?;
    let mut writer = Writer {
        connection,
        tail,
        stats,
        ids,
        names: HashMap::new(),
        heads: HashMap::new(),
        lazy: BTreeMap::new(),
        overtaken: Vec::new(),
        fresh: Vec::new(),
        fresh_dedup: Vec::new(),
        forgotten: Vec::new(),
        counting: BTreeMap::new(),
        purging: true,
        written: 0,
        checkpointer,
        checkpointing: Some(checkpointing),
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
            let patience = if self.purging { PURGE } else { LAZY };
            match jobs.recv_timeout(patience) {
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
            self.purge();
        }
        self.idle();
        self.flush_index();
        self.checkpointer.stop();
        if let Some(thread) = self.checkpointing.take() {
            let _ = thread.join();
        }
        if let Err(error) = checkpoint::checkpoint(&self.connection, true) {
            tracing::warn!(%error, "the database's log is left as it is");
        }
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
                self.forgotten.clear();
                self.counting.clear();
                for (at, value) in self.overtaken.drain(..) {
                    self.lazy.entry(at).or_insert(value);
                }
                self.names.clear();
                self.heads.clear();
            }
        }
        result
    }

    fn try_transaction(&mut self, group: &[Job]) -> rusqlite::Result<Vec<Committed>> {
        let lazy = |op: &Op| matches!(op, Op::Lazy { .. });
        if group
            .iter()
            .all(|j| j.commit.marks.is_empty() && j.commit.ops.iter().all(lazy))
        {
            for op in group.iter().flat_map(|j| &j.commit.ops) {
                self.keep_lazy(op);
            }
            return Ok(group.iter().map(|_| Committed::default()).collect());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.count(group);
        let mut all = Vec::with_capacity(group.len());
        for job in group {
            let stream = job.commit.marks.first().map(|m| m.stream.stream());
            let mut committed = Committed::default();
            for op in &job.commit.ops {
                if let Some(stored) = self.apply(op, stream)? {
                    committed.seqs.push(stored);
                }
            }
            all.push(committed);
        }
        for ((owner, collection, key), value) in &self.lazy {
            put(&self.connection, collection, owner, key, value)?;
        }
        for (stream, counting) in self.counting.iter().filter(|(_, c)| !c.in_row) {
            put_stream(
                &self.connection,
                *stream,
                counting.h,
                crate::server::now_ms(),
            )?;
        }
        self.connection.execute_batch("COMMIT")?;
        self.lazy.clear();
        self.stats.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(all)
    }

    /// How far each sender's stream will have come by this transaction.
    fn count(&mut self, group: &[Job]) {
        for mark in group.iter().flat_map(|j| &j.commit.marks) {
            let entry = self.counting.entry(mark.stream.stream());
            let counting = entry.or_insert_with(|| Counting {
                stream: mark.stream.clone(),
                touched: Vec::new(),
                done: Vec::new(),
                h: 0,
                in_row: false,
            });
            let number = (mark.number > 0).then_some(mark.number);
            counting.touched.extend(number);
            counting.done.extend(number.filter(|_| mark.done));
        }
        for counting in self.counting.values_mut() {
            counting.h = counting.stream.h_with(&counting.done);
        }
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

    /// A value that waits is not to be written any more, if this transaction is made.
    fn overtake(&mut self, owner: &str, collection: &'static str, key: &str) {
        let at = (owner.to_owned(), collection, key.to_owned());
        self.overtaken.extend(self.lazy.remove_entry(&at));
    }

    fn apply(&mut self, op: &Op, stream: Option<i64>) -> rusqlite::Result<Option<Stored>> {
        match op {
            Op::Lazy { .. } => self.keep_lazy(op),
            Op::Put {
                collection,
                owner,
                key,
                value,
            } => {
                self.overtake(owner, collection, key);
                put(&self.connection, collection, owner, key, value)?;
            }
            Op::Delete {
                collection,
                owner,
                key,
            } => {
                self.overtake(owner, collection, key);
                self.connection
                    .prepare_cached(
                        "DELETE FROM kv WHERE owner = ?1 AND collection = ?2 AND key = ?3",
                    )?
                    .execute(params![owner, collection, key])?;
            }
            Op::DeleteOwner { owner } => self.erase(owner)?,
            Op::Archive(message) => return self.archive(message, stream).map(Some),
            Op::Forget { owner, seq } => self.forget(owner, *seq)?,
            Op::Floor { owner, seq } => self.floor(owner, *seq)?,
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
    pub(super) fn next(&mut self, owner: i64) -> rusqlite::Result<u64> {
        let head = match self.heads.get(&owner) {
            Some(head) => *head,
            None => lock(&self.tail)
                .head(owner)
                .max(stored_head(&self.connection, owner)?),
        };
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

    fn archive(&mut self, m: &NewMessage, stream: Option<i64>) -> rusqlite::Result<Stored> {
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
        let counting = stream.and_then(|s| self.counting.get_mut(&s));
        let h = counting.map(|c| {
            c.in_row = true;
            c.h as i64
        });
        self.connection
            .prepare_cached(
                "INSERT INTO messages (from_owner, from_seq, to_owner, to_seq, from_peer, to_peer, time_ms, dedup, stanza, kept, stream, h)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
                &m.stanza[..],
                m.kept,
                stream,
                h
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
                        bytes: m.stanza.len() as i64,
                        kept: incoming && m.kept,
                    },
                ));
            }
        }
        let place = |(owner, seq): (Option<i64>, Option<u64>)| {
            let (owner, seq) = owner.zip(seq)?;
            let id = self.ids.id(owner, seq);
            Some(Place { seq, id })
        };
        Ok(Stored {
            from: place((from_owner, from_seq)),
            to: place((to_owner, to_seq)),
            duplicate: false,
        })
    }

    /// After the commit: what was appended becomes visible.
    fn settle(&mut self) {
        self.overtaken.clear();
        if self.heads.len() > HEADS {
            // Between transactions: all of them can be read again.
            self.heads.clear();
        }
        let mut tail = lock(&self.tail);
        for (owner, seq, entry) in self.fresh.drain(..) {
            tail.last = tail.last.max(entry.message);
            tail.add(owner, seq, entry);
        }
        tail.dedup.extend(self.fresh_dedup.drain(..));
        for (owner, seq) in self.forgotten.drain(..) {
            tail.remove(owner, seq);
        }
        let now = crate::server::now_ms();
        let counting = std::mem::take(&mut self.counting);
        for (stream, c) in &counting {
            tail.counted(*stream, c.h, now);
        }
        drop(tail);
        for c in counting.into_values() {
            c.stream.committed(&c.touched, &c.done, c.h);
        }
    }

    /// Nothing comes in: lazy values and the index are written.
    fn idle(&mut self) {
        if !self.lazy.is_empty()
            && let Err(error) = self.write_lazy()
        {
            tracing::error!(%error, "small changes could not be written yet");
        }
        self.purge();
        if lock(&self.tail).entries > TAIL / 8 {
            self.flush_index();
        }
        if self.written > 0 {
            self.checkpointer.ask();
            self.written = 0;
        }
    }

    fn write_lazy(&mut self) -> rusqlite::Result<()> {
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
    pub(super) fn flush_index(&mut self) {
        let (owners, dedup, streams, last) = {
            let tail = lock(&self.tail);
            if tail.entries == 0 && tail.streams.is_empty() {
                return;
            }
            let mut owners: Vec<_> = tail.owners.iter().map(|(o, m)| (*o, m.clone())).collect();
            owners.sort_unstable_by_key(|(o, _)| *o);
            (owners, tail.dedup.clone(), tail.streams.clone(), tail.last)
        };
        let connection = &self.connection;
        let write = || -> rusqlite::Result<()> {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO owner_index (owner, seq, message, incoming, peer, time_ms, bytes, kept)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for (owner, entries) in &owners {
                for (seq, e) in entries {
                    insert.execute(params![
                        owner,
                        *seq as i64,
                        e.message,
                        e.incoming,
                        e.peer,
                        e.time_ms,
                        e.bytes,
                        e.kept
                    ])?;
                }
            }
            let mut insert =
                connection.prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?1, ?2)")?;
            for (hash, time) in &dedup {
                insert.execute(params![&hash[..], time])?;
            }
            for (stream, (h, time_ms)) in &streams {
                put_stream(connection, *stream, *h, *time_ms)?;
            }
            let now = crate::server::now_ms();
            connection.execute("DELETE FROM dedup WHERE time_ms < ?1", [now - DEDUP_MS])?;
            connection.execute("DELETE FROM streams WHERE time_ms < ?1", [now - STREAMS_MS])?;
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
        tail.streams.clear();
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

pub(super) fn put_stream(
    connection: &Connection,
    stream: i64,
    h: u64,
    time_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO streams VALUES (?1, ?2, ?3)
             ON CONFLICT (stream) DO UPDATE SET h = MAX(h, excluded.h), time_ms = excluded.time_ms",
        )?
        .execute(params![stream, h as i64, time_ms])
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
