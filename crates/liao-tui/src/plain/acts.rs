//! What the plain form does beside saying something: to the last messages of the one who is talked to.

use super::View;
use super::show::Form;
use crate::commands::Act;
use crate::i18n::fill;
use crate::os;
use liao_client::{Command, Event, FileLink, random_id};
use std::time::Duration;
use tokio::time::Instant;

/// How often people are told of progress.
const PROGRESS: Duration = Duration::from_secs(3);

impl View {
    pub(super) fn act(&mut self, act: Act) {
        if let Act::Block(name, block) = act {
            return self.with(&name, |peer| match block {
                true => Command::Block { peer },
                false => Command::Unblock { peer },
            });
        }
        if let Act::Name(name, _) | Act::Groups(name, _) = &act {
            return self.rearrange(name, &act);
        }
        if act == Act::SaveFile {
            return self.save();
        }
        if act == Act::StopFiles {
            for id in std::mem::take(&mut self.files) {
                self.commands.push_back(Command::CancelFile { id });
            }
            return;
        }
        let Some(to) = self.current.clone() else {
            return self.wrong(self.words.to_whom);
        };
        let last = |ours: bool| self.latest.get(&(to.clone(), ours)).cloned();
        let (mine, theirs) = (last(true), last(false));
        let command = match (act, mine, theirs) {
            (Act::File(path), ..) => {
                let (id, path) = (random_id(), os::path(&path));
                self.on_the_way.insert(id.clone());
                self.files.push(id.clone());
                Command::SendFile { id, to, path }
            }
            (Act::Nudge, ..) => Command::Nudge { to },
            (Act::Edit(text), Some(of), _) => Command::Edit { to, of, text },
            (Act::Recall, Some(of), _) => Command::Recall { to, of },
            (Act::Reply(text), _, Some(of)) => return self.say_to(to, text, Some(of)),
            (Act::React(emoji), _, Some(of)) => Command::React {
                to,
                outgoing: false,
                of,
                emojis: emoji.into_iter().collect(),
            },
            _ => return self.wrong(self.words.nothing_to_change),
        };
        self.commands.push_back(command);
    }

    /// A friend's name or groups.
    fn rearrange(&mut self, name: &str, act: &Act) {
        let peer = match self.find(name) {
            Ok(peer) => peer,
            Err(why) => return self.wrong(&why),
        };
        let person = self.model.people.get(&peer).filter(|p| p.is_contact());
        match person.and_then(|p| act.arranges(p.contact.clone())) {
            Some(command) => self.commands.push_back(command),
            None => self.wrong(&fill(self.words.not_a_friend, &[&peer])),
        }
    }

    /// Fetches the last file of the one who is talked to.
    fn save(&mut self) {
        let file = self.current.as_ref().and_then(|to| self.given.get(to));
        let Some(file) = file.cloned() else {
            return self.wrong(self.words.no_file_here);
        };
        let (id, folder) = (random_id(), os::downloads());
        self.on_the_way.insert(id.clone());
        self.files.push(id.clone());
        self.commands
            .push_back(Command::SaveFile { id, file, folder });
    }

    /// What files bring with them.
    pub(super) fn file_event(&mut self, event: &Event) {
        match event {
            Event::Message(message) if !message.outgoing => {
                if let Some(file) = &message.more.file {
                    self.given
                        .insert(message.peer.clone(), FileLink::clone(file));
                }
            }
            Event::Saved { id, saved } => {
                self.failed |= saved.is_err();
                self.on_the_way.remove(id);
                self.files.retain(|file| file != id);
            }
            _ => {}
        }
    }

    /// People are told of progress now and then, programs of every step.
    pub(super) fn tells_progress(&mut self, done: u64, of: u64) -> bool {
        let due = self.progress_told.elapsed() >= PROGRESS || done == of;
        if due {
            self.progress_told = Instant::now();
        }
        due || self.screen.form == Form::Json
    }
}
