//! How the screen looks, kept as text files in `tests/screens`.

use super::{Stage, same};
use crate::app::{Input, SetUp};
use crate::i18n::Lang;
use liao_client::xmpp::Invitation;
use liao_client::{Event, Failure, State};

const DAY: i64 = 24 * 60;

/// A conversation with everything in it.
fn talked(lang: Lang) -> Stage {
    let mut stage = Stage::alice(lang);
    let bob = "bob@example.org";
    stage.kept(bob, false, "do you remember?", 3 * DAY, State::Sent);
    stage.kept(bob, true, "of course", DAY + 30, State::Delivered);
    stage.kept(
        bob,
        false,
        "今天天气很好，我们去公园走走吧！带上孩子们 👨‍👩‍👧，中午见。",
        60,
        State::Sent,
    );
    stage.kept(
        bob,
        false,
        "The address: https://example.org/park?day=today and bring *water*",
        59,
        State::Sent,
    );
    stage.kept(
        bob,
        true,
        "> bring *water*\nyes\n```\nlet x = 1;\n```",
        50,
        State::Sent,
    );
    stage.kept(bob, false, "/me waves", 40, State::Sent);
    stage.kept(
        bob,
        true,
        "and this one",
        30,
        State::Failed {
            why: "there is no such account".into(),
        },
    );
    stage.kept("xiaoming@example.org", false, "在吗？", 20, State::Sent);
    let all = conversations(&stage);
    stage.input(Input::Conversations(all));
    stage
}

/// What the store would say of the disk.
fn conversations(stage: &Stage) -> Vec<liao_client::Conversation> {
    let mut all: Vec<liao_client::Conversation> = Vec::new();
    for kept in &stage.disk {
        let peer = &kept.message.peer;
        let before = all.iter().position(|c| c.peer == *peer);
        let unread = before.map_or(0, |i| all.remove(i).unread);
        all.push(liao_client::Conversation {
            peer: peer.clone(),
            last: Some(kept.clone()),
            unread: unread
                + usize::from(
                    !kept.message.outgoing && kept.message.time_ms > super::NOON - 45 * 60_000,
                ),
            draft: String::new(),
            pinned: false,
            muted: false,
        });
    }
    all
}

#[test]
fn first_run() {
    let mut stage = Stage::new(Lang::En);
    stage.app.first_run(None);
    same("first-run", &stage.screen(80, 24));
    stage.types("no link");
    stage.press("Enter");
    same("first-run-error", &stage.screen(80, 24));
    let invitation = Invitation {
        domain: "example.org".into(),
        server: None,
        token: "t".into(),
        name: None,
    };
    stage.input(Input::SetUp(Box::new(Ok(SetUp::Invited(invitation)))));
    stage.types("alice");
    stage.press("Enter");
    stage.types("secret 密码");
    same("first-run-account", &stage.screen(80, 24));
    let mut stage = Stage::new(Lang::Zh);
    stage.app.first_run(None);
    same("first-run-zh", &stage.screen(40, 20));
    stage.press("F2");
    same("first-run-sockets-zh", &stage.screen(60, 20));
}

#[test]
fn list() {
    let mut stage = talked(Lang::En);
    same("list-chats", &stage.screen(80, 16));
    same("list-wide", &stage.screen(200, 12));
    stage.press("Tab");
    same("list-friends", &stage.screen(80, 16));
    stage.press("Down");
    stage.press("Left");
    same("list-folded", &stage.screen(40, 12));
}

#[test]
fn chat() {
    let mut stage = talked(Lang::En);
    stage.opens("bob@example.org");
    stage.types("good\u{301} 你好");
    same("chat", &stage.screen(100, 30));
    stage.press("Ctrl+Up");
    same("chat-selected", &stage.screen(80, 18));
}

#[test]
fn narrow() {
    let mut stage = talked(Lang::En);
    stage.opens("bob@example.org");
    stage.types("一二三四五六七八九十一二三四五六七八九十");
    same("narrow-chat", &stage.screen(40, 24));
    stage.press("Esc");
    same("narrow-list", &stage.screen(40, 12));
    same("too-small", &stage.screen(19, 5));
}

#[test]
fn chinese() {
    let mut stage = talked(Lang::Zh);
    stage.opens("bob@example.org");
    same("chinese-chat", &stage.screen(80, 24));
    stage.press("Esc");
    stage.press("Tab");
    same("chinese-friends", &stage.screen(80, 12));
    stage.press("F1");
    same("chinese-help", &stage.screen(80, 24));
}

#[test]
fn error() {
    let mut stage = talked(Lang::En);
    stage.opens("bob@example.org");
    stage.types("/frobnicate");
    stage.press("Enter");
    same("error-command", &stage.screen(80, 20));
    let error = Some(Failure::NotAuthorized("name or password is wrong".into()));
    stage.event(Event::Closed { error });
    same("error-login", &stage.screen(80, 20));
}

#[test]
fn offline() {
    let mut stage = talked(Lang::En);
    stage.opens("bob@example.org");
    stage.event(Event::Offline {
        why: "the server does not answer".into(),
        retry_s: 8,
    });
    stage.types("are you there?");
    stage.press("Enter");
    stage.app.notice_until_ms = 0;
    let id = stage.app.model.people["bob@example.org"]
        .window
        .lines()
        .back()
        .unwrap()
        .message
        .id
        .clone();
    stage.event(Event::State {
        id,
        state: State::Queued,
    });
    same("offline", &stage.screen(80, 20));
}

#[test]
fn overlays() {
    let mut stage = talked(Lang::En);
    stage.press("Ctrl+K");
    stage.types("xm");
    same("switcher", &stage.screen(80, 12));
    stage.press("Esc");
    stage.press("Ctrl+F");
    stage.types("天气");
    same("search", &stage.screen(80, 12));
    stage.press("Esc");
    stage.press("F1");
    same("help", &stage.screen(80, 24));
    stage.press("Esc");
    stage.opens("bob@example.org");
    stage.input(Input::Paste("one\ntwo\nthree\nfour\nfive\nsix\n".into()));
    same("paste", &stage.screen(60, 14));
}
