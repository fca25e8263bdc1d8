//! `liao chat --plain`, `liao msg` and `liao tail` with a real `liao serve`: from an invite link to a talk; the server
//! killed, the network gone, another certificate, a wrong password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::{Program, tutorial};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server in a folder of its own; its ports are free ones, and stay the same over a restart.
struct House {
    folder: PathBuf,
    ports: Vec<(&'static str, String)>,
    server: Option<Program>,
    invite: String,
}

const LISTENERS: [&str; 5] = ["C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS"];

impl House {
    fn new(name: &str) -> House {
        let folder = std::env::temp_dir().join(format!("liao-chat-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let held: Vec<_> = LISTENERS
            .iter()
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let address = |l: &std::net::TcpListener| l.local_addr().unwrap().to_string();
        let ports = LISTENERS
            .iter()
            .zip(&held)
            .map(|(n, l)| (*n, address(l)))
            .collect();
        drop(held);
        let mut house = House {
            folder,
            ports,
            server: None,
            invite: String::new(),
        };
        house.open();
        house
    }

    fn open(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(["serve", "--data"])
            .arg(self.folder.join("server"));
        command.current_dir(&self.folder);
        for (name, address) in &self.ports {
            command.env(format!("LIAO_LISTEN_{name}"), address);
        }
        let server = Program::start(&mut command);
        server.hears("certificate");
        if self.invite.is_empty() {
            self.invite = server.hears("https://").trim().to_owned();
        }
        self.server = Some(server);
    }

    fn port(&self, name: &str) -> &str {
        &self.ports.iter().find(|(n, _)| *n == name).unwrap().1
    }

    fn close(&mut self) {
        // Dropping a program kills it with SIGKILL.
        self.server = None;
    }

    /// A client with data of its own.
    fn liao(&self, who: &str, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(args)
            .env("XDG_DATA_HOME", self.folder.join(who));
        Program::start(&mut command)
    }

    fn admin(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(["admin", "--data"])
            .arg(self.folder.join("server"));
        let out = command
            .args(args)
            .env("LIAO_PASSWORD", "a password")
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    /// A new account by an invite link, online in the plain client.
    fn joins(&self, who: &str, invite: &str) -> Program {
        let mut program = self.liao(who, &["chat", invite, "--plain"]);
        program.say(who);
        program.say("a password");
        program.notes(&format!("online: {who}@localhost"));
        program
    }

    /// Alice by the first invite, Bob by hers: friends at once.
    fn friends(&self) -> (Program, Program) {
        let alice = self.joins("alice", &self.invite);
        let invite = self.admin(&["invite", "--from", "alice@localhost"]);
        let link = invite
            .split_whitespace()
            .find(|w| w.starts_with("https://"))
            .unwrap();
        let bob = self.joins("bob", link);
        alice.notes("bob is here");
        (alice, bob)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

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

/// A network that can be cut: passes bytes on between a client and the server.
struct Network {
    address: String,
    open: std::sync::Arc<std::sync::Mutex<Vec<std::net::TcpStream>>>,
}

impl Network {
    fn to(server: &str) -> Network {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open: std::sync::Arc<std::sync::Mutex<Vec<std::net::TcpStream>>> = Default::default();
        let (server, streams) = (server.to_owned(), open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(there) = std::net::TcpStream::connect(&server) else {
                    continue;
                };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), there.try_clone().unwrap()),
                    (there.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([client, there]);
            }
        });
        Network { address, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
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
