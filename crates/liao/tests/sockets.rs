//! The four programs of sockets mode against each other and against programs that talk in turn (tests/tutorial):
//! every pairing, several callers at once, long words, pipes, signals, taken ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::{Program, data, liao, liao_in, tutorial};
use std::io::Write;

/// A server of ours on a free port, and its address.
fn server(kind: &str, more: &[&str]) -> (Program, String) {
    let program = liao(&[&[kind, "127.0.0.1:0"], more].concat());
    let line = program.notes("online: ");
    (program, line.rsplit(' ').next().unwrap().to_owned())
}

/// A tutorial server on a free port, and its address.
fn tutorial_server(name: &str) -> (Program, String) {
    let program = tutorial(name, "0");
    let line = program.hears("ready");
    (
        program,
        format!("127.0.0.1:{}", line.rsplit(' ').next().unwrap()),
    )
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

#[test]
fn tcp_server_serves_programs_that_talk_in_turn_all_at_once() {
    let (mut server, address) = server("tcp-server", &[]);
    let mut callers = Vec::new();
    for n in 1..=3 {
        callers.push(tutorial("tcp_client.py", port(&address)));
        server.notes(&format!("caller-{n} is here"));
    }
    for (n, caller) in callers.iter_mut().enumerate() {
        caller.say("");
        caller.hears("(say something)");
        caller.say(&format!("caller {n} 汉字😀"));
        assert_eq!(
            server.hears(&format!("caller {n}")),
            format!("caller-{}: caller {n} 汉字😀", n + 1)
        );
    }
    // The first to speak gets its answer although two more wait, too.
    for n in [1, 0, 2] {
        server.say(&format!("@caller-{} answer {n}", n + 1));
        callers[n].hears(&format!("heard: answer {n}"));
    }
    callers[1].say("again");
    server.hears("again");
    server.say("to who spoke last");
    callers[1].hears("heard: to who spoke last");
    callers[1].say("q");
    server.notes("caller-2 is gone");
}

#[test]
fn tcp_server_cuts_nothing_long_answers_wait_for_their_turns() {
    let (mut server, address) = server("tcp-server", &[]);
    let mut caller = tutorial("tcp_client.py", port(&address));
    caller.say("tell me much");
    server.hears("tell me much");
    let long = "汉字😀ab".repeat(200);
    server.say(&long);
    let mut got = caller.hears("heard: ")["heard: ".len()..].to_owned();
    assert!(got.len() <= 1024);
    server.notes("2 of 3 waiting for their turn");
    for _ in 0..2 {
        caller.say("go on");
        got += &caller.hears("heard: ")["heard: ".len()..];
    }
    assert_eq!(got, long);
}

#[test]
fn tcp_client_talks_to_a_server_that_talks_in_turn() {
    let (mut server, address) = tutorial_server("tcp_server.py");
    let mut client = liao(&["tcp-client", &address]);
    let long = "长 line 😀 ".repeat(150);
    client.say(&long);
    let mut got = String::new();
    for n in 0..3 {
        // The opener's newline shows as an empty line behind the first chunk.
        got += &server.hears("heard: ")["heard: ".len()..];
        server.say(&format!("answer {n}"));
        client.hears(&format!("answer {n}"));
        if got.len() >= long.trim_end().len() {
            break;
        }
    }
    assert_eq!(got.trim_end(), long.trim_end());
    client.say("q");
    server.hears("caller gone");
    assert_eq!(client.code(), 0);
    // Ctrl-C and SIGTERM say goodbye, too; the next caller is served.
    for signal in ["-INT", "-TERM"] {
        let mut client = liao(&["tcp-client", &address]);
        client.say("hello again");
        server.hears("heard: hello again");
        server.say("yes");
        client.hears("yes");
        client.signal(signal);
        server.hears("caller gone");
        assert_eq!(client.code(), 0);
    }
    // The end of a pipe waits for the answer, then says goodbye.
    let mut client = liao(&["tcp-client", &address]);
    client.say("one question");
    client.end_input();
    server.hears("heard: one question");
    server.say("one answer");
    assert_eq!(client.hears("one answer"), "one answer");
    server.hears("caller gone");
    assert_eq!(client.code(), 0);
}

#[test]
fn tcp_client_is_understood_when_it_leaves_before_the_first_answer() {
    let (mut server, address) = tutorial_server("tcp_server.py");
    // Without a word, and with one that is not answered yet: the next caller is served.
    let mut client = liao(&["tcp-client", &address]);
    client.say("q");
    assert_eq!(client.code(), 0);
    server.hears("caller gone");
    let mut client = liao(&["tcp-client", &address]);
    client.say("hello");
    server.hears("heard: hello");
    client.signal("-INT");
    assert_eq!(client.code(), 0);
    server.say("too late");
    server.hears("caller gone");
    let mut client = liao(&["tcp-client", &address]);
    client.say("the next one");
    server.hears("heard: the next one");
    server.say("welcome");
    client.hears("welcome");
}

#[test]
fn characters_cut_across_segments_at_every_offset_arrive_whole() {
    let (server, address) = server("tcp-server", &[]);
    let words = "é汉😀👨‍👩‍👧.";
    for at in 1..words.len() {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_nodelay(true).unwrap();
        // A program that sends lines, so that the cut is none between two messages.
        stream.write_all(b"first\n").unwrap();
        server.hears("first");
        stream.write_all(&words.as_bytes()[..at]).unwrap();
        std::thread::yield_now();
        stream.write_all(&words.as_bytes()[at..]).unwrap();
        stream.write_all(b"\n").unwrap();
        assert!(
            server.hears(".").ends_with(&format!(": {words}")),
            "cut at {at}"
        );
    }
}

#[test]
fn ours_with_ours_speak_freely_any_length_any_number() {
    let (mut server, address) = server("tcp-server", &[]);
    let mut client = liao(&["tcp-client", &address, "--name", "Tom"]);
    for n in 0..500 {
        client.say(&format!("line {n} 汉字"));
    }
    for n in 0..500 {
        assert_eq!(
            server.hears("line"),
            format!("caller-1: Tom: line {n} 汉字")
        );
    }
    let big = "大😀".repeat(256 * 1024 / 7);
    client.say(&big);
    assert_eq!(server.hears("大"), format!("caller-1: Tom: {big}"));
    for n in 0..500 {
        server.say(&format!("back {n}"));
    }
    for n in 0..500 {
        assert_eq!(client.hears("back"), format!("back {n}"));
    }
    let mut second = liao(&["tcp-client", &address, "--json"]);
    second.say("from the second");
    server.hears("caller-2: from the second");
    server.say("@caller-1 to the first");
    client.hears("to the first");
    server.say("@caller-2 to the second");
    let line = second.hears("to the second");
    assert!(
        line.starts_with('{') && line.contains("\"event\":\"message\""),
        "{line}"
    );
    server.signal("-TERM");
    assert_eq!((server.code(), client.code(), second.code()), (0, 0, 0));
}

#[test]
fn udp_server_answers_anyone_and_speaks_first() {
    let (mut server, address) = server("udp-server", &[]);
    let mut one = tutorial("udp_client.py", port(&address));
    let mut two = tutorial("udp_client.py", port(&address));
    one.say("first 汉字😀");
    let first = server
        .hears("first 汉字😀")
        .split(": ")
        .next()
        .unwrap()
        .to_owned();
    two.say("second");
    server.hears("second");
    server.say(&format!("@{first} to the first"));
    one.hears("heard: to the first");
    server.say("to who spoke last");
    two.hears("heard: to who spoke last");
    // It speaks first to an address of its book, here another server of ours.
    let (other, there) = self::server("udp-server", &[]);
    server.say(&format!("/book add friend {there}"));
    server.notes("friend is");
    server.say("@friend good morning");
    let heard = other.hears("good morning");
    assert!(heard.starts_with(&address), "{heard}");
}

#[test]
fn udp_client_talks_to_programs_that_talk_in_turn_and_to_ours() {
    let (mut server, address) = tutorial_server("udp_server.py");
    let (mut ours, there) = self::server("udp-server", &[]);
    let mut client = liao(&["udp-client", &address]);
    client.say("hello 😀");
    server.hears("heard: hello 😀");
    server.say("answer");
    assert_eq!(client.hears("answer"), format!("{address}: answer"));
    client.say(&format!("@{there} and you"));
    ours.hears("and you");
    ours.say("me too");
    assert_eq!(client.hears("me too"), format!("{there}: me too"));
    // Ctrl-C sends nothing: the server lives on. A typed q ends it.
    client.signal("-INT");
    assert_eq!(client.code(), 0);
    let mut client = liao(&["udp-client", &address]);
    client.say("still there?");
    server.hears("heard: still there?");
    server.say("yes");
    client.hears("yes");
    client.say("q");
    server.hears("ended by q");
    assert_eq!(client.code(), 0);
}

#[test]
fn udp_survives_a_dead_address_and_a_lost_answer() {
    let (mut server, address) = server("udp-server", &[]);
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = dead.local_addr().unwrap().to_string();
    drop(dead);
    server.say(&format!("@{nobody} anybody?"));
    server.notes("no answer from");
    let mut client = tutorial("udp_client.py", port(&address));
    client.say("alive");
    server.hears("alive");
    server.say("indeed");
    client.hears("heard: indeed");
}

#[test]
fn the_udp_book_is_kept_and_a_name_can_be_dialled() {
    let folder = data().join("book");
    let (mut ours, there) = server("udp-server", &[]);
    let mut one = liao_in(&folder, &["udp-client", &there]);
    one.say(&format!("/book add Tom {there}"));
    one.notes("Tom is");
    one.end_input();
    assert_eq!(one.code(), 0);
    let mut two = liao_in(&folder, &["udp-client", "tom"]);
    two.say("by name");
    ours.hears("by name");
    ours.say("hello");
    assert_eq!(two.hears("hello"), "Tom: hello");
}

#[test]
fn ports_taken_and_nobody_there_are_said_with_a_remedy() {
    let (_server, address) = server("tcp-server", &[]);
    let mut second = liao(&["tcp-server", &address]);
    let words = second.notes("taken");
    assert!(words.contains(&address), "{words}");
    assert_eq!(second.code(), 3);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let mut client = liao(&["tcp-client", &nobody]);
    client.notes("liao tcp-server");
    assert_eq!(client.code(), 3);
    let mut client = liao(&["tcp-client", "nonsense"]);
    client.notes("HOST:PORT");
    assert_eq!(client.code(), 2);
}

#[test]
fn a_caller_that_never_reads_harms_nobody() {
    let (mut server, address) = server("tcp-server", &["--free"]);
    let silent = std::net::TcpStream::connect(&address).unwrap();
    (&silent).write_all(b"I never read\n").unwrap();
    server.hears("caller-1: I never read");
    let big = "x".repeat(200 * 1024);
    // More than the system's buffers and our queue hold: from some point on it is refused, with a word.
    for _ in 0..60 {
        server.say(&format!("@caller-1 {big}"));
    }
    server.notes("too much waits");
    let mut other = tutorial("tcp_client.py", port(&address));
    server.notes("caller-2 is here");
    let mut ours = liao(&["tcp-client", &address]);
    ours.say("I am fine");
    server.hears("caller-3: I am fine");
    server.say("good");
    ours.hears("good");
    other.say("q");
}
