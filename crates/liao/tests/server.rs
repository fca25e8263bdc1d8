//! What an administrator meets, on the real program: callers, logins, proxies, configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use liao_proto::xml::Frame;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Client, PATIENCE, SASL, Server, http, websocket_features};

async fn reads(stream: &mut TcpStream) -> String {
    let mut space = [0u8; 1024];
    let n = tokio::time::timeout(PATIENCE, stream.read(&mut space))
        .await
        .expect("an answer in time")
        .unwrap();
    String::from_utf8(space[..n].to_vec()).unwrap()
}

#[tokio::test]
async fn callers_appear_to_the_owner_and_to_those_who_are_allowed() {
    let allow = |all: &str| format!("[sockets]\nallow = [{all}]\n");
    let server = Server::start("allow", &allow("\"bob@localhost\", \"ghost@localhost\""));
    let mut early = TcpStream::connect(server.address("sockets")).await.unwrap();
    early.write_all(b"anyone?").await.unwrap();
    assert!(reads(&mut early).await.contains("nobody has an account"));
    server.add("anna", &["--admin"]);
    server.add("bob", &[]);
    server.add("carl", &[]);
    let (mut anna, mut bob) = (server.log_in("anna").await, server.log_in("bob").await);
    let mut caller = TcpStream::connect(server.address("sockets")).await.unwrap();
    caller.write_all(b"hello").await.unwrap();
    let name = anna.hears("hello").await;
    assert_eq!(bob.hears("hello").await, name);
    let say = |to: &str, body: &str| {
        format!("<message to='{to}' type='chat' id='m'><body>{body}</body></message>")
    };
    bob.send(&say(&name, "from bob")).await;
    assert_eq!(reads(&mut caller).await, "from bob");
    let mut carl = server.log_in("carl").await;
    carl.send(&say(&name, "from carl")).await;
    let refused = carl.until(|f| f.name() == "message").await;
    assert_eq!(refused.attr("type"), Some("error"));

    // Live: from the caller's next word on, carl is one of them, and bob is not.
    server.reload(&allow("\"carl@localhost\""));
    caller.write_all(b"again").await.unwrap();
    assert_eq!(carl.hears("again").await, name);
    anna.hears("again").await;
    carl.send(&say(&name, "from carl")).await;
    assert_eq!(reads(&mut caller).await, "from carl");
    bob.send(&say(&name, "still me?")).await;
    let refused = bob.until(|f| f.name() == "message").await;
    assert_eq!(refused.attr("type"), Some("error"));
}

#[tokio::test]
async fn what_waits_for_a_caller_is_seen_and_what_it_never_reads_comes_back() {
    let server = Server::start("waits", "");
    server.add("anna", &["--admin"]);
    let mut anna = server.log_in("anna").await;
    let mut caller = TcpStream::connect(server.address("sockets")).await.unwrap();
    caller.write_all(b"hello").await.unwrap();
    let name = anna.hears("hello").await;
    for word in ["one", "two", "three"] {
        let body = format!("<body>{word}</body>");
        anna.send(&format!(
            "<message to='{name}' type='chat' id='{word}'>{body}</message>"
        ))
        .await;
    }
    assert_eq!(reads(&mut caller).await, "one");
    let says = |words: &'static str| {
        move |f: &Frame| {
            f.name() == "presence" && String::from_utf8_lossy(f.bytes()).contains(words)
        }
    };
    anna.until(says("2 pieces wait for its turn")).await;
    caller.write_all(b"go on").await.unwrap();
    assert_eq!(reads(&mut caller).await, "two");
    anna.until(says("1 piece waits for its turn")).await;
    drop(caller);
    let refused = anna.until(|f| f.attr("type") == Some("error")).await;
    assert_eq!(refused.attr("id"), Some("three"));
    let words = String::from_utf8_lossy(refused.bytes()).into_owned();
    assert!(words.contains("it hung up before its turn came"), "{words}");
}

#[tokio::test]
async fn callers_that_are_long_gone_do_not_fill_the_contacts() {
    let server = Server::start("gone", "");
    server.add("anna", &["--admin"]);
    let mut anna = server.log_in("anna").await;
    for n in 0..110 {
        let mut caller = TcpStream::connect(server.address("sockets")).await.unwrap();
        caller
            .write_all(format!("call {n}").as_bytes())
            .await
            .unwrap();
        anna.hears(&format!("call {n}")).await;
        drop(caller);
        anna.until(|f| f.name() == "presence" && f.attr("type") == Some("unavailable"))
            .await;
    }
    anna.send("<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    let all = anna.until(|f| f.attr("id") == Some("all")).await;
    let all = String::from_utf8_lossy(all.bytes()).into_owned();
    assert_eq!(all.matches("<item").count(), 101, "{all}");
    assert!(
        all.contains("'tcp-110@") && !all.contains("'tcp-9@"),
        "{all}"
    );
}

#[tokio::test]
async fn a_guesser_waits_and_the_others_do_not() {
    let server = Server::start("guess", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut guesser = Client::connect(server.address("c2s")).await;
    for _ in 0..4 {
        let answer = guesser.authenticate("anna", "wrong").await;
        assert!(answer.to_dom().unwrap().has_child("not-authorized", SASL));
    }
    let mut guesser = Client::connect(server.address("c2s")).await;
    guesser.authenticate("anna", "wrong").await;
    let answer = guesser.authenticate("anna", "pw-anna").await;
    let failure = answer.to_dom().unwrap();
    assert!(
        failure.has_child("temporary-auth-failure", SASL),
        "{failure:?}"
    );
    let words = failure.get_child("text", SASL).unwrap().text();
    assert!(words.contains("try again in 1 s"), "{words}");
    server.log_in("bob").await;
}

#[tokio::test]
async fn a_websocket_is_offered_what_its_way_allows() {
    let server = Server::start("proxy", "[registration]\nmode = \"open\"\n");
    let at = server.address("http");
    let offered = async |headers: &str| {
        let features = websocket_features(at, headers).await;
        let plain = features.contains(">PLAIN<");
        (features.contains(">SCRAM-SHA-256<"), plain)
    };
    let (https, http) = (
        "X-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: http\r\n",
    );
    assert_eq!(
        offered("").await,
        (true, false),
        "a program on this machine"
    );
    assert_eq!(offered(https).await, (false, false), "a proxy nobody named");
    server.reload("[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    assert_eq!(offered(https).await, (true, true));
    assert_eq!(offered(http).await, (false, false));
    assert_eq!(
        offered("").await,
        (false, false),
        "it did not say that it ended TLS"
    );
}

#[tokio::test]
async fn registrations_are_counted_for_the_client_behind_the_proxy() {
    let config = "[http]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let server = Server::start("count", config);
    let token = server.banner.split("invite/").nth(1).unwrap();
    let token = token.lines().next().unwrap();
    let post = async |client: &str| {
        let form = "name=a+b&password=x";
        let answer = http(
            server.address("http"),
            &format!(
                "POST /invite/{token} HTTP/1.1\nHost: x\nX-Forwarded-Proto: https\nX-Forwarded-For: {client}\n\
                 Content-Type: application/x-www-form-urlencoded\nContent-Length: {}\nConnection: close\n\n{form}",
                form.len()
            ),
        )
        .await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for _ in 0..20 {
        assert_eq!(post("203.0.113.7").await, "400");
    }
    assert_eq!(post("203.0.113.7").await, "429");
    assert_eq!(post("203.0.113.8").await, "400");
}

#[tokio::test]
async fn plain_http_on_other_addresses_only_shows_the_way() {
    let config = "[http]\ntrusted_proxies = [\"192.0.2.1\"]\n";
    let server = Server::start_with("redirect", config, |c| {
        c.env("LIAO_LISTEN_HTTP", "0.0.0.0:0");
    });
    let at = ([127, 0, 0, 1], server.address("http").port()).into();
    for path in ["/", "/health", "/invite/x", "/nowhere"] {
        let answer = http(at, &format!("GET {path} HTTP/1.1\nHost: x")).await;
        let to = format!("https://localhost:{}{path}", server.address("https").port());
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        assert!(answer.contains(&format!("location: {to}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn check_says_line_by_line_what_a_start_would_meet() {
    let server = Server::start("check", "");
    server.add("anna", &[]);
    let folder = &server.folder.0;
    let check = |config: &str| {
        std::fs::write(folder.join("liao.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        let out = command.arg("check").current_dir(folder).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let listen = |c2s: &str| {
        let off = "c2s_tls = 'off'\nhttp = 'off'\nhttps = 'off'\nsockets = 'off'\n";
        format!("[listen]\nc2s = '{c2s}'\n{off}")
    };
    let (code, words) = check(&listen(&server.address("c2s").to_string()));
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("held by the server that runs"), "{words}");
    assert!(words.contains("accounts belong to localhost"), "{words}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let other = "domain = 'else.example'\n";
    let (code, words) = check(&format!("{other}{}", listen(&address.to_string())));
    assert_eq!(code, Some(2), "{words}");
    let wrong: Vec<&str> = words.lines().filter(|l| l.starts_with("WRONG: ")).collect();
    assert_eq!(wrong.len(), 2, "{words}");
    assert!(wrong[0].contains(&address.to_string()) && wrong[0].contains(" – stop what"));
    assert!(wrong[1].contains("localhost") && wrong[1].contains("else.example"));
    let ghost = "[sockets]\nowner = 'ghost@localhost'\nallow = ['anna@localhost']\n";
    let (code, words) = check(&format!("{}{ghost}", listen("off")));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("ghost@localhost") && !words.contains("anna@localhost"));
    let (code, words) = check("data = 'liao.toml/data'\n");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("WRONG: the data folder"), "{words}");
    let (code, words) = check("domian = 'x'\n");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("line 1"), "{words}");
}

#[tokio::test]
async fn limits_of_the_configuration_are_kept() {
    let config =
        "[limits]\nstanza_bytes = 20000\nconnections_per_address = 5\nresources_per_account = 2\n";
    let server = Server::start("limits", config);
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    let second = server.log_in("anna").await;
    let mut third = Client::connect(server.address("c2s")).await;
    third.authenticate("anna", "pw-anna").await;
    assert_eq!(third.bind().await.attr("type"), Some("error"));
    let body = |n: usize| {
        let text = "x".repeat(n);
        format!("<message to='anna@localhost' type='chat'><body>{text}</body></message>")
    };
    anna.send(&body(19_000)).await;
    anna.until(|f| f.name() == "message").await;
    anna.send(&body(20_000)).await;
    let end = anna.until(|f| f.name() == "error").await;
    assert!(String::from_utf8_lossy(end.bytes()).contains("policy-violation"));
    drop(second);
    // The sixth connection of one address is closed at once; HTTP counts on its own.
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(TcpStream::connect(server.address("http")).await.unwrap());
    }
    let mut sixth = TcpStream::connect(server.address("http")).await.unwrap();
    assert_eq!(reads(&mut sixth).await, "");
}

/// 4.9.3.8 internal-server-error (RFC 6120): an account that cannot be read is no wrong password, and the server lives on.
#[tokio::test]
async fn a_login_whose_account_cannot_be_read_is_the_servers_fault() {
    let server = Server::start("unreadable", "");
    server.add("anna", &[]);
    let rename = |from: &str, to: &str| {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                      c.execute(f'ALTER TABLE {sys.argv[2]} RENAME TO {sys.argv[3]}'); c.commit()";
        let store = server.folder.0.join("liao-data/liao.sqlite3");
        let mut python = Command::new("python3");
        let done = python.args(["-c", script]).arg(store).args([from, to]);
        assert!(done.status().unwrap().success());
    };
    rename("kv", "elsewhere");
    let mut anna = Client::connect(server.address("c2s")).await;
    let answer = anna.authenticate("anna", "pw-anna").await;
    assert!(
        answer.is("error", "http://etherx.jabber.org/streams"),
        "{answer:?}"
    );
    assert_eq!(&*answer.children()[0].name, "internal-server-error");
    rename("elsewhere", "kv");
    server.log_in("anna").await;
}
