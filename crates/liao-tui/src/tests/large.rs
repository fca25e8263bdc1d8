//! 100,000 messages in one chat and 2,000 contacts: how long a start and a key take, and how much memory. By hand:
//! `cargo test --release -p liao-tui large -- --ignored --nocapture`

use super::{NOON, message};
use crate::app::{App, Effect, Input};
use crate::i18n::Lang;
use crate::keys::{self, Keys};
use crate::theme::{Depth, Theme};
use crate::view;
use crossterm::event::KeyEvent;
use liao_client::{Contact, Event, Store, now_ms};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::time::{Duration, Instant};

const MESSAGES: usize = 100_000;
const CONTACTS: usize = 2_000;
const ME: &str = "alice@example.org";
const BOB: &str = "friend-7@example.org";

/// The bounds that docs/performance.md states.
const START: Duration = Duration::from_millis(300);
const KEY: Duration = Duration::from_millis(16);
const MEMORY_KB: u64 = 60 * 1024;

fn text(i: usize) -> String {
    match i % 4 {
        0 => format!("message {i}: shall we meet at the park, as on other days?"),
        1 => format!("第 {i} 条：今天天气很好，我们去公园走走吧！👨‍👩‍👧"),
        2 => format!("look at https://example.org/{i} and *do not forget* the water"),
        _ => format!("{i} ok"),
    }
}

type Out = Terminal<CrosstermBackend<std::io::Sink>>;

fn draw(app: &mut App, out: &mut Out) {
    app.arrange();
    out.draw(|frame| view::draw(frame, app)).unwrap();
}

/// Does what the screen's program does for the effects that a key leaves.
fn settle(app: &mut App, store: &Store) {
    while !app.effects.is_empty() {
        for effect in std::mem::take(&mut app.effects) {
            match effect {
                Effect::Load(peer, page, count) => {
                    let kept = store.page(ME, &peer, page, count).unwrap();
                    let more = kept.len() == count;
                    app.update(Input::Page {
                        peer,
                        page,
                        kept,
                        more,
                    });
                }
                Effect::Search(peer, words) => {
                    let found = store.find(ME, peer.as_deref(), &words, 200).unwrap();
                    app.update(Input::Found(found));
                }
                Effect::Read(peer) => store.read(ME, &peer).unwrap(),
                Effect::Draft(peer, text) => store.set_draft(ME, &peer, &text).unwrap(),
                _ => {}
            }
        }
    }
}

fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let number = line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}

#[test]
#[ignore = "fills a database; its bounds are for a release build"]
fn large() {
    let folder = std::env::temp_dir().join(format!("liao-large-{}", liao_client::random_id()));
    let store = Store::open(&folder).unwrap();
    for i in 0..MESSAGES {
        let mut said = message(BOB, false, &format!("m{i}"), &text(i), 0);
        said.time_ms = NOON - (MESSAGES - i) as i64 * 60_000;
        store.arrive(ME, &said.into(), None).unwrap();
    }
    store.read(ME, BOB).unwrap();
    for i in 0..CONTACTS / 10 {
        let said = message(
            &format!("friend-{i}@example.org"),
            false,
            &format!("c{i}"),
            "hello",
            5,
        );
        store.arrive(ME, &said.into(), None).unwrap();
    }
    drop(store);
    let before_kb = memory_kb();

    let begin = Instant::now();
    let store = Store::open(&folder).unwrap();
    let theme = Theme {
        depth: Depth::True,
        light: false,
    };
    let mut app = App::new(Lang::En, theme, Keys::default());
    app.size = (200, 60);
    app.with_account(ME, Some(BOB.to_owned()));
    app.update(Input::Conversations(store.conversations(ME).unwrap()));
    let fixed = Viewport::Fixed(Rect::new(0, 0, 200, 60));
    let backend = CrosstermBackend::new(std::io::sink());
    let mut out = Terminal::with_options(backend, TerminalOptions { viewport: fixed }).unwrap();
    draw(&mut app, &mut out);
    let first = begin.elapsed();
    app.update(Input::Event(Event::Online { me: ME.into() }));
    for i in 0..CONTACTS {
        app.update(Input::Event(Event::Contact(Contact {
            peer: format!("friend-{i}@example.org"),
            name: (i % 3 == 0).then(|| format!("朋友 {i}")),
            groups: vec![format!("group {}", i % 7)],
            subscription: "both".into(),
            asked: false,
        })));
    }
    app.update(Input::Event(Event::Ready));
    settle(&mut app, &store);
    draw(&mut app, &mut out);
    let start = begin.elapsed();
    assert_eq!(app.open.as_deref(), Some(BOB));

    let mut took = Vec::new();
    let mut press = |app: &mut App, key: &str| {
        let begin = Instant::now();
        app.now_ms = now_ms();
        let (code, modifiers) = keys::chord(key).unwrap();
        app.update(Input::Key(KeyEvent::new(code, modifiers)));
        settle(app, &store);
        draw(app, &mut out);
        took.push((begin.elapsed(), key.to_owned()));
    };
    for _ in 0..20 {
        "hello你好"
            .chars()
            .for_each(|c| press(&mut app, &c.to_string()));
        press(&mut app, "Ctrl+U");
    }
    for _ in 0..600 {
        press(&mut app, "PageUp");
    }
    for _ in 0..100 {
        press(&mut app, "PageDown");
    }
    press(&mut app, "Esc");
    for _ in 0..20 {
        press(&mut app, "Ctrl+K");
        "py19".chars().for_each(|c| press(&mut app, &c.to_string()));
        press(&mut app, "Esc");
        press(&mut app, "Alt+Down");
        press(&mut app, "Alt+a");
        press(&mut app, "F2");
        press(&mut app, "Tab");
        press(&mut app, "End");
        press(&mut app, "Left");
        press(&mut app, "Right");
        press(&mut app, "Esc");
        press(&mut app, "F1");
        press(&mut app, "Esc");
    }
    took.sort();
    let count = took.len();
    let p = |share: usize| took[(count - 1) * share / 100].0;
    println!(
        "start to the first picture: {first:?}; with {CONTACTS} contacts and the open chat: {start:?}"
    );
    println!(
        "key to screen, {count} keys: median {:?}, p99 {:?}, longest {:?}",
        p(50),
        p(99),
        took[count - 1]
    );
    let slowest = took.iter().rev().take(30);
    let slowest: Vec<String> = slowest.map(|(t, k)| format!("{k} {t:?}")).collect();
    println!("slowest: {}", slowest.join(", "));
    println!(
        "memory at most: {} kB, {before_kb} kB before the start",
        memory_kb()
    );
    let begin = Instant::now();
    let found = store.find(ME, None, "第 5 条", 200).unwrap();
    println!(
        "search through all messages: {:?}, {} found",
        begin.elapsed(),
        found.len()
    );
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(start < START, "{start:?}");
    assert!(p(99) < KEY, "{:?}", p(99));
    assert!(memory_kb() < MEMORY_KB, "{} kB", memory_kb());
}
