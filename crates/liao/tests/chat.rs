//! `liao chat --plain`, `liao msg` and `liao tail` with a real `liao serve`: from an invite link to a talk; the server
//! killed, the network gone, another certificate, a wrong password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::house::{House, Network};
use programs::tutorial;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(program: &House, who: &str) -> PathBuf {
    program.folder.join(who).join("liao").join("client.sqlite3")
}

#[test]
fn an_invite_link_leads_to_a_talk_between_friends() {
    let house = House::new("invite");
    let (mut alice, mut bob) = house.friends();
    alice.say("@bob hello 汉字 😀");
    assert_eq!(bob.hears("hello"), "alice: hello 汉字 😀");
    bob.say("/to alice");
    bob.notes("you talk to alice");
    bob.say("good day");
    assert_eq!(alice.hears("good"), "bob: good day");
    for n in 0..500 {
        bob.say(&format!("line {n}"));
    }
    for n in 0..500 {
        assert_eq!(alice.hears("line"), format!("bob: line {n}"));
    }
    let big = "大😀".repeat(256 * 1024 / 7);
    bob.say(&big);
    assert_eq!(alice.hears("大"), format!("bob: {big}"));
    // A name that nobody has, and an empty line, say so and harm nothing.
    alice.say("@nobody hi");
    alice.notes("nobody here is called nobody");
    alice.say("@nobody@localhost hi");
    alice.notes("not sent: nobody@localhost");
    // The first account is an admin; a password is in the hands of its owner only.
    assert!(
        house
            .admin(&["user", "list"])
            .contains("alice@localhost  admin")
    );
    let mode = Command::new("stat")
        .args(["-c", "%a"])
        .arg(folder(&house, "alice"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&mode.stdout).trim(), "600");
    alice.say("q");
    bob.notes("alice is gone");
    assert_eq!(alice.code(), 1, "two lines could not be said");
    bob.end_input();
    assert_eq!(bob.code(), 0);
}

#[test]
fn msg_and_tail_serve_programs() {
    let house = House::new("msg");
    let (mut alice, mut bob) = house.friends();
    bob.say("q");
    assert_eq!(bob.code(), 0);
    let tail = house.liao("bob", &["tail", "--json"]);
    tail.hears("\"event\":\"ready\"");
    let mut msg = house.liao("alice", &["msg", "bob", "by", "name"]);
    assert_eq!(
        msg.code(),
        0,
        "{:?}",
        msg.err.try_iter().collect::<Vec<_>>()
    );
    let line = tail.hears("by name");
    assert!(
        line.contains("\"peer\":\"alice@localhost\"") && line.contains("\"outgoing\":false"),
        "{line}"
    );
    let mut msg = house.liao("alice", &["msg", "bob@localhost", "-"]);
    msg.say("from a pipe");
    msg.say("with two lines 汉字");
    msg.end_input();
    assert_eq!(msg.code(), 0);
    tail.hears("from a pipe\\nwith two lines 汉字");
    assert_eq!(house.liao("alice", &["msg", "carol", "hi"]).code(), 1);
    assert_eq!(
        house
            .liao("alice", &["msg", "carol@localhost", "hi"])
            .code(),
        1,
        "nobody has this address"
    );
    assert_eq!(
        house.liao("nobody", &["msg", "bob@localhost", "hi"]).code(),
        4
    );
    alice.say("q");
}

#[test]
fn what_is_said_while_the_server_is_away_arrives_once_and_in_order() {
    let mut house = House::new("away");
    let (mut alice, mut bob) = house.friends();
    alice.say("q");
    assert_eq!(alice.code(), 0);
    let mut alice = house.liao("alice", &["chat", "--json"]);
    alice.hears("ready");
    alice.say("/to bob");
    alice.say("before");
    bob.hears("before");
    house.close();
    alice.hears("offline");
    bob.notes("offline");
    for n in 0..20 {
        alice.say(&format!("kept {n}"));
    }
    alice.hears("kept: it goes out");
    for _ in 0..20 {
        alice.hears("\"state\":\"queued\"");
    }
    // The client dies, too; a single message is kept and said to be kept.
    alice.signal("-KILL");
    alice.code();
    let mut msg = house.liao("alice", &["msg", "bob@localhost", "and this"]);
    msg.notes("kept");
    assert_eq!(msg.code(), 3);
    house.open();
    let alice = house.liao("alice", &["chat", "--plain"]);
    alice.notes("online");
    for n in 0..20 {
        assert_eq!(bob.hears("kept"), format!("alice: kept {n}"));
    }
    bob.hears("alice: and this");
    bob.say("@alice done");
    alice.hears("done");
    bob.end_input();
    assert_eq!(bob.code(), 0);
    assert_eq!(
        bob.out.try_iter().collect::<Vec<_>>(),
        Vec::<String>::new(),
        "nothing came twice"
    );
}

#[test]
fn a_changed_certificate_is_refused_until_the_person_vouches_for_it() {
    let mut house = House::new("pin");
    let mut alice = house.joins("alice", &house.invite);
    alice.say("q");
    assert_eq!(alice.code(), 0);
    house.close();
    let tls = house.folder.join("server").join("tls");
    assert!(Path::new(&tls).exists(), "where the certificate is");
    std::fs::remove_dir_all(&tls).unwrap();
    house.open();
    let mut alice = house.liao("alice", &["chat", "--plain"]);
    alice.notes("certificate changed");
    let words = alice.notes("--trust");
    assert_eq!(alice.code(), 1, "{words}");
    let mut command = Command::new("openssl");
    let connect = house.port("C2S_TLS").to_owned();
    let shown = command
        .args(["s_client", "-connect", &connect])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let pem = house.folder.join("leaf.pem");
    std::fs::write(&pem, shown.stdout).unwrap();
    let print = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&pem)
        .output();
    let print = String::from_utf8(print.unwrap().stdout).unwrap();
    let print = print.trim().rsplit('=').next().unwrap();
    let alice = house.liao("alice", &["chat", "--plain", "--trust", print]);
    alice.notes("online");
}

#[test]
fn a_wrong_password_is_said_and_not_kept() {
    let house = House::new("password");
    house.admin(&["user", "add", "carol"]);
    let server = house.port("C2S").to_owned();
    let args = [
        "chat",
        "carol@localhost",
        "--plain",
        "--server",
        &server,
        "--password-stdin",
    ];
    let mut carol = house.liao("carol", &args);
    carol.say("wrong");
    carol.notes("the name or the password is wrong");
    assert_eq!(carol.code(), 4);
    let mut carol = house.liao("carol", &["chat", "carol@localhost", "--plain"]);
    carol.say("a password");
    carol.notes("online");
    // Direct TLS and WebSocket lead there, too.
    for server in [
        house.port("C2S_TLS").to_owned(),
        format!("https://{}", house.port("HTTPS")),
    ] {
        let carol = house.liao("carol", &["chat", "--plain", "--server", &server]);
        carol.notes("online");
    }
}

#[test]
fn programs_that_talk_in_turn_chat_through_the_server_with_the_plain_client() {
    let house = House::new("gateway");
    let mut alice = house.joins("alice", &house.invite);
    let port = house.port("SOCKETS").rsplit(':').next().unwrap().to_owned();
    let mut tcp = tutorial("tcp_client.py", &port);
    tcp.say("by TCP 汉字😀");
    let heard = alice.hears("by TCP");
    assert!(heard.ends_with(": by TCP 汉字😀"), "{heard}");
    alice.say("@tcp-1@sockets.localhost hello you");
    tcp.hears("heard: hello you");
    let mut udp = tutorial("udp_client.py", &port);
    udp.say("by UDP");
    alice.hears("by UDP");
    alice.say("@udp-2@sockets.localhost hello you, too");
    udp.hears("heard: hello you, too");
    // Two at once, and a long answer that waits for its turns.
    tcp.say("still there?");
    alice.hears("still there?");
    alice.say(&format!("@tcp-1@sockets.localhost {}", "长".repeat(700)));
    tcp.hears("heard: 长");
    for _ in 0..2 {
        tcp.say("more");
        tcp.hears("heard: 长");
    }
}

#[test]
fn at_a_terminal_who_writes_now_is_answered_not_who_wrote_before() {
    let house = House::new("first");
    let (mut alice, mut bob) = house.friends();
    let port = house.port("SOCKETS").rsplit(':').next().unwrap().to_owned();
    let mut tcp = tutorial("tcp_client.py", &port);
    tcp.say("long ago");
    alice.hears("long ago");
    alice.say("@tcp-1@sockets.localhost yes");
    tcp.hears("heard: yes");
    alice.say("q");
    assert_eq!(alice.code(), 0);
    bob.say("@alice while you were away");
    // A device that knows nothing yet: all of it comes out of the archive.
    let mut command = Command::new("script");
    let chat = format!(
        "{} chat alice@localhost --plain --server {}",
        env!("CARGO_BIN_EXE_liao"),
        house.port("C2S")
    );
    command
        .args(["-qfec", &chat, "/dev/null"])
        .env("LC_ALL", "C.UTF-8")
        .env("LIAO_PASSWORD", "a password");
    command.env("XDG_DATA_HOME", house.folder.join("new"));
    let mut terminal = programs::Program::start(&mut command);
    terminal.hears("while you were away");
    let mut udp = tutorial("udp_client.py", &port);
    udp.say("is anybody there?");
    let talk = terminal.hears("you talk to");
    assert!(talk.contains("udp-2"), "{talk}");
    terminal.say("here");
    udp.hears("heard: here");
    terminal.say("q");
    assert_eq!(terminal.code(), 0);
}

#[test]
fn a_network_that_is_cut_again_and_again_loses_doubles_and_reorders_nothing() {
    let house = House::new("cut");
    let (mut alice, mut bob) = house.friends();
    for program in [&mut alice, &mut bob] {
        program.say("q");
        assert_eq!(program.code(), 0);
    }
    let networks: Vec<Network> = (0..2).map(|_| Network::to(house.port("C2S"))).collect();
    let online = |who: &str, network: &Network| {
        let program = house.liao(who, &["chat", "--json", "--server", &network.address]);
        program.hears("\"event\":\"ready\"");
        program
    };
    let mut alice = online("alice", &networks[0]);
    let mut bob = online("bob", &networks[1]);
    alice.say("/to bob");
    bob.say("/to alice");
    for n in 0..200 {
        alice.say(&format!("from alice {n}."));
        bob.say(&format!("from bob {n}."));
        if n % 20 == 7 {
            networks[n / 20 % 2].cut();
        }
        if n % 50 == 33 {
            networks.iter().for_each(Network::cut);
        }
    }
    alice.say("the end");
    bob.say("the end");
    for (program, other) in [(&alice, "bob"), (&bob, "alice")] {
        let mut next = 0;
        loop {
            let line = program.hears("\"outgoing\":false");
            let message: serde_json::Value = serde_json::from_str(&line).unwrap();
            let text = message["text"].as_str().unwrap().to_owned();
            if text == "the end" {
                break;
            }
            assert_eq!(text, format!("from {other} {next}."));
            next += 1;
        }
        assert_eq!(next, 200);
    }
}
