//! What is done to a message: it is answered, edited, taken back, reacted to; and telling that one types.

use super::{App, Effect};
use crate::commands::{Act, Place as Talk};
use crate::composer::Composer;
use crate::emoji;
use crate::i18n::fill;
use liao_client::{Command, Message, Peer, Reply, random_id};

/// What the words under way are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An answer to a message.
    Reply,
    /// Other words for it.
    Edit,
    /// Signs for it.
    React,
}

/// The words under way are about a message.
pub struct About {
    what: What,
    message: Message,
}

impl App {
    /// What stands above the words under way.
    pub fn about_words(&self) -> Option<String> {
        let about = self.about.as_ref()?;
        let words = match about.what {
            What::Reply => self.words.about_reply,
            What::Edit => self.words.about_edit,
            What::React => self.words.about_react,
        };
        Some(fill(words, &[&self.one_line(&about.message)]))
    }

    /// The next words are about the selected message.
    pub(super) fn begin_about(&mut self, what: What) {
        if let Some((_, (message, _))) = self.selected_message() {
            self.about_message(what, message);
        }
    }

    fn about_message(&mut self, what: What, message: Message) {
        if self.talk == Talk::Sockets
            || message.more.recalled
            || (what == What::Edit && (!message.outgoing || message.more.file.is_some()))
        {
            return self.say(self.words.nothing_to_change);
        }
        self.chat.selected = None;
        if what == What::Edit {
            self.composer = Composer::with(&message.text);
        }
        self.about = Some(About { what, message });
    }

    /// The words under way are only words again.
    pub(super) fn drop_about(&mut self) {
        if self.about.take().is_some_and(|a| a.what == What::Edit) {
            self.composer.take();
        }
    }

    /// The newest message of ours, or of the other side.
    fn newest(&self, outgoing: bool) -> Option<Message> {
        self.newest_like(|m| m.outgoing == outgoing && !m.more.recalled)
    }

    /// The newest message of which something is true.
    pub(super) fn newest_like(&self, fits: impl Fn(&Message) -> bool) -> Option<Message> {
        let person = self.model.people.get(self.open.as_ref()?)?;
        let mut lines = person.window.lines().iter().rev().map(|l| &l.message);
        lines.find(|m| fits(m)).cloned()
    }

    /// Other words for what we said last.
    pub(super) fn edit_last(&mut self) {
        match self.newest(true) {
            Some(message) => self.about_message(What::Edit, message),
            None => self.say(self.words.nothing_to_change),
        }
    }

    /// Takes the selected message back.
    pub(super) fn recall(&mut self) {
        match self.selected_message() {
            Some((to, (message, _))) if message.outgoing && self.talk == Talk::Account => {
                self.chat.selected = None;
                let of = message.id;
                self.effects
                    .push(Effect::Command(Command::Recall { to, of }));
            }
            _ => self.say(self.words.nothing_to_change),
        }
    }

    /// The words under way are done, and about a message; `false`: they are not.
    pub(super) fn finish_about(&mut self) -> bool {
        let Some(about) = self.about.take() else {
            return false;
        };
        let words = self.composer.take();
        self.do_about(about.what, about.message, words);
        true
    }

    fn do_about(&mut self, what: What, message: Message, words: String) {
        let (to, of) = (message.peer.clone(), message.id.clone());
        match what {
            What::React => {
                let outgoing = message.outgoing;
                let sign = |word: &str| match word.strip_prefix(':') {
                    Some(code) => emoji::complete(code).unwrap_or(word).to_owned(),
                    None => word.to_owned(),
                };
                let emojis = words.split_whitespace().map(sign).collect();
                let react = Command::React {
                    to,
                    outgoing,
                    of,
                    emojis,
                };
                self.effects.push(Effect::Command(react));
            }
            _ if words.trim().is_empty() => self.say(self.words.empty_line),
            What::Edit => {
                let edit = Command::Edit {
                    to,
                    of,
                    text: words,
                };
                self.effects.push(Effect::Command(edit));
            }
            What::Reply => self.reply(message, words),
        }
    }

    fn reply(&mut self, to: Message, words: String) {
        let id = random_id();
        let mut message = Message {
            peer: to.peer.clone(),
            outgoing: true,
            id: id.clone(),
            text: words.clone(),
            time_ms: self.now_ms,
            ..Message::default()
        };
        message.more.reply = Some(Reply {
            id: to.id.clone(),
            to: None,
            quote: to.text,
        });
        self.said(&message);
        let (to, of) = (to.peer, to.id);
        let reply = Command::Reply {
            id,
            to,
            text: words,
            of,
        };
        self.effects.push(Effect::Command(reply));
    }

    /// A command about the newest messages, or about somebody.
    pub(super) fn do_act(&mut self, act: Act) {
        let (ours, theirs) = (self.newest(true), self.newest(false));
        let open = self.open.clone();
        match (act, ours, theirs) {
            (Act::Block(name, block), ..) => self.with(&name, |app, peer| {
                app.effects.push(Effect::Command(match block {
                    true => Command::Block { peer },
                    false => Command::Unblock { peer },
                }));
            }),
            (Act::File(path), ..) => self.give(&crate::os::path(&path), false),
            (Act::SaveFile, ..) => self.save_newest(),
            (Act::StopFiles, ..) => self.stop_files(),
            (act @ (Act::Name(..) | Act::Groups(..)), ..) => self.rearrange(&act),
            (Act::Nudge, ..) => match open {
                Some(to) => self.effects.push(Effect::Command(Command::Nudge { to })),
                None => self.wrong(self.words.to_whom),
            },
            (Act::Edit(words), Some(ours), _) => self.do_about(What::Edit, ours, words),
            (Act::Recall, Some(ours), _) => {
                let (to, of) = (ours.peer, ours.id);
                self.effects
                    .push(Effect::Command(Command::Recall { to, of }));
            }
            (Act::Reply(words), _, Some(theirs)) => self.do_about(What::Reply, theirs, words),
            (Act::React(sign), _, Some(theirs)) => {
                self.do_about(What::React, theirs, sign.unwrap_or_default());
            }
            _ => self.wrong(self.words.nothing_to_change),
        }
    }

    /// Goes to the message that the selected one answers.
    pub(super) fn go_to_quoted(&mut self) {
        let Some((_, (message, _))) = self.selected_message() else {
            return;
        };
        let Some(reply) = message.more.reply else {
            return self.say(self.words.no_quote_here);
        };
        self.chat.came_from.push(message.id);
        self.go_to_message(reply.id);
    }

    /// Goes back to the answer.
    pub(super) fn go_back(&mut self) {
        match self.chat.came_from.pop() {
            Some(id) => self.go_to_message(id),
            None => self.say(self.words.nothing_to_return_to),
        }
    }

    fn go_to_message(&mut self, id: String) {
        let Some(peer) = self.open.clone() else {
            return;
        };
        let window = self.model.window(&peer);
        let line = window.lines().iter().rev().find(|l| l.message.id == id);
        match line.map(|l| l.key) {
            Some(key) => {
                self.chat.selected = Some(key);
                self.reveal();
            }
            None => self.effects.push(Effect::Find(peer, id)),
        }
    }

    /// The disk says where it is.
    pub(super) fn placed(&mut self, peer: &Peer, n: Option<i64>) {
        if self.open.as_ref() != Some(peer) {
            return;
        }
        match n {
            Some(n) => self.jump(peer, n),
            None => {
                self.chat.came_from.pop();
                self.say(self.words.quoted_not_here);
            }
        }
    }

    /// A friend's name or groups.
    fn rearrange(&mut self, act: &Act) {
        let (Act::Name(name, _) | Act::Groups(name, _)) = act else {
            return;
        };
        self.with(name, |app, peer| {
            let person = app.model.people.get(&peer).filter(|p| p.is_contact());
            let command = person.and_then(|p| act.arranges(p.contact.clone()));
            match command {
                Some(command) => app.effects.push(Effect::Command(command)),
                None => app.wrong(fill(app.words.not_a_friend, &[&peer])),
            }
        });
    }

    /// Tells the other side when we begin to type, and when we stop without saying anything (XEP-0085).
    pub(super) fn tell_typing(&mut self) {
        let text = self.composer.text();
        let types = self.talk == Talk::Account && !text.trim().is_empty() && !text.starts_with('/');
        let now: Option<Peer> = self.open.clone().filter(|_| types);
        if now == self.told_typing {
            return;
        }
        for (peer, composing) in [(self.told_typing.take(), false), (now.clone(), true)] {
            if let Some(to) = peer {
                self.effects
                    .push(Effect::Command(Command::Typing { to, composing }));
            }
        }
        self.told_typing = now;
    }
}
