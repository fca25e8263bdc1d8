//! Conversations as they are read: pages without a hole.

use super::messages::MESSAGE;
use super::view::{Kept, kept};
use super::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

/// A hole in what is here of an archive, as one conversation sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose archive.
    pub address: String,
    /// Names the hole.
    pub hole: i64,
    /// The first place after it.
    pub n: i64,
    /// The last place before it; none: it goes back to the beginning.
    pub low_n: Option<i64>,
    /// The archive's id of the first message after it.
    pub before_id: String,
    /// That message's time, milliseconds since 1970, UTC.
    pub before_ms: i64,
}

/// What stands before a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// More messages.
    Messages,
    /// A hole.
    Gap(Gap),
}

/// The open holes of an archive, as far as they are not filled for a peer.
const HOLES: &str =
    "SELECT g.hole, coalesce(p.n, g.n) AS top, g.low_n, coalesce(p.before_id, g.before_id),
        coalesce(p.before_ms, g.before_ms)
    FROM archive_gap g LEFT JOIN archive_gap p
    ON p.account = g.account AND p.address = g.address AND p.hole = g.hole AND p.peer = ?3
    WHERE g.account = ?1 AND g.address = ?2 AND g.peer = '' AND coalesce(p.open, g.open) = 1";

/// The nearest hole below a place, as far as it is not filled for this peer.
fn gap(
    db: &Connection,
    account: &str,
    address: &str,
    peer: &str,
    below: i64,
) -> Result<Option<Gap>, StoreError> {
    let sql = format!("{HOLES} AND top <= ?4 ORDER BY top DESC LIMIT 1");
    let mut query = db.prepare_cached(&sql)?;
    let found = query.query_row(params![account, address, peer, below], |r| {
        Ok(Gap {
            address: address.to_owned(),
            hole: r.get(0)?,
            n: r.get(1)?,
            low_n: r.get(2)?,
            before_id: r.get(3)?,
            before_ms: r.get(4)?,
        })
    });
    Ok(found.optional()?)
}

/// Where the next hole above a place ends.
pub(super) fn hole_above(
    db: &Connection,
    account: &str,
    address: &str,
    peer: &str,
    above: i64,
) -> Result<Option<i64>, StoreError> {
    let sql = format!("SELECT min(top) FROM ({HOLES}) WHERE top > ?4");
    let mut query = db.prepare_cached(&sql)?;
    Ok(query.query_row(params![account, address, peer, above], |r| r.get(0))?)
}

impl Store {
    /// Messages with a peer from before a place (`None`: the newest), oldest first, back to the nearest hole in the
    /// archive `address` at most; and what stands before them.
    pub fn history(
        &self,
        account: &str,
        address: &str,
        peer: &str,
        before: Option<i64>,
        count: usize,
    ) -> Result<(Vec<Kept>, Before), StoreError> {
        let db = self.lock();
        let before = before.unwrap_or(i64::MAX);
        let gap = gap(&db, account, address, peer, before)?;
        let low = gap.as_ref().map_or(i64::MIN, |g| g.n);
        let sql = format!(
            "SELECT {MESSAGE}, n, state, why FROM message WHERE account = ?1 AND peer = ?2 AND n < ?3 AND n >= ?4
             ORDER BY n DESC LIMIT ?5"
        );
        let most = i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1);
        let mut query = db.prepare_cached(&sql)?;
        let rows = query.query_map(params![account, peer, before, low, most], kept)?;
        let mut all: Vec<Kept> = rows.collect::<Result<_, _>>()?;
        let more = all.len() > count;
        all.truncate(count);
        all.reverse();
        let before = match (more, gap) {
            (true, _) => Before::Messages,
            (false, Some(gap)) => Before::Gap(gap),
            (false, None) => Before::Nothing,
        };
        Ok((all, before))
    }
}
