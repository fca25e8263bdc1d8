//! Reads, on connections and threads of their own: index ∪ tail.

use super::pages::Pages;
use super::tail::{Tail, stored_head};
use super::{Store, StoreError, Sync, lock, name_id, schema};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

/// Threads that read.
const READERS: usize = 2;

/// A place in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// By its number.
    Seq(u64),
    /// By its id on the wire, which must be there.
    Id(String),
}

/// Which messages of an archive.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// Only those behind all of these.
    pub after: Vec<At>,
    /// Only those before all of these.
    pub before: Vec<At>,
    /// Not those from before this time, in ms since 1970.
    pub start_ms: Option<i64>,
    /// Not those from after this time, in ms since 1970.
    pub end_ms: Option<i64>,
    /// Only those with this peer: a bare address, or a full one.
    pub with: Option<String>,
    /// Only these, by their ids on the wire, which must be there.
    pub ids: Option<Vec<String>>,
    /// Not those that the owner sent; but those, too, that are only kept until they are delivered.
    pub undelivered: bool,
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes of stanzas, but one message at least.
    pub limit_bytes: usize,
    /// The newest that fit, instead of the oldest (still given oldest first).
    pub backwards: bool,
    /// Count all that match, without `after` and `before` of numbers.
    pub count: bool,
}

/// A message in an owner's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its number.
    pub seq: u64,
    /// Its id on the wire.
    pub id: String,
    /// UTC, ms since 1970.
    pub time_ms: i64,
    /// The owner received it.
    pub incoming: bool,
    /// It is in no archive and goes with its delivery.
    pub kept: bool,
    /// The stanza as it was delivered.
    pub stanza: Bytes,
}

/// Some messages of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages, oldest first.
    pub rows: Vec<Archived>,
    /// Nothing that matches lies beyond, in the direction of the query.
    pub complete: bool,
    /// How many there are in all, if asked for and known.
    pub count: Option<u64>,
    /// The search was long enough and ended at this number: it may go on from there.
    pub stopped: Option<u64>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// An id that the query names is not in this archive.
    #[error("no such message is in this archive")]
    Unknown,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The ends of an archive: id and time of the first and of the last message.
pub type Span = Option<[(String, i64); 2]>;

type Work = Box<dyn FnOnce(&Connection, &Mutex<Tail>) + Send>;

pub(super) struct Readers(Mutex<mpsc::Sender<Work>>);

impl Readers {
    pub(super) fn start(path: &Path, tail: Arc<Mutex<Tail>>) -> Result<Readers, StoreError> {
        let (sender, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for n in 0..READERS {
            let connection = schema::connect(path, Sync::Full)?;
            let (receiver, tail) = (receiver.clone(), tail.clone());
            let run = move || {
                loop {
                    let work = lock(&receiver).recv();
                    let Ok(work) = work else { return };
                    work(&connection, &tail);
                }
            };
            let spawned = std::thread::Builder::new()
                .name(format!("liao-reader-{n}"))
                .spawn(run);
            spawned.map_err(|error| StoreError::Io {
                path: path.to_owned(),
                error,
            })?;
        }
        Ok(Readers(Mutex::new(sender)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Mutex<Tail>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work: Work = Box::new(move |c, t| drop(sender.send(work(c, t))));
        lock(&self.0).send(work).map_err(|_| StoreError::Closed)?;
        Ok(receiver.await.map_err(|_| StoreError::Closed)??)
    }
}

pub(super) fn value(
    connection: &Connection,
    collection: &str,
    owner: &str,
    key: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM kv WHERE owner = ?1 AND collection = ?2 AND key = ?3";
    connection
        .prepare_cached(sql)?
        .query_row(params![owner, collection, key], |r| r.get(0))
        .optional()
}

impl Store {
    /// All rows of some collections of an owner: (collection, key, value).
    pub async fn load(
        &self,
        owner: &str,
        collections: &'static [&'static str],
    ) -> Result<Vec<(String, String, Vec<u8>)>, StoreError> {
        let owner = owner.to_owned();
        let work = move |c: &Connection, _: &Mutex<Tail>| {
            let mut out = Vec::new();
            let mut select =
                c.prepare_cached("SELECT key, value FROM kv WHERE owner = ?1 AND collection = ?2")?;
            for collection in collections {
                let rows =
                    select.query_map(params![owner, collection], |r| Ok((r.get(0)?, r.get(1)?)))?;
                for row in rows {
                    let (key, value) = row?;
                    out.push(((*collection).to_owned(), key, value));
                }
            }
            Ok(out)
        };
        self.readers().run(work).await
    }

    /// One value.
    pub async fn get(
        &self,
        collection: &'static str,
        owner: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (owner, key) = (owner.to_owned(), key.to_owned());
        let work = move |c: &Connection, _: &Mutex<Tail>| value(c, collection, &owner, &key);
        self.readers().run(work).await
    }

    /// All rows of a collection, of all owners: (owner, key, value).
    pub async fn list(
        &self,
        collection: &'static str,
    ) -> Result<Vec<(String, String, Vec<u8>)>, StoreError> {
        let sql = "SELECT owner, key, value FROM kv WHERE collection = ?1 ORDER BY owner, key";
        let work = move |c: &Connection, _: &Mutex<Tail>| {
            c.prepare_cached(sql)?
                .query_map([collection], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
                .collect()
        };
        self.readers().run(work).await
    }

    /// The first rows of an owner's collection whose keys are below `below`: (key, value), in the keys' order.
    pub async fn first(
        &self,
        collection: &'static str,
        owner: &str,
        below: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let sql = "SELECT key, value FROM kv WHERE owner = ?1 AND collection = ?2 AND key < ?3
                   ORDER BY key LIMIT ?4";
        let (owner, below) = (owner.to_owned(), below.to_owned());
        let work = move |c: &Connection, _: &Mutex<Tail>| {
            c.prepare_cached(sql)?
                .query_map(params![owner, collection, below, limit as i64], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?
                .collect()
        };
        self.readers().run(work).await
    }

    /// The highest number in an owner's archive; 0 if it is empty.
    pub async fn last_seq(&self, owner: &str) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        let work = move |c: &Connection, tail: &Mutex<Tail>| {
            let Some(id) = name_id(c, &owner)? else {
                return Ok(0);
            };
            let newest = lock(tail).head(id);
            Ok(newest.max(stored_head(c, id)?))
        };
        self.readers().run(work).await
    }

    /// A page of an owner's archive.
    pub async fn page(&self, owner: &str, query: PageQuery) -> Result<Page, PageError> {
        let (owner, ids) = (owner.to_owned(), self.0.ids.clone());
        let page = self
            .readers()
            .run(move |c, tail| Pages::new(c, tail, &ids, &owner)?.page(query))
            .await?;
        page.ok_or(PageError::Unknown)
    }

    /// The ends of an owner's archive; `None` if it is empty.
    pub async fn span(&self, owner: &str) -> Result<Span, StoreError> {
        let (owner, ids) = (owner.to_owned(), self.0.ids.clone());
        self.readers()
            .run(move |c, tail| Pages::new(c, tail, &ids, &owner)?.span())
            .await
    }

    /// How far a stream had come by the last commit of one of its stanzas.
    pub async fn stream_h(&self, stream: i64) -> Result<Option<u64>, StoreError> {
        let work = move |c: &Connection, tail: &Mutex<Tail>| {
            let newest = lock(tail).streams.get(&stream).map(|s| s.0);
            let stored: Option<i64> = c
                .prepare_cached("SELECT h FROM streams WHERE stream = ?1")?
                .query_row([stream], |r| r.get(0))
                .optional()?;
            Ok(newest.max(stored.map(|h| h as u64)))
        };
        self.readers().run(work).await
    }

    /// The last number of an archive that is to go: older than `before_ms`, or not among the newest `bytes`.
    pub async fn outdated(
        &self,
        owner: &str,
        before_ms: Option<i64>,
        bytes: Option<u64>,
    ) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        let work = move |c: &Connection, _: &Mutex<Tail>| {
            let Some(owner) = name_id(c, &owner)? else {
                return Ok(0);
            };
            // What is still in the tail is too new to be worth a look.
            // Only what is old from the beginning on: a clock that was wrong for a while takes nothing along.
            let mut last: i64 = match before_ms {
                None => 0,
                Some(ms) => c
                    .prepare_cached(
                        "SELECT COALESCE(
                             (SELECT MIN(seq) - 1 FROM owner_index WHERE owner = ?1 AND time_ms >= ?2),
                             (SELECT MAX(seq) FROM owner_index WHERE owner = ?1), 0)",
                    )?
                    .query_row([owner, ms], |r| r.get(0))?,
            };
            if let Some(most) = bytes {
                let mut sum = 0u64;
                let mut rows = c.prepare_cached(
                    "SELECT seq, bytes FROM owner_index WHERE owner = ?1 ORDER BY seq DESC",
                )?;
                let mut rows = rows.query([owner])?;
                while let Some(row) = rows.next()? {
                    sum += row.get::<_, i64>(1)?.max(0) as u64;
                    if sum > most {
                        last = last.max(row.get(0)?);
                        break;
                    }
                }
            }
            Ok(last as u64)
        };
        self.readers().run(work).await
    }
}
