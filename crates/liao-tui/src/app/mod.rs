//! The screen's state, and what changes it: events, keys and answers go in, effects come out (Elm form). No I/O here.

mod about;
mod actions;
mod chat;
mod choice;
mod files;
mod form;
mod lines;
mod list;

pub use chat::Chat;
pub use choice::{Choice, Found, Kind};
pub use form::{Form, ROLES, Step};
pub use lines::lookup_words;
pub use list::{List, Row, Tab};

use crate::commands::Place as Talk;
use crate::composer::Composer;
use crate::i18n::{Lang, Words};
use crate::keys::{Keys, Place};
use crate::theme::Theme;
use crate::view::areas::{Areas, areas};
use crossterm::event::{KeyEvent, MouseEvent};
use jiff::tz::TimeZone;
use liao_client::sockets::Role;
use liao_client::xmpp::Invitation;
use liao_client::{
    Account, Command, Conversation, Event, Failure, FileLink, Kept, Model, Page, Peer, Show,
};
use liao_proto::xep::invite::Invite;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

/// Notices that can be read again.
const NOTICES: usize = 200;
/// How long a notice stays on the screen, in milliseconds.
const NOTICE_MS: i64 = 8_000;
/// Who began to type and says nothing more for so long does not type any more, in milliseconds.
const TYPING_MS: i64 = 30_000;
/// After so long without a key one is away, in milliseconds.
const IDLE_MS: i64 = 10 * 60_000;
/// Lines of one conversation by plain sockets that are kept; beyond that the oldest are forgotten.
const LINES: usize = 20_000;
/// Lines of a paste that need no question.
pub const PASTE_LINES: usize = 5;

/// What comes in.
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// Pasted words.
    Paste(String),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal has another size: columns, rows.
    Resize(u16, u16),
    /// The terminal is looked at, or not.
    Focus(bool),
    /// The backend tells.
    Event(Event),
    /// The disk's list of conversations.
    Conversations(Vec<Conversation>),
    /// A page that was asked for; `more`: there is more in its direction.
    Page {
        /// Of whom.
        peer: Peer,
        /// Which.
        page: Page,
        /// Its messages.
        kept: Vec<Kept>,
        /// There is more.
        more: bool,
    },
    /// What a search found.
    Found(Vec<Kept>),
    /// The address book.
    Book(Vec<(String, String)>),
    /// The editor gave words back, or why not.
    Edited(Result<String, String>),
    /// Where a message of this conversation is, if it is here.
    Placed(Peer, Option<i64>),
    /// A file was dropped on the terminal.
    Dropped(PathBuf),
    /// The rest of a path that was begun.
    Completed(String),
    /// Pasted words are a file now, or why not.
    Pasted(Result<PathBuf, String>),
    /// An answer to setting up an account.
    SetUp(Box<Result<SetUp, Failure>>),
    /// Time has passed.
    Tick,
}

/// How far setting up has come.
pub enum SetUp {
    /// An invite was understood.
    Invited(Invitation),
    /// There is a new account.
    Registered(Account),
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the backend.
    Command(Command),
    /// Read a page of a conversation, at least so many messages.
    Load(Peer, Page, usize),
    /// Look for words, in one conversation or in all.
    Search(Option<Peer>, String),
    /// A conversation was read.
    Read(Peer),
    /// Keep what was begun.
    Draft(Peer, String),
    /// Keep on top, or not.
    Pinned(Peer, bool),
    /// Make no noise, or do.
    Muted(Peer, bool),
    /// Keep a preference.
    Prefer(&'static str, String),
    /// Read the address book.
    Book,
    /// Take a name out of the address book.
    Unbook(String),
    /// Tell of a message outside of the screen: title, words.
    Notify(String, String),
    /// Put words into the clipboard.
    Copy(String),
    /// Open an address.
    Open(String),
    /// Where a message is, by its id.
    Find(Peer, String),
    /// Fetch a file, by this id.
    Save(String, FileLink),
    /// Go on with a path that was begun.
    Complete(String),
    /// Make a file of pasted words.
    Paste(String),
    /// A file that was only made to be given can go.
    Forget(PathBuf),
    /// Write in the person's editor.
    Editor(String),
    /// The mouse is ours, or not.
    Mouse(bool),
    /// Draw everything again.
    Redraw,
    /// Understand an invite.
    Invitation(Invite),
    /// Make an account: invitation, name, password.
    Register(Invitation, String, String),
    /// Talk with this account.
    LogIn(Account),
    /// No longer try to connect.
    HangUp,
    /// Talk by plain sockets.
    Sockets(Role, String),
    /// End.
    Quit,
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The list.
    List,
    /// The conversation.
    Chat,
}

/// What lies over the screen.
pub enum Overlay {
    /// The tables of keys and commands, from a row on.
    Help(usize),
    /// What was told so far, from a row on.
    Notices(usize),
    /// One of many.
    Choice(Choice),
    /// What to do with many pasted lines.
    Paste(String),
}

/// How messages are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// With sender and words.
    On,
    /// Without what was said.
    Hide,
    /// Not at all.
    Off,
}

impl From<&str> for Notify {
    fn from(word: &str) -> Notify {
        match word {
            "off" => Notify::Off,
            "hide" => Notify::Hide,
            _ => Notify::On,
        }
    }
}

/// A line for the person.
pub struct Notice {
    /// When.
    pub time_ms: i64,
    /// What.
    pub words: String,
    /// Something is wrong.
    pub wrong: bool,
}

/// The state.
pub struct App {
    /// People and conversations.
    pub model: Model,
    /// With an account or with plain sockets.
    pub talk: Talk,
    /// There is only one peer, a TCP server.
    pub single: bool,
    /// The account, before it is online.
    pub account: String,
    /// Where its server is, if that was said.
    pub server: String,
    /// The texts.
    pub words: &'static Words,
    /// The look.
    pub theme: Theme,
    /// The keys in force.
    pub keys: Keys,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The time, in milliseconds since 1970.
    pub now_ms: i64,
    /// Where the person is.
    pub zone: TimeZone,
    /// Where keys go.
    pub focus: Focus,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// The first run, or another login.
    pub form: Option<Form>,
    /// The conversation on the screen.
    pub open: Option<Peer>,
    /// How it is looked at.
    pub chat: Chat,
    /// The list.
    pub list: List,
    /// What is being written.
    pub composer: Composer,
    /// What was told, newest last.
    pub notices: VecDeque<Notice>,
    /// The newest notice is on the screen until then.
    pub notice_until_ms: i64,
    /// The next try to connect follows then; 0: none does.
    pub retry_ms: i64,
    /// The terminal is looked at.
    pub looked_at: bool,
    /// How messages are told of.
    pub notify: Notify,
    /// The mouse is ours.
    pub mouse: bool,
    /// Ends with the next Ctrl+C.
    pub leaving: bool,
    /// What is to be done outside.
    pub effects: Vec<Effect>,
    drafts: HashMap<Peer, Composer>,
    /// Lines for the first who calls.
    early: VecDeque<String>,
    book: Vec<(String, String)>,
    show_book: bool,
    /// Availability and status line, as the person chose them.
    presence: (Option<Show>, Option<String>),
    about: Option<about::About>,
    files: files::Files,
    /// Whom we told that we type.
    told_typing: Option<Peer>,
    /// Who types, and until when that is believed.
    typing: Vec<(Peer, i64)>,
    /// The last key, in milliseconds since 1970.
    used_ms: i64,
    /// Away because of that.
    idle: bool,
    /// Who is to be opened as soon as contacts are known.
    to: Option<String>,
}

impl App {
    /// The state before anything happened.
    pub fn new(lang: Lang, theme: Theme, keys: Keys) -> App {
        App {
            model: Model::default(),
            talk: Talk::Account,
            single: false,
            account: String::new(),
            server: String::new(),
            words: lang.words(),
            theme,
            keys,
            size: (80, 24),
            now_ms: liao_client::now_ms(),
            zone: TimeZone::system(),
            focus: Focus::List,
            overlay: None,
            form: None,
            open: None,
            chat: Chat::default(),
            list: List::default(),
            composer: Composer::default(),
            notices: VecDeque::new(),
            notice_until_ms: 0,
            retry_ms: 0,
            looked_at: true,
            notify: Notify::On,
            mouse: true,
            leaving: false,
            effects: Vec::new(),
            drafts: HashMap::new(),
            early: VecDeque::new(),
            book: Vec::new(),
            show_book: false,
            presence: (None, None),
            about: None,
            files: files::Files::default(),
            told_typing: None,
            typing: Vec::new(),
            used_ms: 0,
            idle: false,
            to: None,
        }
    }

    /// Begins with an account.
    pub fn with_account(&mut self, account: &str, to: Option<String>) {
        (self.talk, self.account, self.to) = (Talk::Account, account.to_owned(), to);
        self.form = None;
    }

    /// Begins with plain sockets.
    pub fn with_sockets(&mut self, single: bool, to: Option<String>) {
        (self.talk, self.single, self.to) = (Talk::Sockets, single, to);
        self.model.memory = Some(LINES);
        // There is nothing to choose from yet, and much to say.
        self.focus = Focus::Chat;
        self.form = None;
    }

    /// Where the parts of the screen are now.
    pub fn areas(&self) -> Areas {
        areas(self)
    }

    /// Where keys go now.
    pub fn place(&self) -> Place {
        if self.form.is_some() {
            return Place::Form;
        }
        match &self.overlay {
            Some(Overlay::Paste(_)) => Place::Question,
            Some(_) => Place::Choice,
            None if self.chat.selected.is_some() => Place::Message,
            None if self.focus == Focus::List => Place::List,
            None => Place::Writing,
        }
    }

    /// Takes in what happened.
    pub fn update(&mut self, input: Input) {
        // Many events may come at once: the list is arranged when somebody looks at it.
        let told = matches!(input, Input::Event(_));
        if !told {
            self.arrange();
        }
        let used = matches!(input, Input::Key(_) | Input::Paste(_) | Input::Mouse(_));
        self.idle(used);
        match input {
            Input::Key(key) => self.key(&key),
            Input::Paste(text) => self.paste(text),
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::Focus(looked_at) => self.looked_at = looked_at,
            Input::Event(event) => self.event(&event),
            Input::Conversations(all) => self.conversations(all),
            Input::Page {
                peer,
                page,
                kept,
                more,
            } => self.page(&peer, page, kept, more),
            Input::Found(found) => self.found(found),
            Input::Book(book) => self.booked(book),
            Input::Edited(Ok(text)) => self.composer.set(text.trim_end_matches('\n')),
            Input::Edited(Err(why)) => self.wrong(why),
            Input::Placed(peer, n) => self.placed(&peer, n),
            Input::Dropped(path) => self.dropped(&path),
            Input::Completed(rest) => self.composer.insert(&rest),
            Input::Pasted(made) => self.pasted_file(made),
            Input::SetUp(done) => self.set_up(*done),
            Input::Tick => {}
        }
        self.seen();
        self.tell_typing();
        if !told {
            self.arrange();
        }
    }

    fn conversations(&mut self, all: Vec<Conversation>) {
        for kept in &all {
            if !kept.draft.is_empty() {
                let draft = Composer::with(&kept.draft);
                self.drafts.insert(kept.peer.clone(), draft);
            }
        }
        self.model.remember(all);
        self.list.stale = true;
    }

    /// Something was begun for this peer and not sent.
    pub fn has_draft(&self, peer: &str) -> bool {
        if self.open.as_deref() == Some(peer) {
            return !self.composer.text().trim().is_empty();
        }
        self.drafts.contains_key(peer)
    }

    /// A line for the person.
    pub fn say(&mut self, words: impl Into<String>) {
        self.notice(words.into(), false);
    }

    /// A line for the person about something that is wrong.
    pub fn wrong(&mut self, words: impl Into<String>) {
        self.notice(words.into(), true);
    }

    fn notice(&mut self, words: String, wrong: bool) {
        let time_ms = self.now_ms;
        self.notice_until_ms = time_ms + NOTICE_MS;
        if self.notices.len() >= NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(Notice {
            time_ms,
            words,
            wrong,
        });
    }

    /// The notice on the screen.
    pub fn current_notice(&self) -> Option<&Notice> {
        let notice = self.notices.back()?;
        (self.now_ms < self.notice_until_ms).then_some(notice)
    }

    fn event(&mut self, event: &Event) {
        self.list.stale |= !matches!(event, Event::Notice(_));
        if let Event::Message(message) = event {
            let first = self
                .model
                .people
                .get(&message.peer)
                .is_none_or(|p| p.unread == 0);
            self.model.apply(event);
            self.arrived(message, first);
            return;
        }
        self.model.apply(event);
        self.file_event(event);
        match event {
            Event::Notice(words) => self.say(words.clone()),
            Event::Online { .. } => {
                // A new connection begins available; what was chosen before holds again.
                self.idle = false;
                let (show, status) = self.presence.clone();
                if show.is_some() || status.is_some() {
                    self.effects
                        .push(Effect::Command(Command::Presence { show, status }));
                }
                if self.talk == Talk::Sockets {
                    self.effects.push(Effect::Book);
                }
                self.form = None;
            }
            // A first try that fails is a mistake in the form, perhaps.
            Event::Offline { why, .. } if self.form.is_some() => {
                self.form_wrong(why.clone());
                self.effects.push(Effect::HangUp);
            }
            Event::Offline { retry_s, .. } => {
                let wait = i64::try_from(*retry_s).unwrap_or(0).saturating_mul(1000);
                self.retry_ms = self.now_ms.saturating_add(wait);
            }
            Event::Typing { peer, composing } => {
                self.typing.retain(|(who, _)| who != peer);
                if *composing {
                    self.typing.push((peer.clone(), self.now_ms + TYPING_MS));
                }
            }
            Event::Nudge { peer } => {
                let name = crate::text::one_line(self.model.name(peer));
                let words = crate::i18n::fill(self.words.nudged, &[&name]);
                let muted = self.model.people.get(peer).is_some_and(|p| p.muted);
                if !muted && self.notify != Notify::Off {
                    self.effects.push(Effect::Notify(name, words.clone()));
                }
                self.say(words);
            }
            Event::CaughtUp { messages } if *messages > 0 => self.caught_up(),
            Event::Ready => {
                self.open_first();
            }
            // The one that was called, or the first who calls, is the one to talk to.
            Event::Contact(contact) if self.talk == Talk::Sockets && self.is_free() => {
                self.show(&contact.peer.clone());
            }
            Event::Gone(peer)
                if self.open.as_ref() == Some(peer) && !self.model.people.contains_key(peer) =>
            {
                self.open = None;
                self.chat = Chat::default();
            }
            Event::Request { peer, .. } => {
                let words = crate::i18n::fill(self.words.is_friend_request, &[peer]);
                if self.notify != Notify::Off {
                    let title = crate::text::one_line(peer);
                    let asks = self.words.asks_friend.to_owned();
                    self.effects.push(Effect::Notify(title, asks));
                }
                self.say(words);
            }
            Event::Closed { error } => self.closed(error.as_ref()),
            _ => {}
        }
    }

    /// Nobody is talked to: nobody was, or they have gone and nothing was begun for them.
    fn is_free(&self) -> bool {
        let open = self
            .open
            .as_ref()
            .and_then(|peer| self.model.people.get(peer));
        open.is_none_or(|p| !p.available && self.composer.text().is_empty())
    }

    /// Away after a while without a key, and back with the next one (RFC 6121 section 4.7.2.1).
    fn idle(&mut self, used: bool) {
        if used || self.used_ms == 0 {
            self.used_ms = self.now_ms;
        }
        let idle = self.now_ms - self.used_ms >= IDLE_MS;
        let online = self.talk == Talk::Account && self.model.me.is_some();
        // Whoever said that they are away or busy stays so.
        if !online || self.presence.0.is_some() || idle == self.idle {
            return;
        }
        self.idle = idle;
        let show = idle.then_some(Show::Away);
        let status = self.presence.1.clone();
        self.effects
            .push(Effect::Command(Command::Presence { show, status }));
    }

    /// The one who was named is opened, or the only contact.
    fn open_first(&mut self) {
        if let Some(name) = self.to.take() {
            match self.model.lookup(&name) {
                Ok(peer) => self.show(&peer),
                Err(_) if name.contains('@') => self.show(&name),
                Err(why) => self.wrong(self.lookup_words(&why)),
            }
        } else if self.open.is_none() && self.model.people.len() == 1 {
            let only = self.model.people.keys().next().cloned();
            only.iter().for_each(|peer| self.show(peer));
        }
    }

    /// Somebody types to us.
    pub fn types(&self, peer: &str) -> bool {
        let mut typing = self.typing.iter();
        typing.any(|(who, until)| who == peer && self.now_ms < *until)
    }

    /// As what others see us.
    pub fn own_show(&self) -> Option<Show> {
        self.presence.0.or(self.idle.then_some(Show::Away))
    }

    fn closed(&mut self, error: Option<&Failure>) {
        match error {
            None => self.effects.push(Effect::Quit),
            Some(error) if self.talk == Talk::Account => self.log_in_again(error),
            Some(error) => {
                self.model.offline = Some(error.to_string());
                self.retry_ms = 0;
                self.wrong(error.to_string());
            }
        }
    }
}
