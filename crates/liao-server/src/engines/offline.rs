//! Which archived messages nobody has been given yet: a cursor over the archive (XEP-0160 section 3).
//!
//! Every archived message has a dense number (seq) of its owner. What is at or below `cursor` has been written to
//! a socket. Above it `given` says what was handed to sessions and `written` what reached a socket, so that a
//! session that dies half-way costs nothing and a message is not given twice.

use crate::store::Op;
use liao_proto::jid::BareJid;
use std::collections::BTreeSet;

/// The store's collection; its one key is [`KEY`].
pub const COLLECTION: &str = "offline";
/// The key of the cursor.
pub const KEY: &str = "cursor";

/// A cursor to be stored.
pub struct Cursor(u64);

impl Cursor {
    /// As an operation of the store. It waits for the next commit: re-reading a few messages after a crash is
    /// harmless, they keep their ids.
    pub fn into_op(self, owner: &BareJid) -> Op {
        Op::Lazy {
            collection: COLLECTION,
            owner: owner.to_string(),
            key: KEY.to_owned(),
            value: self.0.to_string().into_bytes(),
        }
    }
}

/// The account's position.
#[derive(Debug, Default)]
pub struct Offline {
    cursor: u64,
    /// Highest seq known.
    head: u64,
    given: BTreeSet<u64>,
    written: BTreeSet<u64>,
    /// Own sent messages above the cursor: nothing to give.
    skipped: BTreeSet<u64>,
    /// Kept messages are being handed out, page by page; new ones join them.
    pub catching_up: bool,
    /// Up to where the pages have come.
    pub page_after: u64,
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
    pub fn stored(&mut self, seq: u64, given: bool) {
        for own in self.head + 1..seq {
            self.skipped.insert(own);
        }
        self.head = self.head.max(seq);
        if given {
            self.given.insert(seq);
        }
    }

    /// The highest number known.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether a page's message is to be given now; notes it as given.
    pub fn give(&mut self, seq: u64) -> bool {
        seq > self.cursor && !self.written.contains(&seq) && self.given.insert(seq)
    }

    /// A session is gone: what it was given and did not get on its socket waits again.
    pub fn withdraw(&mut self) {
        let written = &self.written;
        self.given.retain(|s| written.contains(s));
    }

    /// Messages reached a socket. Gives the new cursor if it moved.
    pub fn written(&mut self, seqs: &[u64]) -> Option<Cursor> {
        self.written
            .extend(seqs.iter().filter(|s| **s > self.cursor));
        self.advance()
    }

    /// The pages found nothing to give up to `seq`.
    pub fn passed(&mut self, seq: u64) {
        for s in self.cursor + 1..=seq {
            if !self.given.contains(&s) {
                self.skipped.insert(s);
            }
        }
    }

    /// Moves over all that is done at the front.
    pub fn advance(&mut self) -> Option<Cursor> {
        let before = self.cursor;
        while self.written.remove(&(self.cursor + 1)) || self.skipped.remove(&(self.cursor + 1)) {
            self.cursor += 1;
            self.given.remove(&self.cursor);
        }
        (self.cursor > before).then_some(Cursor(self.cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_only_over_what_reached_a_socket() {
        let mut o = Offline::default();
        o.stored(1, true);
        o.stored(2, true);
        o.stored(4, false);
        assert!(o.written(&[2]).is_none());
        assert_eq!(o.written(&[1]).map(|c| c.0), Some(3));
        assert!(!o.is_caught_up());
        assert!(o.give(4));
        assert!(!o.give(4), "not twice to the same session");
        o.withdraw();
        assert!(o.give(4), "the session died before it had it");
        assert_eq!(o.written(&[4]).map(|c| c.0), Some(4));
        assert!(o.is_caught_up());
    }
}
