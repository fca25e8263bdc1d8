//! The store: three shapes — key and value, archive, blob — behind one handle (DESIGN section 3, "Store").
//!
//! SQL lives only in this folder. Blobs (uploaded files) are files; what is known of them is in `kv`.
//! [`Store::commit`] never blocks: one writer thread puts all that waits into one transaction.

mod blob;
mod checkpoint;
mod ids;
mod pages;
mod purge;
mod read;
mod schema;
mod tail;
mod write;

pub use blob::{Blobs, Whole, Writing, names};
pub use read::{Archived, At, Page, PageError, PageQuery, Span};
pub use schema::SCHEMA_VERSION;

use bytes::Bytes;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

/// How hard a commit presses its bytes onto the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Every commit is on the disk before anyone is told (`synchronous=FULL`).
    #[default]
    Full,
    /// For the test that must turn red.
    Off,
}

/// What cannot be opened or read, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{0} is in use by another liao; stop that one, or give this one its own --data")]
    InUse(PathBuf),
    /// Made by a later version.
    #[error(
        "{path} has schema version {found}, this program knows up to {SCHEMA_VERSION}; run the newer liao that made it, or restore a backup"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The folder or the lock.
    #[error(
        "{path}: {error}; whoever runs this must be able to write there, or --data FOLDER names another place"
    )]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: std::io::Error,
    },
    /// The engine.
    #[error("the database: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a commit was not made. Nothing of it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No space.
    #[error("the disk is full")]
    Full,
    /// The file or its folder cannot be written.
    #[error("the disk cannot be written")]
    ReadOnly,
    /// More waits for the writer than [`QUEUE_BYTES`].
    #[error("too much waits for the disk")]
    Overloaded,
    /// Anything else.
    #[error("the database failed")]
    Other,
}

/// A message for the archive of one or both of its owners.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The sender, if it has an archive here.
    pub from_owner: Option<String>,
    /// The recipient, if it has an archive here.
    pub to_owner: Option<String>,
    /// The peer as the sender sees it.
    pub from_peer: String,
    /// The peer as the recipient sees it.
    pub to_peer: String,
    /// UTC, ms since 1970.
    pub time_ms: i64,
    /// The key by which the same message, sent again, is known for [`DEDUP_MS`].
    pub dedup: Option<[u8; 16]>,
    /// The stanza as it is delivered.
    pub stanza: Bytes,
    /// The recipient's side is no archive: it is there until it is delivered (XEP-0334 section 4.1, XEP-0441).
    pub kept: bool,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Op {
    /// Sets a value.
    Put {
        /// What kind of thing.
        collection: &'static str,
        /// Whose.
        owner: String,
        /// Which.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Like `Put`, but it may wait for the next transaction, up to a second.
    Lazy {
        /// What kind of thing.
        collection: &'static str,
        /// Whose.
        owner: String,
        /// Which.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Deletes a value.
    Delete {
        /// What kind of thing.
        collection: &'static str,
        /// Whose.
        owner: String,
        /// Which.
        key: String,
    },
    /// Erases all values of an owner and its side of the archive.
    DeleteOwner {
        /// Whose.
        owner: String,
    },
    /// Appends a message.
    Archive(NewMessage),
    /// Removes a message that was only kept and is delivered now; what is archived stays.
    Forget {
        /// Whose.
        owner: String,
        /// Its number.
        seq: u64,
    },
    /// Removes the beginning of an owner's archive, up to this number.
    Floor {
        /// Whose.
        owner: String,
        /// The last number that goes.
        seq: u64,
    },
}

impl Op {
    fn size(&self) -> usize {
        match self {
            Op::Put { value, key, .. } | Op::Lazy { value, key, .. } => {
                value.len() + key.len() + 96
            }
            Op::Archive(m) => m.stanza.len() + 160,
            Op::Delete { .. } | Op::DeleteOwner { .. } | Op::Forget { .. } | Op::Floor { .. } => 96,
        }
    }
}

/// A message's place in an owner's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// Its id on the wire.
    pub id: String,
}

/// Where an archived message went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// In the sender's archive.
    pub from: Option<Place>,
    /// In the recipient's archive, or where it is kept for the recipient.
    pub to: Option<Place>,
    /// It was there already; nothing was appended.
    pub duplicate: bool,
}

/// A commit that is on the disk.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// One entry for each [`Op::Archive`], in order.
    pub seqs: Vec<Stored>,
}

/// What is told of a commit's end, on the writer's thread: must not block.
pub type Then = Box<dyn FnOnce(Result<Committed, CommitError>) + Send>;

/// A stream whose count of handled stanzas, `h`, is committed with what its stanzas changed (XEP-0198).
pub trait Counted: Send + std::marker::Sync {
    /// Its number.
    fn stream(&self) -> i64;
    /// `h` as it will be once these stanzas, too, are done.
    fn h_with(&self, done: &[u64]) -> u64;
    /// Something of these stanzas is on the disk, with these all of them, and so is `h`. Called on the writer's thread:
    /// must not block.
    fn committed(&self, touched: &[u64], done: &[u64], h: u64);
}

/// The stanza of a stream that a commit is for.
#[derive(Clone)]
pub struct Mark {
    /// The stream.
    pub stream: Arc<dyn Counted>,
    /// The stanza's number; 0: none, only `h` is to be stored.
    pub number: u64,
    /// With this commit the stanza is done; else something else of it is still under way.
    pub done: bool,
}

/// A set of changes that are made together or not at all.
pub struct Commit {
    /// The changes.
    pub ops: Vec<Op>,
    /// Whose stanzas ask for them.
    pub marks: Vec<Mark>,
    /// Told when they are on the disk, or why they are not.
    pub then: Then,
}

/// How long the same message, sent again, is known: 7 days.
pub const DEDUP_MS: i64 = 7 * 24 * 3600 * 1000;
/// How long a stream's last `h` is known after it was written: longer than anyone waits with resuming.
pub const STREAMS_MS: i64 = 7 * 24 * 3600 * 1000;
/// Bytes that may wait for the writer.
pub const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Figures of a store since it was opened.
#[derive(Debug, Default)]
pub struct Stats {
    /// Transactions made.
    pub transactions: AtomicU64,
    /// Commits in them.
    pub commits: AtomicU64,
    /// Bytes that wait for the writer.
    pub queued_bytes: AtomicUsize,
}

struct Inner {
    writer: Mutex<Option<mpsc::Sender<write::Job>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: read::Readers,
    stats: Arc<Stats>,
    secret: [u8; 32],
    ids: Arc<ids::Ids>,
    blobs: Blobs,
    _lock: std::fs::File,
}

/// The database's name in the data folder.
const FILE: &str = "liao.sqlite3";

/// Whether a folder holds a store.
pub fn is_there(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// One value of the store in a folder, without opening it for writing: a server may be running on it.
pub fn peek(
    folder: &Path,
    collection: &str,
    owner: &str,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let connection = schema::connect_to_read(&folder.join(FILE))?;
    read::value(&connection, collection, owner, key).map_err(StoreError::Sql)
}

/// A handle on an open store; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Opens or makes `liao.sqlite3` in a folder; an older schema is migrated after a backup.
    pub fn open(folder: &Path, sync: Sync) -> Result<Store, StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        crate::os::private_folder(folder).map_err(io(folder))?;
        let lock_path = folder.join("lock");
        let lock = crate::os::private_file(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(folder.to_owned()));
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(StoreError::Io {
                    path: lock_path,
                    error,
                });
            }
        }
        let path = folder.join(FILE);
        drop(crate::os::private_file(&path).map_err(io(&path))?);
        let mut connection = schema::connect(&path, sync)?;
        schema::migrate(&mut connection, &path)?;
        let secret = schema::secret(&connection)?;
        let stats = Arc::new(Stats::default());
        let tail = Arc::new(Mutex::new(tail::Tail::rebuild(&connection)?));
        let ids = Arc::new(ids::Ids::new(&secret));
        let readers = read::Readers::start(&path, tail.clone())?;
        let (sender, thread) = write::start(connection, &path, tail, stats.clone(), ids.clone())?;
        Ok(Store(Arc::new(Inner {
            writer: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            readers,
            stats,
            secret,
            ids,
            blobs: Blobs::new(folder),
            _lock: lock,
        })))
    }

    /// Hands changes to the writer. `Err` gives them back unmade when too much waits already.
    pub fn commit(&self, commit: Commit) -> Result<(), Commit> {
        let size: usize = commit.ops.iter().map(Op::size).sum();
        if self.0.stats.queued_bytes.load(Ordering::Relaxed) + size > QUEUE_BYTES {
            return Err(commit);
        }
        let writer = self
            .0
            .writer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(sender) = writer.as_ref() else {
            return Err(commit);
        };
        self.0.stats.queued_bytes.fetch_add(size, Ordering::Relaxed);
        sender
            .send(write::Job { commit, size })
            .map_err(|e| e.0.commit)
    }

    /// Hands changes to the writer and waits for the disk.
    pub async fn committed(&self, ops: Vec<Op>) -> Result<Committed, CommitError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let then = Box::new(move |result| drop(sender.send(result)));
        let marks = Vec::new();
        self.commit(Commit { ops, marks, then })
            .map_err(|_| CommitError::Overloaded)?;
        receiver.await.unwrap_or(Err(CommitError::Other))
    }

    /// 32 random bytes that live as long as the store.
    pub fn secret(&self) -> [u8; 32] {
        self.0.secret
    }

    /// The files.
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Figures.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    fn readers(&self) -> &read::Readers {
        &self.0.readers
    }

    /// Writes what waits and ends the writer; later commits are refused.
    pub fn close(&self) {
        let take = |m: &Mutex<Option<mpsc::Sender<write::Job>>>| {
            m.lock().map(|mut w| w.take()).unwrap_or(None)
        };
        drop(take(&self.0.writer));
        let thread = self.0.thread.lock().map(|mut t| t.take()).unwrap_or(None);
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended badly");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn name_id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    use rusqlite::OptionalExtension;
    connection
        .prepare_cached("SELECT id FROM names WHERE name = ?1")?
        .query_row([name], |r| r.get(0))
        .optional()
}

#[cfg(test)]
mod tests;
