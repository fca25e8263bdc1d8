//! The list: conversations, or friends by groups, with a cursor that stays on whom it is on.

use super::{App, Effect, Focus};
use crate::commands::Place as Talk;
use crate::i18n::fill;
use liao_client::{Command, Peer, Person};
use std::collections::{BTreeMap, HashSet};

/// What the list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tab {
    /// Conversations, the most recent first.
    #[default]
    Chats,
    /// Friends by groups.
    Friends,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Somebody.
    Person(Peer),
    /// A group of friends: name, online, all.
    Group(String, usize, usize),
}

impl Row {
    /// The same thing, whatever its counts are.
    fn same(&self, other: &Row) -> bool {
        match (self, other) {
            (Row::Person(a), Row::Person(b)) => a == b,
            (Row::Group(a, ..), Row::Group(b, ..)) => a == b,
            _ => false,
        }
    }
}

/// How the list is looked at.
#[derive(Debug, Default)]
pub struct List {
    /// What it shows.
    pub tab: Tab,
    /// The rows, as they are now.
    pub rows: Vec<Row>,
    /// People in the order of the conversations, for the keys that count them.
    pub chats: Vec<Peer>,
    /// The row of the cursor.
    pub at: usize,
    /// Folded groups.
    pub folded: HashSet<String>,
    /// The rows no longer fit the model.
    pub stale: bool,
}

impl App {
    /// Makes the rows anew if they no longer fit; the cursor stays on whom it was on.
    pub fn arrange(&mut self) {
        if !self.list.stale {
            return;
        }
        // At the top it stays at the top, where the news are.
        let before = self.list.rows.get(self.list.at).cloned();
        let before = before.filter(|_| self.list.at > 0);
        let all = self.model.list();
        let (asking, others): (Vec<&Person>, Vec<&Person>) =
            all.into_iter().partition(|p| p.requests);
        let order = asking.iter().chain(&others);
        let chats: Vec<Peer> = order.map(|p| p.contact.peer.clone()).collect();
        self.list.rows = match self.list.tab {
            Tab::Chats => chats.iter().cloned().map(Row::Person).collect(),
            Tab::Friends => self.by_groups(&asking),
        };
        self.list.chats = chats;
        self.list.stale = false;
        let found = before.and_then(|b| self.list.rows.iter().position(|r| r.same(&b)));
        self.list.at = found
            .unwrap_or(self.list.at)
            .min(self.list.rows.len().saturating_sub(1));
    }

    fn by_groups(&self, asking: &[&Person]) -> Vec<Row> {
        let mut groups: BTreeMap<&str, Vec<&Person>> = BTreeMap::new();
        for person in self.model.people.values().filter(|p| p.is_contact()) {
            for group in &person.contact.groups {
                groups.entry(group).or_default().push(person);
            }
            if person.contact.groups.is_empty() {
                groups.entry("").or_default().push(person);
            }
        }
        let mut rows: Vec<Row> = asking
            .iter()
            .map(|p| Row::Person(p.contact.peer.clone()))
            .collect();
        for (name, mut people) in groups {
            let online = people.iter().filter(|p| p.available).count();
            rows.push(Row::Group(name.to_owned(), online, people.len()));
            if self.list.folded.contains(name) {
                continue;
            }
            people.sort_by_cached_key(|p| {
                (
                    !p.available,
                    self.model.name(&p.contact.peer).to_lowercase(),
                )
            });
            rows.extend(people.iter().map(|p| Row::Person(p.contact.peer.clone())));
        }
        rows
    }

    /// Who is under the cursor.
    pub(super) fn under_cursor(&self) -> Option<Peer> {
        match self.list.rows.get(self.list.at)? {
            Row::Person(peer) => Some(peer.clone()),
            Row::Group(..) => None,
        }
    }

    /// Who is under the cursor asks to be a friend.
    pub fn asks(&self) -> bool {
        let peer = self.under_cursor();
        peer.is_some_and(|p| self.model.people.get(&p).is_some_and(|p| p.requests))
    }

    pub(super) fn list_move(&mut self, by: isize) {
        let last = self.list.rows.len().saturating_sub(1);
        self.list.at = self.list.at.saturating_add_signed(by).min(last);
    }

    pub(super) fn list_open(&mut self) {
        match self.list.rows.get(self.list.at).cloned() {
            Some(Row::Person(peer)) => self.show(&peer),
            Some(Row::Group(name, ..)) => {
                let folded = self.list.folded.contains(&name);
                self.fold(!folded);
            }
            None => {}
        }
    }

    /// Folds the group of the row under the cursor, or unfolds it.
    pub(super) fn fold(&mut self, fold: bool) {
        let up = self
            .list
            .rows
            .get(..=self.list.at)
            .unwrap_or_default()
            .iter()
            .enumerate()
            .rev();
        let mut groups = up.filter_map(|(at, row)| match row {
            Row::Group(name, ..) => Some((at, name.clone())),
            Row::Person(_) => None,
        });
        let Some((at, name)) = groups.next() else {
            return;
        };
        if fold {
            self.list.folded.insert(name);
            self.list.at = at;
        } else {
            self.list.folded.remove(&name);
        }
        self.list.stale = true;
        let mut folded: Vec<&str> = self.list.folded.iter().map(String::as_str).collect();
        folded.sort_unstable();
        let folded = folded.join("\n");
        self.effects.push(Effect::Prefer("folded", folded));
    }

    /// Groups that were folded when the program ended.
    pub(super) fn set_folded(&mut self, kept: &str) {
        self.list.folded = kept.split('\n').map(str::to_owned).collect();
        self.list.stale = true;
    }

    pub(super) fn next_tab(&mut self) {
        if self.talk == Talk::Sockets {
            return;
        }
        self.list.tab = match self.list.tab {
            Tab::Chats => Tab::Friends,
            Tab::Friends => Tab::Chats,
        };
        self.list.at = 0;
        self.list.stale = true;
    }

    pub(super) fn pin(&mut self, peer: &Peer) {
        if self.talk == Talk::Sockets {
            return;
        }
        let Some(person) = self.model.people.get_mut(peer) else {
            return;
        };
        person.pinned = !person.pinned;
        let (pinned, name) = (person.pinned, self.model.name(peer).to_owned());
        let words = if pinned {
            self.words.pinned_now
        } else {
            self.words.unpinned_now
        };
        self.say(fill(words, &[&name]));
        self.list.stale = true;
        self.effects.push(Effect::Pinned(peer.clone(), pinned));
    }

    pub(super) fn mute(&mut self, peer: &Peer) {
        if self.talk == Talk::Sockets {
            return;
        }
        let Some(person) = self.model.people.get_mut(peer) else {
            return;
        };
        person.muted = !person.muted;
        let (muted, name) = (person.muted, self.model.name(peer).to_owned());
        let words = if muted {
            self.words.muted_now
        } else {
            self.words.unmuted_now
        };
        self.say(fill(words, &[&name]));
        self.effects.push(Effect::Muted(peer.clone(), muted));
    }

    /// Answers a friend request.
    pub(super) fn answer(&mut self, peer: &Peer, accept: bool) {
        let to = peer.clone();
        self.effects
            .push(Effect::Command(Command::Answer { to, accept }));
        if let Some(person) = self.model.people.get_mut(peer) {
            person.requests = false;
        }
        if !accept
            && self
                .model
                .people
                .get(peer)
                .is_some_and(|p| !p.talked() && !p.is_contact())
        {
            self.model.drop_person(peer);
        }
        self.list.stale = true;
        let words = if accept {
            self.words.accepted
        } else {
            self.words.declined
        };
        let name = self.model.name(peer).to_owned();
        self.say(fill(words, &[&name]));
    }

    /// The next conversation with something unread; from the one on the screen on, around.
    pub(super) fn next_unread(&mut self) {
        let unread = |p: &Peer| self.model.people.get(p).is_some_and(|p| p.unread > 0);
        let here = self
            .open
            .as_ref()
            .and_then(|o| self.list.chats.iter().position(|p| p == o));
        let count = self.list.chats.len();
        let next = (1..=count).map(|step| (here.map_or(count - 1, |h| h) + step) % count);
        let found = next
            .map(|i| &self.list.chats[i])
            .find(|p| unread(p))
            .cloned();
        match found {
            Some(peer) => self.show(&peer),
            None => self.say(self.words.no_unread),
        }
    }

    /// The conversation so many places further.
    pub(super) fn neighbour(&mut self, by: isize) {
        let here = self
            .open
            .as_ref()
            .and_then(|o| self.list.chats.iter().position(|p| p == o));
        let next = match here {
            Some(here) => here.checked_add_signed(by),
            None => Some(0),
        };
        if let Some(peer) = next.and_then(|n| self.list.chats.get(n)).cloned() {
            self.show(&peer);
        }
    }

    /// Brings the list forward.
    pub(super) fn show_list(&mut self) {
        self.focus = Focus::List;
        if let Some(open) = &self.open {
            let here = self
                .list
                .rows
                .iter()
                .position(|r| matches!(r, Row::Person(p) if p == open));
            self.list.at = here.unwrap_or(self.list.at);
        }
    }
}
