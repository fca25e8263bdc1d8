//! The model: maps in memory, and no cleverness.

use liao_server::store::{
    Archived, At, Committed, NewMessage, Op, Page, PageQuery, Place, Span, Store, Stored,
};
use std::collections::{BTreeMap, HashMap, HashSet};

type Key = (String, String, String);

#[derive(Default)]
struct Archive {
    rows: BTreeMap<u64, (Archived, String)>,
    head: u64,
    floor: u64,
    /// Every id that was ever given.
    ids: BTreeMap<u64, String>,
}

#[derive(Default)]
pub struct Model {
    values: BTreeMap<Key, Vec<u8>>,
    /// Values that a crash may take back to this, or to nothing.
    lazy: BTreeMap<Key, Vec<Option<Vec<u8>>>>,
    archives: HashMap<String, Archive>,
    dedup: HashSet<[u8; 16]>,
    all_ids: HashSet<String>,
}

impl Model {
    fn archive(&mut self, owner: &str) -> &mut Archive {
        self.archives.entry(owner.to_owned()).or_default()
    }

    pub fn head(&self, owner: &str) -> u64 {
        self.archives.get(owner).map_or(0, |a| a.head)
    }

    pub fn id(&self, owner: &str, seq: u64) -> Option<String> {
        self.archives.get(owner)?.ids.get(&seq).cloned()
    }

    /// Makes the same changes, and looks at what the store answered.
    pub fn commit(&mut self, ops: &[Op], answer: &Committed) {
        let mut stored = answer.seqs.iter();
        for op in ops {
            match op.clone() {
                Op::Put {
                    collection,
                    owner,
                    key,
                    value,
                } => {
                    let at = (collection.to_owned(), owner, key);
                    self.lazy.remove(&at);
                    self.values.insert(at, value);
                }
                Op::Lazy {
                    collection,
                    owner,
                    key,
                    value,
                } => {
                    let at = (collection.to_owned(), owner, key);
                    let before = self.values.get(&at).cloned();
                    self.lazy.entry(at.clone()).or_default().push(before);
                    self.values.insert(at, value);
                }
                Op::Delete {
                    collection,
                    owner,
                    key,
                } => {
                    let at = (collection.to_owned(), owner, key);
                    self.lazy.remove(&at);
                    self.values.remove(&at);
                }
                Op::DeleteOwner { owner } => {
                    self.values.retain(|(_, o, _), _| *o != owner);
                    self.lazy.retain(|(_, o, _), _| *o != owner);
                    self.floor(&owner, u64::MAX);
                }
                Op::Archive(message) => self.append(message, stored.next().unwrap()),
                Op::Forget { owner, seq } => {
                    let rows = &mut self.archive(&owner).rows;
                    if rows.get(&seq).is_some_and(|(row, _)| row.kept) {
                        rows.remove(&seq);
                    }
                }
                Op::Floor { owner, seq } => self.floor(&owner, seq),
            }
        }
        assert!(stored.next().is_none(), "one answer for each message");
    }

    fn floor(&mut self, owner: &str, seq: u64) {
        let archive = self.archive(owner);
        archive.floor = archive.floor.max(seq.min(archive.head));
        let floor = archive.floor;
        archive.rows.retain(|n, _| *n > floor);
    }

    fn append(&mut self, m: NewMessage, stored: &Stored) {
        let known = m.dedup.is_some_and(|key| !self.dedup.insert(key));
        assert_eq!(stored.duplicate, known, "{m:?}");
        if known {
            return assert_eq!((&stored.from, &stored.to), (&None, &None));
        }
        let sides = [
            (&m.from_owner, &m.from_peer, &stored.from, false),
            (&m.to_owner, &m.to_peer, &stored.to, true),
        ];
        for (owner, peer, place, incoming) in sides {
            let Some(owner) = owner else {
                assert_eq!(place, &None);
                continue;
            };
            let Some(Place { seq, id }) = place else {
                panic!("{owner} has no place for {m:?}");
            };
            assert!(self.all_ids.insert(id.clone()), "an id is given once");
            let archive = self.archive(owner);
            archive.head += 1;
            assert_eq!(*seq, archive.head, "numbers are dense: {owner}");
            archive.ids.insert(*seq, id.clone());
            let row = Archived {
                seq: *seq,
                id: id.clone(),
                time_ms: m.time_ms,
                incoming,
                kept: incoming && m.kept,
                stanza: m.stanza.clone(),
            };
            archive.rows.insert(*seq, (row, peer.clone()));
        }
    }

    /// After a good end nothing waits any more.
    pub fn written(&mut self) {
        self.lazy.clear();
    }

    /// After a crash what was lazy is as it was, or as it was to be.
    pub async fn crashed(&mut self, store: &Store) {
        for ((collection, owner, key), mut may_be) in std::mem::take(&mut self.lazy) {
            let collection: &'static str = if collection == "one" { "one" } else { "two" };
            let found = store.get(collection, &owner, &key).await.unwrap();
            let at = (collection.to_owned(), owner, key);
            may_be.push(self.values.get(&at).cloned());
            assert!(
                may_be.contains(&found),
                "{at:?} is {found:?}, not one of {may_be:?}"
            );
            match found {
                Some(value) => self.values.insert(at, value),
                None => self.values.remove(&at),
            };
        }
    }

    pub fn check_values(&self, collection: &str, got: &[(String, String, Vec<u8>)]) {
        let certain = |at: &Key| at.0 == collection && !self.lazy.contains_key(at);
        let wanted: Vec<_> = self.values.iter().filter(|(at, _)| certain(at)).collect();
        let got: BTreeMap<Key, Vec<u8>> = got
            .iter()
            .map(|(owner, key, value)| {
                (
                    (collection.to_owned(), owner.clone(), key.clone()),
                    value.clone(),
                )
            })
            .filter(|(at, _)| certain(at))
            .collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), wanted);
    }

    pub fn span(&self, owner: &str) -> Span {
        let rows = self.archives.get(owner).map(|a| &a.rows)?;
        let mut rows = rows.values().map(|(row, _)| row).filter(|row| !row.kept);
        let first = rows.next()?;
        let last = rows.next_back().unwrap_or(first);
        Some([first, last].map(|row| (row.id.clone(), row.time_ms)))
    }

    /// `None`: an id is unknown.
    pub fn page(&self, owner: &str, q: &PageQuery) -> Option<Page> {
        let empty = Archive::default();
        let archive = self.archives.get(owner).unwrap_or(&empty);
        let number = |id: &String| {
            let mut rows = archive.rows.values().map(|(row, _)| row);
            rows.find(|row| row.id == *id && !row.kept)
                .map(|row| row.seq)
        };
        let place = |at: &At| match at {
            At::Seq(seq) => Some(*seq),
            At::Id(id) => number(id),
        };
        let after: Option<Vec<u64>> = q.after.iter().map(place).collect();
        let before: Option<Vec<u64>> = q.before.iter().map(place).collect();
        let ids: Option<Option<Vec<u64>>> =
            q.ids.as_ref().map(|ids| ids.iter().map(number).collect());
        let (after, before, ids) = (
            after?,
            before?,
            match ids {
                Some(ids) => Some(ids?),
                None => None,
            },
        );
        let matches = |row: &Archived, peer: &String| {
            let side = if q.undelivered {
                row.incoming
            } else {
                !row.kept
            };
            let time = q.start_ms.is_none_or(|t| row.time_ms >= t)
                && q.end_ms.is_none_or(|t| row.time_ms <= t);
            let bare = q
                .with
                .as_ref()
                .map(|w| w.split('/').next().unwrap_or_default());
            side && time && bare.is_none_or(|bare| bare == peer)
        };
        let rows = || {
            archive
                .rows
                .values()
                .filter(|(row, peer)| matches(row, peer))
                .map(|(row, _)| row)
        };
        // By a full address the stanza itself decides.
        let full = |row: &&Archived| {
            let with = q.with.as_ref().filter(|w| w.contains('/'));
            let text = std::str::from_utf8(&row.stanza).unwrap();
            let side = if row.incoming { "from" } else { "to" };
            with.is_none_or(|w| text.contains(&format!("{side}='{w}'")))
        };
        let inside = |row: &&Archived| {
            let listed = ids.as_ref().is_none_or(|ids| ids.contains(&row.seq));
            listed && after.iter().all(|s| row.seq > *s) && before.iter().all(|s| row.seq < *s)
        };
        let mut found: Vec<Archived> = rows().filter(inside).filter(full).cloned().collect();
        if q.backwards {
            found.reverse();
        }
        let is_full = q.with.as_ref().is_some_and(|w| w.contains('/'));
        let told = q.count && (!is_full || q.ids.is_some());
        let mut page = Page {
            complete: true,
            count: told.then_some(found.len() as u64),
            ..Page::default()
        };
        let mut bytes = 0;
        for row in found {
            bytes += row.stanza.len();
            if page.rows.len() >= q.limit || (bytes > q.limit_bytes && !page.rows.is_empty()) {
                page.complete = false;
                break;
            }
            page.rows.push(row);
        }
        if q.backwards {
            page.rows.reverse();
        }
        Some(page)
    }
}
