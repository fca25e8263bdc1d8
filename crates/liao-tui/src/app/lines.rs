//! Lines that were written: said, or done if they are commands.

use super::{App, Effect, Notify, Overlay};
use crate::commands::{self, Form, Line, Place as Talk};
use crate::i18n::fill;
use liao_client::{Command, Lookup, Peer};

impl App {
    /// The line in the composer is done.
    pub(super) fn enter(&mut self) {
        if self.finish_about() {
            return;
        }
        let text = self.composer.take();
        // Several lines are words, whatever the first begins with.
        let line = if text.contains('\n') {
            Line::Say(text)
        } else {
            commands::parse(&text, self.talk, Form::Screen, false)
        };
        self.line(line);
    }

    fn line(&mut self, line: Line) {
        if let Some(words) = commands::complaint(&line, self.words) {
            return self.wrong(words);
        }
        match line {
            Line::Say(text) => match self.open.clone() {
                Some(to) => self.send(to, text),
                None if self.talk == Talk::Sockets => self.say_early(text),
                None => {
                    self.composer.set(&text);
                    self.wrong(self.words.to_whom);
                }
            },
            Line::SayTo(name, text) => self.with(&name, |app, to| app.send(to, text)),
            Line::To(name) => self.with(&name, |app, to| app.show(&to)),
            Line::Who => self.show_list(),
            Line::Help => self.overlay = Some(Overlay::Help(0)),
            Line::Notices => self.overlay = Some(Overlay::Notices(0)),
            Line::Quit => self.quit(),
            Line::Book => {
                self.show_book = true;
                self.effects.push(Effect::Book);
            }
            Line::BookAdd(name, address) => {
                self.effects
                    .push(Effect::Command(Command::Book { name, address }));
                self.effects.push(Effect::Book);
            }
            Line::BookRemove(name) => {
                self.effects.push(Effect::Unbook(name));
                self.effects.push(Effect::Book);
            }
            Line::Befriend(to, name) => {
                self.effects.push(Effect::Command(Command::Befriend {
                    to,
                    name,
                    greeting: None,
                }));
            }
            Line::Answer(name, accept) => self.with(&name, |app, to| app.answer(&to, accept)),
            Line::Remove(name) => self.with(&name, |app, to| {
                app.effects
                    .push(Effect::Command(Command::Remove { to: to.clone() }));
                let words = fill(app.words.removed, &[app.model.name(&to)]);
                app.say(words);
            }),
            Line::Presence(show, status) => {
                self.presence = (show, status.clone());
                self.effects
                    .push(Effect::Command(Command::Presence { show, status }));
            }
            Line::Act(act) => self.do_act(act),
            Line::Search(words) => self.search(&words),
            Line::Pin => self.here(App::pin),
            Line::Mute => self.here(App::mute),
            Line::Theme(which) => self.set_theme(&which),
            Line::Notify(how) => self.set_notify(&how),
            Line::Mouse => {
                self.mouse = !self.mouse;
                let state = if self.mouse {
                    self.words.on
                } else {
                    self.words.off
                };
                self.say(fill(self.words.mouse_now, &[state]));
                self.effects.push(Effect::Mouse(self.mouse));
                let value = if self.mouse { "on" } else { "off" };
                self.effects.push(Effect::Prefer("mouse", value.to_owned()));
            }
            // The screen scrolls; what has no meaning here was complained about above.
            Line::History(_) | Line::Read(_) | Line::Unknown(_) | Line::Usage(_) => {}
        }
    }

    fn here(&mut self, act: impl FnOnce(&mut App, &Peer)) {
        match self.open.clone() {
            Some(peer) => act(self, &peer),
            None => self.wrong(self.words.to_whom),
        }
    }

    pub(super) fn with(&mut self, name: &str, act: impl FnOnce(&mut App, Peer)) {
        match self.find(name) {
            Ok(peer) => act(self, peer),
            Err(words) => self.wrong(words),
        }
    }

    /// Whom a name means: somebody here, the address book, or an address.
    fn find(&self, name: &str) -> Result<Peer, String> {
        let error = match self.model.lookup(name) {
            Ok(peer) => return Ok(peer),
            Err(error) => error,
        };
        let booked = self.book.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        if let Some((name, _)) = booked.filter(|_| self.talk == Talk::Sockets) {
            return Ok(name.clone());
        }
        let sign = if self.talk == Talk::Sockets { ':' } else { '@' };
        if name.contains(sign) && !self.single {
            return Ok(name.to_owned());
        }
        Err(self.lookup_words(&error))
    }

    pub(super) fn lookup_words(&self, error: &Lookup) -> String {
        lookup_words(error, self.words)
    }

    /// The address book was read.
    pub(super) fn booked(&mut self, book: Vec<(String, String)>) {
        self.book = book;
        if std::mem::take(&mut self.show_book) {
            if self.book.is_empty() {
                return self.say(self.words.book_empty);
            }
            let all: Vec<String> = self.book.iter().map(|(n, a)| format!("{n} {a}")).collect();
            for line in all {
                self.say(line);
            }
            self.overlay = Some(Overlay::Notices(0));
        }
    }

    fn set_theme(&mut self, which: &str) {
        self.theme.light = which == "light";
        self.say(fill(self.words.theme_now, &[which]));
        self.effects.push(Effect::Prefer("theme", which.to_owned()));
    }

    fn set_notify(&mut self, how: &str) {
        self.notify = Notify::from(how);
        self.say(fill(self.words.notify_now, &[how]));
        self.effects.push(Effect::Prefer("notify", how.to_owned()));
    }

    /// What the person chose on other days, by its name.
    pub fn restore(&mut self, preference: &dyn Fn(&str) -> Option<String>) {
        if let Some(theme) = preference("theme") {
            self.theme.light = theme == "light";
        }
        if let Some(how) = preference("notify") {
            self.notify = Notify::from(how.as_str());
        }
        if let Some(folded) = preference("folded") {
            self.set_folded(&folded);
        }
        self.mouse = preference("mouse").is_none_or(|m| m == "on");
    }

    /// The end, with a goodbye to whom one talks.
    pub(super) fn quit(&mut self) {
        let goodbye = self.open.clone().filter(|_| self.talk == Talk::Sockets);
        self.keep_draft();
        self.effects
            .push(Effect::Command(Command::Quit { goodbye }));
        self.effects.push(Effect::Quit);
    }
}

/// Why a name does not say whom, in words.
pub fn lookup_words(error: &Lookup, words: &crate::i18n::Words) -> String {
    match error {
        Lookup::Nobody(name) => fill(words.nobody_here, &[name]),
        Lookup::Several(name, all) => fill(words.several_called, &[name, &all.join(words.or)]),
    }
}
