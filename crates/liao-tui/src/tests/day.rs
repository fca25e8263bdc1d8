//! What a day with the screen must keep: nothing lost, nothing jumps, nobody is told too much.

use super::{Stage, message};
use crate::app::{Effect, Input};
use crate::i18n::Lang;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use liao_client::{Command, Event, Show, State};

const BOB: &str = "bob@example.org";
const MING: &str = "xiaoming@example.org";

fn long(count: i64) -> Stage {
    let mut stage = Stage::alice(Lang::En);
    for i in 0..count {
        stage.kept(
            BOB,
            i % 3 == 0,
            &format!("number {i}."),
            count - i,
            State::Sent,
        );
    }
    stage
}

#[test]
fn scrolling_back_shows_every_message_once_in_order_and_ends_at_the_beginning() {
    let mut stage = long(1_000);
    stage.opens(BOB);
    let mut seen = Vec::new();
    for _ in 0..200 {
        let screen = stage.screen(80, 24);
        let mut page: Vec<i64> = screen
            .lines()
            .filter_map(|l| l.split("number ").nth(1)?.split('.').next()?.parse().ok())
            .collect();
        assert!(page.is_sorted(), "{page:?}");
        page.reverse();
        for n in page {
            if seen.last().is_none_or(|last| n < *last) {
                seen.push(n);
            }
        }
        if screen.contains("number 0.") {
            break;
        }
        stage.press("PageUp");
    }
    let all: Vec<i64> = (0..1_000).rev().collect();
    assert_eq!(seen, all);
    let top = stage.screen(80, 24);
    stage.press("PageUp");
    assert_eq!(
        stage.screen(80, 24),
        top,
        "there is nothing above the beginning"
    );
    stage.press("Esc");
    assert!(stage.screen(80, 24).contains("number 999."));
}

#[test]
fn what_is_read_does_not_move_when_something_is_said() {
    let mut stage = long(100);
    stage.opens(BOB);
    stage.press("PageUp");
    let before = stage.screen(80, 24);
    stage.hears(BOB, "now");
    stage.app.notice_until_ms = 0;
    let after = stage.screen(80, 24);
    let chat = |s: &str| {
        s.lines()
            .skip(1)
            .take(20)
            .map(|l| l.split('│').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(chat(&before), chat(&after));
    assert_eq!(stage.app.model.people[BOB].unread, 1, "it is not seen yet");
    stage.press("Esc");
    assert_eq!(stage.app.model.people[BOB].unread, 0);
    assert!(stage.screen(80, 24).contains("now"));
}

#[test]
fn drafts_stay_with_whom_they_were_begun_for() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.types("for bob");
    stage.opens(MING);
    assert!(
        stage
            .done
            .contains(&Effect::Draft(BOB.into(), "for bob".into()))
    );
    stage.types("for ming");
    stage.opens(BOB);
    assert_eq!(stage.app.composer.text(), "for bob");
    stage.press("Ctrl+U");
    stage.opens(MING);
    assert_eq!(stage.app.composer.text(), "for ming");
    assert!(
        stage
            .done
            .contains(&Effect::Draft(BOB.into(), String::new()))
    );
}

#[test]
fn states_are_shown_as_they_come_and_a_refusal_is_explained() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.types("hello");
    stage.press("Enter");
    let Command::Send { id, .. } = stage.commands()[0].clone() else {
        panic!()
    };
    for (state, sign) in [
        (State::Queued, "…"),
        (State::Sent, "✓"),
        (State::Delivered, "✓✓"),
    ] {
        stage.event(Event::State {
            id: id.clone(),
            state,
        });
        let screen = stage.screen(80, 24);
        let row = screen.lines().find(|l| l.contains("hello")).unwrap();
        assert!(row.ends_with(&format!(" {sign}")), "{row}");
    }
    stage.press("Esc");
    let why = "there is no such account".into();
    stage.event(Event::State {
        id,
        state: State::Failed { why },
    });
    let screen = stage.screen(80, 24);
    assert!(
        screen.contains("✗ not sent: there is no such account"),
        "{screen}"
    );
    assert!(
        screen.contains("1 not sent"),
        "the list says so, too: {screen}"
    );
}

#[test]
fn the_divider_stands_before_what_was_not_read() {
    let mut stage = long(3);
    stage.hears(BOB, "new one");
    stage.hears(BOB, "new two");
    stage.opens(BOB);
    let screen = stage.screen(80, 24);
    let rows: Vec<&str> = screen.lines().collect();
    let divider = rows
        .iter()
        .position(|r| r.contains("new from here"))
        .unwrap();
    assert!(rows[divider + 1].contains("new one"), "{screen}");
    assert!(stage.done.contains(&Effect::Read(BOB.into())));
}

#[test]
fn nobody_is_told_of_what_they_see_and_everybody_of_what_they_do_not() {
    let told = |stage: &Stage| {
        stage
            .done
            .iter()
            .filter(|e| matches!(e, Effect::Notify(who, _) if !who.contains("dave")))
            .count()
    };
    let mut stage = long(1);
    stage.opens(BOB);
    stage.hears(BOB, "seen");
    assert_eq!(told(&stage), 0);
    stage.hears(MING, "elsewhere");
    assert_eq!(told(&stage), 1);
    stage.input(Input::Focus(false));
    stage.hears(BOB, "away");
    assert_eq!(told(&stage), 2);
    assert_eq!(stage.app.model.people[BOB].unread, 1);
    stage.input(Input::Focus(true));
    assert_eq!(stage.app.model.people[BOB].unread, 0);
    let mut late = message(MING, false, "late", "kept for you", 10);
    late.delayed = true;
    stage.event(Event::Message(late));
    assert_eq!(told(&stage), 2, "what waited for us makes no noise");
}

#[test]
fn control_characters_and_overrides_do_nothing_wherever_they_come_from() {
    let mut stage = Stage::alice(Lang::En);
    let evil = "a\x1b[2J\u{202E}b\x07";
    stage.friend("evil@x.org", Some(evil), &[evil]);
    stage.presence("evil@x.org", true, None, Some(evil));
    stage.hears("evil@x.org", evil);
    stage.event(Event::Notice(evil.into()));
    stage.opens("evil@x.org");
    stage.input(Input::Paste(evil.into()));
    for _ in 0..2 {
        let screen = stage.screen(100, 24);
        assert!(
            !screen
                .chars()
                .any(|c| (c.is_control() && c != '\n') || c == '\u{202E}'),
            "{screen:?}"
        );
        stage.press("Ctrl+K");
    }
}

#[test]
fn sockets_answer_the_first_who_calls() {
    let mut stage = Stage::new(Lang::En);
    stage.app.with_sockets(false, None);
    stage.event(Event::Online {
        me: "127.0.0.1:8080".into(),
    });
    stage.press("F2");
    stage.types("/");
    stage.press("Ctrl+U");
    stage.types("early");
    stage.press("Enter");
    assert!(stage.commands().is_empty());
    stage.friend("caller-1", None, &["127.0.0.1:5"]);
    stage.presence("caller-1", true, None, None);
    stage.event(Event::Message(message("caller-1", false, "1", "hello", 0)));
    assert!(
        matches!(stage.commands()[..], [Command::Send { to, text, .. }] if to == "caller-1" && text == "early")
    );
    let screen = stage.screen(80, 12);
    assert!(
        screen.contains("hello") && screen.contains("early"),
        "{screen}"
    );
    stage.types("q");
    stage.press("Enter");
    assert!(
        matches!(stage.commands()[..], [_, Command::Quit { goodbye: Some(who) }] if who == "caller-1")
    );
}

#[test]
fn the_mouse_opens_scrolls_and_selects() {
    let mut stage = long(100);
    stage.opens(BOB);
    let mouse = |kind, column, row| {
        Input::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })
    };
    stage.input(mouse(MouseEventKind::ScrollUp, 50, 10));
    assert!(stage.app.chat.anchor.is_some());
    stage.input(mouse(MouseEventKind::ScrollDown, 50, 10));
    assert!(stage.app.chat.anchor.is_none());
    let click = MouseEventKind::Down(MouseButton::Left);
    stage.input(mouse(click, 50, 10));
    assert!(stage.app.chat.selected.is_some());
    let row = stage
        .app
        .list
        .rows
        .iter()
        .position(|r| *r == crate::app::Row::Person(MING.into()))
        .unwrap();
    stage.input(mouse(click, 3, row as u16 + 1));
    assert_eq!(stage.app.open.as_deref(), Some(MING));
    stage.types("abc");
    stage.input(mouse(click, stage.app.areas().input.x + 1, 22));
    assert_eq!(stage.app.composer.before(), "a");
}

#[test]
fn any_size_is_drawn() {
    let mut stage = long(50);
    stage.opens(BOB);
    stage.types("汉字👨‍👩‍👧 and words that need more than one row on any narrow screen");
    for columns in (0..130).step_by(3) {
        for rows in 0..30 {
            let _ = stage.screen(columns.max(1), rows.max(1));
        }
    }
    stage.press("F1");
    let _ = stage.screen(21, 6);
    stage.app.first_run(None);
    for rows in 1..30 {
        let _ = stage.screen(rows * 3, rows);
    }
}

#[test]
fn away_after_a_while_and_back_with_the_next_key() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.types("/online at home");
    stage.press("Enter");
    let shows = |stage: &Stage| -> Vec<Option<Show>> {
        let commands = stage.commands();
        let shows = commands.iter().filter_map(|c| match c {
            Command::Presence { show, status } => {
                assert_eq!(status.as_deref(), Some("at home"));
                Some(*show)
            }
            _ => None,
        });
        shows.collect()
    };
    stage.app.now_ms += 11 * 60_000;
    stage.input(Input::Tick);
    stage.input(Input::Tick);
    assert_eq!(shows(&stage), [None, Some(Show::Away)]);
    assert!(stage.screen(80, 24).contains("◐ away: alice@example.org"));
    stage.types("x");
    assert_eq!(shows(&stage), [None, Some(Show::Away), None]);
    stage.press("Ctrl+U");
    stage.types("/busy at home");
    stage.press("Enter");
    stage.app.now_ms += 11 * 60_000;
    stage.input(Input::Tick);
    stage.event(Event::Online {
        me: "alice@example.org/again".into(),
    });
    assert_eq!(
        shows(&stage)[3..],
        [Some(Show::Dnd), Some(Show::Dnd)],
        "what was chosen holds"
    );
}

/// Numbers that look like chance and are the same each time.
fn chance(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

#[test]
fn no_order_of_keys_events_and_sizes_breaks_the_screen() {
    let words = [
        "/",
        "@",
        ":smi",
        "你好",
        "👨‍👩‍👧",
        "e\u{301}",
        "x y",
        "\n",
        "q",
        "\u{202E}",
        "```",
        "*a*",
    ];
    let keys: Vec<&str> = crate::keys::ALL
        .iter()
        .flat_map(|r| r.keys.iter().copied())
        .collect();
    let people = [
        BOB,
        MING,
        "dave@elsewhere.example",
        "carol@example.org",
        "new@x.org",
    ];
    for seed in 0..8u64 {
        let mut stage = long(300);
        let mut seed = seed.wrapping_mul(977) + 1;
        for step in 0..1_500 {
            let who = people[chance(&mut seed) % people.len()];
            let pick = chance(&mut seed);
            match chance(&mut seed) % 20 {
                0..9 => stage.press(keys[pick % keys.len()]),
                9..12 => stage.types(words[pick % words.len()]),
                12 => stage.hears(who, words[pick % words.len()]),
                13 => stage.presence(who, pick.is_multiple_of(2), None, None),
                14 => stage.event(Event::Gone(who.into())),
                15 => stage.friend(who, None, &["Work"]),
                16 => {
                    let sent = stage.commands().into_iter().rev().find_map(|c| match c {
                        Command::Send { id, .. } => Some(id.clone()),
                        _ => None,
                    });
                    let state = if pick.is_multiple_of(2) {
                        State::Delivered
                    } else {
                        State::Failed { why: "no".into() }
                    };
                    sent.into_iter().for_each(|id| {
                        stage.event(Event::State {
                            id,
                            state: state.clone(),
                        })
                    });
                }
                17 => stage.input(Input::Paste(words.join("\n"))),
                18 => stage.input(Input::Mouse(MouseEvent {
                    kind: [
                        MouseEventKind::ScrollUp,
                        MouseEventKind::ScrollDown,
                        MouseEventKind::Down(MouseButton::Left),
                    ][pick % 3],
                    column: (pick / 3 % 120) as u16,
                    row: (pick / 7 % 40) as u16,
                    modifiers: KeyModifiers::NONE,
                })),
                _ => stage.event(if pick.is_multiple_of(2) {
                    Event::Offline {
                        why: "why".into(),
                        retry_s: 1,
                    }
                } else {
                    Event::Online {
                        me: "alice@example.org/x".into(),
                    }
                }),
            }
            if step % 5 == 0 {
                let _ = stage.screen((pick % 140 + 1) as u16, (pick / 140 % 50 + 1) as u16);
            }
            if stage.app.form.is_some() {
                stage.app.form = None;
            }
        }
    }
}

#[test]
fn a_request_shows_its_words_and_how_to_answer() {
    let mut stage = Stage::alice(Lang::En);
    let dave = "dave@elsewhere.example";
    assert!(
        stage
            .done
            .iter()
            .any(|e| matches!(e, Effect::Notify(who, _) if who == dave))
    );
    stage.opens(dave);
    let screen = stage.screen(200, 12);
    for part in [
        "we met on Tuesday",
        "/accept dave@elsewhere.example",
        "/decline",
    ] {
        assert!(screen.contains(part), "{screen}");
    }
    stage.types("/accept dave");
    stage.press("Enter");
    assert!(!stage.screen(200, 12).contains("Tuesday"));
}

#[test]
fn a_login_that_fails_is_told_in_the_form_and_can_be_tried_again() {
    let mut stage = Stage::new(Lang::En);
    stage.app.ask_password("alice@example.org", "host:5222");
    stage.types("wrong");
    stage.press("Enter");
    assert!(
        matches!(stage.done.last(), Some(Effect::LogIn(a)) if a.server.as_deref() == Some("host:5222"))
    );
    let why = "host:5222: connection refused".to_owned();
    stage.event(Event::Offline { why, retry_s: 1 });
    assert_eq!(stage.done.last(), Some(&Effect::HangUp));
    assert!(
        stage
            .screen(80, 24)
            .contains("✗ host:5222: connection refused")
    );
    stage.press("Enter");
    assert!(matches!(stage.done.last(), Some(Effect::LogIn(_))));
    let error = Some(liao_client::Failure::NotAuthorized("wrong password".into()));
    stage.event(Event::Closed { error });
    let screen = stage.screen(80, 24);
    assert!(
        screen.contains("✗ wrong password") && screen.contains("host:5222"),
        "{screen}"
    );
}

#[test]
fn what_was_said_while_we_were_away_is_read_again_in_the_archive_s_order() {
    let mut stage = Stage::alice(Lang::En);
    stage.opens(BOB);
    for i in 0..40 {
        stage.hears(BOB, &format!("number {i}."));
    }
    // The archive has what was said before, too.
    let late = stage.disk.split_off(20);
    stage.kept(BOB, true, "from my phone", 0, State::Sent);
    stage.disk.extend(late);
    (1..).zip(&mut stage.disk).for_each(|(n, kept)| kept.n = n);
    assert!(!stage.screen(80, 60).contains("from my phone"));
    stage.event(Event::CaughtUp { messages: 41 });
    let screen = stage.screen(80, 60);
    let at = |words: &str| screen.lines().position(|l| l.contains(words)).unwrap();
    assert!(at("number 19.") < at("from my phone") && at("from my phone") < at("number 20."));
    assert_eq!(screen.matches("number ").count(), 40, "{screen}");
}

#[test]
fn what_a_message_has_beside_its_words_is_shown() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.hears(BOB, "first words");
    stage.event(Event::Typing {
        peer: BOB.into(),
        composing: true,
    });
    assert!(stage.screen(80, 24).contains("types …"));
    let mut changed = stage.disk.last().unwrap().message.clone();
    changed.text = "other words".into();
    changed.more.edited_ms = Some(super::NOON);
    changed.more.reply = Some(liao_client::Reply {
        quote: "what was asked".into(),
        ..Default::default()
    });
    let mut felt = |who: &str| {
        changed.more.reactions.push(liao_client::Reaction {
            who: who.into(),
            emojis: vec!["👍".into()],
            time_ms: super::NOON,
        });
    };
    felt("alice@example.org");
    felt(BOB);
    stage.event(Event::Changed(changed.clone()));
    let screen = stage.screen(80, 24);
    for part in ["other words (edited)", "┌ what was asked", "👍 2"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    changed.text.clear();
    changed.more = liao_client::More {
        recalled: true,
        ..Default::default()
    };
    stage.event(Event::Changed(changed));
    let screen = stage.screen(80, 24);
    assert!(
        screen.contains("bob took a message back") && !screen.contains("words"),
        "{screen}"
    );
    stage.event(Event::Nudge { peer: BOB.into() });
    assert!(stage.screen(120, 24).contains("bob shakes your window"));
}

#[test]
fn the_last_words_are_edited_by_the_up_key_and_left_alone_by_escape() {
    let mut stage = long(4);
    stage.opens(BOB);
    stage.press("Up");
    assert_eq!(stage.app.composer.text(), "number 3.");
    assert!(stage.screen(80, 24).contains("─ edit: number 3. ─"));
    stage.press("Esc");
    assert_eq!(stage.app.composer.text(), "");
    assert!(stage.commands().is_empty());
    stage.types("new words");
    stage.press("Enter");
    assert!(matches!(stage.commands()[..], [Command::Send { .. }]));
}

#[test]
fn typing_is_told_once_and_ends_with_what_is_said() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.types("/he");
    stage.press("Ctrl+U");
    stage.types("hello");
    stage.press("Enter");
    stage.types("never mind");
    stage.press("Ctrl+U");
    stage.types("for ming, later");
    stage.opens(MING);
    let told: Vec<(&str, bool)> = stage
        .done
        .iter()
        .filter_map(|e| match e {
            Effect::Command(Command::Typing { to, composing }) => Some((to.as_str(), *composing)),
            _ => None,
        })
        .collect();
    let expected = [
        (BOB, true),
        (BOB, true),
        (BOB, false),
        (BOB, true),
        (BOB, false),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_file_shows_how_far_it_is_and_can_be_stopped_and_tried_again() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.types("/file /home/alice/holiday.mp4");
    stage.press("Enter");
    let Command::SendFile { id, .. } = stage.commands()[0].clone() else {
        panic!()
    };
    assert!(stage.screen(110, 24).contains("📎 holiday.mp4"));
    stage.event(Event::Progress {
        id: id.clone(),
        done: 2_500_000,
        of: 10_000_000,
        speed: 500_000,
    });
    let screen = stage.screen(110, 24);
    let words = "25 % (2.5 MB / 10.0 MB)  500.0 KB/s  15 s left  x stops it";
    assert!(screen.contains(words), "{screen}");
    stage.press("Ctrl+Up");
    stage.press("x");
    let stop = Command::CancelFile { id: id.clone() };
    assert_eq!(stage.commands()[1], &stop);
    let why = "stopped".into();
    let state = State::Failed { why };
    stage.event(Event::State { id, state });
    let screen = stage.screen(110, 24);
    assert!(screen.contains("✗ not sent: stopped"), "{screen}");
    assert!(!screen.contains("stops it"), "{screen}");
    // The same once more; now it arrives, and has an address.
    stage.press("s");
    let Command::SendFile { id, path, to } = stage.commands()[2].clone() else {
        panic!()
    };
    assert_eq!(path.to_str(), Some("/home/alice/holiday.mp4"));
    let mut there = message(&to, true, &id, "https://files.example/holiday.mp4", 0);
    there.more.file = Some(Box::new(liao_client::FileLink {
        url: there.text.clone(),
        name: "holiday.mp4".into(),
        size: Some(10_000_000),
    }));
    let state = State::Queued;
    stage.event(Event::State {
        id: id.clone(),
        state,
    });
    stage.event(Event::Message(there));
    let state = State::Delivered;
    stage.event(Event::State { id, state });
    let screen = stage.screen(110, 24);
    let row = screen
        .lines()
        .find(|l| l.contains("holiday.mp4 (10.0 MB)"))
        .unwrap();
    assert!(row.ends_with("✓✓"), "{row}");
    assert_eq!(screen.matches("📎 holiday.mp4").count(), 2, "{screen}");
}

#[test]
fn a_dropped_file_waits_for_enter() {
    let mut stage = long(1);
    stage.opens(BOB);
    stage.input(Input::Dropped("/tmp/a b.png".into()));
    assert_eq!(stage.app.composer.text(), "/file /tmp/a b.png");
    assert!(stage.commands().is_empty());
    stage.press("Enter");
    assert!(matches!(stage.commands()[..], [Command::SendFile { .. }]));
}

#[test]
fn one_goes_to_what_is_quoted_and_back_however_long_ago_it_was() {
    let mut stage = long(1_000);
    stage.opens(BOB);
    stage.hears_answer(BOB, "kept-3", "about the third");
    stage.hears_answer(BOB, "heard-9999", "about what nobody has");
    let selected = |stage: &Stage| {
        let line = stage.app.chat.selected.and_then(|key| {
            let window = &stage.app.model.people[BOB].window;
            window.line(key).map(|l| l.message.text.clone())
        });
        line.unwrap_or_default()
    };
    stage.press("Ctrl+Up");
    stage.press("g");
    assert_eq!(selected(&stage), "about what nobody has");
    assert!(stage.screen(120, 24).contains("is not on this device yet"));
    stage.press("Up");
    stage.press("g");
    assert_eq!(selected(&stage), "number 2.");
    assert!(stage.screen(80, 24).contains("number 2."));
    stage.press("b");
    assert_eq!(selected(&stage), "about the third");
    assert!(stage.screen(80, 24).contains("about the third"));
}
