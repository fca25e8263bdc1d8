//! Places: in which order messages stand (`message.n`), with room between them for what turns up later.

use super::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

/// Between a message and the next one at the end.
const STEP: i64 = 1 << 16;
/// What is left free where an unknown number of messages may be missing.
const HOLE: i64 = 1 << 40;

/// The place after all others, and not below `floor`.
pub(super) fn end(db: &Connection, floor: i64) -> Result<i64, StoreError> {
    Ok((newest(db)? + STEP).max(floor))
}

/// The highest place of any message.
pub(super) fn newest(db: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(n), 0) FROM message";
    Ok(db.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

/// Where what comes live may be put while what comes before it is still fetched.
pub(super) fn above_a_hole(db: &Connection) -> Result<i64, StoreError> {
    Ok(newest(db)? + HOLE)
}

/// A free place after `prev` and before the account's next message.
pub(super) fn after(db: &Connection, account: &str, prev: i64) -> Result<i64, StoreError> {
    let sql = "SELECT min(n) FROM message WHERE account = ?1 AND n > ?2";
    loop {
        let next: Option<i64> = db
            .prepare_cached(sql)?
            .query_row(params![account, prev], |r| r.get(0))?;
        let step = next.map_or(STEP, |next| ((next - prev) / 2).clamp(1, STEP));
        let end = next.unwrap_or(i64::MAX);
        // Another account's message may stand there.
        if let Some(place) = free(db, (prev + step..end).take(STEP as usize))? {
            return Ok(place);
        }
        make_room(db, prev)?;
    }
}

/// A free place before `next` and after `prev`.
pub(super) fn before(db: &Connection, prev: Option<i64>, mut next: i64) -> Result<i64, StoreError> {
    loop {
        let step = prev.map_or(STEP, |prev| ((next - prev) / 2).clamp(1, STEP));
        let low = prev.unwrap_or(i64::MIN);
        let down = (1..).map(|more| next - step + 1 - more);
        let down = down.take_while(|place| *place > low);
        if let Some(place) = free(db, down.take(STEP as usize))? {
            return Ok(place);
        }
        next += make_room(db, prev.unwrap_or(next - 1))?;
    }
}

fn free(db: &Connection, places: impl Iterator<Item = i64>) -> Result<Option<i64>, StoreError> {
    let mut query = db.prepare_cached("SELECT 1 FROM message WHERE n = ?1")?;
    for place in places {
        let taken: Option<i64> = query.query_row([place], |r| r.get(0)).optional()?;
        if taken.is_none() {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Moves all that stands after a place up; by how much.
fn make_room(db: &Connection, prev: i64) -> Result<i64, StoreError> {
    // Far enough that no message lands on one that has not moved yet.
    let by = HOLE.max(newest(db)? - prev + 1);
    for (table, columns) in [
        ("message", &["n"][..]),
        ("archive_mark", &["n", "said"]),
        ("archive_gap", &["hole", "n", "low_n"]),
        ("marker", &["n"]),
        ("conversation", &["read_n"]),
    ] {
        for column in columns {
            let sql = format!("UPDATE {table} SET {column} = {column} + ?2 WHERE {column} > ?1");
            db.execute(&sql, [prev, by])?;
        }
    }
    Ok(by)
}
