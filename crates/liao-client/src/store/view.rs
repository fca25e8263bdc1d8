//! What a view needs from the disk: pages of a conversation, the list of conversations, drafts, preferences.

use super::history::hole_above;
use super::messages::{MESSAGE, message};
use super::{Store, StoreError};
use crate::backend::{Message, Peer, State};
use rusqlite::{OptionalExtension, Row, ToSql, params};

/// A message with its place on the disk and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place: higher is newer. It may change when the server's archive tells the order.
    pub n: i64,
    /// The message.
    pub message: Message,
    /// Of our own messages; [`State::Sent`] for those of others.
    pub state: State,
}

/// Which part of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Its end.
    Newest,
    /// What comes before a place.
    Before(i64),
    /// A place and what comes after it.
    From(i64),
}

/// A conversation as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// With whom.
    pub peer: Peer,
    /// Its newest message.
    pub last: Option<Kept>,
    /// Messages of the other side that were not read.
    pub unread: usize,
    /// What was begun and not sent.
    pub draft: String,
    /// Stays on top.
    pub pinned: bool,
    /// Makes no noise.
    pub muted: bool,
}

pub(super) fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let state = match row.get("state")? {
        0 => State::Queued,
        2 => State::Delivered,
        3 => State::Failed {
            why: row.get::<_, Option<String>>("why")?.unwrap_or_default(),
        },
        4 => State::Read,
        _ => State::Sent,
    };
    Ok(Kept {
        n: row.get("n")?,
        message: message(row)?,
        state,
    })
}

/// Every peer of the account's messages by one look into the index each, not by reading all messages.
const PEERS: &str = "WITH RECURSIVE talked(peer) AS (
    SELECT min(peer) FROM message WHERE account = ?1
    UNION ALL
    SELECT (SELECT min(peer) FROM message WHERE account = ?1 AND peer > talked.peer) FROM talked WHERE talked.peer IS NOT NULL
), all_peers(peer) AS (
    SELECT peer FROM talked WHERE peer IS NOT NULL UNION SELECT peer FROM conversation WHERE account = ?1
)";

impl Store {
    /// All conversations, the one with the newest message last.
    pub fn conversations(&self, account: &str) -> Result<Vec<Conversation>, StoreError> {
        let sql = format!(
            "{PEERS} SELECT p.peer, c.draft, c.pinned, c.muted,
                (SELECT max(n) FROM message m WHERE m.account = ?1 AND m.peer = p.peer) AS last,
                (SELECT count(*) FROM message m WHERE m.account = ?1 AND m.peer = p.peer AND m.outgoing = 0
                    AND m.n > coalesce(c.read_n, 0)) AS unread
             FROM all_peers p LEFT JOIN conversation c ON c.account = ?1 AND c.peer = p.peer ORDER BY last"
        );
        let newest = format!("SELECT {MESSAGE}, n, state, why FROM message WHERE n = ?1");
        let connection = self.lock();
        let mut query = connection.prepare_cached(&sql)?;
        let mut newest = connection.prepare_cached(&newest)?;
        let rows = query.query_map([account], |row| {
            let last: Option<i64> = row.get("last")?;
            Ok(Conversation {
                peer: row.get("peer")?,
                last: last.map(|n| newest.query_row([n], kept)).transpose()?,
                unread: usize::try_from(row.get::<_, i64>("unread")?).unwrap_or(0),
                draft: row.get::<_, Option<String>>("draft")?.unwrap_or_default(),
                pinned: row.get::<_, Option<bool>>("pinned")?.unwrap_or(false),
                muted: row.get::<_, Option<bool>>("muted")?.unwrap_or(false),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A page of a conversation, oldest first; it ends at a hole in what is here of the archive.
    pub fn page(
        &self,
        account: &str,
        peer: &str,
        page: Page,
        count: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let from = match page {
            Page::Newest => return Ok(self.history(account, account, peer, None, count)?.0),
            Page::Before(n) => return Ok(self.history(account, account, peer, Some(n), count)?.0),
            Page::From(n) => n,
        };
        let connection = self.lock();
        let end = hole_above(&connection, account, account, peer, from)?;
        let sql = format!(
            "SELECT {MESSAGE}, n, state, why FROM message
             WHERE account = ?1 AND peer = ?2 AND n >= ?3 AND n < ?4 ORDER BY n LIMIT ?5"
        );
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut query = connection.prepare_cached(&sql)?;
        let end = end.unwrap_or(i64::MAX);
        let rows = query.query_map(params![account, peer, from, end, count], kept)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Messages that have these words, newest first; of one conversation or of all.
    pub fn find(
        &self,
        account: &str,
        peer: Option<&str>,
        words: &str,
        count: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        // LIKE ignores the case of ASCII, and finds Chinese words of any length.
        let mut pattern = String::from("%");
        for c in words.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        let sql = format!(
            "SELECT {MESSAGE}, n, state, why FROM message
             WHERE account = ?1 AND (?2 IS NULL OR peer = ?2) AND body LIKE ?3 ESCAPE '\\'
             ORDER BY n DESC LIMIT ?4"
        );
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let connection = self.lock();
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map(params![account, peer, pattern, count], kept)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn change(
        &self,
        account: &str,
        peer: &str,
        column: &str,
        value: impl ToSql,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO conversation (account, peer, {column}) VALUES (?1, ?2, ?3)
             ON CONFLICT (account, peer) DO UPDATE SET {column} = ?3"
        );
        self.lock().execute(&sql, params![account, peer, value])?;
        Ok(())
    }

    /// All that is here of a conversation was read.
    pub fn read(&self, account: &str, peer: &str) -> Result<(), StoreError> {
        let newest = "SELECT coalesce(max(n), 0) FROM message WHERE account = ?1 AND peer = ?2";
        let n: i64 = self
            .lock()
            .query_row(newest, [account, peer], |row| row.get(0))?;
        self.change(account, peer, "read_n", n)
    }

    /// All up to the other side's message `id` was read on another device.
    pub fn seen_elsewhere(&self, account: &str, peer: &str, id: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO conversation (account, peer, read_n) SELECT account, peer, max(n) FROM message
                   WHERE account = ?1 AND peer = ?2 AND id = ?3 AND outgoing = 0 GROUP BY account, peer
                   ON CONFLICT (account, peer) DO UPDATE SET read_n = max(read_n, excluded.read_n)";
        self.lock().execute(sql, params![account, peer, id])?;
        Ok(())
    }

    /// Keeps what was begun and not sent.
    pub fn set_draft(&self, account: &str, peer: &str, draft: &str) -> Result<(), StoreError> {
        self.change(account, peer, "draft", draft)
    }

    /// Whether a conversation stays on top.
    pub fn set_pinned(&self, account: &str, peer: &str, pinned: bool) -> Result<(), StoreError> {
        self.change(account, peer, "pinned", pinned)
    }

    /// Whether a conversation makes no noise.
    pub fn set_muted(&self, account: &str, peer: &str, muted: bool) -> Result<(), StoreError> {
        self.change(account, peer, "muted", muted)
    }

    /// A preference of an account's views.
    pub fn preference(&self, account: &str, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM preference WHERE account = ?1 AND name = ?2";
        let connection = self.lock();
        let mut query = connection.prepare_cached(sql)?;
        Ok(query.query_row([account, name], |r| r.get(0)).optional()?)
    }

    /// Keeps a preference.
    pub fn prefer(&self, account: &str, name: &str, value: &str) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT INTO preference VALUES (?1, ?2, ?3) ON CONFLICT (account, name) DO UPDATE SET value = ?3",
            [account, name, value],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn store() -> (Store, PathBuf) {
        let folder = std::env::temp_dir().join(format!("liao-client-view-{}", crate::random_id()));
        (Store::open(&folder).unwrap(), folder)
    }

    fn said(peer: &str, id: &str, text: &str) -> Message {
        Message {
            peer: peer.into(),
            outgoing: false,
            id: id.into(),
            text: text.into(),
            time_ms: 1,
            delayed: false,
            ..Message::default()
        }
    }

    fn arrive(store: &Store, message: Message) {
        let new = message.into();
        store.arrive("a@x", &new, None).unwrap();
    }

    #[test]
    fn pages_meet_without_a_hole_and_the_list_knows_what_is_unread() {
        let (store, folder) = store();
        for i in 0..50 {
            let peer = if i % 2 == 0 { "b@x" } else { "c@x" };
            let message = said(peer, &i.to_string(), &format!("number {i} 你好"));
            arrive(&store, message);
        }
        store.queue("a@x", &said("b@x", "mine", "mine")).unwrap();
        let newest = store.page("a@x", "b@x", Page::Newest, 10).unwrap();
        assert_eq!(newest.len(), 10);
        assert_eq!(newest[9].message.id, "mine");
        assert_eq!(newest[9].state, State::Queued);
        let before = Page::Before(newest[0].n);
        let older = store.page("a@x", "b@x", before, 100).unwrap();
        assert_eq!(older.len(), 16);
        assert!(older[15].n < newest[0].n);
        let from = Page::From(newest[0].n);
        assert_eq!(store.page("a@x", "b@x", from, 100).unwrap(), newest);

        let list = store.conversations("a@x").unwrap();
        let short: Vec<_> = list.iter().map(|c| (c.peer.as_str(), c.unread)).collect();
        assert_eq!(short, [("c@x", 25), ("b@x", 25)]);
        store.read("a@x", "b@x").unwrap();
        store.set_draft("a@x", "b@x", "begun").unwrap();
        store.set_pinned("a@x", "d@x", true).unwrap();
        store.set_muted("a@x", "c@x", true).unwrap();
        let list = store.conversations("a@x").unwrap();
        let of = |peer: &str| list.iter().find(|c| c.peer == peer).unwrap();
        assert_eq!((of("b@x").unread, of("b@x").draft.as_str()), (0, "begun"));
        assert_eq!((of("c@x").unread, of("c@x").muted), (25, true));
        assert!(of("d@x").pinned && of("d@x").last.is_none());
        assert!(store.conversations("other@x").unwrap().is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn words_are_found_in_any_script_and_signs_are_only_signs() {
        let (store, folder) = store();
        for (id, text) in [("1", "今天天气很好"), ("2", "100% sure"), ("3", "100 sure")] {
            arrive(&store, said("b@x", id, text));
        }
        let ids = |words: &str| -> Vec<String> {
            let found = store.find("a@x", None, words, 10).unwrap();
            found.into_iter().map(|k| k.message.id).collect()
        };
        assert_eq!(ids("天气"), ["1"]);
        assert_eq!(ids("0%"), ["2"]);
        assert_eq!(ids("SURE"), ["3", "2"]);
        assert!(
            store
                .find("a@x", Some("c@x"), "sure", 9)
                .unwrap()
                .is_empty()
        );
        store.prefer("a@x", "theme", "light").unwrap();
        store.prefer("a@x", "theme", "dark").unwrap();
        let theme = store.preference("a@x", "theme").unwrap();
        assert_eq!(theme.as_deref(), Some("dark"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
