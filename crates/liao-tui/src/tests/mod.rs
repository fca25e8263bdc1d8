//! The screen without a terminal: a stage with a fixed day, a small disk and no network.

mod day;
mod large;
mod screens;
mod tables;

use crate::app::{App, Effect, Input};
use crate::i18n::Lang;
use crate::keys::{self, Keys};
use crate::theme::{Depth, Theme};
use crate::view;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use liao_client::{Command, Contact, Event, Kept, Message, Page, Show, State};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

/// Thursday, 5 March 2026, 12:00 UTC.
pub const NOON: i64 = 1_772_712_000_000;
const MINUTE: i64 = 60_000;

/// An app, and the world around it.
pub struct Stage {
    pub app: App,
    /// The messages on the disk.
    pub disk: Vec<Kept>,
    /// What was to be done outside, but for reading the disk.
    pub done: Vec<Effect>,
}

impl Stage {
    pub fn new(lang: Lang) -> Stage {
        let theme = Theme {
            depth: Depth::True,
            light: false,
        };
        let mut app = App::new(lang, theme, Keys::default());
        (app.now_ms, app.zone) = (NOON, TimeZone::UTC);
        app.update(Input::Tick);
        Stage {
            app,
            disk: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Alice, online, with three friends in two groups and one who asks.
    pub fn alice(lang: Lang) -> Stage {
        let mut stage = Stage::new(lang);
        stage.app.with_account("alice@example.org", None);
        stage.event(Event::Online {
            me: "alice@example.org/liao".into(),
        });
        stage.friend("bob@example.org", None, &["Work"]);
        stage.friend("xiaoming@example.org", Some("小明"), &["同学", "Work"]);
        stage.friend("carol@example.org", None, &[]);
        stage.presence("bob@example.org", true, None, Some("at the desk"));
        stage.presence("xiaoming@example.org", true, Some(Show::Dnd), None);
        stage.event(Event::Request {
            peer: "dave@elsewhere.example".into(),
            greeting: Some("we met on Tuesday".into()),
        });
        stage.event(Event::Ready);
        stage.app.notice_until_ms = 0;
        stage
    }

    pub fn friend(&mut self, peer: &str, name: Option<&str>, groups: &[&str]) {
        self.event(Event::Contact(Contact {
            peer: peer.into(),
            name: name.map(str::to_owned),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            subscription: "both".into(),
            asked: false,
        }));
    }

    pub fn presence(
        &mut self,
        peer: &str,
        available: bool,
        show: Option<Show>,
        status: Option<&str>,
    ) {
        self.event(Event::Presence {
            peer: peer.into(),
            available,
            show,
            status: status.map(str::to_owned),
        });
    }

    /// Something that is on the disk before the program starts.
    pub fn kept(&mut self, peer: &str, outgoing: bool, text: &str, minutes_ago: i64, state: State) {
        let n = self.disk.len() as i64 + 1;
        let message = message(peer, outgoing, &format!("kept-{n}"), text, minutes_ago);
        self.disk.push(Kept { n, message, state });
    }

    /// Somebody says something now.
    pub fn hears(&mut self, peer: &str, text: &str) {
        let n = self.disk.len() as i64 + 1;
        let message = message(peer, false, &format!("heard-{n}"), text, 0);
        let state = State::Sent;
        self.disk.push(Kept {
            n,
            message: message.clone(),
            state,
        });
        self.event(Event::Message(message));
    }

    /// Somebody answers a message.
    pub fn hears_answer(&mut self, peer: &str, of: &str, text: &str) {
        self.hears(peer, text);
        let mut message = self.disk.last().unwrap().message.clone();
        message.more.reply = Some(liao_client::Reply {
            id: of.into(),
            to: None,
            quote: "what was said".into(),
        });
        self.disk.last_mut().unwrap().message = message.clone();
        self.event(Event::Changed(message));
    }

    /// Somebody gives a file.
    pub fn hears_file(&mut self, peer: &str, name: &str) {
        self.hears(peer, &format!("https://files.example/{name}"));
        let mut message = self.disk.last().unwrap().message.clone();
        message.more.file = Some(Box::new(liao_client::FileLink {
            url: message.text.clone(),
            name: name.into(),
            size: Some(2_500_000),
        }));
        self.disk.last_mut().unwrap().message = message.clone();
        self.event(Event::Changed(message));
    }

    pub fn event(&mut self, event: Event) {
        self.input(Input::Event(event));
    }

    pub fn input(&mut self, input: Input) {
        self.app.update(input);
        while !self.app.effects.is_empty() {
            for effect in std::mem::take(&mut self.app.effects) {
                match effect {
                    Effect::Load(peer, page, count) => self.load(&peer, page, count),
                    Effect::Search(peer, words) => {
                        let fits = |k: &&Kept| {
                            peer.as_ref().is_none_or(|p| *p == k.message.peer)
                                && k.message.text.contains(&words)
                        };
                        let found = self.disk.iter().rev().filter(fits).cloned().collect();
                        self.app.update(Input::Found(found));
                    }
                    Effect::Find(peer, id) => {
                        let fits = |k: &&Kept| k.message.peer == peer && k.message.id == id;
                        let n = self.disk.iter().rev().find(fits).map(|k| k.n);
                        self.app.update(Input::Placed(peer, n));
                    }
                    effect => self.done.push(effect),
                }
            }
        }
    }

    fn load(&mut self, peer: &str, page: Page, count: usize) {
        let of = self.disk.iter().filter(|k| k.message.peer == peer);
        let mut kept: Vec<Kept> = match page {
            Page::Newest => of.rev().take(count).cloned().collect(),
            Page::Before(n) => of.rev().filter(|k| k.n < n).take(count).cloned().collect(),
            Page::From(n) => of.filter(|k| k.n >= n).take(count).cloned().collect(),
        };
        if !matches!(page, Page::From(_)) {
            kept.reverse();
        }
        let more = kept.len() == count;
        let peer = peer.to_owned();
        self.app.update(Input::Page {
            peer,
            page,
            kept,
            more,
        });
    }

    /// Presses a key, written as in the table.
    pub fn press(&mut self, key: &str) {
        let (code, modifiers) = keys::chord(key).unwrap();
        self.input(Input::Key(KeyEvent::new(code, modifiers)));
    }

    /// Types words.
    pub fn types(&mut self, text: &str) {
        for c in text.chars() {
            let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            self.input(Input::Key(key));
        }
    }

    pub fn opens(&mut self, peer: &str) {
        self.app.show(&peer.to_owned());
        self.input(Input::Tick);
    }

    /// The commands that the backend got.
    pub fn commands(&self) -> Vec<&Command> {
        let commands = self.done.iter().filter_map(|e| match e {
            // That we type is told beside everything else.
            Effect::Command(Command::Typing { .. }) => None,
            Effect::Command(command) => Some(command),
            _ => None,
        });
        commands.collect()
    }

    /// What the screen shows, row by row; the last row says where the cursor is.
    pub fn screen(&mut self, columns: u16, rows: u16) -> String {
        self.input(Input::Resize(columns, rows));
        self.app.arrange();
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut cursor = None;
        terminal
            .draw(|frame| {
                view::draw(frame, &self.app);
            })
            .unwrap();
        if terminal.backend().cursor_visible() {
            let at = terminal.get_cursor_position().unwrap();
            cursor = Some((at.x, at.y));
        }
        let buffer = terminal.backend().buffer();
        let mut out = String::new();
        for y in 0..rows {
            let (mut row, mut x) = (String::new(), 0);
            while x < columns {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += u16::try_from(symbol.width().max(1)).unwrap();
            }
            out.push_str(row.trim_end());
            out.push('\n');
        }
        match cursor {
            Some((x, y)) => out.push_str(&format!("[cursor at column {x}, row {y}]\n")),
            None => out.push_str("[no cursor]\n"),
        }
        out
    }
}

pub fn message(peer: &str, outgoing: bool, id: &str, text: &str, minutes_ago: i64) -> Message {
    Message {
        peer: peer.into(),
        outgoing,
        id: id.into(),
        text: text.into(),
        time_ms: NOON - minutes_ago * MINUTE,
        delayed: false,
        ..Message::default()
    }
}

/// Compares with the file in `tests/screens`; `LIAO_BLESS=1` writes it.
pub fn same(name: &str, screen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/{name}.txt"));
    if std::env::var_os("LIAO_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(&path, screen).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == screen,
        "{name} looks otherwise; if that is right, run with LIAO_BLESS=1\n--- expected\n{expected}--- now\n{screen}"
    );
}
