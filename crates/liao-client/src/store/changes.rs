//! Messages that were edited, taken back or reacted to, and what of that is on its way.

use super::messages::{MESSAGE, message};
use super::{Store, StoreError};
use crate::backend::{Message, More};
use crate::features::{By, Change};
use rusqlite::{Connection, OptionalExtension, params};

/// [`More`] as it is kept.
pub(super) fn more_text(more: &More) -> String {
    match *more == More::default() {
        true => String::new(),
        false => serde_json::to_string(more).unwrap_or_default(),
    }
}

/// What was kept; what cannot be read is nothing.
pub(super) fn more_of(text: &str) -> More {
    serde_json::from_str(text).unwrap_or_default()
}

/// The newest message of a conversation with this id that the change may be meant for.
fn target(
    db: &Connection,
    account: &str,
    peer: &str,
    by: &By,
    change: &Change,
) -> Result<Option<(i64, Message)>, StoreError> {
    // Only its author may edit a message or take it back.
    let outgoing = (!matches!(change, Change::React { .. })).then_some(by.outgoing);
    let sql = format!(
        "SELECT {MESSAGE}, n FROM message WHERE account = ?1 AND peer = ?2 AND (id = ?3 OR origin = ?3)
         AND (?4 IS NULL OR outgoing = ?4) ORDER BY n DESC LIMIT 1"
    );
    let mut query = db.prepare_cached(&sql)?;
    let found = query.query_row(params![account, peer, change.of(), outgoing], |r| {
        Ok((r.get("n")?, message(r)?))
    });
    Ok(found.optional()?)
}

fn apply(
    db: &Connection,
    n: i64,
    message: &mut Message,
    by: &By,
    change: &Change,
) -> Result<bool, StoreError> {
    if !change.apply(message, by) {
        return Ok(false);
    }
    let sql = "UPDATE message SET body = ?2, more = ?3 WHERE n = ?1";
    db.prepare_cached(sql)?
        .execute(params![n, message.text, more_text(&message.more)])?;
    Ok(true)
}

/// A message has come that may have been changed before.
pub(super) fn apply_early(
    db: &Connection,
    account: &str,
    n: i64,
    new: &Message,
    origin: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "SELECT n, who, outgoing, change, time_ms FROM early_change
               WHERE account = ?1 AND peer = ?2 AND target IN (?3, ?4) ORDER BY time_ms, n";
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map(params![account, new.peer, new.id, origin], |r| {
        let by = By {
            who: r.get(1)?,
            outgoing: r.get(2)?,
            time_ms: r.get(4)?,
        };
        Ok((r.get(0)?, by, r.get(3)?))
    })?;
    let early: Vec<(i64, By, String)> = rows.collect::<Result<_, _>>()?;
    let mut message = new.clone();
    for (row, by, change) in early {
        let Ok(change) = serde_json::from_str::<Change>(&change) else {
            continue;
        };
        if !matches!(change, Change::React { .. }) && by.outgoing != message.outgoing {
            continue;
        }
        apply(db, n, &mut message, &by, &change)?;
        db.execute("DELETE FROM early_change WHERE n = ?1", [row])?;
    }
    Ok(())
}

impl Store {
    /// Changes a message; its new form, or none if nothing changes. What is not here yet is changed when it comes.
    pub fn change_message(
        &self,
        account: &str,
        peer: &str,
        by: &By,
        change: &Change,
    ) -> Result<Option<Message>, StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let changed = match target(&tx, account, peer, by, change)? {
            Some((n, mut message)) => apply(&tx, n, &mut message, by, change)?.then_some(message),
            None => {
                let sql = "INSERT INTO early_change (account, peer, target, who, outgoing, change, time_ms)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let text = serde_json::to_string(change).unwrap_or_default();
                tx.execute(
                    sql,
                    params![
                        account,
                        peer,
                        change.of(),
                        by.who,
                        by.outgoing,
                        text,
                        by.time_ms
                    ],
                )?;
                None
            }
        };
        tx.commit()?;
        Ok(changed)
    }

    /// A message of a conversation by its id.
    pub fn message(
        &self,
        account: &str,
        peer: &str,
        id: &str,
        outgoing: Option<bool>,
    ) -> Result<Option<Message>, StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE account = ?1 AND peer = ?2 AND id = ?3
             AND (?4 IS NULL OR outgoing = ?4) ORDER BY n DESC LIMIT 1"
        );
        let db = self.lock();
        let mut query = db.prepare_cached(&sql)?;
        Ok(query
            .query_row(params![account, peer, id, outgoing], message)
            .optional()?)
    }

    /// The place of a message by its id, the newest if there are several; `None`: it is not here.
    pub fn place_of(&self, account: &str, peer: &str, id: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT n FROM message WHERE account = ?1 AND peer = ?2 AND id = ?3 ORDER BY n DESC LIMIT 1";
        let db = self.lock();
        let mut query = db.prepare_cached(sql)?;
        Ok(query
            .query_row(params![account, peer, id], |row| row.get(0))
            .optional()?)
    }

    /// Puts something that we do to a message into the outbox.
    pub fn act(&self, account: &str, id: &str, xml: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO action (account, id, xml) VALUES (?1, ?2, ?3)";
        self.lock().execute(sql, [account, id, xml])?;
        Ok(())
    }

    /// What we do and the server may not have, oldest first: (id, stanza).
    pub fn actions(&self, account: &str) -> Result<Vec<(String, String)>, StoreError> {
        let db = self.lock();
        let sql = "SELECT id, xml FROM action WHERE account = ?1 ORDER BY n";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map([account], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The server has it; `false`: it is none of these.
    pub fn acted(&self, account: &str, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM action WHERE account = ?1 AND id = ?2";
        Ok(self.lock().prepare_cached(sql)?.execute([account, id])? > 0)
    }
}
