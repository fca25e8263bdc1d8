//! One of many: the switcher (everyone, by a few letters) and the search (messages, by their words).

use super::{App, Effect, Overlay};
use crate::composer::Composer;
use crate::fuzzy;
use liao_client::{Kept, Peer};

/// Rows that a choice offers at most; whoever is not among them needs another letter.
const OFFERED: usize = 200;

/// What is chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// People.
    Switch,
    /// Messages of this conversation.
    SearchHere,
    /// Messages of all conversations.
    SearchAll,
}

/// A row to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Somebody.
    Person(Peer),
    /// A message.
    Message(Box<Kept>),
}

/// A choice under way.
pub struct Choice {
    /// From what.
    pub kind: Kind,
    /// The letters.
    pub input: Composer,
    /// What fits them.
    pub found: Vec<Found>,
    /// The row of the cursor.
    pub at: usize,
}

impl App {
    /// Opens the switcher.
    pub(super) fn switcher(&mut self) {
        self.choose_from(Kind::Switch, "");
    }

    /// Opens the search.
    pub(super) fn search(&mut self, words: &str) {
        let here = self.open.is_some() && self.focus == super::Focus::Chat;
        let kind = if here {
            Kind::SearchHere
        } else {
            Kind::SearchAll
        };
        self.choose_from(kind, words);
    }

    fn choose_from(&mut self, kind: Kind, words: &str) {
        self.chat.selected = None;
        self.overlay = Some(Overlay::Choice(Choice {
            kind,
            input: Composer::with(words),
            found: Vec::new(),
            at: 0,
        }));
        self.look();
    }

    /// Looks for what the letters say.
    pub(super) fn look(&mut self) {
        let Some(Overlay::Choice(choice)) = &self.overlay else {
            return;
        };
        let letters = choice.input.text().trim().to_owned();
        match choice.kind {
            Kind::Switch => {
                let found = self.people_like(&letters);
                self.offer(found);
            }
            _ if letters.is_empty() => self.offer(Vec::new()),
            kind if self.model.only_memory() => {
                let found = self.said_like(&letters, kind);
                self.offer(found);
            }
            kind => {
                let peer = self.open.clone().filter(|_| kind == Kind::SearchHere);
                self.effects.push(Effect::Search(peer, letters));
            }
        }
    }

    fn people_like(&self, letters: &str) -> Vec<Found> {
        let mut fitting: Vec<(i64, usize, &Peer)> = Vec::new();
        for (place, peer) in self.list.chats.iter().enumerate() {
            let name = self.model.name(peer);
            let by_name = fuzzy::fits(letters, name);
            // A name counts more than an address, which has too many letters to fit them loosely.
            let by_address = peer.contains(letters).then_some(-20);
            if let Some(score) = by_name.max(by_address) {
                fitting.push((-score, place, peer));
            }
        }
        if !letters.is_empty() {
            fitting.sort_unstable();
        }
        let people = fitting.into_iter().take(OFFERED);
        people
            .map(|(_, _, peer)| Found::Person(peer.clone()))
            .collect()
    }

    fn said_like(&self, letters: &str, kind: Kind) -> Vec<Found> {
        let wanted = letters.to_lowercase();
        let people = self
            .model
            .people
            .values()
            .filter(|p| kind == Kind::SearchAll || self.open.as_ref() == Some(&p.contact.peer));
        let lines = people.flat_map(|p| p.window.lines());
        let fitting = lines.filter(|l| l.message.text.to_lowercase().contains(&wanted));
        let mut found: Vec<Kept> = fitting
            .map(|l| Kept {
                n: i64::try_from(l.key).unwrap_or(0),
                message: l.message.clone(),
                state: l.state.clone(),
            })
            .collect();
        found.sort_by_key(|k| std::cmp::Reverse(k.message.time_ms));
        found.truncate(OFFERED);
        found
            .into_iter()
            .map(|k| Found::Message(Box::new(k)))
            .collect()
    }

    fn offer(&mut self, found: Vec<Found>) {
        if let Some(Overlay::Choice(choice)) = &mut self.overlay {
            choice.found = found;
            choice.at = 0;
        }
    }

    /// The disk found messages.
    pub(super) fn found(&mut self, found: Vec<Kept>) {
        if let Some(Overlay::Choice(choice)) = &self.overlay
            && choice.kind != Kind::Switch
        {
            self.offer(
                found
                    .into_iter()
                    .map(|k| Found::Message(Box::new(k)))
                    .collect(),
            );
        }
    }

    /// Takes the row under the cursor.
    pub(super) fn take_choice(&mut self) {
        let Some(Overlay::Choice(choice)) = &self.overlay else {
            return;
        };
        match choice.found.get(choice.at).cloned() {
            Some(Found::Person(peer)) => self.show(&peer),
            Some(Found::Message(kept)) => {
                let peer = kept.message.peer.clone();
                if self.model.only_memory() {
                    self.show(&peer);
                    self.chat.selected = u64::try_from(kept.n).ok();
                    self.reveal();
                } else {
                    self.jump(&peer, kept.n);
                }
            }
            // An address that is nobody's yet can be written to.
            None if choice.kind == Kind::Switch && choice.input.text().contains('@') => {
                let peer = choice.input.text().trim().to_owned();
                self.show(&peer);
            }
            None => {}
        }
    }

    /// Between this conversation and all.
    pub(super) fn widen(&mut self) {
        let open = self.open.is_some();
        if let Some(Overlay::Choice(choice)) = &mut self.overlay {
            choice.kind = match choice.kind {
                Kind::SearchHere => Kind::SearchAll,
                Kind::SearchAll if open => Kind::SearchHere,
                kind => kind,
            };
            self.look();
        }
    }
}
