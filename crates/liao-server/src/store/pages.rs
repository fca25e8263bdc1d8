//! One page of an archive: index ∪ tail, filtered as XEP-0313 section 4.1 wants.

use super::ids::Ids;
use super::read::{Archived, At, Page, PageQuery, Span};
use super::tail::{Entry, Tail};
use super::{lock, name_id};
use crate::limits::ARCHIVE_SCAN;
use liao_proto::stanza::Stanza;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

/// Entries read at once when each stanza must be looked at.
const STEP: usize = 128;

/// One owner's archive, for one query.
pub(super) struct Pages<'a> {
    connection: &'a Connection,
    tail: &'a Mutex<Tail>,
    ids: &'a Ids,
    owner: Option<i64>,
    /// What lies at or below it is gone.
    floor: u64,
}

/// The conditions of a query on an entry.
struct Filter {
    range: Range<u64>,
    start_ms: i64,
    end_ms: i64,
    peer: Option<i64>,
    undelivered: bool,
}

impl Filter {
    fn fits(&self, e: &Entry) -> bool {
        let side = if self.undelivered {
            e.incoming
        } else {
            !e.kept
        };
        let time = (self.start_ms..=self.end_ms).contains(&e.time_ms);
        side && time && self.peer.is_none_or(|p| p == e.peer)
    }

    /// The same for the table: a condition and its values behind the owner.
    fn sql(&self, owner: i64) -> (String, Vec<Value>) {
        let mut sql = "owner = ? AND seq >= ? AND seq < ?".to_owned();
        let mut values = vec![owner, self.range.start as i64, self.range.end as i64];
        if let Some(peer) = self.peer {
            sql.push_str(" AND peer = ?");
            values.push(peer);
        }
        if self.start_ms > i64::MIN {
            sql.push_str(" AND time_ms >= ?");
            values.push(self.start_ms);
        }
        if self.end_ms < i64::MAX {
            sql.push_str(" AND time_ms <= ?");
            values.push(self.end_ms);
        }
        sql.push_str(if self.undelivered {
            " AND incoming"
        } else {
            " AND NOT kept"
        });
        (sql, values.into_iter().map(Value::Integer).collect())
    }
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        tail: &'a Mutex<Tail>,
        ids: &'a Ids,
        owner: &str,
    ) -> rusqlite::Result<Pages<'a>> {
        let owner = name_id(connection, owner)?;
        let floor: Option<i64> = connection
            .prepare_cached("SELECT seq FROM owner_head WHERE owner = ?1")?
            .query_row([owner], |r| r.get(0))
            .optional()?;
        Ok(Pages {
            connection,
            tail,
            ids,
            owner,
            floor: floor.unwrap_or(0) as u64,
        })
    }

    /// `None`: an id is not in this archive.
    pub(super) fn page(&self, q: PageQuery) -> rusqlite::Result<Option<Page>> {
        let is_full = q.with.as_ref().is_some_and(|w| w.contains('/'));
        let nothing = Page {
            complete: true,
            count: (q.count && (!is_full || q.ids.is_some())).then_some(0),
            ..Page::default()
        };
        let named = |at: &At| matches!(at, At::Id(_));
        let Some(owner) = self.owner else {
            let some = q.ids.as_ref().is_some_and(|ids| !ids.is_empty());
            let ids = some || q.after.iter().chain(&q.before).any(named);
            return Ok((!ids).then_some(nothing));
        };
        let mut filter = Filter {
            range: self.floor + 1..i64::MAX as u64,
            start_ms: q.start_ms.unwrap_or(i64::MIN),
            end_ms: q.end_ms.unwrap_or(i64::MAX),
            peer: None,
            undelivered: q.undelivered,
        };
        let bare = q.with.as_deref().map(|w| w.split('/').next().unwrap_or(w));
        let full = q.with.as_deref().filter(|w| w.contains('/'));
        if let Some(bare) = bare {
            // Nobody's messages have the peer 0; an id that is not there is an error all the same.
            filter.peer = Some(name_id(self.connection, bare)?.unwrap_or(0));
        }
        for (list, is_after) in [(&q.after, true), (&q.before, false)] {
            for at in list {
                let seq = match at {
                    At::Seq(seq) => *seq,
                    At::Id(id) => match self.known(owner, id)? {
                        Some(seq) => seq,
                        None => return Ok(None),
                    },
                };
                if is_after {
                    filter.range.start = filter.range.start.max(seq.saturating_add(1));
                } else {
                    filter.range.end = filter.range.end.min(seq);
                }
            }
        }
        // Without a search through the messages themselves it is known exactly, or not told (XEP-0059 section 2.6).
        let count = match (&q.ids, full) {
            (None, None) if q.count && filter.range.is_empty() => Some(0),
            (None, None) if q.count => Some(self.count(owner, &filter)?),
            (Some(ids), _) if q.count => {
                let all = PageQuery {
                    limit: ids.len(),
                    limit_bytes: usize::MAX,
                    ..q.clone()
                };
                let found = self.named(owner, ids, &filter, full, &all)?;
                found.map(|page| page.rows.len() as u64)
            }
            _ => None,
        };
        let page = match &q.ids {
            Some(ids) => self.named(owner, ids, &filter, full, &q)?,
            None => Some(self.collect(owner, filter, full, &q)?),
        };
        Ok(page.map(|page| Page { count, ..page }))
    }

    /// Reads entries and their stanzas until the page is full.
    fn collect(
        &self,
        owner: i64,
        mut filter: Filter,
        full: Option<&str>,
        q: &PageQuery,
    ) -> rusqlite::Result<Page> {
        let mut page = Page::default();
        let (mut bytes, mut looked_at) = (0, 0);
        loop {
            if looked_at >= ARCHIVE_SCAN {
                page.stopped = Some(match q.backwards {
                    true => filter.range.end,
                    false => filter.range.start - 1,
                });
                return Ok(finish(page, q.backwards));
            }
            let step = if full.is_some() { STEP } else { q.limit + 1 };
            let entries = self.entries(owner, &filter, step, q.backwards)?;
            let last = entries.len() < step;
            looked_at += entries.len();
            for (seq, entry) in entries {
                if q.backwards {
                    filter.range.end = seq;
                } else {
                    filter.range.start = seq + 1;
                }
                if page.rows.len() >= q.limit {
                    return Ok(finish(page, q.backwards));
                }
                let Some(row) = self.row(owner, seq, &entry)? else {
                    continue;
                };
                if full.is_some_and(|full| !is_with(&row, full)) {
                    continue;
                }
                bytes += row.stanza.len();
                if bytes > q.limit_bytes && !page.rows.is_empty() {
                    return Ok(finish(page, q.backwards));
                }
                page.rows.push(row);
            }
            if last {
                page.complete = true;
                return Ok(finish(page, q.backwards));
            }
        }
    }

    /// Up to `limit` entries from the wanted end, in the query's direction.
    fn entries(
        &self,
        owner: i64,
        filter: &Filter,
        limit: usize,
        backwards: bool,
    ) -> rusqlite::Result<Vec<(u64, Entry)>> {
        if filter.range.start >= filter.range.end {
            return Ok(Vec::new());
        }
        // The tail first: what moves to the table meanwhile is then met twice, never missed.
        let mut found: BTreeMap<u64, Entry> = {
            let tail = lock(self.tail);
            let newest = tail.owners.get(&owner).into_iter();
            newest
                .flat_map(|m| m.range(filter.range.clone()))
                .filter(|(_, e)| filter.fits(e))
                .map(|(s, e)| (*s, *e))
                .collect()
        };
        let (condition, mut values) = filter.sql(owner);
        let order = if backwards { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT seq, message, incoming, peer, time_ms, bytes, kept FROM owner_index
             WHERE {condition} ORDER BY seq {order} LIMIT ?"
        );
        values.push(Value::Integer(limit as i64));
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params_from_iter(values), entry)?;
        for row in rows {
            let (seq, entry) = row?;
            found.insert(seq, entry);
        }
        Ok(if backwards {
            found.into_iter().rev().take(limit).collect()
        } else {
            found.into_iter().take(limit).collect()
        })
    }

    fn row(&self, owner: i64, seq: u64, e: &Entry) -> rusqlite::Result<Option<Archived>> {
        let stanza: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT stanza FROM messages WHERE id = ?1")?
            .query_row([e.message], |r| r.get(0))
            .optional()?;
        Ok(stanza.map(|stanza| Archived {
            seq,
            id: self.ids.id(owner, seq),
            time_ms: e.time_ms,
            incoming: e.incoming,
            kept: e.kept,
            stanza: stanza.into(),
        }))
    }

    /// The number that an id names, if the message is there.
    fn known(&self, owner: i64, id: &str) -> rusqlite::Result<Option<u64>> {
        let seq = self.ids.seq(owner, id).filter(|s| *s > self.floor);
        Ok(match seq {
            Some(seq) => self.entry(owner, seq)?.filter(|e| !e.kept).map(|_| seq),
            None => None,
        })
    }

    fn entry(&self, owner: i64, seq: u64) -> rusqlite::Result<Option<Entry>> {
        let newest = lock(self.tail)
            .owners
            .get(&owner)
            .and_then(|m| m.get(&seq).copied());
        if newest.is_some() {
            return Ok(newest);
        }
        let sql = "SELECT seq, message, incoming, peer, time_ms, bytes, kept FROM owner_index
                   WHERE owner = ?1 AND seq = ?2";
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![owner, seq as i64], entry)
            .optional()?;
        Ok(found.map(|(_, e)| e))
    }

    /// The messages of these ids; `None` if one of them is not there (XEP-0313 section 4.1.3).
    fn named(
        &self,
        owner: i64,
        ids: &[String],
        filter: &Filter,
        full: Option<&str>,
        q: &PageQuery,
    ) -> rusqlite::Result<Option<Page>> {
        let mut found = BTreeMap::new();
        for id in ids {
            let Some(seq) = self.known(owner, id)? else {
                return Ok(None);
            };
            let entry = self.entry(owner, seq)?;
            let fits = |e: &Entry| filter.range.contains(&seq) && filter.fits(e);
            if let Some(entry) = entry.filter(fits) {
                found.insert(seq, entry);
            }
        }
        let mut entries: Vec<_> = found.into_iter().collect();
        if q.backwards {
            entries.reverse();
        }
        let mut page = Page {
            complete: true,
            ..Page::default()
        };
        let mut bytes = 0;
        for (seq, entry) in entries {
            let row = self.row(owner, seq, &entry)?;
            let Some(row) = row.filter(|r| full.is_none_or(|full| is_with(r, full))) else {
                continue;
            };
            bytes += row.stanza.len();
            if page.rows.len() >= q.limit || (bytes > q.limit_bytes && !page.rows.is_empty()) {
                page.complete = false;
                break;
            }
            page.rows.push(row);
        }
        Ok(Some(finish(page, q.backwards)))
    }

    fn count(&self, owner: i64, filter: &Filter) -> rusqlite::Result<u64> {
        let newest: Vec<u64> = {
            let tail = lock(self.tail);
            let newest = tail.owners.get(&owner).into_iter();
            newest
                .flat_map(|m| m.range(filter.range.clone()))
                .filter(|(_, e)| filter.fits(e))
                .map(|(s, _)| *s)
                .collect()
        };
        let (condition, values) = filter.sql(owner);
        let sql =
            format!("SELECT COUNT(*), COALESCE(MAX(seq), 0) FROM owner_index WHERE {condition}");
        let (stored, last): (i64, i64) = self
            .connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |r| Ok((r.get(0)?, r.get(1)?)))?;
        let more = newest.iter().filter(|s| **s > last as u64).count();
        Ok(stored as u64 + more as u64)
    }

    /// The first and the last message.
    pub(super) fn span(&self) -> rusqlite::Result<Span> {
        let Some(owner) = self.owner else {
            return Ok(None);
        };
        let filter = Filter {
            range: self.floor + 1..i64::MAX as u64,
            start_ms: i64::MIN,
            end_ms: i64::MAX,
            peer: None,
            undelivered: false,
        };
        let mut ends = Vec::new();
        for backwards in [false, true] {
            let Some((seq, e)) = self.entries(owner, &filter, 1, backwards)?.pop() else {
                return Ok(None);
            };
            ends.push((self.ids.id(owner, seq), e.time_ms));
        }
        Ok(ends.try_into().ok())
    }
}

/// A row of the index.
fn entry(r: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Entry)> {
    Ok((
        r.get::<_, i64>(0)? as u64,
        Entry {
            message: r.get(1)?,
            incoming: r.get(2)?,
            peer: r.get(3)?,
            time_ms: r.get(4)?,
            bytes: r.get(5)?,
            kept: r.get(6)?,
        },
    ))
}

/// Oldest first.
fn finish(mut page: Page, backwards: bool) -> Page {
    if backwards {
        page.rows.reverse();
    }
    page
}

/// Whether the other side is exactly this full address (XEP-0313 section 4.1.1).
fn is_with(row: &Archived, full: &str) -> bool {
    Stanza::parse_bytes(&row.stanza).is_some_and(|stanza| {
        let side = if row.incoming {
            &stanza.from
        } else {
            &stanza.to
        };
        side.as_ref().is_some_and(|jid| jid.as_str() == full)
    })
}
