//! The part of a conversation that is in memory: a stretch of lines without a hole, with the disk around it.

use crate::backend::{Message, State};
use crate::store::Kept;
use std::collections::VecDeque;

/// Lines in memory of a conversation that is on the disk too; beyond that the end that is not looked at is let go.
const LINES: usize = 4_000;
/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Names the line while it is in memory.
    pub key: u64,
    /// Its place on the disk, if it was read from there.
    pub n: Option<i64>,
    /// What was said.
    pub message: Message,
    /// How far it has come, of our own.
    pub state: State,
}

/// A stretch of a conversation.
#[derive(Debug, Default)]
pub struct Window {
    lines: VecDeque<Line>,
    next_key: u64,
    /// It was filled from the disk, or there is no disk to fill it from.
    pub open: bool,
    /// Its end was asked for and is on its way.
    expected: bool,
    /// The disk has more before it.
    pub older: bool,
    /// The disk has more after it.
    pub newer: bool,
    /// The first line that was not read when the conversation was opened.
    pub first_unread: Option<u64>,
    /// Its message's id: the line may be read again from the disk.
    divided: Option<String>,
}

impl Window {
    /// The lines, oldest first.
    pub fn lines(&self) -> &VecDeque<Line> {
        &self.lines
    }

    /// Where a line is.
    pub fn index(&self, key: u64) -> Option<usize> {
        // Not by halves: lines that are put before others get higher keys.
        self.lines.iter().position(|l| l.key == key)
    }

    /// A line by its key.
    pub fn line(&self, key: u64) -> Option<&Line> {
        self.lines.iter().find(|l| l.key == key)
    }

    fn make(&mut self, n: Option<i64>, message: Message, state: State) -> Line {
        self.next_key += 1;
        Line {
            key: self.next_key,
            n,
            message,
            state,
        }
    }

    /// A message at the end, now. If the stretch does not reach the end, the disk has it for later.
    pub(super) fn push(&mut self, message: Message, state: State) {
        if !self.expected && (!self.open || self.newer) {
            return;
        }
        let again = |l: &&mut Line| l.message.outgoing && l.message.id == message.id;
        match self.lines.iter_mut().rev().find(again) {
            // A file has an address now.
            Some(line) if message.outgoing && message.more.file.is_some() => line.message = message,
            Some(_) if message.outgoing => {}
            _ => {
                let line = self.make(None, message, state);
                self.lines.push_back(line);
            }
        }
    }

    /// Forgets what is too much, at the old end; `memory`: so many lines are all that there is of it.
    pub(super) fn trim(&mut self, memory: Option<usize>) {
        while self.lines.len() > memory.unwrap_or(LINES) {
            self.lines.pop_front();
            self.older |= memory.is_none();
        }
    }

    /// The end of the conversation is asked for: what is said until it comes stands behind it.
    pub fn expect(&mut self) {
        self.expected = true;
    }

    /// Begins anew with the end of the conversation.
    pub fn newest(&mut self, page: Vec<Kept>, older: bool, unread: usize) {
        // What was said while it was fetched may not be in it.
        let begins = page.first().map_or(i64::MIN, |k| k.message.time_ms);
        let in_page = |l: &Line| {
            let mut page = page.iter().map(|k| &k.message);
            page.any(|m| m.id == l.message.id && m.outgoing == l.message.outgoing)
        };
        let under_way: Vec<Line> = self
            .lines
            .drain(..)
            .filter(|l| l.n.is_none() && l.message.time_ms >= begins && !in_page(l))
            .collect();
        self.expected = false;
        let divided = self.divided.take();
        self.fill(page, older, false);
        self.lines.extend(under_way);
        self.divide(unread);
        if unread == 0
            && let Some(id) = divided
        {
            let same = |l: &&Line| !l.message.outgoing && l.message.id == id;
            self.first_unread = self.lines.iter().find(same).map(|l| l.key);
            self.divided = Some(id);
        }
    }

    /// What is here may lack something, or stand in another order than on the disk: it is read again when it is
    /// looked at.
    pub fn close(&mut self) {
        self.lines.clear();
        (self.open, self.first_unread) = (false, None);
    }

    /// Says how many messages of the other side, counted from the end, were not read.
    pub fn divide(&mut self, unread: usize) {
        let others = self.lines.iter().rev().filter(|l| !l.message.outgoing);
        let first = match unread {
            0 => None,
            unread => others.take(unread).last(),
        };
        self.divided = first.map(|l| l.message.id.clone());
        self.first_unread = first.map(|l| l.key);
    }

    /// Begins anew with a stretch from the middle.
    pub fn middle(&mut self, page: Vec<Kept>, older: bool, newer: bool) {
        self.lines.clear();
        self.first_unread = None;
        self.fill(page, older, newer);
    }

    fn fill(&mut self, page: Vec<Kept>, older: bool, newer: bool) {
        (self.open, self.older, self.newer) = (true, older, newer);
        for kept in page {
            let line = self.make(Some(kept.n), kept.message, kept.state);
            self.lines.push_back(line);
        }
    }

    /// Puts a page before the stretch; `older`: there is more before it.
    pub fn before(&mut self, page: Vec<Kept>, older: bool) {
        self.older = older;
        let page = self.unknown(page);
        for kept in page.into_iter().rev() {
            let line = self.make(Some(kept.n), kept.message, kept.state);
            self.lines.push_front(line);
        }
        while self.lines.len() > LINES {
            self.lines.pop_back();
            self.newer = true;
        }
    }

    /// Puts a page after the stretch; `newer`: there is more after it.
    pub fn after(&mut self, page: Vec<Kept>, newer: bool) {
        self.newer = newer;
        for kept in self.unknown(page) {
            let line = self.make(Some(kept.n), kept.message, kept.state);
            self.lines.push_back(line);
        }
        self.trim(None);
    }

    /// What of a page is not here yet. Places may have moved since they were asked about, so that a page overlaps.
    fn unknown(&self, page: Vec<Kept>) -> Vec<Kept> {
        let known = |kept: &Kept| {
            let same = |l: &&Line| {
                l.message.id == kept.message.id
                    && l.message.outgoing == kept.message.outgoing
                    && l.message.text == kept.message.text
            };
            let edge = page.len();
            let front = self.lines.iter().take(edge).find(same);
            front
                .or_else(|| self.lines.iter().rev().take(edge).find(same))
                .is_some()
        };
        let new: Vec<bool> = page.iter().map(|kept| !known(kept)).collect();
        let mut new = new.into_iter();
        page.into_iter()
            .filter(|_| new.next() == Some(true))
            .collect()
    }

    /// The place on the disk from which an older page ends.
    pub fn oldest_n(&self) -> Option<i64> {
        self.lines.iter().find_map(|l| l.n)
    }

    /// The place on the disk after which a newer page begins.
    pub fn newest_n(&self) -> Option<i64> {
        self.lines.iter().rev().find_map(|l| l.n)
    }

    /// A message has a new form.
    pub(super) fn change(&mut self, message: &Message) {
        let same =
            |l: &&mut Line| l.message.outgoing == message.outgoing && l.message.id == message.id;
        if let Some(line) = self.lines.iter_mut().rev().find(same) {
            line.message.clone_from(message);
        }
    }

    /// A message of ours has come further; `false`: it is not in this stretch.
    pub(super) fn advance(&mut self, id: &str, state: &State) -> bool {
        let ours = |l: &&mut Line| l.message.outgoing && l.message.id == id;
        match self.lines.iter_mut().rev().find(ours) {
            Some(line) => {
                line.state = state.clone();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(n: i64) -> Kept {
        Kept {
            n,
            message: said(&n.to_string(), false),
            state: State::Sent,
        }
    }

    fn said(id: &str, outgoing: bool) -> Message {
        Message {
            peer: "b@x".into(),
            outgoing,
            id: id.into(),
            text: id.into(),
            time_ms: 0,
            delayed: false,
            ..Message::default()
        }
    }

    fn ids(window: &Window) -> Vec<&str> {
        let ids = window.lines.iter().map(|l| l.message.id.as_str());
        ids.collect()
    }

    #[test]
    fn pages_join_at_both_ends_and_what_was_just_said_is_kept() {
        let mut window = Window::default();
        window.push(said("early", true), State::Queued);
        assert!(ids(&window).is_empty(), "nothing before it is open");
        window.expect();
        window.push(said("meanwhile", true), State::Queued);
        window.newest(Vec::new(), false, 0);
        assert_eq!(ids(&window), ["meanwhile"]);
        assert!(window.advance("meanwhile", &State::Sent));
        let mut page: Vec<Kept> = (10..13).map(kept).collect();
        window.newest(page.clone(), true, 2);
        assert_eq!(ids(&window), ["10", "11", "12", "meanwhile"]);
        page[2].message = said("meanwhile", true);
        window.newest(page, true, 2);
        assert_eq!(ids(&window), ["10", "11", "meanwhile"]);
        window.newest((10..13).map(kept).collect(), true, 2);
        window.push(said("mine", true), State::Queued);
        window.push(said("mine", true), State::Queued);
        assert_eq!(ids(&window), ["10", "11", "12", "mine"]);
        let unread = window.first_unread.unwrap();
        assert_eq!(window.line(unread).unwrap().message.id, "11");
        window.before((7..10).map(kept).collect(), false);
        assert_eq!(window.oldest_n(), Some(7));
        window.newest((10..13).map(kept).collect(), true, 0);
        assert_eq!(ids(&window), ["10", "11", "12", "mine"]);
        assert!(window.advance("mine", &State::Sent));
        window.middle((3..5).map(kept).collect(), true, true);
        window.push(said("now", false), State::Sent);
        window.after((5..7).map(kept).collect(), false);
        assert_eq!(ids(&window), ["3", "4", "5", "6"]);
        assert_eq!(window.newest_n(), Some(6));
    }

    #[test]
    fn memory_is_bounded_at_the_end_that_is_not_looked_at() {
        let mut window = Window::default();
        window.newest((0..10).map(kept).collect(), true, 0);
        for page in 1..=LINES as i64 / 10 {
            window.before((-10 * page..-10 * page + 10).map(kept).collect(), true);
        }
        assert_eq!(window.lines.len(), LINES);
        assert!(window.newer);
        let newest = window.newest_n().unwrap();
        window.after(vec![kept(newest + 1)], true);
        assert_eq!((window.lines.len(), window.older), (LINES, true));
    }
}
