//! Messages as they are said and arrive: the outbox, each message once however it comes, and how far ours have come.

use super::archive::{follow, in_a_hole};
use super::changes::{apply_early, more_of, more_text};
use super::{Store, StoreError, place};
use crate::backend::{Message, State};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The columns of a [`Message`].
pub(super) const MESSAGE: &str = "peer, outgoing, id, body, time_ms, delayed, more";

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        peer: row.get("peer")?,
        outgoing: row.get("outgoing")?,
        id: row.get("id")?,
        text: row.get("body")?,
        time_ms: row.get("time_ms")?,
        delayed: row.get("delayed")?,
        more: more_of(&row.get::<_, String>("more")?),
    })
}

/// A message that came, and what tells whether it is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arriving {
    /// The message.
    pub message: Message,
    /// The archive's id of it (XEP-0359 section 2.1).
    pub archive_id: Option<String>,
    /// The sender's program's id of it (XEP-0359 section 2.2).
    pub origin: Option<String>,
    /// Its sender wants to know when it was read (XEP-0333).
    pub markable: bool,
    /// It came by itself, not out of the archive and not as a copy.
    pub live: bool,
}

impl From<Message> for Arriving {
    /// A message that came by itself and has no ids that say whether it is here.
    fn from(message: Message) -> Arriving {
        Arriving {
            message,
            archive_id: None,
            origin: None,
            markable: false,
            live: true,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is kept.
    New,
    /// It was here.
    Known {
        /// It came out of the archive or as a copy before, and comes by itself for the first time.
        first_live: bool,
        /// It is ours, and we did not know yet that the server has it.
        sent: bool,
    },
}

/// Where a message that is here stands.
pub(super) struct Here {
    pub n: i64,
    live: bool,
    state: i64,
    pub outgoing: bool,
    /// The archive has told its place.
    pub placed: bool,
}

/// Finds a message by the archive's id, else by its sender and the sender's id. `loose`: the archive may have other
/// ids than it had.
pub(super) fn known(
    db: &Connection,
    account: &str,
    new: &Arriving,
    loose: bool,
) -> Result<Option<Here>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(Here {
            n: row.get(0)?,
            live: row.get(1)?,
            state: row.get(2)?,
            outgoing: row.get(3)?,
            placed: row.get(4)?,
        })
    };
    let message = &new.message;
    let columns = "SELECT n, live, state, outgoing, stanza_id IS NOT NULL FROM message
                   WHERE account = ?1 AND peer = ?2";
    if let Some(id) = &new.archive_id {
        let sql = format!("{columns} AND stanza_id = ?3");
        let mut query = db.prepare_cached(&sql)?;
        let found = query.query_row(params![account, message.peer, id], read);
        if let Some(found) = found.optional()? {
            return Ok(Some(found));
        }
    }
    if let Some(origin) = &new.origin {
        // The words are compared, too, unless they were changed: a program that gives an id twice must not make us lose
        // what it says. Our own ids are unique.
        let sql = format!(
            "{columns} AND origin = ?3 AND outgoing = ?4
             AND (body = ?5 OR more <> '' OR outgoing = 1 AND live = 1) ORDER BY n"
        );
        let mut query = db.prepare_cached(&sql)?;
        let values = params![
            account,
            message.peer,
            origin,
            message.outgoing,
            message.text
        ];
        if let Some(found) = query.query_row(values, read).optional()? {
            return Ok(Some(found));
        }
    }
    // Kept before its ids were known here, or said by a program that gives no origin-ids.
    let sql = format!(
        "{columns} AND id = ?3 AND outgoing = ?4 AND body = ?5 AND origin IS NULL AND (?6 OR stanza_id IS NULL)"
    );
    if new.archive_id.is_none() || new.live {
        return Ok(None);
    }
    let mut query = db.prepare_cached(&sql)?;
    let values = params![
        account,
        message.peer,
        message.id,
        message.outgoing,
        message.text,
        loose
    ];
    Ok(query.query_row(values, read).optional()?)
}

/// Notes that a message that is here came again.
pub(super) fn again(db: &Connection, here: &Here, new: &Arriving) -> Result<Arrival, StoreError> {
    let sent = here.outgoing && here.state == 0;
    let first_live = new.live && !here.live && !here.outgoing;
    // The unique index may know the id already: the same words were archived twice.
    let sql = "UPDATE OR IGNORE message SET stanza_id = coalesce(stanza_id, ?2) WHERE n = ?1";
    db.prepare_cached(sql)?
        .execute(params![here.n, new.archive_id])?;
    if sent || first_live {
        let sql = "UPDATE message SET live = max(live, ?2), state = max(state, ?3) WHERE n = ?1";
        db.prepare_cached(sql)?
            .execute(params![here.n, first_live, i64::from(sent)])?;
    }
    Ok(Arrival::Known { first_live, sent })
}

/// Keeps a message at a place.
pub(super) fn insert(
    db: &Connection,
    account: &str,
    n: i64,
    new: &Arriving,
) -> Result<(), StoreError> {
    let message = &new.message;
    let sql = "INSERT INTO message (n, account, peer, outgoing, id, stanza_id, body, time_ms, delayed, state, origin,
               live, markable, more) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10, ?11, ?12, ?13)";
    db.prepare_cached(sql)?.execute(params![
        n,
        account,
        message.peer,
        message.outgoing,
        message.id,
        new.archive_id,
        message.text,
        message.time_ms,
        message.delayed,
        new.origin,
        new.live && !message.outgoing,
        new.markable,
        more_text(&message.more)
    ])?;
    apply_early(db, account, n, message, new.origin.as_deref())?;
    if message.outgoing {
        // Who answers, on whatever device, has read what was said before.
        let sql = "INSERT INTO conversation (account, peer, read_n) VALUES (?1, ?2, ?3)
                   ON CONFLICT (account, peer) DO UPDATE SET read_n = max(read_n, ?3)";
        db.prepare_cached(sql)?
            .execute(params![account, message.peer, n])?;
    }
    Ok(())
}

impl Store {
    /// Puts a message of ours into the outbox.
    pub fn queue(&self, account: &str, message: &Message) -> Result<(), StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let sql =
            "SELECT 1 FROM message WHERE account = ?1 AND id = ?2 AND outgoing = 1 AND live = 1";
        let there = tx.prepare_cached(sql)?.exists([account, &message.id])?;
        if !there {
            tx.execute(
                "INSERT INTO message (n, account, peer, outgoing, id, origin, body, time_ms, delayed, state, more)
                 VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5, ?6, 0, 0, ?7)",
                params![
                    place::end(&tx, self.floor())?,
                    account,
                    message.peer,
                    message.id,
                    message.text,
                    message.time_ms,
                    more_text(&message.more)
                ],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Keeps a message that came, at the end, unless it is here. `whole`: nothing that
    /// the archive `whole` has before it is missing.
    pub fn arrive(
        &self,
        account: &str,
        new: &Arriving,
        whole: Option<&str>,
    ) -> Result<Arrival, StoreError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let arrival = match known(&tx, account, new, false)? {
            Some(here) => again(&tx, &here, new)?,
            None => {
                let n = match in_a_hole(&tx, account, new)? {
                    Some(n) => n,
                    None => place::end(&tx, self.floor())?,
                };
                insert(&tx, account, n, new)?;
                Arrival::New
            }
        };
        if let (Some(address), Some(id)) = (whole, &new.archive_id) {
            follow(&tx, account, address, id)?;
        }
        tx.commit()?;
        Ok(arrival)
    }

    /// A message of ours to a peer (`None`: whoever it went to) has come further; `false`: it was there already, or is
    /// none of ours. What has arrived can no longer be refused.
    pub fn advance(
        &self,
        account: &str,
        peer: Option<&str>,
        id: &str,
        state: &State,
    ) -> Result<bool, StoreError> {
        let (number, below, why) = match state {
            State::Queued | State::Waiting { .. } => return Ok(false),
            State::Sent => (1, 1, None),
            State::Delivered => (2, 2, None),
            State::Failed { why } => (3, 2, Some(why)),
            State::Read => (4, 4, None),
        };
        let rows = self.lock().execute(
            "UPDATE message SET state = ?4, why = ?5 WHERE account = ?1 AND id = ?3 AND outgoing = 1 AND state < ?6
             AND (?2 IS NULL OR peer = ?2)",
            params![account, peer, id, number, why, below],
        )?;
        Ok(rows > 0)
    }

    /// A peer has seen all up to our message `id` (XEP-0333 section 5): the ids of those that are read now. An id that
    /// is not in the conversation means nothing.
    pub fn displayed(
        &self,
        account: &str,
        peer: &str,
        id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let db = self.lock();
        let sql = "UPDATE message SET state = 4 WHERE account = ?1 AND peer = ?2 AND outgoing = 1 AND state IN (1, 2)
                   AND n <= (SELECT max(n) FROM message WHERE account = ?1 AND peer = ?2 AND id = ?3 AND outgoing = 1)
                   RETURNING id";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map([account, peer, id], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The outbox, oldest first.
    pub fn unsent(&self, account: &str) -> Result<Vec<Message>, StoreError> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE account = ?1 AND outgoing = 1 AND state = 0 ORDER BY n"
        );
        let connection = self.lock();
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map([account], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The person has seen a conversation: the newest message whose sender wants to know is remembered until it is
    /// told.
    pub fn saw(&self, account: &str, peer: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO marker SELECT account, peer, id, n, 0 FROM message
                   WHERE account = ?1 AND peer = ?2 AND outgoing = 0 AND markable = 1 ORDER BY n DESC LIMIT 1
                   ON CONFLICT (account, peer) DO UPDATE SET id = excluded.id, n = excluded.n, told = 0
                   WHERE excluded.n > n";
        self.lock().prepare_cached(sql)?.execute([account, peer])?;
        Ok(())
    }

    /// What is to be told of what was seen: (peer, id).
    pub fn untold(&self, account: &str) -> Result<Vec<(String, String)>, StoreError> {
        let db = self.lock();
        let sql = "SELECT peer, id FROM marker WHERE account = ?1 AND told = 0";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map([account], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// It was told, or is not to be.
    pub fn told(&self, account: &str, peer: &str, id: &str) -> Result<(), StoreError> {
        let sql = "UPDATE marker SET told = 1 WHERE account = ?1 AND peer = ?2 AND id = ?3";
        self.lock()
            .prepare_cached(sql)?
            .execute([account, peer, id])?;
        Ok(())
    }
}
