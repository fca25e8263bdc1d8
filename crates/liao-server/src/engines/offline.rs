//! Which archived messages nobody has been given yet: a cursor over the archive (XEP-0160 section 3).
//!
//! Every archived message has a dense number (seq) of its owner. What is at or below `cursor` has been written to
//! a socket, or acknowledged where stream management counts (XEP-0198). Above it `given` says which sessions were
//! handed what, and `written` what arrived, so that a session that dies half-way costs nothing and no session gets
//! a message twice.

use crate::store::Op;
use bytes::Bytes;
use liao_proto::jid::BareJid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The store's collection; its one key is [`KEY`].
pub const COLLECTION: &str = "offline";
/// The key of the cursor.
pub const KEY: &str = "cursor";

/// A cursor that moved, and what was only kept up to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    cursor: u64,
    kept: Vec<u64>,
}

impl Moved {
    /// As operations of the store. A cursor alone waits for the next commit: re-reading a few messages after a crash
    /// is harmless, they keep their ids. What was only kept goes together with it.
    pub fn into_ops(self, owner: &BareJid) -> Vec<Op> {
        let (collection, key) = (COLLECTION, KEY.to_owned());
        let value = self.cursor.to_string().into_bytes();
        let owner = owner.to_string();
        if self.kept.is_empty() {
            return vec![Op::Lazy {
                collection,
                owner,
                key,
                value,
            }];
        }
        let forget = |seq| Op::Forget {
            owner: owner.clone(),
            seq,
        };
        let mut ops: Vec<Op> = self.kept.into_iter().map(forget).collect();
        ops.push(Op::Put {
            collection,
            owner,
            key,
            value,
        });
        ops
    }
}

/// How far the pages have come for one session.
#[derive(Debug, Default)]
struct Pages {
    /// The archive's end when it joined: what came later is for it, whoever has it.
    joined: u64,
    upto: u64,
    /// It went away: what came before that is still for it.
    limit: Option<u64>,
    /// What is in no archive and came behind these numbers.
    held: VecDeque<(u64, Bytes)>,
    held_bytes: usize,
}

impl Pages {
    fn from(joined: u64, upto: u64) -> Pages {
        Pages {
            joined,
            upto,
            ..Pages::default()
        }
    }
}

/// The account's position.
#[derive(Debug, Default)]
pub struct Offline {
    cursor: u64,
    /// Highest seq known.
    head: u64,
    /// Which sessions a number was handed to.
    given: BTreeMap<u64, Vec<u64>>,
    written: BTreeSet<u64>,
    /// Own sent messages above the cursor, nothing to give: first and last of each run.
    skipped: BTreeMap<u64, u64>,
    /// In no archive: they go with their delivery.
    kept: BTreeSet<u64>,
    /// Sessions that are being handed what was kept, page by page; new messages join it for them.
    catching: BTreeMap<u64, Pages>,
}

impl Offline {
    /// From the stored cursor and the archive's last seq.
    pub fn load(&mut self, value: &[u8]) {
        self.cursor = std::str::from_utf8(value)
            .ok()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
    }

    /// The archive ends here.
    pub fn set_head(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// Nothing waits below this number.
    pub fn begin_at(&mut self, seq: u64) {
        self.cursor = self.cursor.max(seq.saturating_sub(1));
    }

    /// Nothing waits to be given.
    pub fn is_caught_up(&self) -> bool {
        self.cursor >= self.head
    }

    /// How many numbers lie above the cursor.
    pub fn waiting(&self) -> u64 {
        self.head.saturating_sub(self.cursor)
    }

    /// The position from which pages are read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// A message was archived for this account and handed to sessions (or to none). Numbers between the last
    /// one known and this are the account's own sent messages: all that comes to it passes here, in order.
    /// `true`: a page had brought it and it has arrived, so that the cursor may go on.
    pub fn stored(&mut self, seq: u64, sessions: &[u64], kept: bool) -> bool {
        self.skip(self.head, seq);
        self.head = self.head.max(seq);
        if kept && seq > self.cursor {
            self.kept.insert(seq);
        }
        if !sessions.is_empty() {
            self.given.entry(seq).or_default().extend(sessions);
        }
        self.written.contains(&seq)
    }

    /// Numbers between these two, without them, are nothing to give.
    fn skip(&mut self, after: u64, before: u64) {
        let (first, last) = (after.max(self.cursor) + 1, before.saturating_sub(1));
        if first <= last {
            let end = self.skipped.entry(first).or_default();
            *end = last.max(*end);
        }
    }

    /// Whether a session was handed a message before its commit was reported: a page may be read in between.
    pub fn has(&self, seq: u64, session: u64) -> bool {
        self.given.get(&seq).is_some_and(|s| s.contains(&session))
    }

    /// A session is to get what was kept, from the beginning; if it gets pages already, they go on: it has been given
    /// all that they passed.
    pub fn catch_up(&mut self, session: u64) {
        let pages = Pages::from(self.head, self.cursor);
        self.catching.entry(session).or_insert(pages).limit = None;
    }

    /// A session gets this message and what follows by pages.
    pub fn fall_behind(&mut self, session: u64, seq: u64) {
        let before = seq.saturating_sub(1);
        let pages = Pages::from(before, before);
        self.catching.entry(session).or_insert(pages);
    }

    /// Whether a session gets what comes now by pages, too.
    pub fn is_catching_up(&self, session: u64) -> bool {
        self.catching.contains_key(&session)
    }

    /// Whether it went away meanwhile.
    pub fn is_away(&self, session: u64) -> bool {
        let pages = self.catching.get(&session);
        pages.is_some_and(|p| p.limit.is_some())
    }

    /// A message is for a session, which gets pages: they go on so far, wherever it is.
    pub fn meant_for(&mut self, seq: u64, session: u64) {
        let pages = self.catching.get_mut(&session);
        if let Some(limit) = pages.and_then(|p| p.limit.as_mut()) {
            *limit = (*limit).max(seq);
        }
    }

    /// A session is no longer available: it gets the pages of what came until now, and no more.
    pub fn went_away(&mut self, session: u64) {
        if let Some(pages) = self.catching.get_mut(&session) {
            pages.limit.get_or_insert(self.head);
        }
    }

    /// Whether a number is beyond what a session gets by pages.
    pub fn is_beyond(&self, seq: u64, session: u64) -> bool {
        let pages = self.catching.get(&session);
        pages.is_none_or(|p| p.limit.is_some_and(|limit| seq > limit))
    }

    /// Keeps what is in no archive behind what is still to come by pages. `false`: nothing is to come, or more than
    /// `bound` bytes would be kept so.
    pub fn hold(&mut self, session: u64, bytes: &Bytes, bound: usize) -> bool {
        let Some(pages) = self.catching.get_mut(&session) else {
            return false;
        };
        if pages.held_bytes + bytes.len() > bound {
            return false;
        }
        pages.held_bytes += bytes.len();
        pages.held.push_back((self.head, bytes.clone()));
        true
    }

    /// What was kept so and comes before this number.
    pub fn held_before(&mut self, seq: u64, session: u64) -> Vec<Bytes> {
        let Some(pages) = self.catching.get_mut(&session) else {
            return Vec::new();
        };
        let count = pages
            .held
            .iter()
            .take_while(|(after, _)| *after < seq)
            .count();
        let due: Vec<Bytes> = pages.held.drain(..count).map(|(_, bytes)| bytes).collect();
        pages.held_bytes -= due.iter().map(Bytes::len).sum::<usize>();
        due
    }

    /// The sessions that get pages.
    pub fn catching(&self) -> Vec<u64> {
        self.catching.keys().copied().collect()
    }

    /// Whether a message came while a session was there and got its messages by pages.
    pub fn came_meanwhile(&self, seq: u64, session: u64) -> bool {
        self.catching.get(&session).is_some_and(|p| seq > p.joined)
    }

    /// How far the pages have come for a session; `None`: it gets none.
    pub fn upto(&self, session: u64) -> Option<u64> {
        self.catching.get(&session).map(|p| p.upto)
    }

    /// A session has got all of the pages up to here.
    pub fn came_to(&mut self, session: u64, seq: u64) {
        if let Some(pages) = self.catching.get_mut(&session) {
            pages.upto = pages.upto.max(seq);
        }
    }

    /// A session gets no more pages; what was kept behind them.
    pub fn caught_up(&mut self, session: u64) -> Vec<Bytes> {
        let pages = self.catching.remove(&session);
        let held = pages.map(|p| p.held).unwrap_or_default();
        held.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// The highest number known.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// A page's message is in no archive.
    pub fn is_only_kept(&mut self, seq: u64) {
        if seq > self.cursor {
            self.kept.insert(seq);
        }
    }

    /// Whether a page's message is to be given to a session now; notes it as given.
    pub fn give(&mut self, seq: u64, session: u64) -> bool {
        let pages = self.catching.get(&session);
        let is_new = pages.is_some_and(|p| seq > p.joined);
        if seq <= self.cursor {
            // Nothing is to be noted of it any more; a session's pages never come back to it.
            return is_new;
        }
        if self.written.contains(&seq) && !is_new {
            return false;
        }
        let sessions = self.given.entry(seq).or_default();
        let new = !sessions.contains(&session);
        if new {
            sessions.push(session);
        }
        new
    }

    /// A session is gone. `true`: it was the only one that was given something, or was to get it by pages, and that has
    /// not arrived.
    pub fn withdraw(&mut self, session: u64) -> bool {
        let pages = self.catching.remove(&session);
        let was_behind = pages.is_some_and(|p| p.upto < p.limit.unwrap_or(self.head));
        for sessions in self.given.values_mut() {
            sessions.retain(|s| *s != session);
        }
        let written = &self.written;
        let before = self.given.len();
        self.given
            .retain(|seq, sessions| !sessions.is_empty() || written.contains(seq));
        self.given.len() < before || was_behind
    }

    /// Messages reached a socket. Gives the new cursor if it moved.
    pub fn written(&mut self, seqs: &[u64]) -> Option<Moved> {
        self.written
            .extend(seqs.iter().filter(|s| **s > self.cursor));
        self.advance()
    }

    /// The pages found nothing to give between these two numbers.
    pub fn passed(&mut self, after: u64, before: u64) {
        self.skip(after, before);
    }

    /// Moves over all that is done at the front. Who was given what is not forgotten before its commit is reported.
    fn advance(&mut self) -> Option<Moved> {
        let before = self.cursor;
        let mut kept = Vec::new();
        while self.cursor < self.head {
            let next = self.cursor + 1;
            if self.written.remove(&next) {
                self.cursor = next;
                self.given.remove(&next);
                kept.extend(self.kept.take(&next));
                continue;
            }
            match self.skipped.first_key_value() {
                Some((first, last)) if *first <= next => {
                    let last = *last;
                    self.skipped.pop_first();
                    if last > self.head {
                        self.skipped.insert(self.head + 1, last);
                    }
                    self.cursor = self.cursor.max(last.min(self.head));
                }
                _ => break,
            }
        }
        let cursor = self.cursor;
        (cursor > before).then_some(Moved { cursor, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_only_over_what_arrived() {
        let mut o = Offline::default();
        o.stored(1, &[7], false);
        o.stored(2, &[7], false);
        o.stored(4, &[], false);
        assert!(o.written(&[2]).is_none());
        assert_eq!(o.written(&[1]).map(|m| m.cursor), Some(3));
        assert!(!o.is_caught_up());
        assert!(o.give(4, 7));
        assert!(!o.give(4, 7), "not twice to the same session");
        assert!(o.withdraw(7), "the session died before it had it");
        assert!(o.give(4, 7));
        assert_eq!(o.written(&[4]).map(|m| m.cursor), Some(4));
        assert!(o.is_caught_up());
    }

    #[test]
    fn what_a_page_gave_before_its_commit_was_reported_is_not_given_again() {
        let mut o = Offline::default();
        o.catch_up(7);
        assert!(o.give(1, 7));
        o.caught_up(7);
        assert!(o.has(1, 7) && !o.has(1, 8));
        o.stored(1, &[8], false);
        assert!(o.has(1, 7) && o.has(1, 8));
        o.catch_up(9);
        o.stored(2, &[7], false);
        o.written(&[1, 2]);
        assert!(!o.give(1, 9), "somebody has what was there before");
        assert!(o.give(2, 9), "what came since is for it, too");
    }

    #[test]
    fn the_cursor_waits_for_the_report_of_what_a_page_brought() {
        let mut o = Offline::default();
        o.catch_up(7);
        assert!(o.give(1, 7));
        o.caught_up(7);
        assert!(o.written(&[1]).is_none());
        assert!(o.has(1, 7), "the report comes now: it has it");
        assert!(o.stored(1, &[8], false), "the cursor is to go on");
        assert_eq!(o.written(&[]).map(|m| m.cursor), Some(1));
    }

    #[test]
    fn pages_never_go_back_to_what_a_session_was_given() {
        let mut o = Offline::default();
        o.stored(1, &[8], false);
        o.catch_up(7);
        o.stored(2, &[8], false);
        assert!(o.give(1, 7) && o.give(2, 7));
        o.came_to(7, 2);
        // Another session dies with what it was given.
        o.withdraw(8);
        o.catch_up(7);
        assert_eq!(o.upto(7), Some(2));
        o.written(&[1, 2]);
        assert_eq!(o.upto(7), Some(2), "or 2 would be given again");
    }

    #[test]
    fn who_fell_behind_gets_what_others_have_acknowledged_meanwhile() {
        let mut o = Offline::default();
        o.stored(1, &[7, 8], false);
        o.fall_behind(8, 2);
        o.stored(2, &[7], false);
        o.stored(3, &[7], false);
        assert_eq!(o.written(&[1, 2, 3]).map(|m| m.cursor), Some(3));
        assert_eq!(o.upto(8), Some(1), "1 was in its mailbox");
        assert!(o.give(2, 8) && o.give(3, 8));
    }

    #[test]
    fn what_is_in_no_archive_keeps_its_place_between_the_pages() {
        let mut o = Offline::default();
        let word = Bytes::from_static(b"word");
        assert!(!o.hold(7, &word, 100), "nothing is to come");
        o.stored(1, &[], false);
        o.catch_up(7);
        assert!(o.hold(7, &word, 100));
        o.stored(2, &[], false);
        assert!(!o.hold(7, &word, 7), "bounded");
        assert!(o.held_before(1, 7).is_empty());
        assert_eq!(o.held_before(2, 7).len(), 1);
        assert!(o.hold(7, &word, 4));
        assert_eq!(o.caught_up(7).len(), 1);
    }

    #[test]
    fn who_goes_away_gets_what_came_before_and_no_more() {
        let mut o = Offline::default();
        o.stored(1, &[8], false);
        o.catch_up(7);
        o.stored(2, &[8], false);
        o.went_away(7);
        o.stored(3, &[8], false);
        assert!(o.is_away(7) && !o.is_beyond(2, 7) && o.is_beyond(3, 7));
        o.stored(4, &[8], false);
        o.meant_for(4, 7);
        assert!(!o.is_beyond(4, 7), "it was chosen before it went");
        o.catch_up(7);
        assert!(!o.is_away(7) && !o.is_beyond(5, 7), "it is back");
        assert!(o.withdraw(7), "others may have to get it");
    }

    #[test]
    fn a_million_sent_messages_are_one_step() {
        let mut o = Offline::default();
        o.stored(1_000_001, &[7], false);
        assert_eq!(o.written(&[1_000_001]).map(|m| m.cursor), Some(1_000_001));
        o.passed(1_000_001, 2_000_000);
        assert!(
            o.written(&[]).is_none(),
            "not over what has not been reported"
        );
        o.set_head(1_999_999);
        o.passed(1_500_000, 1_700_000);
        assert_eq!(o.written(&[]).map(|m| m.cursor), Some(1_999_999));
    }

    #[test]
    fn what_was_only_kept_goes_when_it_is_delivered() {
        let mut o = Offline::default();
        o.stored(1, &[7], true);
        o.stored(2, &[7], false);
        let moved = o.written(&[1, 2]).unwrap();
        assert_eq!((moved.cursor, &moved.kept[..]), (2, &[1][..]));
        let ops = moved.into_ops(&BareJid::new("a@x").unwrap());
        assert!(matches!(
            ops[..],
            [Op::Forget { seq: 1, .. }, Op::Put { .. }]
        ));
    }

    #[test]
    fn what_one_session_has_not_acknowledged_another_gets() {
        let mut o = Offline::default();
        o.stored(1, &[7, 8], false);
        o.stored(2, &[7], false);
        assert!(!o.withdraw(8), "the other still has it");
        assert!(o.give(2, 9), "a newcomer gets what nobody has acknowledged");
        o.written(&[1]);
        assert!(!o.give(1, 9), "but not what somebody has");
        assert!(!o.withdraw(7));
        assert!(o.withdraw(9));
    }
}
