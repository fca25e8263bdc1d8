//! Hostile input (RFC 6120 sections 4.9.3, 11.1 and 13.12): the error that the standard names, memory that stays bounded,
//! and the round trips of two people who talk meanwhile. The attacks are in `attacks/`.
//!
//! `LIAO_ATTACK_S` is how long each attack lasts, in seconds; `LIAO_ATTACK=NAME` runs those with NAME in their name.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod world;

use attacks::{ALL, Attack, CONFIG, FRIENDS, HEADER, Target, half_hello};
use liao_server::engines::roster::{COLLECTION, Contact};
use liao_server::store::{Op, Store, Sync};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::oneshot;
use world::{Client, Server};

/// What a round trip of somebody else may take in 99 of 100 cases.
const BYSTANDER_P99: Duration = Duration::from_millis(50);
/// How often an attack is tried: a machine that has other work meanwhile spoils a time now and then.
const TRIES: usize = 3;

/// The memory that the server's process has had at most since [`forget_peak`], in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// proc_pid_clear_refs(5): 5 makes what the process has now its peak.
fn forget_peak(server: &Server) {
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
}

/// Juliet and the nurse talk until they are told to stop; the 99th percentile of their round trips.
async fn talk(mut juliet: Client, mut nurse: Client, mut stop: oneshot::Receiver<()>) -> Duration {
    let mut times = Vec::new();
    while stop.try_recv().is_err() {
        let (word, begun) = (format!("word {}", times.len()), Instant::now());
        let message = |name| {
            format!("<message to='{name}@localhost' type='chat'><body>{word}</body></message>")
        };
        juliet.send(&message("nurse")).await;
        nurse.hears(&word).await;
        nurse.send(&message("juliet")).await;
        juliet.hears(&word).await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    assert!(!times.is_empty(), "they talked");
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

/// What was measured of one attack.
struct Measured {
    p99: Duration,
    more_kib: u64,
    said: String,
}

/// Runs something beside a talk.
async fn beside_a_talk<T>(server: &Server, what: impl Future<Output = T>) -> (T, Duration) {
    let (juliet, nurse) = (server.log_in("juliet").await, server.log_in("nurse").await);
    let (stop, stopped) = oneshot::channel();
    let talk = tokio::spawn(talk(juliet, nurse, stopped));
    let value = what.await;
    stop.send(()).unwrap();
    (value, talk.await.unwrap())
}

async fn measure(server: &Server, attack: &Attack, lasts: Duration) -> Measured {
    forget_peak(server);
    let before = peak(server);
    let addresses = std::fs::read_to_string(server.folder.0.join("liao-data/addresses.json"));
    let mut attacker = Command::new(std::env::current_exe().unwrap());
    attacker
        .args(["--ignored", "--exact", "attacker", "--nocapture"])
        .env("LIAO_ATTACK", attack.name)
        .env("LIAO_ATTACK_S", lasts.as_secs_f32().to_string())
        .env("LIAO_ATTACK_AT", addresses.unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let (out, p99) = beside_a_talk(server, attacker.output()).await;
    let out = out.unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{}: {text}{errors}", attack.name);
    let said = text.lines().find_map(|l| l.split_once("SAID: "));
    Measured {
        p99,
        more_kib: peak(server).saturating_sub(before),
        said: said.unwrap().1.to_owned(),
    }
}

/// The machine itself makes the talk slow, without any attack: what was measured says nothing of the server.
async fn is_busy(server: &Server) -> Option<Duration> {
    let wait = tokio::time::sleep(Duration::from_secs(1));
    let ((), calm) = beside_a_talk(server, wait).await;
    (calm > BYSTANDER_P99 / 4).then_some(calm)
}

/// Romeo gets a thousand friends, who are accounts with his password.
fn befriend(folder: &Path) {
    let work = async {
        let store = Store::open(&folder.join("liao-data"), Sync::Full).unwrap();
        let romeo = store.get("account", "romeo@localhost", "").await.unwrap();
        let friendship = Contact {
            to: true,
            from: true,
            ver: 1,
            ..Contact::default()
        };
        let friendship = serde_json::to_vec(&friendship).unwrap();
        let put = |collection, owner: &str, key: &str, value: &[u8]| Op::Put {
            collection,
            owner: owner.into(),
            key: key.into(),
            value: value.into(),
        };
        let mut ops = Vec::new();
        for n in 1..=FRIENDS {
            let friend = format!("friend{n}@localhost");
            ops.push(put("account", &friend, "", romeo.as_ref().unwrap()));
            ops.push(put(COLLECTION, &friend, "romeo@localhost", &friendship));
            ops.push(put(COLLECTION, "romeo@localhost", &friend, &friendship));
        }
        store.committed(ops).await.unwrap();
        store.close();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work));
    });
}

/// One attack after the other, so that times and memory are of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_harms_the_server_or_a_bystander() {
    let lasts = std::env::var("LIAO_ATTACK_S").map_or(1.5, |s| s.parse().expect("seconds"));
    let chosen = std::env::var("LIAO_ATTACK").unwrap_or_default();
    let mut server = Server::start("hostile", CONFIG);
    for name in ["romeo", "tybalt", "juliet", "nurse"] {
        server.add(name, &[]);
    }
    server.kill_and_start(befriend);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    for attack in ALL.iter().filter(|a| a.name.contains(&chosen)) {
        if files.maximum.is_some_and(|most| most < attack.files) {
            println!(
                "SKIPPED: {}: it needs {} open files; `ulimit -Hn` says {}",
                attack.name,
                attack.files,
                files.maximum.unwrap_or_default()
            );
            continue;
        }
        let lasts = Duration::from_secs_f32(lasts);
        let mut tries = Vec::new();
        while tries.len() < TRIES {
            // A new one each time: memory that an earlier attack took and left is not to be seen again.
            server.kill_and_start(|_| {});
            let measured = measure(&server, attack, lasts).await;
            println!(
                "{}: {}; {} KiB more at most, the bystander's p99 {:?}",
                attack.name, measured.said, measured.more_kib, measured.p99
            );
            assert!(
                measured.more_kib < attack.bound_mib * 1024,
                "{}: {} KiB more, {} MiB are allowed",
                attack.name,
                measured.more_kib,
                attack.bound_mib
            );
            tries.push(measured.p99);
            if measured.p99 < BYSTANDER_P99 {
                break;
            }
            if let Some(calm) = is_busy(&server).await {
                println!(
                    "NOT MEASURED: {}: this machine is busy; without an attack the p99 is {calm:?}",
                    attack.name
                );
                break;
            }
            assert!(tries.len() < TRIES, "{}: the p99 is {tries:?}", attack.name);
        }
    }
}

/// Not a test: an attacker's process, started by the one above.
#[test]
#[ignore = "a process of its own, started by nobody_harms_the_server_or_a_bystander"]
fn attacker() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
    // Real attackers do not take this machine's processors from those who are measured.
    rustix::process::nice(10).unwrap();
    let of = |name| std::env::var(name).unwrap_or_default();
    let Some(attack) = ALL.iter().find(|a| a.name == of("LIAO_ATTACK")) else {
        return;
    };
    let lasts = Duration::from_secs_f32(of("LIAO_ATTACK_S").parse().unwrap());
    let run = async {
        let target = Target::new(&of("LIAO_ATTACK_AT"), lasts);
        println!("SAID: {}", (attack.run)(target).await);
    };
    tokio::runtime::Runtime::new().unwrap().block_on(run);
}

/// Waits for the end of a connection that says nothing more, while a byte is sent every half second.
async fn ends(mut stream: TcpStream, first: Vec<u8>, trickle: bool) -> Duration {
    let begun = Instant::now();
    stream.write_all(&first).await.unwrap();
    let mut space = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut space));
        match read.await {
            Ok(Ok(0) | Err(_)) => return begun.elapsed(),
            Ok(Ok(_)) => {}
            Err(_) if trickle && stream.write_all(b"x").await.is_err() => return begun.elapsed(),
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(60), "it ends"),
        }
    }
}

/// RFC 6120 section 13.12: who does not come to the point in time loses the place, over whatever carrier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_come_to_the_point_loses_the_connection() {
    let server = Server::start("hostile-slow", "[limits]\nunauthenticated_s = 5\n");
    let http = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
    let form = "POST /invite/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\nname=";
    let bosh = "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9999\r\n\r\n<body ";
    let upgrade = "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: xmpp\r\n\r\n";
    let slow: [(&str, &str, Vec<u8>, bool, u64); 10] = [
        ("nothing", "c2s", Vec::new(), false, 5),
        (
            "half a stream header",
            "c2s",
            "<stream:stream ".into(),
            true,
            5,
        ),
        ("no login", "c2s", HEADER.into(), false, 5),
        ("half a ClientHello", "c2s_tls", half_hello(), false, 5),
        (
            "half a ClientHello of HTTPS",
            "https",
            half_hello(),
            false,
            10,
        ),
        ("half an HTTP header", "http", http.into(), true, 30),
        ("no HTTP header", "http", Vec::new(), false, 30),
        ("half a form", "http", form.into(), true, 30),
        ("half a BOSH request", "http", bosh.into(), true, 5),
        (
            "a WebSocket without a word",
            "http",
            upgrade.into(),
            false,
            5,
        ),
    ];
    let all = slow.map(|(name, what, first, trickle, seconds)| {
        let at = server.address(what);
        tokio::spawn(async move {
            let stream = TcpStream::connect(at).await.unwrap();
            let took = ends(stream, first, trickle).await.as_secs_f32();
            let (least, most) = (seconds as f32 - 1.0, seconds as f32 + 12.0);
            assert!((least..most).contains(&took), "{name}: {took} s");
        })
    });
    for one in all {
        one.await.unwrap();
    }
}

/// RFC 5246 section 7.2.2: who wants to renegotiate gets the alert `no_renegotiation` and goes no further: the time for a
/// login goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_not_renegotiated() {
    let server = Server::start("hostile-tls", "[limits]\nunauthenticated_s = 5\n");
    for name in ["juliet", "nurse"] {
        server.add(name, &[]);
    }
    let at = server.address("c2s_tls").to_string();
    let renegotiate = async |at: String| {
        let mut client = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-legacy_renegotiation", "-connect"])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        // It reads the letter once the handshake is done; its input stays open, so it ends only if the server does.
        let mut input = client.stdin.take().unwrap();
        input.write_all(b"R\n").await?;
        let ended = tokio::time::timeout(world::PATIENCE, client.wait_with_output());
        ended.await.expect("the server ends it")
    };
    let many = async {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            all.spawn(renegotiate(at.clone()));
        }
        for one in all.join_all().await {
            let out = match one {
                Ok(out) => out,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    println!("SKIPPED: renegotiation: there is no openssl here");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            let all = [out.stdout, out.stderr].concat();
            let all = String::from_utf8_lossy(&all).into_owned();
            assert!(all.contains("RENEGOTIATING"), "{all}");
            assert!(all.contains("no renegotiation"), "{all}");
        }
    };
    let ((), p99) = beside_a_talk(&server, many).await;
    println!("renegotiation: refused, the bystander's p99 {p99:?}");
}
