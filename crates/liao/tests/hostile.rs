//! Hostile input (RFC 6120 sections 4.9.3, 11.1 and 13.12): the error that the standard names, memory that stays bounded,
//! and the round trips of two people who talk meanwhile.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use world::{Client, PATIENCE, Server};

/// What a round trip of somebody else may take in 99 of 100 cases.
const BYSTANDER_P99: Duration = Duration::from_millis(50);
/// How long an attack lasts at least, so that the 99th percentile is of more than a handful.
const LASTS: Duration = Duration::from_secs(3);
/// What ill-formed input may cost, in KiB: one element before the login is 16 KiB at most.
const INPUT_KIB: u64 = 4 * 1024;
/// What 1,000 connections that never log in may cost, in KiB: 16 KiB for each.
const CONNECTIONS_KIB: u64 = 16 * 1024;
/// What one client's flood may cost, in KiB: the bytes in flight and its mailbox (3 MiB), and what a debug build adds.
const FLOOD_KIB: u64 = 24 * 1024;

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams'>";

/// The server's memory now, in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Juliet and the nurse talk until they are told to stop; the 99th percentile of their round trips.
async fn talk(mut juliet: Client, mut nurse: Client, mut stop: oneshot::Receiver<()>) -> Duration {
    let mut times = Vec::new();
    while stop.try_recv().is_err() {
        let (word, begun) = (format!("word {}", times.len()), Instant::now());
        for (from, to, name) in [(0, 1, "nurse"), (1, 0, "juliet")] {
            let pair = [&mut juliet, &mut nurse];
            let xml =
                format!("<message to='{name}@localhost' type='chat'><body>{word}</body></message>");
            let [one, two] = pair;
            let (says, hears) = if from < to { (one, two) } else { (two, one) };
            says.send(&xml).await;
            hears.hears(&word).await;
        }
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    assert!(times.len() >= 20, "they talked: {}", times.len());
    times[times.len() * 99 / 100]
}

/// What the server says to bytes after a stream header, until it closes.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HEADER.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    // The server may close before all is written.
    let send = async { drop(write.write_all(bytes).await) };
    let mut said = Vec::new();
    let hear = async { drop(read.read_to_end(&mut said).await) };
    let both = async { tokio::join!(send, hear) };
    let both = tokio::time::timeout(PATIENCE, both).await;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
    assert!(both.is_ok(), "the server ends the stream after {start}");
    String::from_utf8_lossy(&said).into_owned()
}

async fn ill_formed(server: &Server) {
    let mut declarations = String::from("<message ");
    for n in 0..500 {
        write!(declarations, "xmlns:p{n}='urn:example:{n}' ").unwrap();
    }
    declarations.push_str("/>");
    let laughs = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><message>&b;</message>";
    let attacks: [(&str, Vec<u8>, &str); 10] = [
        ("entity expansion", laughs.into(), "restricted-xml"),
        (
            "an entity",
            "<message>&b;</message>".into(),
            "restricted-xml",
        ),
        ("a DTD", "<!DOCTYPE x>".into(), "restricted-xml"),
        ("a PI", "<?x y?>".into(), "restricted-xml"),
        ("a comment", "<!-- x -->".into(), "restricted-xml"),
        ("an unbound prefix", "<x:y/>".into(), "bad-namespace-prefix"),
        ("declarations", declarations.into(), "policy-violation"),
        (
            "depth 10,000",
            "<a>".repeat(10_000).into(),
            "policy-violation",
        ),
        (
            "invalid UTF-8",
            b"<message>\xff\xfe</message>".into(),
            "bad-format|unsupported-encoding|not-well-formed",
        ),
        ("NUL", b"<message>\0</message>".into(), "not-well-formed"),
    ];
    for (name, bytes, conditions) in attacks {
        let said = answer(server.address("c2s"), &bytes).await;
        assert!(
            conditions
                .split('|')
                .any(|c| said.contains(&format!("<{c} "))),
            "{name}: {said}"
        );
    }
    let endless = format!("<message {}", "x".repeat(8 * 1024 * 1024));
    let said = answer(server.address("c2s"), endless.as_bytes()).await;
    assert!(said.contains("<policy-violation "), "{said}");
}

/// More connections than one address may have: as many as the bound are kept, and the memory of them is bounded.
async fn connections(server: &Server) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..1_500 {
        let Ok(mut stream) = TcpStream::connect(server.address("c2s")).await else {
            continue;
        };
        let _ = stream.write_all(HEADER.as_bytes()).await;
        all.push(stream);
    }
    let mut kept = Vec::new();
    for mut stream in all {
        let mut space = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut space)).await;
        if read.expect("an answer or an end").is_ok_and(|n| n > 0) {
            kept.push(stream);
        }
    }
    kept
}

async fn flood(server: &Server) {
    let mut romeo = server.log_in("romeo").await;
    let body = "x".repeat(1_000);
    for n in 0..5_000 {
        romeo
            .send(&format!(
                "<message to='tybalt@localhost'><body>{n} {body}</body></message>"
            ))
            .await;
    }
    romeo
        .send("<iq type='get' id='end' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    romeo.until(|f| f.attr("id") == Some("end")).await;
}

/// One attack after the other, so that times and memory are of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_harms_the_server_or_a_bystander() {
    let server = Server::start("hostile", "");
    for name in ["romeo", "tybalt", "juliet", "nurse"] {
        server.add(name, &[]);
    }
    for attack in ["ill-formed input", "connections", "a flood"] {
        let (juliet, nurse) = (server.log_in("juliet").await, server.log_in("nurse").await);
        let before = resident(&server);
        let (stop, stopped) = oneshot::channel();
        let talk = tokio::spawn(talk(juliet, nurse, stopped));
        let begun = Instant::now();
        let (bound, held) = match attack {
            "ill-formed input" => {
                while begun.elapsed() < LASTS {
                    ill_formed(&server).await;
                }
                (INPUT_KIB, Vec::new())
            }
            "connections" => {
                let kept = connections(&server).await;
                assert!((900..=1_000).contains(&kept.len()), "{} kept", kept.len());
                (CONNECTIONS_KIB, kept)
            }
            _ => {
                while begun.elapsed() < LASTS {
                    flood(&server).await;
                }
                (FLOOD_KIB, Vec::new())
            }
        };
        let more = resident(&server).saturating_sub(before);
        // Connections that never log in do their harm by being there.
        tokio::time::sleep(LASTS.saturating_sub(begun.elapsed())).await;
        stop.send(()).unwrap();
        let p99 = talk.await.unwrap();
        drop(held);
        println!(
            "{attack}: {more} KiB more, the bystander's p99 {p99:?}, {:?}",
            begun.elapsed()
        );
        assert!(
            more < bound,
            "{attack}: {more} KiB more, {bound} are allowed"
        );
        // A session's stanzas have no rate of their own: a flood slows the others, and only its memory is asserted.
        // Times say something only on a machine that does nothing else: `LIAO_QUIET=1` asserts them.
        if attack != "a flood" && std::env::var_os("LIAO_QUIET").is_some() {
            assert!(
                p99 < BYSTANDER_P99,
                "{attack}: the bystander's p99 is {p99:?}"
            );
        }
    }
}
