//! A conversation on the screen: which stretch is looked at, what is selected, what is said.

use super::{App, Effect, Focus, Notify};
use crate::commands::Place as Talk;
use crate::i18n::fill;
use crate::text;
use crate::view::message;
use liao_client::{Command, Kept, Message, Page, Peer, State, random_id};

/// Messages of one page from the disk.
pub const PAGE: usize = 200;
/// Unread messages that are read at once, so that the first of them can be shown.
const UNREAD: usize = 2_000;

/// The bottom of what is looked at: a line, and how many of its rows are below the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The line.
    pub key: u64,
    /// Its rows that are below the screen.
    pub below: usize,
}

/// How a conversation is looked at.
#[derive(Debug, Default)]
pub struct Chat {
    /// Scrolled back to here; `None`: at the end, and stays there.
    pub anchor: Option<Anchor>,
    /// The selected message.
    pub selected: Option<u64>,
    /// A page is on its way.
    pub loading: bool,
    /// The message of this place is to be selected as soon as it is in memory.
    jump: Option<i64>,
    /// Answers from which we went to what they answer: their ids.
    pub(super) came_from: Vec<String>,
}

impl App {
    /// Opens a conversation.
    pub fn show(&mut self, peer: &Peer) {
        self.overlay = None;
        self.focus = Focus::Chat;
        if self.open.as_ref() == Some(peer) {
            return;
        }
        self.drop_about();
        self.keep_draft();
        self.composer = self.drafts.remove(peer).unwrap_or_default();
        self.open = Some(peer.clone());
        self.chat = Chat::default();
        let unread = self.model.people.get(peer).map_or(0, |p| p.unread);
        let window = self.model.window(peer);
        if window.open && !window.newer {
            window.divide(unread);
        } else {
            self.load(peer.clone(), Page::Newest, PAGE.max(unread.min(UNREAD)));
        }
        self.list.stale = true;
    }

    /// Puts what was begun aside.
    pub fn keep_draft(&mut self) {
        let Some(peer) = self.open.clone() else {
            return;
        };
        let composer = std::mem::take(&mut self.composer);
        let text = if composer.text().trim().is_empty() {
            ""
        } else {
            composer.text()
        };
        self.effects
            .push(Effect::Draft(peer.clone(), text.to_owned()));
        if text.is_empty() {
            self.drafts.remove(&peer);
        } else {
            self.drafts.insert(peer, composer);
        }
    }

    fn load(&mut self, peer: Peer, page: Page, count: usize) {
        if self.talk == Talk::Account {
            self.chat.loading = true;
            if page == Page::Newest {
                self.model.window(&peer).expect();
            }
            self.effects.push(Effect::Load(peer, page, count));
        }
    }

    /// Much was said while we were away: the disk has it in the archive's order.
    pub(super) fn caught_up(&mut self) {
        let open = self.open.clone();
        let others = self.model.people.iter_mut();
        others
            .filter(|(peer, _)| open.as_ref() != Some(peer))
            .for_each(|(_, person)| person.window.close());
        if let Some(peer) =
            open.filter(|_| self.chat.anchor.is_none() && self.chat.selected.is_none())
        {
            self.load(peer, Page::Newest, PAGE);
        }
    }

    /// A page came from the disk.
    pub(super) fn page(&mut self, peer: &Peer, page: Page, kept: Vec<Kept>, more: bool) {
        let here = self.open.as_ref() == Some(peer);
        let unread = self.model.people.get(peer).map_or(0, |p| p.unread);
        let window = self.model.window(peer);
        match page {
            Page::Newest => window.newest(kept, more, unread),
            Page::Before(n) if window.oldest_n() == Some(n) => window.before(kept, more),
            // A page after the last line begins with that line; any other is a stretch to jump into.
            Page::From(n) if window.newest_n() == Some(n) => {
                window.after(kept.into_iter().skip(1).collect(), more);
            }
            Page::From(_) => window.middle(kept, true, more),
            Page::Before(_) => {}
        }
        if here {
            self.chat.loading = false;
            self.land(peer);
        }
    }

    /// Selects the message to jump to, if it is in memory.
    fn land(&mut self, peer: &Peer) -> bool {
        let Some(n) = self.chat.jump else {
            return false;
        };
        let lines = self.model.window(peer).lines();
        let Some(at) = lines.iter().position(|l| l.n == Some(n)) else {
            return false;
        };
        let key = lines[at].key;
        self.chat.jump = None;
        self.chat.selected = Some(key);
        self.reveal();
        // What was said before it belongs on the screen, too.
        self.fetch(peer, at, -1);
        true
    }

    /// What is on the screen and looked at was read.
    pub(super) fn seen(&mut self) {
        let looking = self.looked_at
            && self.focus == Focus::Chat
            && self.overlay.is_none()
            && self.form.is_none();
        let Some(peer) = self
            .open
            .clone()
            .filter(|_| looking && self.chat.anchor.is_none())
        else {
            return;
        };
        let person = self.model.people.get(&peer);
        let ready = person.is_some_and(|p| p.window.open && !p.window.newer);
        if ready && person.is_some_and(|p| p.unread > 0 || p.failed > 0) {
            self.model.read(&peer);
            self.list.stale = true;
            self.effects.push(Effect::Read(peer));
        }
    }

    /// A message came; `first`: nothing else was unread.
    pub(super) fn arrived(&mut self, message: &Message, first: bool) {
        if message.outgoing {
            return;
        }
        self.typing.retain(|(who, _)| *who != message.peer);
        let here = self.open.as_ref() == Some(&message.peer) && self.focus == Focus::Chat;
        if here && first && !self.looked_at {
            self.model.window(&message.peer).divide(1);
        }
        if self.talk == Talk::Sockets {
            self.answerable(&message.peer);
        }
        let muted = self
            .model
            .people
            .get(&message.peer)
            .is_some_and(|p| p.muted);
        if muted || message.delayed || self.notify == Notify::Off || (here && self.looked_at) {
            return;
        }
        let name = text::one_line(self.model.name(&message.peer));
        let words = match self.notify {
            Notify::Hide => self.words.wrote.to_owned(),
            _ => text::fit(&self.one_line(message), 120),
        };
        if !here {
            self.say(format!("{name}: {}", text::fit(&words, 60)));
        }
        self.effects.push(Effect::Notify(name, words));
    }

    /// Somebody is there to whom the early lines can go.
    fn answerable(&mut self, peer: &Peer) {
        if self.open.is_none() {
            self.show(peer);
        }
        while let Some(text) = self.early.pop_front() {
            self.send(peer.clone(), text);
        }
    }

    /// Says something.
    pub(super) fn send(&mut self, to: Peer, text: String) {
        if text.trim().is_empty() {
            return self.say(self.words.empty_line);
        }
        let id = random_id();
        let message = Message {
            peer: to.clone(),
            outgoing: true,
            id: id.clone(),
            text: text.clone(),
            time_ms: self.now_ms,
            delayed: false,
            ..Message::default()
        };
        self.said(&message);
        self.effects.push(Effect::Command(Command::Send {
            id,
            to: to.clone(),
            text,
        }));
    }

    /// Shows what we say before anyone has taken it.
    pub(super) fn said(&mut self, message: &Message) {
        self.model.say(message);
        self.list.stale = true;
        if self.model.me.is_none() && self.talk == Talk::Account {
            self.say(self.words.kept);
        }
        // What is said ends the typing by itself.
        self.told_typing = self.told_typing.take().filter(|to| *to != message.peer);
        if self.open.as_ref() == Some(&message.peer) {
            self.go_to_end();
        }
    }

    /// Says what could not be said once more.
    pub(super) fn again(&mut self) {
        let Some((peer, line)) = self.selected_message() else {
            return;
        };
        if matches!(line.1, State::Failed { .. }) {
            self.chat.selected = None;
            if !self.give_again(&line.0) {
                self.send(peer, line.0.text);
            }
        } else {
            self.say(self.words.said_not_sent);
        }
    }

    /// For the first who calls, when nobody is there yet.
    pub(super) fn say_early(&mut self, text: String) {
        self.say(self.words.nobody_is_here);
        self.early.push_back(text);
    }

    /// The end of the conversation.
    pub(super) fn go_to_end(&mut self) {
        self.chat.anchor = None;
        let Some(peer) = self.open.clone() else {
            return;
        };
        let window = self.model.window(&peer);
        if window.newer {
            self.load(peer, Page::Newest, PAGE);
        }
    }

    fn heights(&self, peer: &Peer) -> impl Fn(usize) -> usize + '_ {
        let width = usize::from(self.areas().chat.width);
        let person = self.model.people.get(peer);
        move |index| person.map_or(0, |p| message::block(self, p, index, width).len())
    }

    /// Scrolls by rows, up when negative.
    pub(super) fn scroll(&mut self, by: isize) {
        let Some(peer) = self.open.clone() else {
            return;
        };
        let screen = usize::from(self.areas().chat.height);
        let Some(person) = self.model.people.get(&peer) else {
            return;
        };
        let lines = person.window.lines();
        if lines.is_empty() {
            return;
        }
        let height = self.heights(&peer);
        let anchor = self
            .chat
            .anchor
            .and_then(|a| Some((person.window.index(a.key)?, a.below)));
        let (mut at, mut below) = anchor.unwrap_or((lines.len() - 1, 0));
        let mut left = by.unsigned_abs();
        if by < 0 {
            while left > 0 {
                let rest = height(at).saturating_sub(below + 1);
                if rest >= left {
                    below += left;
                    break;
                }
                if at == 0 {
                    break;
                }
                left -= rest + 1;
                (at, below) = (at - 1, 0);
            }
            (at, below) = first_screen(&height, lines.len(), screen).max((at, usize::MAX - below));
            below = usize::MAX - below;
        } else {
            while left > 0 && (at, below) != (lines.len() - 1, 0) {
                if below >= left {
                    below -= left;
                    break;
                }
                left -= below + 1;
                if at + 1 == lines.len() {
                    below = 0;
                    break;
                }
                at += 1;
                below = height(at).saturating_sub(1);
            }
        }
        let key = lines[at].key;
        let end = (at, below) == (lines.len() - 1, 0) && !person.window.newer;
        drop(height);
        self.chat.anchor = (!end).then_some(Anchor { key, below });
        self.fetch(&peer, at, by);
    }

    /// Asks for the next page when the edge is near.
    fn fetch(&mut self, peer: &Peer, at: usize, by: isize) {
        let screen = usize::from(self.areas().chat.height);
        let window = self.model.window(peer);
        let (count, older, newer) = (window.lines().len(), window.older, window.newer);
        let (oldest, newest) = (window.oldest_n(), window.newest_n());
        if self.chat.loading {
            return;
        }
        if by < 0 && older && at < screen * 2 {
            // Without a place nothing was read from the disk yet.
            let page = oldest.map_or(Page::Newest, Page::Before);
            self.load(peer.clone(), page, PAGE);
        } else if by > 0
            && newer
            && at + screen >= count
            && let Some(n) = newest
        {
            self.load(peer.clone(), Page::From(n), PAGE);
        }
    }

    /// Scrolls so that the selected message is on the screen.
    pub(super) fn reveal(&mut self) {
        let (Some(peer), Some(key)) = (self.open.clone(), self.chat.selected) else {
            return;
        };
        let Some(person) = self.model.people.get(&peer) else {
            return;
        };
        let Some(wanted) = person.window.index(key) else {
            return;
        };
        let screen = usize::from(self.areas().chat.height);
        let lines = person.window.lines();
        let height = self.heights(&peer);
        let anchor = self
            .chat
            .anchor
            .and_then(|a| Some((person.window.index(a.key)?, a.below)));
        let (at, below) = anchor.unwrap_or((lines.len() - 1, 0));
        let anchor = if wanted >= at && !(wanted == at && below == 0) {
            Some((wanted, 0))
        } else {
            let rows: usize = (wanted..=at).map(&height).sum();
            if rows.saturating_sub(below) <= screen {
                return;
            }
            // At the top: as many lines below it as fit.
            let mut used = 0;
            let fitting = (wanted..lines.len()).take_while(|i| {
                used += height(*i);
                used <= screen
            });
            Some((fitting.last().unwrap_or(wanted), 0))
        };
        let end = anchor == Some((lines.len() - 1, 0)) && !person.window.newer;
        let anchor = anchor.map(|(at, below)| (lines[at].key, below, at));
        drop(height);
        let before = wanted < at;
        if let Some((key, below, at)) = anchor {
            self.chat.anchor = (!end).then_some(Anchor { key, below });
            self.fetch(
                &peer,
                if before { wanted } else { at },
                if before { -1 } else { 1 },
            );
        }
    }

    /// Moves the selection; from nothing to the newest message on the screen.
    pub(super) fn select(&mut self, by: isize) {
        let Some(peer) = self.open.clone() else {
            return;
        };
        let Some(person) = self.model.people.get(&peer) else {
            return;
        };
        let lines = person.window.lines();
        if lines.is_empty() {
            return;
        }
        let here = self.chat.selected.and_then(|key| person.window.index(key));
        let next = match here {
            Some(here) => here.checked_add_signed(by),
            None => match self.chat.anchor {
                Some(anchor) => person.window.index(anchor.key),
                None => Some(lines.len() - 1),
            },
        };
        match next {
            Some(next) if next >= lines.len() => self.chat.selected = None,
            Some(next) => self.chat.selected = Some(lines[next].key),
            None => {}
        }
        if let Some(next) = next {
            self.reveal();
            self.fetch(&peer, next, by);
        }
    }

    /// The selected message, and how far it has come.
    pub(super) fn selected_message(&self) -> Option<(Peer, (Message, State))> {
        let peer = self.open.clone()?;
        let line = self
            .model
            .people
            .get(&peer)?
            .window
            .line(self.chat.selected?)?;
        Some((peer, (line.message.clone(), line.state.clone())))
    }

    /// The first message that was not read.
    pub(super) fn first_unread(&mut self) {
        let Some(peer) = self.open.clone() else {
            return;
        };
        match self.model.window(&peer).first_unread {
            Some(key) => {
                self.chat.selected = Some(key);
                self.reveal();
            }
            None => self.say(self.words.no_unread),
        }
    }

    /// Shows a message that a search found.
    pub(super) fn jump(&mut self, peer: &Peer, n: i64) {
        self.show(peer);
        self.chat.jump = Some(n);
        // The page of the opening is answered before this one.
        if !self.land(peer) {
            self.load(peer.clone(), Page::From(n), PAGE);
        }
    }

    /// The words of a message in one line; of a file its name.
    pub fn one_line(&self, message: &Message) -> String {
        match &message.more.file {
            Some(file) => text::file(file),
            None => text::one_line(&message.text),
        }
    }

    /// What stands for a message in one line, and whose it is.
    pub fn preview(&self, message: &Message) -> String {
        let words = self.one_line(message);
        if message.outgoing {
            fill("{0}: {1}", &[self.words.me, &words])
        } else {
            words
        }
    }
}

/// The anchor at which the first row is at the screen's top, in the form that `scroll` compares: further up is smaller.
fn first_screen(height: &impl Fn(usize) -> usize, lines: usize, screen: usize) -> (usize, usize) {
    let mut used = 0;
    for at in 0..lines {
        let rows = height(at);
        if used + rows >= screen {
            return (at, usize::MAX - (used + rows - screen));
        }
        used += rows;
    }
    (lines - 1, usize::MAX)
}
