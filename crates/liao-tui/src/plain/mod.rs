//! The plain form: lines in, lines out; everything can be done without a screen.

mod acts;
mod input;
mod lists;
mod show;

use crate::app::lookup_words;
use crate::commands::{self, Line, Place};
use crate::i18n::{Lang, Words, fill};
use liao_client::{
    Command, Event, Failure, FileLink, Link, Message, Model, Peer, State, Store, now_ms, random_id,
};
use show::{Form, Screen};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Messages from a pipe that may be on their way; then the pipe waits.
const ON_THE_WAY: usize = 256;
/// Messages that a search shows.
const FOUND: usize = 50;
/// How long a polite end may take.
const LEAVING: Duration = Duration::from_secs(7);

/// How the view behaves.
pub struct Options {
    /// JSON lines for programs.
    pub json: bool,
    /// Plain sockets, not an account.
    pub sockets: bool,
    /// Names of the address book can be given to peers.
    pub book: bool,
    /// There is only one peer: its name need not stand before each line in a pipe.
    pub single: bool,
    /// To whom lines go from the start.
    pub to: Option<Peer>,
    /// Standard input's end ends the program, once all is sent.
    pub ends_with_input: bool,
    /// Nothing is read, only shown.
    pub listen_only: bool,
    /// The data, and the account or "" for sockets.
    pub store: Option<(Store, String)>,
}

struct View {
    options: Options,
    words: &'static Words,
    screen: Screen,
    terminal: bool,
    model: Model,
    current: Option<Peer>,
    started_ms: i64,
    /// Lines for the first who speaks.
    early: VecDeque<String>,
    /// The last message of each conversation, ours and theirs.
    latest: HashMap<(Peer, bool), String>,
    /// Files under way.
    files: Vec<String>,
    /// The last file of each of the others.
    given: HashMap<Peer, FileLink>,
    progress_told: Instant,
    commands: VecDeque<Command>,
    on_the_way: HashSet<String>,
    told_kept: bool,
    greeted: bool,
    failed: bool,
    /// Names can be looked up: the contacts are known, or there is no connection to know them by.
    ready: bool,
}

/// Runs the view to its end; the exit code.
pub async fn run(mut link: Link, options: Options, stop: impl Future<Output = ()>) -> u8 {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let form = match (options.json, std::io::stdout().is_terminal()) {
        (true, _) => Form::Json,
        (false, true) => Form::Terminal,
        (false, false) => Form::Pipe {
            bare: options.single,
        },
    };
    let words = Lang::detect(|name| std::env::var(name).ok()).words();
    let mut view = View {
        current: options.to.clone(),
        started_ms: now_ms(),
        options,
        words,
        screen: Screen { form, words },
        terminal,
        model: Model::default(),
        early: VecDeque::new(),
        latest: HashMap::new(),
        files: Vec::new(),
        given: HashMap::new(),
        progress_told: Instant::now(),
        commands: VecDeque::new(),
        on_the_way: HashSet::new(),
        told_kept: false,
        greeted: false,
        failed: false,
        ready: false,
    };
    view.ready = view.options.sockets;
    if view.options.sockets {
        // What was said is on the screen or in the pipe, and nowhere else.
        view.model.memory = Some(0);
    }
    if let Some((store, account)) = view
        .options
        .store
        .as_ref()
        .filter(|_| !view.options.sockets)
    {
        match store.conversations(account) {
            Ok(all) => view.model.remember(all),
            Err(error) => view.say(&error.to_string()),
        }
    }
    let mut lines = if view.options.listen_only {
        mpsc::channel(1).1
    } else {
        input::lines()
    };
    let mut input = !view.options.listen_only;
    let mut deadline: Option<Instant> = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        let reading = input
            && view.ready
            && view.commands.is_empty()
            && view.on_the_way.len() < ON_THE_WAY
            && view.early.len() < ON_THE_WAY
            && deadline.is_none();
        let until = deadline.unwrap_or_else(|| Instant::now() + LEAVING);
        tokio::select! {
            event = link.events.recv() => match event {
                Some(Event::Closed { error }) => return view.closed(error),
                None => return 1,
                Some(event) => if view.event(event).is_err() {
                    // Nobody reads what we say any more: a polite end, without words.
                    deadline.get_or_insert_with(|| Instant::now() + LEAVING);
                    view.commands.push_back(Command::Quit { goodbye: None });
                },
            },
            permit = link.commands.reserve(), if !view.commands.is_empty() => match permit {
                Ok(permit) => if let Some(command) = view.commands.pop_front() {
                    if matches!(command, Command::Quit { .. }) {
                        deadline.get_or_insert_with(|| Instant::now() + LEAVING);
                    }
                    permit.send(command);
                },
                Err(_) => view.commands.clear(),
            },
            line = lines.recv(), if reading => match line {
                Some(line) => view.line(&line),
                None => {
                    input = false;
                    if view.terminal {
                        view.commands.push_back(Command::Quit { goodbye: None });
                    } else if view.options.ends_with_input {
                        view.commands.push_back(Command::Finish);
                    }
                }
            },
            () = &mut stop, if deadline.is_none() => {
                deadline = Some(Instant::now() + LEAVING);
                view.commands.clear();
                view.commands.push_back(Command::Quit { goodbye: None });
            }
            () = tokio::time::sleep_until(until), if deadline.is_some() => return u8::from(view.failed),
        }
    }
}

impl View {
    fn say(&self, words: &str) {
        let _ = self.screen.notice(words);
    }

    fn place(&self) -> Place {
        if self.options.sockets {
            Place::Sockets
        } else {
            Place::Account
        }
    }

    fn closed(&self, error: Option<Failure>) -> u8 {
        let Some(error) = error else {
            return u8::from(self.failed);
        };
        let _ = self.screen.event(
            &Event::Closed {
                error: Some(error.clone()),
            },
            &self.model,
        );
        match error {
            Failure::Refused(_) => 1,
            Failure::Network(_) => 3,
            Failure::NotAuthorized(_) => 4,
        }
    }

    fn event(&mut self, event: Event) -> std::io::Result<()> {
        // Names are looked up before a peer is forgotten and after one is known.
        if matches!(event, Event::Gone(_)) {
            self.screen.event(&event, &self.model)?;
            self.model.apply(&event);
        } else {
            let news = self.is_news(&event);
            self.model.apply(&event);
            if news {
                match &event {
                    Event::Message(message) => {
                        self.screen
                            .message(message, self.model.name(&message.peer), false)?;
                    }
                    _ => self.screen.event(&event, &self.model)?,
                }
            }
        }
        self.file_event(&event);
        if let Event::Message(message) = &event {
            let key = (message.peer.clone(), message.outgoing);
            self.latest.insert(key, message.id.clone());
        }
        match event {
            Event::Message(message) if !message.outgoing => {
                self.heard(&message);
                // What is on a person's screen is read; a program says itself what it has seen.
                if self.terminal && !self.options.sockets {
                    let peer = message.peer;
                    self.commands.push_back(Command::Read { peer });
                }
            }
            Event::Presence {
                peer,
                available: false,
                ..
            } if self.options.sockets
                && !self.options.single
                && self.current.as_ref() == Some(&peer) =>
            {
                self.current = None;
            }
            Event::State { id, state }
                if !matches!(state, State::Queued | State::Waiting { .. }) =>
            {
                self.failed |= matches!(state, State::Failed { .. });
                self.on_the_way.remove(&id);
                self.files.retain(|file| *file != id);
            }
            Event::Online { .. } => {
                self.told_kept = false;
                if self.terminal && !std::mem::replace(&mut self.greeted, true) {
                    self.say(self.words.greeting);
                }
            }
            Event::Ready | Event::Offline { .. } => self.ready = true,
            _ => {}
        }
        Ok(())
    }

    /// Not everything that happens is worth a line.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Contact(_) | Event::Typing { .. } => self.screen.form == Form::Json,
            Event::Presence {
                peer,
                available,
                show,
                status,
            } => {
                let before = self.model.people.get(peer);
                self.screen.form == Form::Json
                    || before.map_or(*available, |p| {
                        (p.available, p.show, &p.status) != (*available, *show, status)
                    })
            }
            Event::Progress { done, of, .. } => self.tells_progress(*done, *of),
            Event::State {
                state: State::Waiting { .. },
                ..
            } => self.screen.form != Form::Pipe { bare: true },
            _ => true,
        }
    }

    /// The one who spoke is answered: in a pipe always, at a terminal if nobody was chosen. What was said before this
    /// program ran is shown; whoever said it does not wait at the keyboard now.
    fn heard(&mut self, message: &Message) {
        let peer = message.peer.as_str();
        self.model.read(peer);
        if let Some((store, account)) = self
            .options
            .store
            .as_ref()
            .filter(|_| self.terminal && !self.options.sockets)
            && let Err(error) = store.read(account, peer)
        {
            self.say(&error.to_string());
        }
        if self.terminal && self.current.is_some() {
            return;
        }
        if message.delayed && message.time_ms < self.started_ms {
            return;
        }
        // A program with an account names whom it means; a person answers whoever wrote first.
        if !self.options.sockets && !self.terminal {
            return;
        }
        if self.current.as_deref() != Some(peer) {
            self.choose(peer, self.terminal);
        }
        while let Some(text) = self.early.pop_front() {
            self.send(peer.to_owned(), text);
        }
    }

    fn choose(&mut self, peer: &str, tell: bool) {
        self.current = Some(peer.to_owned());
        if tell {
            self.say(&fill(self.words.you_talk_to, &[self.model.name(peer)]));
        }
    }

    fn send(&mut self, to: Peer, text: String) {
        self.say_to(to, text, None);
    }

    /// `of`: what it answers.
    fn say_to(&mut self, to: Peer, text: String, of: Option<String>) {
        let id = random_id();
        self.latest.insert((to.clone(), true), id.clone());
        self.on_the_way.insert(id.clone());
        if self.screen.form == Form::Json {
            let (peer, id, text) = (to.clone(), id.clone(), text.clone());
            let message = Message {
                peer,
                outgoing: true,
                id,
                text,
                time_ms: now_ms(),
                delayed: false,
                ..Message::default()
            };
            let _ = self.screen.message(&message, self.model.name(&to), false);
        }
        if self.model.me.is_none() && !self.options.sockets && !self.told_kept {
            self.told_kept = true;
            self.say(self.words.kept);
        }
        self.commands.push_back(match of {
            Some(of) => Command::Reply { id, to, text, of },
            None => Command::Send { id, to, text },
        });
    }

    /// Whom a name means: somebody here, the address book, or an address.
    fn find(&self, name: &str) -> Result<Peer, String> {
        match self.model.lookup(name) {
            Ok(peer) => Ok(peer),
            Err(error) => {
                let error = lookup_words(&error, self.words);
                let booked = self
                    .book()
                    .into_iter()
                    .find(|(n, _)| n.eq_ignore_ascii_case(name));
                match booked {
                    Some((name, _)) => Ok(name),
                    None if self.options.sockets && name.contains(':') => Ok(name.to_owned()),
                    None if !self.options.sockets && name.contains('@') => Ok(name.to_owned()),
                    None if self.options.book => Err(format!(
                        "{error}; {}",
                        fill(self.words.who_or_book, &[name])
                    )),
                    None => Err(format!("{error}; {}", self.words.who_lists)),
                }
            }
        }
    }

    fn book(&self) -> Vec<(String, String)> {
        if !self.options.sockets {
            return Vec::new();
        }
        let book = self
            .options
            .store
            .as_ref()
            .and_then(|(store, _)| store.addresses().ok());
        book.unwrap_or_default()
    }

    fn line(&mut self, line: &str) {
        let line = commands::parse(line, self.place(), commands::Form::Plain, !self.terminal);
        if let Some(words) = commands::complaint(&line, self.words) {
            return self.wrong(&words);
        }
        match line {
            Line::Say(text) if text.trim().is_empty() => {
                // An empty line in a pipe is nothing to complain about each time.
                if self.terminal {
                    self.say(self.words.empty_line);
                }
            }
            Line::Say(text) => match self.current.clone() {
                Some(to) => self.send(to, text),
                None if self.options.sockets => {
                    self.say(self.words.nobody_is_here);
                    self.early.push_back(text);
                }
                None => self.wrong(self.words.to_whom),
            },
            Line::SayTo(name, text) => match self.find(&name) {
                Ok(peer) => self.send(peer, text),
                Err(why) => self.wrong(&why),
            },
            Line::To(name) => match self.find(&name) {
                Ok(peer) => {
                    self.choose(&peer, true);
                    if self.terminal {
                        self.history(5);
                    }
                }
                Err(why) => self.wrong(&why),
            },
            Line::Who => self.who(),
            Line::Help => self.help(),
            Line::History(count) => self.history(count),
            Line::Act(act) => self.act(act),
            Line::Read(name) => self.with(&name, |peer| Command::Read { peer }),
            Line::Quit => {
                let goodbye = self.current.clone();
                self.commands.push_back(Command::Quit { goodbye });
            }
            Line::Book if self.book().is_empty() => self.say(self.words.book_empty),
            Line::Book => self
                .book()
                .iter()
                .for_each(|(name, address)| self.say(&format!("{name}  {address}"))),
            Line::BookAdd(name, address) => {
                self.commands.push_back(Command::Book { name, address })
            }
            Line::BookRemove(name) => {
                let gone = self
                    .options
                    .store
                    .as_ref()
                    .map(|(store, _)| store.unbook(&name));
                match gone {
                    Some(Ok(true)) => self.say(&fill(self.words.book_removed, &[&name])),
                    Some(Err(error)) => self.wrong(&error.to_string()),
                    _ => self.wrong(&fill(self.words.book_missing, &[&name])),
                }
            }
            Line::Befriend(to, name) => self.commands.push_back(Command::Befriend {
                to,
                name,
                greeting: None,
            }),
            Line::Answer(name, accept) => self.with(&name, |to| Command::Answer { to, accept }),
            Line::Remove(name) => self.with(&name, |to| Command::Remove { to }),
            Line::Presence(show, status) => {
                self.commands.push_back(Command::Presence { show, status })
            }
            Line::Search(words) => self.search(&words),
            Line::Pin => self.keep(|p| &mut p.pinned, Store::set_pinned),
            Line::Mute => self.keep(|p| &mut p.muted, Store::set_muted),
            // Only the screen has these; what has no meaning was complained about above.
            Line::Theme(_)
            | Line::Notify(_)
            | Line::Mouse
            | Line::Notices
            | Line::Unknown(_)
            | Line::Usage(_) => {}
        }
    }

    fn wrong(&mut self, why: &str) {
        self.failed |= !self.terminal;
        self.say(why);
    }

    fn with(&mut self, name: &str, command: impl FnOnce(Peer) -> Command) {
        match self.find(name) {
            Ok(peer) => self.commands.push_back(command(peer)),
            Err(why) => self.wrong(&why),
        }
    }

    /// Messages with these words: of the one we talk to, else of all.
    fn search(&mut self, words: &str) {
        let Some((store, account)) = &self.options.store else {
            return;
        };
        match store.find(account, self.current.as_deref(), words, FOUND) {
            Ok(found) if found.is_empty() => self.say(self.words.nothing_found),
            Ok(found) => {
                for kept in found.iter().rev() {
                    let name = self.model.name(&kept.message.peer);
                    let _ = self.screen.message(&kept.message, name, true);
                }
            }
            Err(error) => self.wrong(&error.to_string()),
        }
    }

    /// Turns something about the current conversation round, and keeps it.
    fn keep(
        &mut self,
        which: fn(&mut liao_client::Person) -> &mut bool,
        keep: fn(&Store, &str, &str, bool) -> Result<(), liao_client::StoreError>,
    ) {
        let Some(peer) = self.current.clone() else {
            return self.wrong(self.words.to_whom);
        };
        let Some((store, account)) = &self.options.store else {
            return;
        };
        let Some(person) = self.model.people.get_mut(&peer) else {
            return self.wrong(&fill(self.words.nobody_here, &[&peer]));
        };
        let value = which(person);
        *value = !*value;
        let state = if *value {
            self.words.on
        } else {
            self.words.off
        };
        match keep(store, account, &peer, *value) {
            Ok(()) => self.say(state),
            Err(error) => self.say(&error.to_string()),
        }
    }

    fn history(&mut self, count: usize) {
        let Some(peer) = self.current.clone().filter(|_| !self.options.sockets) else {
            return;
        };
        self.commands.push_back(Command::History {
            peer,
            before: None,
            count,
        });
    }
}
