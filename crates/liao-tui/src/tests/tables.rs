//! Walks the tables: every key and every command is used, and does what its row says.

use super::{NOON, Stage};
use crate::app::{Effect, Focus, Input, Kind, Overlay, Step, Tab};
use crate::commands::{self, Form};
use crate::i18n::Lang;
use crate::keys::{self, Place};
use liao_client::{Command, Event, Show, State};

const BOB: &str = "bob@example.org";
const MING: &str = "xiaoming@example.org";
const DAVE: &str = "dave@elsewhere.example";

/// Alice talks to Bob, with enough said that it can be scrolled; Ming wrote something.
fn talking() -> Stage {
    let mut stage = Stage::alice(Lang::En);
    for i in 0..60 {
        stage.kept(
            BOB,
            i % 2 == 0,
            &format!("number {i} https://x.org/{i}"),
            200 - i,
            State::Sent,
        );
    }
    stage.opens(BOB);
    stage.hears(MING, "one");
    stage.hears(MING, "two");
    stage.app.notice_until_ms = 0;
    stage.app.arrange();
    stage
}

fn in_list() -> Stage {
    let mut stage = talking();
    stage.press("Esc");
    assert_eq!(stage.app.place(), Place::List);
    stage
}

fn writing(text: &str) -> Stage {
    let mut stage = talking();
    stage.types(text);
    stage
}

fn selected() -> Stage {
    let mut stage = talking();
    stage.press("Ctrl+Up");
    stage.press("Ctrl+Up");
    assert_eq!(stage.app.place(), Place::Message);
    stage
}

fn choosing() -> Stage {
    let mut stage = talking();
    stage.press("Ctrl+K");
    stage
}

fn form() -> Stage {
    let mut stage = Stage::new(Lang::En);
    stage.app.ask_password("alice@example.org", "");
    stage
}

fn at(stage: &Stage) -> Option<usize> {
    let key = stage.app.chat.selected?;
    stage.app.model.people[BOB].window.index(key)
}

fn field(stage: &Stage) -> String {
    let form = stage.app.form.as_ref().unwrap();
    form.fields[form.at].input.text().to_owned()
}

fn letters(stage: &Stage) -> (String, usize) {
    match &stage.app.overlay {
        Some(Overlay::Choice(choice)) => (choice.input.text().to_owned(), choice.at),
        _ => panic!("a choice is open"),
    }
}

/// Uses a key of a row in the row's place; `false`: nothing is known of the row.
fn anywhere(name: &str, key: &str) -> bool {
    let mut stage = talking();
    match name {
        "help" => {
            stage.press(key);
            assert!(matches!(stage.app.overlay, Some(Overlay::Help(0))));
            stage.press(key);
            assert!(stage.app.overlay.is_none());
        }
        "quit" => {
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Quit));
        }
        "switch" => {
            stage.press(key);
            assert!(
                matches!(&stage.app.overlay, Some(Overlay::Choice(c)) if c.kind == Kind::Switch && c.found.len() == 4)
            );
        }
        "search" => {
            stage.press(key);
            stage.types("number 59");
            assert!(
                matches!(&stage.app.overlay, Some(Overlay::Choice(c)) if c.kind == Kind::SearchHere && c.found.len() == 1)
            );
        }
        "next-unread" => {
            stage.press(key);
            assert_eq!(stage.app.open.as_deref(), Some(MING));
            assert_eq!(stage.app.model.people[MING].unread, 0, "it is seen now");
            stage.press(key);
            assert_eq!(
                stage.app.open.as_deref(),
                Some(MING),
                "nothing else is unread"
            );
        }
        "first-unread" => {
            stage.opens(MING);
            stage.press(key);
            let key = stage.app.chat.selected.unwrap();
            assert_eq!(
                stage.app.model.people[MING]
                    .window
                    .line(key)
                    .unwrap()
                    .message
                    .text,
                "one"
            );
        }
        "previous-chat" | "next-chat" => {
            let here = stage.app.list.chats.iter().position(|p| p == BOB).unwrap();
            stage.press(key);
            let next = if name == "next-chat" {
                here + 1
            } else {
                here - 1
            };
            assert_eq!(stage.app.open.as_ref(), stage.app.list.chats.get(next));
        }
        "chat-number" => {
            let place: usize = key.strip_prefix("Alt+").unwrap().parse().unwrap();
            let expected = stage
                .app
                .list
                .chats
                .get(place - 1)
                .cloned()
                .unwrap_or(BOB.into());
            stage.press(key);
            assert_eq!(stage.app.open, Some(expected));
        }
        "list" => {
            stage.press(key);
            assert_eq!(stage.app.focus, Focus::List);
            stage.press(key);
            assert_eq!(stage.app.focus, Focus::Chat);
        }
        "page-up" => {
            stage.press(key);
            assert!(stage.app.chat.anchor.is_some());
        }
        "page-down" | "bottom" => {
            stage.press("PageUp");
            stage.press("PageUp");
            let before = stage.app.chat.anchor;
            stage.press(key);
            assert_ne!(stage.app.chat.anchor, before);
            assert_eq!(stage.app.chat.anchor.is_none(), name == "bottom");
        }
        "redraw" => {
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Redraw));
        }
        "back" => {
            stage.press("PageUp");
            stage.press(key);
            assert!(stage.app.chat.anchor.is_none(), "to the newest first");
            stage.press(key);
            assert_eq!(stage.app.focus, Focus::List);
            stage.press(key);
            assert_eq!(stage.app.focus, Focus::Chat);
        }
        _ => return false,
    }
    true
}

fn while_writing(name: &str, key: &str) -> bool {
    let mut stage = writing("one two");
    let text = |stage: &Stage| {
        (
            stage.app.composer.before().to_owned(),
            stage.app.composer.text().to_owned(),
        )
    };
    let is = |before: &str, all: &str| (before.to_owned(), all.to_owned());
    match name {
        "send" => {
            stage.press(key);
            assert!(
                matches!(stage.commands()[..], [Command::Send { to, text, .. }] if to == BOB && text == "one two")
            );
            assert_eq!(stage.app.composer.text(), "");
        }
        "newline" => {
            stage.press(key);
            assert_eq!(text(&stage), is("one two\n", "one two\n"));
        }
        "complete" => {
            for (typed, done) in [
                ("/sea", "/search "),
                ("/to xia", "/to xiaoming@example.org "),
                ("@小", "@小明 "),
                ("@bo", "@bob "),
                ("look :rocke", "look 🚀"),
                ("nothing", "nothing"),
            ] {
                let mut stage = writing(typed);
                stage.press(key);
                let got = stage.app.composer.text();
                assert!(
                    got == done || (typed == "/to xia" && got == "/to 小明 "),
                    "{typed}: {got}"
                );
            }
        }
        "select" => {
            stage.press(key);
            assert_eq!(stage.app.place(), Place::Message);
        }
        "editor" => {
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Editor("one two".into())));
            stage.input(Input::Edited(Ok("three\n".into())));
            assert_eq!(text(&stage), is("three", "three"));
        }
        "clear" => {
            stage.press(key);
            assert_eq!(stage.app.composer.text(), "");
            stage.press(key);
            assert!(!stage.done.contains(&Effect::Quit));
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Quit));
        }
        "up" | "down" => {
            stage.press("Alt+Enter");
            stage.types("three");
            stage.press("Up");
            assert_eq!(stage.app.composer.before(), "one t");
            if name == "down" {
                stage.press(key);
                assert_eq!(stage.app.composer.before(), "one two\nthree");
            }
        }
        "left" | "backspace" => {
            stage.press(key);
            let all = if name == "left" { "one two" } else { "one tw" };
            assert_eq!(text(&stage), is("one tw", all));
        }
        "word-left" => {
            stage.press(key);
            assert_eq!(text(&stage), is("one ", "one two"));
        }
        "home" => {
            stage.press(key);
            assert_eq!(text(&stage), is("", "one two"));
        }
        "right" | "word-right" | "end" | "delete" | "cut-word-after" => {
            stage.press("Home");
            stage.press(key);
            let expected = match name {
                "right" => is("o", "one two"),
                "word-right" => is("one", "one two"),
                "end" => is("one two", "one two"),
                "delete" => is("", "ne two"),
                _ => is("", " two"),
            };
            assert_eq!(text(&stage), expected);
        }
        "cut-word" | "cut-line" => {
            stage.press(key);
            let left = if name == "cut-word" { "one " } else { "" };
            assert_eq!(stage.app.composer.text(), left);
        }
        "paste" => {
            stage.press("Ctrl+W");
            stage.press(key);
            stage.press(key);
            assert_eq!(stage.app.composer.text(), "one twotwo");
        }
        _ => return false,
    }
    true
}

fn in_the_list(name: &str, key: &str) -> bool {
    let mut stage = in_list();
    match name {
        "open" => {
            stage.press("Home");
            stage.press("Down");
            stage.press(key);
            assert_eq!(stage.app.open.as_deref(), Some(MING));
        }
        "tab" => {
            stage.press(key);
            assert_eq!(stage.app.list.tab, Tab::Friends);
            stage.press(key);
            assert_eq!(stage.app.list.tab, Tab::Chats);
        }
        "up" | "down" => {
            stage.press("Home");
            stage.press("Down");
            stage.press(key);
            assert_eq!(stage.app.list.at, if name == "up" { 0 } else { 2 });
        }
        "home" | "end" => {
            stage.press(key);
            let last = stage.app.list.rows.len() - 1;
            assert_eq!(stage.app.list.at, if name == "home" { 0 } else { last });
        }
        "fold" | "unfold" => {
            stage.press("Tab");
            stage.press("End");
            let all = stage.app.list.rows.len();
            stage.press("Left");
            assert!(stage.app.list.rows.len() < all);
            assert!(matches!(stage.done.last(), Some(Effect::Prefer("folded", f)) if f == "同学"));
            if name == "unfold" {
                stage.press(key);
                assert_eq!(stage.app.list.rows.len(), all);
            }
        }
        "pin" => {
            stage.press("End");
            let peer = stage.app.list.chats.last().unwrap().clone();
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Pinned(peer.clone(), true)));
            assert_eq!(stage.app.list.chats[1], peer, "behind the request");
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Pinned(peer, false)));
        }
        "mute" => {
            stage.press("Home");
            stage.press("Down");
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Muted(MING.into(), true)));
            stage.hears(MING, "quiet now");
            assert!(!matches!(stage.done.last(), Some(Effect::Notify(..))));
        }
        "accept" | "decline" => {
            stage.press("Home");
            stage.press(key);
            let accept = name == "accept";
            assert!(
                matches!(stage.commands()[..], [Command::Answer { to, accept: a }] if to == DAVE && *a == accept)
            );
            assert_eq!(stage.app.list.chats.contains(&DAVE.to_owned()), accept);
        }
        _ => return false,
    }
    true
}

fn on_a_message(name: &str, key: &str) -> bool {
    let mut stage = selected();
    let before = at(&stage).unwrap();
    match name {
        "up" | "down" => {
            stage.press(key);
            let expected = if name == "up" { before - 1 } else { before + 1 };
            assert_eq!(at(&stage), Some(expected));
        }
        "open-link" => {
            stage.press(key);
            assert_eq!(
                stage.done.last(),
                Some(&Effect::Open("https://x.org/58".into()))
            );
        }
        "copy" => {
            stage.press(key);
            assert_eq!(
                stage.done.last(),
                Some(&Effect::Copy("number 58 https://x.org/58".into()))
            );
        }
        "reply" | "react" | "edit" | "recall" => {
            // Even numbers are ours.
            let mine = {
                let key = stage.app.chat.selected.unwrap();
                stage.app.model.people[BOB]
                    .window
                    .line(key)
                    .unwrap()
                    .message
                    .clone()
            };
            assert!(mine.outgoing, "{mine:?}");
            stage.press(key);
            if name == "edit" {
                assert_eq!(stage.app.composer.text(), mine.text);
            }
            stage.types(if name == "react" {
                ":heart 👍"
            } else {
                " more"
            });
            if name != "recall" {
                stage.press("Enter");
            }
            let did = stage.commands().pop().cloned().unwrap();
            match (name, did) {
                ("reply", Command::Reply { of, text, .. }) => {
                    assert_eq!((of, text), (mine.id, " more".into()))
                }
                ("edit", Command::Edit { of, text, .. }) => {
                    assert_eq!((of, text), (mine.id, format!("{} more", mine.text)));
                }
                ("recall", Command::Recall { of, .. }) => assert_eq!(of, mine.id),
                (
                    "react",
                    Command::React {
                        of,
                        emojis,
                        outgoing: true,
                        ..
                    },
                ) => {
                    assert_eq!(
                        (of, emojis),
                        (mine.id, vec!["❤️".to_owned(), "👍".to_owned()])
                    );
                }
                (_, did) => panic!("{name}: {did:?}"),
            }
        }
        "quoted" | "return" => {
            let mut stage = talking();
            stage.hears_answer(BOB, "kept-2", "the answer");
            let answer = stage.app.model.people[BOB].window.lines().len() - 1;
            stage.press("Ctrl+Up");
            stage.press(if name == "quoted" { key } else { "g" });
            assert_eq!(at(&stage), Some(1));
            if name == "return" {
                stage.press(key);
                assert_eq!(at(&stage), Some(answer));
                stage.press(key);
                assert_eq!(at(&stage), Some(answer), "there is nowhere to go");
            }
        }
        "save" | "stop" => {
            let mut stage = talking();
            stage.hears_file(BOB, "a.png");
            stage.press("Ctrl+Up");
            stage.press(if name == "save" { key } else { "w" });
            let Some(Effect::Save(id, file)) = stage.done.last().cloned() else {
                panic!()
            };
            assert_eq!(file.name, "a.png");
            if name == "stop" {
                stage.press(key);
                assert_eq!(stage.commands()[..], [&Command::CancelFile { id }]);
            }
        }
        "again" => {
            stage.press(key);
            assert!(stage.commands().is_empty(), "it was sent");
            let mut stage = writing("fails");
            stage.press("Enter");
            let Command::Send { id, .. } = stage.commands()[0].clone() else {
                panic!()
            };
            let state = State::Failed { why: "no".into() };
            stage.event(Event::State { id, state });
            stage.press("Ctrl+Up");
            stage.press(key);
            assert!(
                matches!(stage.commands()[..], [_, Command::Send { text, .. }] if text == "fails")
            );
        }
        _ => return false,
    }
    true
}

fn in_a_choice(name: &str, key: &str) -> bool {
    let mut stage = choosing();
    stage.types("example xy");
    match name {
        "choose" => {
            let mut stage = choosing();
            stage.types("xm");
            stage.press(key);
            assert_eq!(stage.app.open.as_deref(), Some(MING));
            let mut stage = choosing();
            stage.types("new@example.org");
            stage.press(key);
            assert_eq!(stage.app.open.as_deref(), Some("new@example.org"));
            let mut stage = talking();
            stage.press("Ctrl+F");
            stage.types("number 3 h");
            stage.press(key);
            assert_eq!(at(&stage), Some(3), "it jumps there");
        }
        "up" | "down" => {
            let mut stage = choosing();
            stage.press("Down");
            stage.press(key);
            assert_eq!(letters(&stage).1, if name == "up" { 0 } else { 2 });
        }
        "left" | "backspace" => {
            stage.press(key);
            stage.types("z");
            let expected = if name == "left" {
                "example xzy"
            } else {
                "example xz"
            };
            assert_eq!(letters(&stage).0, expected);
        }
        "right" | "home" | "end" | "delete" => {
            stage.press("Home");
            stage.press(key);
            stage.types("Z");
            let expected = match name {
                "right" => "eZxample xy",
                "home" => "Zexample xy",
                "end" => "example xyZ",
                _ => "Zxample xy",
            };
            assert_eq!(letters(&stage).0, expected);
        }
        "cut-word" | "cut-line" => {
            stage.press(key);
            assert_eq!(
                letters(&stage).0,
                if name == "cut-word" { "example " } else { "" }
            );
        }
        "tab" => {
            let mut stage = talking();
            stage.press("Ctrl+F");
            stage.press(key);
            stage.types("two");
            assert!(
                matches!(&stage.app.overlay, Some(Overlay::Choice(c)) if c.kind == Kind::SearchAll && c.found.len() == 1)
            );
        }
        _ => return false,
    }
    true
}

fn in_a_form(name: &str, key: &str) -> bool {
    let mut stage = form();
    stage.types("one two");
    match name {
        "confirm" => {
            stage.press(key);
            assert_eq!(
                stage.app.form.as_ref().unwrap().at,
                1,
                "the next field first"
            );
            stage.press(key);
            assert!(
                matches!(stage.done.last(), Some(Effect::LogIn(a)) if a.password == "one two" && a.server.is_none())
            );
        }
        "down" | "up" => {
            stage.press(key);
            assert_eq!(stage.app.form.as_ref().unwrap().at, 1);
        }
        "back" => {
            stage.press(key);
            assert!(matches!(stage.app.form.as_ref().unwrap().step, Step::Link));
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Quit));
        }
        "quit" => {
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Quit));
        }
        "show" => {
            assert!(!stage.screen(80, 24).contains("one two"));
            stage.press(key);
            assert!(stage.screen(80, 24).contains("one two"));
        }
        "sockets" => {
            let mut stage = Stage::new(Lang::En);
            stage.app.first_run(None);
            stage.press(key);
            stage.press("Down");
            stage.press("Enter");
            assert!(
                matches!(stage.done.last(), Some(Effect::Sockets(liao_client::sockets::Role::TcpServer, a)) if a == "127.0.0.1:8080")
            );
        }
        "left" | "backspace" => {
            stage.press(key);
            stage.types("z");
            assert_eq!(
                field(&stage),
                if name == "left" {
                    "one twzo"
                } else {
                    "one twz"
                }
            );
        }
        "right" | "home" | "end" | "delete" => {
            stage.press("Home");
            stage.press(key);
            stage.types("Z");
            let expected = match name {
                "right" => "oZne two",
                "home" => "Zone two",
                "end" => "one twoZ",
                _ => "Zne two",
            };
            assert_eq!(field(&stage), expected);
        }
        "cut-word" | "cut-line" => {
            stage.press(key);
            assert_eq!(field(&stage), if name == "cut-word" { "one " } else { "" });
        }
        "redraw" => {
            stage.press(key);
            assert_eq!(stage.done.last(), Some(&Effect::Redraw));
        }
        _ => return false,
    }
    true
}

fn before_an_answer(name: &str, key: &str) -> bool {
    let mut stage = talking();
    stage.input(Input::Paste("a\nb\nc\nd\ne\nf".into()));
    assert_eq!(stage.app.place(), Place::Question);
    stage.press(key);
    assert!(stage.app.overlay.is_none());
    match name {
        "paste-send" => {
            assert!(
                matches!(stage.commands()[..], [Command::Send { text, .. }] if text == "a\nb\nc\nd\ne\nf")
            );
        }
        "paste-file" => {
            assert_eq!(
                stage.done.last(),
                Some(&Effect::Paste("a\nb\nc\nd\ne\nf".into()))
            );
            stage.input(Input::Pasted(Ok("/tmp/x/paste.txt".into())));
            let Command::SendFile { id, path, .. } = stage.commands()[0].clone() else {
                panic!()
            };
            let state = State::Sent;
            stage.event(Event::State { id, state });
            assert_eq!(stage.done.last(), Some(&Effect::Forget(path)));
        }
        "paste-edit" => assert_eq!(stage.app.composer.text(), "a\nb\nc\nd\ne\nf"),
        "cancel" => assert!(stage.app.composer.text().is_empty() && stage.commands().is_empty()),
        _ => return false,
    }
    true
}

#[test]
fn every_key_of_the_table_does_what_its_row_says() {
    for row in keys::ALL {
        for key in row.keys {
            let known = match row.place {
                Place::Anywhere => anywhere(row.name, key),
                Place::Writing => while_writing(row.name, key),
                Place::List => in_the_list(row.name, key),
                Place::Message => on_a_message(row.name, key),
                Place::Choice => in_a_choice(row.name, key),
                Place::Form => in_a_form(row.name, key),
                Place::Question => before_an_answer(row.name, key),
            };
            assert!(
                known,
                "{:?} {} ({key}) has no test here",
                row.place, row.name
            );
        }
    }
}

/// Types a command as it stands in a language; the stage afterwards.
fn typed(name: &str, arguments: &str) -> Stage {
    let mut stage = talking();
    stage.types(&format!("/{name} {arguments}"));
    stage.press("Enter");
    assert!(
        !stage
            .app
            .notices
            .back()
            .is_some_and(|n| n.wrong && n.time_ms == NOON),
        "/{name} {arguments}"
    );
    stage
}

fn account_command(first: &str, name: &str) -> bool {
    match first {
        "to" => {
            assert_eq!(typed(name, "xiaoming").app.open.as_deref(), Some(MING));
            let stage = typed(name, "小明 hello");
            assert!(matches!(stage.commands()[..], [Command::Send { to, .. }] if to == MING));
        }
        "who" => assert_eq!(typed(name, "").app.focus, Focus::List),
        "add" => {
            let stage = typed(name, "new@x.org 新朋友");
            assert!(
                matches!(stage.commands()[..], [Command::Befriend { to, name: Some(n), .. }] if to == "new@x.org" && n == "新朋友")
            );
        }
        "accept" | "decline" => {
            let stage = typed(name, "dave");
            let yes = first == "accept";
            assert!(
                matches!(stage.commands()[..], [Command::Answer { to, accept }] if to == DAVE && *accept == yes)
            );
        }
        "remove" => {
            let stage = typed(name, "carol");
            assert!(
                matches!(stage.commands()[..], [Command::Remove { to }] if to == "carol@example.org")
            );
        }
        "name" | "move" => {
            let naming = first == "name";
            let (arguments, expected): (&str, (Option<&str>, &[&str])) = match naming {
                true => ("小明 Ming L.", (Some("Ming L."), &["同学", "Work"])),
                false => ("小明 家人, Work", (Some("小明"), &["家人", "Work"])),
            };
            let stage = typed(name, arguments);
            let Command::Arrange { to, name, groups } = stage.commands()[0] else {
                panic!()
            };
            assert_eq!(to, MING);
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            assert_eq!((name.as_deref(), &groups[..]), expected);
            let stage = typed(first, "bob");
            assert!(
                matches!(stage.commands()[..], [Command::Arrange { name: None, groups, .. }] if groups.is_empty() != naming)
            );
        }
        "online" | "away" | "busy" => {
            let expected = match first {
                "online" => None,
                "away" => Some(Show::Away),
                _ => Some(Show::Dnd),
            };
            let stage = typed(name, "at lunch");
            assert!(
                matches!(stage.commands()[..], [Command::Presence { show, status: Some(s) }] if *show == expected && s == "at lunch")
            );
        }
        "edit" => assert!(
            matches!(typed(name, "other").commands()[..], [Command::Edit { text, .. }] if text == "other")
        ),
        "recall" => assert!(
            matches!(typed(name, "").commands()[..], [Command::Recall { of, .. }] if of == "kept-59")
        ),
        "reply" => assert!(
            matches!(typed(name, "yes").commands()[..], [Command::Reply { of, .. }] if of == "kept-60")
        ),
        "react" => assert!(
            matches!(typed(name, "👍").commands()[..], [Command::React { outgoing: false, emojis, .. }] if emojis == &["👍"])
        ),
        "file" => assert!(
            matches!(typed(name, "/tmp/a b.png").commands()[..], [Command::SendFile { to, path, .. }] if to == BOB && path.ends_with("a b.png"))
        ),
        "save" | "stop" => {
            let mut stage = talking();
            stage.hears_file(BOB, "a.png");
            stage.types("/save");
            stage.press("Enter");
            assert!(
                matches!(stage.done.last(), Some(Effect::Save(_, file)) if file.name == "a.png")
            );
            stage.types(&format!("/{name}"));
            stage.press("Enter");
            let stopped = matches!(stage.commands()[..], [Command::CancelFile { .. }]);
            assert_eq!(stopped, first == "stop");
        }
        "nudge" => {
            assert!(matches!(typed(name, "").commands()[..], [Command::Nudge { to }] if to == BOB))
        }
        "block" => assert!(
            matches!(typed(name, "carol").commands()[..], [Command::Block { peer }] if peer == "carol@example.org")
        ),
        "unblock" => assert!(
            matches!(typed(name, "carol").commands()[..], [Command::Unblock { peer }] if peer == "carol@example.org")
        ),
        "search" => {
            let stage = typed(name, "number 5");
            assert!(matches!(&stage.app.overlay, Some(Overlay::Choice(c)) if c.found.len() == 11));
        }
        "pin" => assert!(typed(name, "").app.model.people[BOB].pinned),
        "mute" => assert!(typed(name, "").app.model.people[BOB].muted),
        "theme" => assert!(typed(name, "light").app.theme.light),
        "notify" => {
            let mut stage = typed(name, "hide");
            stage.hears(MING, "secret");
            assert!(
                matches!(stage.done.last(), Some(Effect::Notify(_, words)) if !words.contains("secret"))
            );
        }
        "mouse" => assert!(typed(name, "").done.contains(&Effect::Mouse(false))),
        "notices" => assert!(matches!(
            typed(name, "").app.overlay,
            Some(Overlay::Notices(0))
        )),
        "help" => assert!(matches!(
            typed(name, "").app.overlay,
            Some(Overlay::Help(0))
        )),
        "quit" => assert_eq!(typed(name, "").done.last(), Some(&Effect::Quit)),
        _ => return false,
    }
    true
}

fn sockets_command(first: &str, name: &str) -> bool {
    let mut stage = Stage::new(Lang::En);
    stage.app.with_sockets(false, None);
    match first {
        "book" => {
            for (arguments, effect) in [
                ("", Effect::Book),
                (
                    "add tom 127.0.0.1:1",
                    Effect::Command(Command::Book {
                        name: "tom".into(),
                        address: "127.0.0.1:1".into(),
                    }),
                ),
                ("remove tom", Effect::Unbook("tom".into())),
            ] {
                stage.press("F2");
                stage.types(&format!("/{name} {arguments}"));
                stage.press("Enter");
                assert!(stage.done.contains(&effect), "{arguments}");
            }
            stage.input(Input::Book(vec![("tom".into(), "127.0.0.1:1".into())]));
            assert!(
                stage
                    .app
                    .notices
                    .iter()
                    .any(|n| n.words == "tom 127.0.0.1:1")
            );
        }
        _ => return false,
    }
    true
}

#[test]
fn every_command_of_the_table_does_what_its_row_says() {
    for row in commands::ALL.iter().filter(|r| r.form != Form::Plain) {
        for name in row.names {
            let known = account_command(row.names[0], name) || sockets_command(row.names[0], name);
            assert!(known, "/{name} has no test here");
        }
    }
}

#[test]
fn the_help_names_every_key_and_every_command() {
    for lang in [Lang::En, Lang::Zh] {
        let mut stage = Stage::alice(lang);
        stage.press("F1");
        let screen = stage.screen(120, 250);
        for row in keys::ALL {
            assert!(screen.contains((row.what)(lang.words())), "{}", row.name);
            assert!(screen.contains(row.keys[0]), "{}", row.keys[0]);
        }
        for row in commands::ALL
            .iter()
            .filter(|r| r.fits(commands::Place::Account, Form::Screen))
        {
            assert!(screen.contains(&row.usage(lang.words())), "{row:?}");
        }
    }
}
