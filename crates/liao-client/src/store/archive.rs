//! What is here of an archive (XEP-0313): up to where without a hole, the holes, and what fills them.

use super::messages::{Here, again, insert, known};
use super::{Arrival, Arriving, Gap, Store, StoreError, place};
use rusqlite::{Connection, OptionalExtension, params};

/// The end of the range of an archive that is here without a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The archive's id of its last message; empty: the archive was empty.
    pub id: String,
    /// A time at or before which it was said by the archive's clock, milliseconds since 1970, UTC; 0: not known.
    pub time_ms: i64,
    /// Its place.
    pub n: i64,
}

/// A page of an archive, oldest first.
pub struct ArchivePage<'a> {
    /// Its messages, as far as there is something to keep in them.
    pub items: &'a [Arriving],
    /// The place of what stands before the page, if that is here; else of what was said before the archive was asked.
    pub after: Result<i64, i64>,
    /// The archive may have other ids than it had.
    pub loose: bool,
    /// The page's last id and time, if all up to there is here with it.
    pub end: Option<(&'a str, i64)>,
    /// The page's first id and time, if more stands before it that is not here.
    pub hole: Option<(&'a str, i64)>,
}

/// What became of a page.
pub struct Found {
    /// Of each message.
    pub arrivals: Vec<Arrival>,
    /// The place of the last.
    pub last_n: i64,
}

fn set_mark(db: &Connection, account: &str, address: &str, mark: &Mark) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO archive_mark (account, address, id, n, time_ms) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (account, address) DO UPDATE SET id = ?3, n = ?4, time_ms = ?5";
    db.prepare_cached(sql)?
        .execute(params![account, address, mark.id, mark.n, mark.time_ms])?;
    Ok(())
}

fn mark(db: &Connection, account: &str, address: &str) -> Result<Option<Mark>, StoreError> {
    let sql = "SELECT id, n, time_ms FROM archive_mark WHERE account = ?1 AND address = ?2";
    let mut query = db.prepare_cached(sql)?;
    let found = query.query_row([account, address], |r| {
        Ok(Mark {
            id: r.get(0)?,
            n: r.get(1)?,
            time_ms: r.get(2)?,
        })
    });
    Ok(found.optional()?)
}

/// The place of the newest message that was said, by us or to us; what waits in the outbox was not.
fn newest_said(db: &Connection, account: &str) -> Result<i64, StoreError> {
    let sql = "SELECT n FROM message WHERE account = ?1 AND state > 0 ORDER BY n DESC LIMIT 1";
    let mut query = db.prepare_cached(sql)?;
    let n: Option<i64> = query.query_row([account], |r| r.get(0)).optional()?;
    Ok(n.unwrap_or(0))
}

/// Where the first message of a page goes if nothing is known to stand before it: before the first one of the page
/// that was here, else behind all that was said before.
fn page_start(
    db: &Connection,
    account: &str,
    page: &ArchivePage<'_>,
    said: i64,
) -> Result<i64, StoreError> {
    for item in page.items {
        let here = known(db, account, item, page.loose)?;
        // Where our own stand that the archive has not placed says nothing.
        if let Some(here) = here.filter(|h| h.n <= said && (h.placed || !h.outgoing)) {
            let sql = "SELECT max(n) FROM message WHERE account = ?1 AND n < ?2";
            let mut query = db.prepare_cached(sql)?;
            let before: Option<i64> = query.query_row(params![account, here.n], |r| r.get(0))?;
            return Ok(before.unwrap_or(here.n - (1 << 32)));
        }
    }
    Ok(said)
}

/// Where a message of a page that is here goes, behind the one at `last_n`. Our own stand where we said them until the
/// archive tells their place; all others came in its order.
fn its_place(db: &Connection, account: &str, here: &Here, last_n: i64) -> Result<i64, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM message WHERE account = ?1 AND n > ?2 AND n < ?3)";
    let mut between = db.prepare_cached(sql)?;
    let in_order = here.n > last_n
        && (here.placed || !between.query_row(params![account, last_n, here.n], |r| r.get(0))?);
    match in_order {
        true => Ok(here.n),
        false => place::after(db, account, last_n),
    }
}

fn move_to(db: &Connection, from: i64, to: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE message SET n = ?2 WHERE n = ?1")?
        .execute([from, to])?;
    Ok(())
}

/// The server kept a message for us (XEP-0160) that is older than the first one after a hole: its place in that hole.
/// Both times are the server's.
pub(super) fn in_a_hole(
    db: &Connection,
    account: &str,
    new: &Arriving,
) -> Result<Option<i64>, StoreError> {
    if !new.message.delayed || new.archive_id.is_none() {
        return Ok(None);
    }
    let sql = "SELECT max(n) FROM archive_gap WHERE account = ?1 AND address = ?1 AND peer = '' AND open = 1
               AND before_ms >= ?2";
    let top: Option<i64> = db
        .prepare_cached(sql)?
        .query_row(params![account, new.message.time_ms], |r| r.get(0))?;
    top.map(|top| end_of_hole(db, account, top)).transpose()
}

/// The last place in a hole that ends at `top`.
fn end_of_hole(db: &Connection, account: &str, top: i64) -> Result<i64, StoreError> {
    let sql = "SELECT max(n) FROM message WHERE account = ?1 AND n < ?2";
    let prev: Option<i64> = db
        .prepare_cached(sql)?
        .query_row(params![account, top], |r| r.get(0))?;
    place::before(db, prev, top)
}

/// A hole is found before the message at the place `top`: what the server had kept for us and what came already, and is
/// older, belongs into it.
fn drop_into_hole(
    db: &Connection,
    account: &str,
    top: i64,
    time_ms: i64,
    page: &[i64],
) -> Result<(), StoreError> {
    let older: Vec<i64> = {
        let sql = "SELECT n FROM message WHERE account = ?1 AND n > ?2 AND outgoing = 0 AND live = 1 AND delayed = 1
                   AND time_ms <= ?3 ORDER BY n";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map(params![account, top, time_ms], |r| r.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for n in older.into_iter().filter(|n| !page.contains(n)) {
        move_to(db, n, end_of_hole(db, account, top)?)?;
    }
    Ok(())
}

impl Store {
    /// Up to where an archive is here without a hole.
    pub fn mark(&self, account: &str, address: &str) -> Result<Option<Mark>, StoreError> {
        mark(&self.lock(), account, address)
    }

    /// Before an archive is asked for what came while we were away: what is in the outbox was not said yet, so it
    /// stands behind all that; what is said and comes by itself from now on, too. The place of what was said last.
    pub fn make_a_hole(&self, account: &str) -> Result<i64, StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let said = newest_said(&tx, account)?;
        let floor = place::above_a_hole(&tx)?;
        let waiting: Vec<i64> = {
            let sql = "SELECT n FROM message WHERE account = ?1 AND outgoing = 1 AND state = 0 ORDER BY n";
            let mut query = tx.prepare_cached(sql)?;
            let rows = query.query_map([account], |r| r.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for n in waiting {
            move_to(&tx, n, place::end(&tx, floor)?)?;
        }
        tx.commit()?;
        self.raise(floor);
        Ok(said)
    }

    /// Keeps a page of an archive and what is known with it, in one step.
    pub fn archived(
        &self,
        account: &str,
        address: &str,
        page: &ArchivePage<'_>,
    ) -> Result<Found, StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let start = match page.after {
            Ok(n) => n,
            Err(said) => page_start(&tx, account, page, said)?,
        };
        let mut last_n = start;
        let mut places = Vec::with_capacity(page.items.len());
        let mut arrivals = Vec::with_capacity(page.items.len());
        for item in page.items {
            let arrival = match known(&tx, account, item, page.loose)? {
                Some(here) => {
                    let arrival = again(&tx, &here, item)?;
                    last_n = its_place(&tx, account, &here, last_n)?;
                    if last_n != here.n
                        // Making room may have moved it.
                        && let Some(here) = known(&tx, account, item, page.loose)?
                    {
                        move_to(&tx, here.n, last_n)?;
                    }
                    arrival
                }
                None => {
                    last_n = place::after(&tx, account, last_n)?;
                    insert(&tx, account, last_n, item)?;
                    Arrival::New
                }
            };
            places.push(last_n);
            arrivals.push(arrival);
        }
        if let Some((id, time_ms)) = page.hole {
            let n = places.first().copied().unwrap_or(last_n);
            drop_into_hole(&tx, account, n, time_ms, &places)?;
            let low = mark(&tx, account, address)?.map(|m| m.n);
            let sql =
                "INSERT OR REPLACE INTO archive_gap VALUES (?1, ?2, ?3, '', ?3, ?4, ?5, ?6, 1)";
            tx.execute(sql, params![account, address, n, low, id, time_ms])?;
        }
        if let Some((id, time_ms)) = page.end {
            let mark = Mark {
                id: id.to_owned(),
                time_ms,
                n: last_n,
            };
            set_mark(&tx, account, address, &mark)?;
        }
        tx.commit()?;
        Ok(Found { arrivals, last_n })
    }

    /// All up to `id` is here; what was said before the archive was asked, up to the place `said`, and is not in the
    /// archive never will be.
    pub fn caught_up(
        &self,
        account: &str,
        address: &str,
        (id, time_ms): (&str, i64),
        said: i64,
    ) -> Result<(), StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let before = mark(&tx, account, address)?.map_or(said, |m| m.n);
        let mark = Mark {
            id: id.to_owned(),
            time_ms,
            n: before.max(said),
        };
        set_mark(&tx, account, address, &mark)?;
        let sql = "UPDATE archive_mark SET said = ?3 WHERE account = ?1 AND address = ?2";
        tx.execute(sql, params![account, address, said])?;
        tx.commit()?;
        Ok(())
    }

    /// A message without anything to keep came by itself while nothing is missing before it.
    pub fn follow(&self, account: &str, address: &str, id: &str) -> Result<(), StoreError> {
        follow(&self.lock(), account, address, id)
    }

    /// Whether something that we said has no place in the archive yet.
    pub fn has_unplaced(&self, account: &str, address: &str) -> Result<bool, StoreError> {
        let db = self.lock();
        unplaced(&db, account, address)
    }

    /// Fills a hole from above with a page for one peer, oldest first; `begins`: nothing stands before the page.
    pub fn older(
        &self,
        account: &str,
        gap: &Gap,
        peer: &str,
        items: &[Arriving],
        first: Option<(&str, i64)>,
        begins: bool,
    ) -> Result<(), StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let (mut next, mut reached) = (gap.n, false);
        for item in items.iter().rev() {
            let here = known(&tx, account, item, false)?;
            if let Some(here) = &here {
                again(&tx, here, item)?;
                // Where our own stand that the archive has not placed says nothing.
                reached |= here.placed && gap.low_n.is_some_and(|low| here.n <= low);
                if here.placed && here.n < next {
                    next = here.n;
                    continue;
                }
            }
            let sql = "SELECT max(n) FROM message WHERE account = ?1 AND peer = ?2 AND n < ?3";
            let prev: Option<i64> = tx
                .prepare_cached(sql)?
                .query_row(params![account, peer, next], |r| r.get(0))?;
            let n = place::before(&tx, prev, next)?;
            match here {
                Some(_) => {
                    // Making room may have moved it.
                    if let Some(here) = known(&tx, account, item, false)? {
                        move_to(&tx, here.n, n)?;
                    }
                }
                None => insert(&tx, account, n, item)?,
            }
            next = n;
        }
        let (id, time_ms) = first.unwrap_or((&gap.before_id, gap.before_ms));
        let open = !reached && !begins;
        let sql = "INSERT OR REPLACE INTO archive_gap VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        tx.execute(
            sql,
            params![
                account,
                gap.address,
                gap.hole,
                peer,
                next,
                gap.low_n,
                id,
                time_ms,
                open
            ],
        )?;
        tx.commit()?;
        Ok(())
    }
}

/// The mark goes on to a message that came by itself while nothing is missing before it, unless something that we said
/// since has no place in the archive yet.
pub(super) fn follow(
    db: &Connection,
    account: &str,
    address: &str,
    id: &str,
) -> Result<(), StoreError> {
    if unplaced(db, account, address)? {
        return Ok(());
    }
    let time_ms = mark(db, account, address)?.map_or(0, |m| m.time_ms);
    let mark = Mark {
        id: id.to_owned(),
        // Our clock is not the archive's.
        time_ms,
        n: newest_said(db, account)?,
    };
    set_mark(db, account, address, &mark)
}

fn unplaced(db: &Connection, account: &str, address: &str) -> Result<bool, StoreError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM message WHERE account = ?1 AND outgoing = 1 AND live = 1
               AND stanza_id IS NULL AND state <> 3 AND n > coalesce(
                   (SELECT said FROM archive_mark WHERE account = ?1 AND address = ?2), 0))";
    let mut query = db.prepare_cached(sql)?;
    Ok(query.query_row(params![account, address], |r| r.get(0))?)
}
