//! Files in the screen: given, fetched, stopped, tried again.

use super::{App, Effect};
use crate::commands::Place as Talk;
use crate::i18n::fill;
use crate::text;
use liao_client::{Command, Event, FileLink, Message, State, random_id};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file under way.
pub struct Transfer {
    id: String,
    /// The message that it belongs to.
    of_message: String,
    done: u64,
    of: u64,
    speed: u64,
}

/// A file that we give, until it is said where it is.
struct Given {
    path: PathBuf,
    /// Only made to be given.
    ours: bool,
}

/// Files under way, and those that could be tried again.
#[derive(Default)]
pub struct Files {
    under_way: Vec<Transfer>,
    given: HashMap<String, Given>,
}

impl App {
    /// How far the file of a message is.
    pub fn transfer(&self, message: &Message) -> Option<String> {
        let all = &self.files.under_way;
        let transfer = all.iter().find(|t| t.of_message == message.id)?;
        let words = self.words;
        let key = self
            .keys
            .hint(crate::keys::Place::Message, crate::keys::Action::Stop);
        let progress = text::progress(transfer.done, transfer.of, transfer.speed, words);
        Some(format!("{progress}  {}", fill(words.stops_it, &[key])))
    }

    /// Gives the file to whom one talks; `ours`: it goes when it is given.
    pub(super) fn give(&mut self, path: &Path, ours: bool) {
        let Some(to) = self.open.clone() else {
            return self.wrong(self.words.to_whom);
        };
        let id = random_id();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = FileLink {
            name: name.clone().into_owned(),
            ..FileLink::default()
        };
        let mut message = Message {
            peer: to.clone(),
            outgoing: true,
            id: id.clone(),
            text: name.into_owned(),
            time_ms: self.now_ms,
            ..Message::default()
        };
        message.more.file = Some(Box::new(file));
        self.said(&message);
        self.begins(&id, &id);
        let path = path.to_owned();
        let given = Given {
            path: path.clone(),
            ours,
        };
        self.files.given.insert(id.clone(), given);
        let give = Command::SendFile { id, to, path };
        self.effects.push(Effect::Command(give));
    }

    fn begins(&mut self, id: &str, of_message: &str) {
        self.files.under_way.push(Transfer {
            id: id.to_owned(),
            of_message: of_message.to_owned(),
            done: 0,
            of: 0,
            speed: 0,
        });
    }

    /// Gives a file that could not be given once more; `false`: it is not known where it was.
    pub(super) fn give_again(&mut self, message: &Message) -> bool {
        let Some(given) = self.files.given.remove(&message.id) else {
            return false;
        };
        self.give(&given.path, given.ours);
        true
    }

    /// Fetches the file of a message.
    pub(super) fn save_file(&mut self, message: &Message) {
        let file = message.more.file.clone();
        let Some(file) = file.filter(|f| !f.url.is_empty() && self.talk == Talk::Account) else {
            return self.say(self.words.no_file_here);
        };
        if self.transfer(message).is_some() {
            return;
        }
        let id = random_id();
        self.begins(&id, &message.id);
        self.effects.push(Effect::Save(id, *file));
    }

    /// Fetches the newest file of the other side.
    pub(super) fn save_newest(&mut self) {
        let newest = self.newest_like(|m| !m.outgoing && m.more.file.is_some());
        match newest {
            Some(message) => self.save_file(&message),
            None => self.say(self.words.no_file_here),
        }
    }

    /// Stops the file of a message.
    pub(super) fn stop_file(&mut self, message: &Message) {
        let all = &self.files.under_way;
        let found = all.iter().find(|t| t.of_message == message.id);
        match found.map(|t| t.id.clone()) {
            Some(id) => self
                .effects
                .push(Effect::Command(Command::CancelFile { id })),
            None => self.say(self.words.no_file_under_way),
        }
    }

    /// Stops all files.
    pub(super) fn stop_files(&mut self) {
        if self.files.under_way.is_empty() {
            self.say(self.words.no_file_under_way);
        }
        for transfer in &self.files.under_way {
            let id = transfer.id.clone();
            self.effects
                .push(Effect::Command(Command::CancelFile { id }));
        }
    }

    /// What the backend tells of files.
    pub(super) fn file_event(&mut self, event: &Event) {
        match event {
            Event::Progress {
                id,
                done,
                of,
                speed,
            } => {
                let all = &mut self.files.under_way;
                if let Some(transfer) = all.iter_mut().find(|t| t.id == *id) {
                    (transfer.done, transfer.of, transfer.speed) = (*done, *of, *speed);
                }
            }
            Event::Saved { id, saved } => {
                self.files.under_way.retain(|t| t.id != *id);
                match saved {
                    Ok(path) => self.say(fill(self.words.saved_as, &[&path.display().to_string()])),
                    Err(why) => self.wrong(fill(self.words.not_saved, &[why])),
                }
            }
            Event::State { id, state } => {
                self.files.under_way.retain(|t| t.id != *id);
                let failed = matches!(state, State::Failed { .. });
                if !failed
                    && let Some(given) = self.files.given.remove(id)
                    && given.ours
                {
                    self.effects.push(Effect::Forget(given.path));
                }
            }
            _ => {}
        }
    }

    /// A file was dropped on the terminal: Enter gives it.
    pub(super) fn dropped(&mut self, path: &Path) {
        if self.form.is_some() || self.overlay.is_some() || self.talk == Talk::Sockets {
            return;
        }
        (self.focus, self.chat.selected) = (super::Focus::Chat, None);
        let name = crate::commands::name_of("file", self.words.lang);
        self.composer.set(&format!("/{name} {}", path.display()));
    }

    /// Pasted words, as a file.
    pub(super) fn pasted_file(&mut self, made: Result<PathBuf, String>) {
        match made {
            Ok(path) => self.give(&path, true),
            Err(why) => self.wrong(why),
        }
    }
}
