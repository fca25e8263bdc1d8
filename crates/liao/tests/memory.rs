//! Nothing is forgotten: clients that are killed, networks that are gone for a while, devices that come back, with a real
//! `liao serve` and its archive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::Program;
use programs::house::{House, Network};
use serde_json::Value;

/// What a program that speaks JSON has of a conversation: texts, and what there is before them.
fn history(program: &mut Program, count: usize) -> (Vec<String>, String) {
    program.say(&format!("/history {count}"));
    let line = program.hears("\"event\":\"history\"");
    let event: Value = serde_json::from_str(&line).unwrap();
    let messages = event["messages"].as_array().unwrap().iter();
    let texts = messages.map(|m| m["text"].as_str().unwrap().to_owned());
    (texts.collect(), event["older"].as_str().unwrap().to_owned())
}

/// The texts of a peer, up to `end`, as they come.
fn heard(program: &Program, end: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let line = program.hears("\"outgoing\":false");
        let event: Value = serde_json::from_str(&line).unwrap();
        let text = event["text"].as_str().unwrap().to_owned();
        if text == end {
            return all;
        }
        all.push(text);
    }
}

/// Two friends, and what they say goes through networks of their own.
fn friends(house: &House) -> ([Network; 2], Program, Program) {
    let (mut alice, mut bob) = house.friends();
    for program in [&mut alice, &mut bob] {
        program.say("q");
        assert_eq!(program.code(), 0);
    }
    let networks = [0, 1].map(|_| Network::to(house.port("C2S")));
    let online = |who: &str, to: &str, network: &Network| {
        let mut program = house.liao(who, &["chat", "--json", "--server", &network.address]);
        program.hears("\"event\":\"caught_up\"");
        program.say(&format!("/to {to}"));
        program
    };
    let alice = online("alice", "bob", &networks[0]);
    let bob = online("bob", "alice", &networks[1]);
    (networks, alice, bob)
}

#[test]
fn a_client_that_is_killed_with_messages_on_their_way_says_them_once() {
    let house = House::new("killed");
    let (networks, mut alice, bob) = friends(&house);
    let mut expected = Vec::new();
    for round in 0..4 {
        for n in 0..20 {
            let text = format!("{round} {n}.");
            alice.say(&text);
            expected.push(text);
        }
        // All are on the disk; who knows which are on the server.
        for _ in 0..20 {
            alice.hears("\"state\":\"queued\"");
        }
        if round % 2 == 1 {
            networks[0].cut();
        }
        alice.signal("-KILL");
        alice.code();
        let server = &networks[0].address;
        alice = house.liao("alice", &["chat", "--json", "--server", server]);
        alice.hears("\"event\":\"caught_up\"");
        alice.say("/to bob");
    }
    alice.say("the end");
    assert_eq!(heard(&bob, "the end"), expected);
}

fn seconds_away() -> u64 {
    let seconds = std::env::var("LIAO_AWAY_S");
    seconds.map_or(0, |s| s.parse().expect("LIAO_AWAY_S in seconds"))
}

#[test]
fn a_while_without_any_network_loses_doubles_and_reorders_nothing() {
    let mut house = House::new("while");
    let (networks, mut alice, mut bob) = friends(&house);
    let mut next = 0;
    let mut talk = |alice: &mut Program, bob: &mut Program| {
        for _ in 0..15 {
            alice.say(&format!("from alice {next}."));
            bob.say(&format!("from bob {next}."));
            next += 1;
        }
    };
    talk(&mut alice, &mut bob);
    for kill in [false, true] {
        networks.iter().for_each(|n| n.away(true));
        talk(&mut alice, &mut bob);
        // `make crash` waits for a minute, in which both go on trying and speaking.
        for _ in 0..seconds_away() {
            std::thread::sleep(std::time::Duration::from_secs(1));
            talk(&mut alice, &mut bob);
        }
        if kill {
            // Nothing can be resumed after this: the archive has to tell.
            house.close();
            house.open();
        }
        networks[0].away(false);
        talk(&mut alice, &mut bob);
        networks[1].away(false);
        talk(&mut alice, &mut bob);
    }
    alice.say("the end");
    bob.say("the end");
    for (program, other) in [(&alice, "bob"), (&bob, "alice")] {
        let expected: Vec<String> = (0..next).map(|n| format!("from {other} {n}.")).collect();
        assert_eq!(heard(program, "the end"), expected, "from {other}");
    }
}

#[test]
fn devices_see_the_same_conversation_in_the_same_order() {
    let house = House::new("devices");
    let (_networks, mut alice, mut desk) = friends(&house);
    let server = house.port("C2S").to_owned();
    let mut phone = house.device("phone", "bob", &server);
    phone.say("/to alice");
    phone.say("from the phone");
    alice.hears("from the phone");
    let copy = desk.hears("from the phone");
    assert!(copy.contains("\"outgoing\":true"), "{copy}");
    alice.say("to both");
    desk.hears("to both");
    phone.hears("to both");
    phone.signal("-KILL");
    phone.code();
    // The phone is away for more than a page of the archive.
    for n in 0..120 {
        alice.say(&format!("a {n}."));
        desk.say(&format!("b {n}."));
    }
    alice.say("the end");
    desk.say("the end");
    heard(&desk, "the end");
    heard(&alice, "the end");
    let mut phone = house.liao("phone", &["chat", "--json"]);
    let caught = phone.hears("\"event\":\"caught_up\"");
    assert!(caught.contains("\"messages\":242"), "{caught}");
    phone.say("/to alice");
    let (on_phone, older) = history(&mut phone, 500);
    assert_eq!((on_phone.len(), older.as_str()), (244, "nothing"));
    // A device that was there all the time learns the order of what it said itself when it comes again.
    desk.say("q");
    assert_eq!(desk.code(), 0);
    let mut desk = house.liao("bob", &["chat", "--json"]);
    desk.hears("\"event\":\"caught_up\"");
    desk.say("/to alice");
    assert_eq!(history(&mut desk, 500).0, on_phone);
    // A new device has the end of it, says that there is more, and fetches that.
    let mut new = house.device("new", "bob", &server);
    new.say("/to alice");
    let (some, older) = history(&mut new, 20);
    assert_eq!((&some[..], older.as_str()), (&on_phone[224..], "here"));
    let (all, older) = history(&mut new, 500);
    assert_eq!((all, older.as_str()), (on_phone, "nothing"));
}

#[test]
fn a_message_is_sent_then_delivered_then_read() {
    let house = House::new("states");
    let (_networks, mut alice, mut bob) = friends(&house);
    alice.say("are you there?");
    alice.hears("\"state\":\"sent\"");
    alice.hears("\"state\":\"delivered\"");
    bob.hears("are you there?");
    bob.say("/read alice");
    alice.hears("\"state\":\"read\"");
    // While the friend is away it is sent, and delivered when they come back.
    bob.say("q");
    assert_eq!(bob.code(), 0);
    alice.say("and now?");
    alice.hears("\"state\":\"sent\"");
    let mut bob = house.liao("bob", &["chat", "--json"]);
    alice.hears("\"state\":\"delivered\"");
    // What was read without a network is told later.
    bob.hears("\"event\":\"caught_up\"");
    house.admin(&["user", "add", "mallory"]);
    let mut mallory = house.device("mallory", "mallory", house.port("C2S"));
    mallory.say("@bob@localhost do you read this?");
    mallory.hears("\"state\":\"sent\"");
    bob.hears("do you read this?");
    bob.say("/read mallory@localhost");
    bob.say("@mallory@localhost no");
    mallory.hears("\"text\":\"no\"");
    let told: Vec<String> = mallory.out.try_iter().collect();
    assert!(
        !told
            .iter()
            .any(|l| l.contains("delivered") || l.contains("\"read\"")),
        "a stranger learns nothing: {told:?}"
    );
}
