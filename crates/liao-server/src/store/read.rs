//! Reads, on connections and threads of their own: index ∪ tail.

use super::write::{Entry, Tail, stored_head};
use super::{Store, StoreError, Sync, lock, name_id, schema};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

/// Threads that read.
const READERS: usize = 2;

/// Which messages of an archive, oldest first.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// Only those with a higher number.
    pub after: Option<u64>,
    /// Only those with a lower number.
    pub before: Option<u64>,
    /// Only those with this peer.
    pub with: Option<String>,
    /// Not those that the owner sent.
    pub incoming_only: bool,
    /// At most so many.
    pub limit: usize,
    /// The newest that fit, instead of the oldest (still given oldest first).
    pub backwards: bool,
}

/// A message in an owner's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its number.
    pub seq: u64,
    /// UTC, ms since 1970.
    pub time_ms: i64,
    /// The owner received it.
    pub incoming: bool,
    /// The stanza as it was delivered.
    pub stanza: Bytes,
}

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
    pub async fn page(&self, owner: &str, query: PageQuery) -> Result<Vec<Archived>, StoreError> {
        let owner = owner.to_owned();
        self.readers()
            .run(move |c, tail| page(c, tail, &owner, &query))
            .await
    }
}

fn page(
    c: &Connection,
    tail: &Mutex<Tail>,
    owner: &str,
    q: &PageQuery,
) -> rusqlite::Result<Vec<Archived>> {
    let Some(owner) = name_id(c, owner)? else {
        return Ok(Vec::new());
    };
    let with = match &q.with {
        None => None,
        Some(name) => match name_id(c, name)? {
            Some(id) => Some(id),
            None => return Ok(Vec::new()),
        },
    };
    let (after, before) = (
        q.after.unwrap_or(0),
        q.before.unwrap_or(u64::MAX).min(i64::MAX as u64),
    );
    if after.saturating_add(1) >= before {
        return Ok(Vec::new());
    }
    let fits = |e: &Entry| (e.incoming || !q.incoming_only) && with.is_none_or(|w| e.peer == w);
    // The tail first: what moves to the table meanwhile is then met twice, never missed.
    let mut found: BTreeMap<u64, Entry> = {
        let tail = lock(tail);
        let newest = tail
            .owners
            .get(&owner)
            .into_iter()
            .flat_map(|m| m.range(after + 1..before));
        newest
            .filter(|(_, e)| fits(e))
            .map(|(s, e)| (*s, *e))
            .collect()
    };
    let order = if q.backwards { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT seq, message, incoming, peer, time_ms FROM owner_index
         WHERE owner = ?1 AND seq > ?2 AND seq < ?3 AND (?4 IS NULL OR peer = ?4) AND (incoming OR NOT ?5)
         ORDER BY seq {order} LIMIT ?6"
    );
    let mut select = c.prepare_cached(&sql)?;
    let rows = select.query_map(
        params![
            owner,
            after as i64,
            before as i64,
            with,
            q.incoming_only,
            q.limit as i64
        ],
        |r| {
            Ok((
                r.get::<_, i64>(0)? as u64,
                Entry {
                    message: r.get(1)?,
                    incoming: r.get(2)?,
                    peer: r.get(3)?,
                    time_ms: r.get(4)?,
                },
            ))
        },
    )?;
    for row in rows {
        let (seq, entry) = row?;
        found.insert(seq, entry);
    }
    let chosen: Vec<_> = if q.backwards {
        let skip = found.len().saturating_sub(q.limit);
        found.into_iter().skip(skip).collect()
    } else {
        found.into_iter().take(q.limit).collect()
    };
    let mut body = c.prepare_cached("SELECT stanza FROM messages WHERE id = ?1")?;
    let mut out = Vec::with_capacity(chosen.len());
    for (seq, e) in chosen {
        let stanza: Option<Vec<u8>> = body.query_row([e.message], |r| r.get(0)).optional()?;
        if let Some(stanza) = stanza {
            out.push(Archived {
                seq,
                time_ms: e.time_ms,
                incoming: e.incoming,
                stanza: stanza.into(),
            });
        }
    }
    Ok(out)
}
