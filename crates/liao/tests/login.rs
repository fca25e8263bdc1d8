//! Logging in over TLS: one round trip (XEP-0386), channel binding against somebody in between (RFC 5802 section 6,
//! RFC 9266, RFC 5929 section 4, XEP-0440).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use liao_net::tls::{self, Identity};
use liao_net::{Wire, rustls};
use liao_proto::ns;
use liao_proto::sasl::{self, Binding, BindingType, Channel, Mechanism, Profile};
use liao_proto::stream::{Event, Header, Limits};
use liao_proto::xml::Frame;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use world::{Folder, PATIENCE, Server};

const SUCCESS: (&str, &str) = ("success", ns::SASL2);

/// Direct TLS, nothing said yet.
async fn wire(address: SocketAddr) -> Wire {
    let (config, _) = tls::client_config(None, &["xmpp-client"]).unwrap();
    let (host, port) = (address.ip().to_string(), address.port());
    let io = tls::connect(&host, port, "localhost", config)
        .await
        .unwrap();
    let bindings = tls::bindings(&io);
    Wire::bound(io, bindings, Limits::default())
}

fn open(wire: &mut Wire) {
    wire.queue_open(&Header {
        to: Some("localhost".into()),
        version: Some("1.0".into()),
        ..Header::default()
    });
}

async fn next(wire: &mut Wire) -> Frame {
    loop {
        let event = tokio::time::timeout(PATIENCE, wire.recv()).await.unwrap();
        match event.unwrap() {
            Event::Element(frame) => return frame,
            Event::Open(_) => {}
            Event::Close => panic!("the stream was closed"),
        }
    }
}

fn words(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.bytes()).into_owned()
}

fn authenticate(mechanism: Mechanism, initial: &[u8], more: &str) -> String {
    format!(
        "<authenticate xmlns='{}' mechanism='{}'><initial-response>{}</initial-response>{more}</authenticate>",
        ns::SASL2,
        mechanism.name(),
        Profile::Sasl2.encode(initial)
    )
}

/// One try of anna's; the answer.
async fn log_in(wire: &mut Wire, mechanism: Mechanism, channel: &Channel) -> Frame {
    let client = sasl::Client::new(mechanism, "anna", "pw-anna").unwrap();
    let mut client = client.with_channel(channel);
    wire.queue(authenticate(mechanism, &client.initial(), "").as_bytes());
    loop {
        let answer = next(wire).await;
        if !answer.is("challenge", ns::SASL2) {
            if answer.is(SUCCESS.0, SUCCESS.1) {
                let dom = answer.to_dom().unwrap();
                let data = dom.get_child("additional-data", ns::SASL2).unwrap().text();
                client.finish(&sasl::decode(&data).unwrap()).unwrap();
            }
            return answer;
        }
        let challenge = sasl::decode(&answer.text()).unwrap();
        let response = client.step(&challenge).unwrap();
        wire.queue(Profile::Sasl2.element("response", &response).as_bytes());
    }
}

#[tokio::test]
async fn both_types_bind_over_direct_tls_and_after_starttls_and_a_wrong_one_is_refused() {
    let server = Server::start("login-bind", "");
    server.add("anna", &[]);
    for starttls in [false, true] {
        for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
            for n in 0..2 {
                let mut wire = match starttls {
                    false => wire(server.address("c2s_tls")).await,
                    true => after_starttls(server.address("c2s")).await,
                };
                open(&mut wire);
                next(&mut wire).await;
                let kinds: Vec<_> = wire.bindings().iter().map(|b| b.kind).collect();
                assert_eq!(
                    kinds,
                    [BindingType::TlsExporter, BindingType::TlsServerEndPoint]
                );
                let right = wire.bindings()[n].clone();
                let wrong = Binding {
                    data: vec![0; 32],
                    ..right
                };
                let refused = log_in(&mut wire, mechanism, &Channel::Bound(wrong)).await;
                assert!(words(&refused).contains("channel-bindings-dont-match"));
                let let_in = log_in(&mut wire, mechanism, &Channel::Bound(right)).await;
                assert!(let_in.is(SUCCESS.0, SUCCESS.1), "{}", words(&let_in));
            }
        }
    }
}

async fn after_starttls(address: SocketAddr) -> Wire {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut wire = Wire::stream(stream, false, Limits::default());
    open(&mut wire);
    assert!(
        !words(&next(&mut wire).await).contains(ns::SASL2),
        "not without TLS"
    );
    wire.queue(format!("<starttls xmlns='{}'/>", ns::TLS).as_bytes());
    next(&mut wire).await;
    let (config, _) = tls::client_config(None, &[]).unwrap();
    let name = tls::server_name("localhost").unwrap();
    wire.starttls_connect_in_place(name, config).await.unwrap();
    wire
}

#[tokio::test]
async fn a_websocket_binds_no_channel_and_offers_none() {
    let server = Server::start("login-web", "http.trusted_proxies = [\"127.0.0.1\"]\n");
    server.add("anna", &[]);
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    let features = world::websocket_features(server.address("http"), headers).await;
    assert!(features.contains(ns::SASL2) && features.contains(ns::BIND2));
    assert!(
        !features.contains("-PLUS") && !features.contains(ns::SASL_CB),
        "{features}"
    );
    let features = world::websocket_features(server.address("http"), "").await;
    assert!(
        !features.contains(ns::SASL2),
        "no TLS on the way: {features}"
    );
}

/// With PLAIN everything is in the client's first flight; SCRAM needs one more for its challenge.
#[tokio::test]
async fn a_login_takes_one_round_trip_to_a_bound_and_managed_session() {
    let server = Server::start("login-trip", "");
    server.add("anna", &[]);
    let bind = format!(
        "<bind xmlns='{}'><tag>test</tag><enable xmlns='{}' resume='true'/></bind>",
        ns::BIND2,
        ns::SM
    );
    let mut wire = wire(server.address("c2s_tls")).await;
    open(&mut wire);
    wire.queue(authenticate(Mechanism::Plain, b"\0anna\0pw-anna", &bind).as_bytes());
    wire.flush().await.unwrap();
    // Nothing more is written until here:
    assert!(next(&mut wire).await.is("features", ns::STREAM));
    let success = next(&mut wire).await;
    assert!(success.is(SUCCESS.0, SUCCESS.1), "{}", words(&success));
    assert!(words(&success).contains("anna@localhost/test/"));
    assert!(words(&success).contains("<enabled"));
    assert!(next(&mut wire).await.is("features", ns::STREAM));
    // The bounds are those of who is logged in, on the same stream.
    let body = "长".repeat(20_000);
    wire.queue(
        format!("<message to='anna@localhost' type='chat'><body>{body}</body></message>")
            .as_bytes(),
    );
    wire.queue(b"<presence/>");
    let message = loop {
        let frame = next(&mut wire).await;
        if frame.name() == "message" {
            break frame;
        }
    };
    assert!(words(&message).contains(&body));

    let mut wire = self::wire(server.address("c2s_tls")).await;
    let channel = Channel::Bound(wire.bindings()[0].clone());
    let mechanism = Mechanism::ScramSha256Plus;
    let client = sasl::Client::new(mechanism, "anna", "pw-anna").unwrap();
    let mut client = client.with_channel(&channel);
    open(&mut wire);
    wire.queue(authenticate(mechanism, &client.initial(), &bind).as_bytes());
    assert!(next(&mut wire).await.is("features", ns::STREAM));
    let challenge = sasl::decode(&next(&mut wire).await.text()).unwrap();
    let response = client.step(&challenge).unwrap();
    wire.queue(Profile::Sasl2.element("response", &response).as_bytes());
    let success = next(&mut wire).await;
    assert!(words(&success).contains("<bound"), "{}", words(&success));
}

/// Somebody in between, on a port of its own: takes TLS with this certificate, makes TLS to the server, and changes
/// what the server says.
async fn between(
    server: SocketAddr,
    shown: Arc<rustls::ServerConfig>,
    change: fn(String) -> String,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shown = shown.clone();
            tokio::spawn(async move {
                let Ok((client, _)) = tls::accept(stream, shown).await else {
                    return;
                };
                let (config, _) = tls::client_config(None, &["xmpp-client"]).unwrap();
                let (host, port) = (server.ip().to_string(), server.port());
                let real = tls::connect(&host, port, "localhost", config)
                    .await
                    .unwrap();
                let (mut from_client, mut to_client) = tokio::io::split(client);
                let (mut from_real, mut to_real) = tokio::io::split(real);
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_real).await });
                let mut space = vec![0; 65_536];
                while let Ok(n) = from_real.read(&mut space).await {
                    let said = String::from_utf8_lossy(&space[..n]).into_owned();
                    if n == 0 || to_client.write_all(change(said).as_bytes()).await.is_err() {
                        break;
                    }
                    to_client.flush().await.unwrap();
                }
            });
        }
    });
    address
}

/// Takes whole elements out of what the server says.
fn without(said: String, from: &str, to: &str) -> String {
    match (said.find(from), said.find(to)) {
        (Some(a), Some(b)) if a < b => format!("{}{}", &said[..a], &said[b + to.len()..]),
        _ => said,
    }
}

fn no_plus(said: String) -> String {
    let said = said.replace("<mechanism>SCRAM-SHA-256-PLUS</mechanism>", "");
    let said = said.replace("<mechanism>SCRAM-SHA-1-PLUS</mechanism>", "");
    without(said, "<sasl-channel-binding", "</sasl-channel-binding>")
}

fn only_classic_and_unannounced(said: String) -> String {
    let said = without(said, "<authentication", "</authentication>");
    without(said, "<sasl-channel-binding", "</sasl-channel-binding>")
}

/// `liao msg` to Bob as Anna by way of this address: the exit code and its words.
async fn msg(folder: &Path, data: &str, by: SocketAddr, more: &[&str]) -> (i32, String) {
    let server = format!("localhost:{}", by.port());
    let args = [
        "msg",
        "--account",
        "anna@localhost",
        "--server",
        &server,
        "--client-data",
        data,
    ];
    let mut command = world::liao(folder, &args);
    command
        .args(more)
        .args(["bob@localhost", "hi"])
        .env("LIAO_PASSWORD", "pw-anna");
    let out = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code().unwrap(), words)
}

#[tokio::test]
async fn who_sits_in_between_is_found_out_by_our_client() {
    let server = Server::start("login-between", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let folder = Folder::new("login-between-client");
    let real = server.address("c2s_tls");
    let of_server = server.folder.0.join("liao-data/tls");
    let stolen = Identity::from_files(&of_server.join("cert.pem"), &of_server.join("key.pem"), "");
    let stolen = stolen.unwrap();
    let fingerprint = stolen.fingerprint();
    let stolen = stolen.server_config(&[]).unwrap();
    let other = Identity::self_signed(&folder.0.join("other"), &["localhost".into()]).unwrap();
    let other = other.server_config(&[]).unwrap();

    // At the very first visit, when every certificate would do.
    let by = between(real, other, |said| said).await;
    let (code, why) = msg(&folder.0, "new", by, &[]).await;
    assert!(
        code == 1 && why.contains("channel-bindings-dont-match"),
        "{code} {why}"
    );
    // Even with the server's own certificate and key.
    let by = between(real, stolen.clone(), |said| said).await;
    let (code, why) = msg(&folder.0, "stolen", by, &[]).await;
    assert!(
        code == 1 && why.contains("somebody sits in between"),
        "{code} {why}"
    );
    // Who takes the mechanisms out of the offer is found out by the server.
    let by = between(real, stolen.clone(), no_plus).await;
    let (code, why) = msg(&folder.0, "stripped", by, &[]).await;
    assert!(
        code == 1 && why.contains("server-does-support-channel-binding"),
        "{code} {why}"
    );
    // And who makes it look like an old server, by the client's memory.
    let (code, why) = msg(&folder.0, "known", real, &[]).await;
    assert_eq!(code, 0, "{why}");
    let by = between(real, stolen, only_classic_and_unannounced).await;
    let (code, why) = msg(&folder.0, "known", by, &[]).await;
    assert!(
        code == 1 && why.contains("does not offer to any more"),
        "{code} {why}"
    );
    let (code, why) = msg(&folder.0, "known", by, &["--trust", &fingerprint]).await;
    assert_eq!(code, 0, "the person knows why: {why}");
    let (code, why) = msg(&folder.0, "known", by, &[]).await;
    assert_eq!(code, 0, "and need not say it again: {why}");
}
