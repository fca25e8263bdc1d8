//! Who is there, and what can be done: the lists that a command of the plain form shows.

use super::View;
use crate::commands;
use crate::i18n::Lang;
use crate::text;

impl View {
    pub(super) fn who(&self) {
        let people = self.model.list();
        if people.is_empty() {
            self.say(if self.options.sockets {
                self.words.nobody_listed
            } else {
                self.words.no_friends
            });
        }
        for person in people {
            let peer = &person.contact.peer;
            let state = match (person.requests, person.available, person.show) {
                (true, ..) => self.words.asks_friend,
                (_, true, None) => self.words.here,
                (_, true, Some(_)) => self.words.away,
                _ if person.contact.asked => self.words.asked_friend,
                _ => self.words.not_here,
            };
            let mark = if self.current.as_ref() == Some(peer) {
                ">"
            } else {
                " "
            };
            let name = self.model.name(peer);
            let address = match &person.contact.groups[..] {
                [address] if self.options.sockets => address,
                _ => peer,
            };
            let address = if name == address {
                String::new()
            } else {
                format!("  {address}")
            };
            let status = person
                .status
                .as_ref()
                .map_or(String::new(), |s| format!("  {s}"));
            self.say(&format!("{mark} {name}{address}  {state}{status}"));
        }
    }

    pub(super) fn help(&self) {
        self.say(self.words.line_help);
        let place = self.place();
        let rows = commands::ALL.iter();
        for row in rows.filter(|r| r.fits(place, commands::Form::Plain)) {
            let other = match self.words.lang {
                Lang::En => row.names[1],
                Lang::Zh => row.names[0],
            };
            let (usage, other) = (text::pad(&row.usage(self.words), 42), text::pad(other, 8));
            self.say(&format!("{usage} /{other} {}", (row.what)(self.words)));
        }
    }
}
