//! What friends do beside saying something: edit, recall, reply, react, nudge, type, block, with a real `liao serve`;
//! also while the other one is away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::Program;
use programs::house::House;
use serde_json::Value;

fn event(program: &Program, wanted: &str) -> Value {
    let line = program.hears(&format!("\"event\":\"{wanted}\""));
    serde_json::from_str(&line).unwrap()
}

/// What somebody else said.
fn said(program: &Program) -> Value {
    serde_json::from_str(&program.hears("\"outgoing\":false")).unwrap()
}

fn online(house: &House, who: &str, to: &str) -> Program {
    let mut program = house.liao(who, &["chat", "--json"]);
    program.hears("\"event\":\"caught_up\"");
    program.say(&format!("/to {to}"));
    program
}

fn friends(house: &House) -> (Program, Program) {
    let (mut alice, mut bob) = house.friends();
    for program in [&mut alice, &mut bob] {
        program.say("q");
        assert_eq!(program.code(), 0);
    }
    (online(house, "alice", "bob"), online(house, "bob", "alice"))
}

#[test]
fn edits_recalls_replies_and_reactions_reach_the_other_and_stay() {
    let house = House::new("acts");
    let (mut alice, mut bob) = friends(&house);
    alice.say("frist");
    assert_eq!(said(&bob)["text"], "frist");
    alice.say("/edit first");
    let changed = event(&bob, "changed");
    assert_eq!(
        (changed["text"].as_str(), changed["edited"].as_bool()),
        (Some("first"), Some(true))
    );
    assert_eq!(event(&alice, "changed")["text"], "first");
    bob.say("/reply 好");
    let reply = said(&alice);
    assert_eq!(
        (reply["text"].as_str(), reply["reply"]["quote"].as_str()),
        (Some("好"), Some("first"))
    );
    alice.say("/react 👍");
    let changed = event(&bob, "changed");
    assert_eq!(changed["reactions"][0]["emojis"][0], "👍");
    assert_eq!(changed["reactions"][0]["who"], "alice@localhost");
    alice.say("oops");
    said(&bob);
    alice.say("/recall");
    let changed = event(&bob, "changed");
    assert_eq!(
        (changed["recalled"].as_bool(), changed["text"].as_str()),
        (Some(true), Some(""))
    );
    // Somebody who was away, and a new device, see the same.
    bob.say("/history 9");
    let here = event(&bob, "history")["messages"].clone();
    let mut new = house.device("new", "bob", house.port("C2S"));
    new.say("/to alice@localhost");
    new.say("/history 9");
    let there = event(&new, "history")["messages"].clone();
    let of = |all: &Value, what: &str| -> Vec<Value> {
        all.as_array()
            .unwrap()
            .iter()
            .map(|m| m[what].clone())
            .collect()
    };
    for what in ["text", "edited", "recalled", "reply"] {
        assert_eq!(of(&here, what), of(&there, what), "{what}");
    }
    assert_eq!(of(&here, "text"), ["first", "好", ""]);
    assert_eq!(of(&there, "reactions")[1][0]["emojis"][0], "👍");
}

#[test]
fn what_is_done_while_one_is_away_is_seen_when_they_are_back() {
    let mut house = House::new("acts-away");
    let (mut alice, mut bob) = friends(&house);
    alice.say("before");
    said(&bob);
    bob.say("q");
    assert_eq!(bob.code(), 0);
    alice.say("/edit after");
    event(&alice, "changed");
    // What is said without a connection and edited before it goes out, goes out once and as it is meant.
    house.close();
    alice.hears("\"event\":\"offline\"");
    alice.say("draft");
    alice.hears("\"state\":\"queued\"");
    alice.say("/edit final");
    event(&alice, "changed");
    house.open();
    alice.hears("\"state\":\"sent\"");
    let mut bob = house.liao("bob", &["chat", "--json"]);
    bob.hears("\"event\":\"caught_up\"");
    bob.say("/to alice");
    bob.say("/history 9");
    let texts: Vec<Value> = event(&bob, "history")["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["text"].clone())
        .collect();
    assert_eq!(texts, ["after", "final"]);
}

#[test]
fn nudges_are_rare_and_who_is_blocked_is_not_heard() {
    let house = House::new("acts-block");
    let (mut alice, mut bob) = friends(&house);
    alice.say("/nudge");
    assert_eq!(event(&bob, "nudge")["peer"], "alice@localhost");
    alice.say("/nudge");
    alice.hears("not so often");
    bob.say("/block alice");
    loop {
        if event(&bob, "blocked")["peers"][0] == "alice@localhost" {
            break;
        }
    }
    alice.say("do you hear me?");
    alice.hears("\"state\":\"failed\"");
    bob.say("/unblock alice");
    assert!(
        event(&bob, "blocked")["peers"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    alice.say("and now?");
    assert_eq!(said(&bob)["text"], "and now?");
}

#[test]
fn a_file_goes_to_the_server_and_its_address_to_the_friend() {
    let house = House::new("acts-file");
    let (mut alice, mut bob) = friends(&house);
    let path = house.folder.join("汉字 picture.png");
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    alice.say(&format!("/file {}", path.display()));
    loop {
        let progress = event(&alice, "progress");
        assert_eq!(progress["of"], 3_000_000);
        if progress["done"] == 3_000_000 {
            break;
        }
    }
    let file = said(&bob)["file"].clone();
    assert_eq!(file["name"], "汉字 picture.png");
    assert_eq!(file["size"], 3_000_000);
    // The second of the same name has a number.
    for name in ["汉字 picture.png", "汉字 picture (2).png"] {
        bob.say("/save");
        let saved = event(&bob, "saved");
        let path = std::path::PathBuf::from(saved["path"].as_str().unwrap());
        assert!(path.ends_with(name), "{saved}");
        assert!(std::fs::read(&path).unwrap() == content, "every byte");
    }
    alice.hears("\"state\":\"delivered\"");
    // What cannot be given says why, and nothing is said to anyone.
    for (path, why) in [
        ("/nowhere/at all", "No such file"),
        ("/dev/null", "no file"),
    ] {
        bob.say(&format!("/file {path}"));
        let refused = bob.hears("\"state\":\"failed\"");
        assert!(refused.contains(why), "{refused}");
    }
    bob.say("still here");
    assert_eq!(said(&alice)["text"], "still here");
}

#[test]
fn a_friend_has_the_name_and_the_groups_that_one_gives_them_on_every_device() {
    let house = House::new("acts-arrange");
    let (mut alice, _bob) = friends(&house);
    // What the server says of friends at login may come before or after what is asked here.
    let becomes = |program: &Program, name: &Value, groups: &[&str]| loop {
        let contact = event(program, "contact");
        let mut now: Vec<String> = serde_json::from_value(contact["groups"].clone()).unwrap();
        now.sort();
        if contact["name"] == *name && now == groups {
            break;
        }
    };
    let (null, name) = (Value::Null, Value::from("小 <Bob> & Co."));
    let groups = ["Work", "同学"];
    alice.say("/name bob 小 <Bob> & Co.");
    becomes(&alice, &name, &[]);
    alice.say("/move bob@localhost Work, 同学");
    becomes(&alice, &name, &groups);
    let mut other = house.liao(
        "other",
        &[
            "chat",
            "alice@localhost",
            "--json",
            "--server",
            house.port("C2S"),
            "--password-stdin",
        ],
    );
    other.say("a password");
    becomes(&other, &name, &groups);
    other.hears("\"event\":\"ready\"");
    other.say("/name bob@localhost");
    becomes(&alice, &null, &groups);
    becomes(&other, &null, &groups);
    other.say("/move bob@localhost");
    becomes(&alice, &null, &[]);
    alice.say("/name carol@localhost C");
    alice.hears("carol@localhost is not among your friends");
}
