//! Ill-formed input over every carrier, before and after the login (RFC 6120 sections 4.9.3, 11.1 and 13.12).

use super::{HEADER, Target, answer};
use crate::world::PATIENCE;
use liao_proto::stream::Event;
use std::fmt::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes after a stream header, and the conditions that may be the answer.
type Bad = (&'static str, Vec<u8>, &'static str);

fn bad() -> Vec<Bad> {
    let mut declarations = String::from("<message ");
    for n in 0..500 {
        write!(declarations, "xmlns:p{n}='urn:example:{n}' ").unwrap();
    }
    declarations.push_str("/>");
    let laughs = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><message>&b;</message>";
    vec![
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
        (
            "NUL by reference",
            "<message>&#0;</message>".into(),
            "not-well-formed|restricted-xml",
        ),
        (
            "tags that cross",
            "<message><a></message></a>".into(),
            "not-well-formed",
        ),
        (
            "an attribute twice",
            "<message a='1' a='2'/>".into(),
            "not-well-formed",
        ),
    ]
}

fn check(name: &str, conditions: &str, said: &str) {
    let named = |c: &str| said.contains(&format!("<{c} "));
    assert!(conditions.split('|').any(named), "{name}: {said}");
}

/// A start tag of so many bytes that does not end.
fn endless(mib: usize) -> Vec<u8> {
    format!("<message {}", "x".repeat(mib * 1024 * 1024)).into()
}

pub async fn before_login(target: Target) -> String {
    let mut rounds = 0;
    while target.goes_on() || rounds == 0 {
        for (name, bytes, conditions) in bad() {
            let stream = target.dial("c2s", 2).await.unwrap();
            let said = answer(stream, &[HEADER.as_bytes(), &bytes].concat()).await;
            check(name, conditions, &said);
        }
        let stream = target.dial("c2s", 2).await.unwrap();
        let said = answer(stream, &[HEADER.as_bytes(), &endless(8)].concat()).await;
        check("a start tag that never ends", "policy-violation", &said);
        rounds += 1;
    }
    format!("{rounds} rounds, every error as named")
}

pub async fn after_login(target: Target) -> String {
    let mut rounds = 0;
    let mut all = bad();
    let large = format!("<message><body>{}</body></message>", "x".repeat(600 * 1024));
    all.extend([
        (
            "a start tag that never ends",
            endless(8),
            "policy-violation",
        ),
        ("a stanza too large", large.into(), "policy-violation"),
        (
            "somebody else's name",
            "<message from='juliet@localhost' to='tybalt@localhost'/>".into(),
            "invalid-from",
        ),
        (
            "no stanza",
            "<thing xmlns='urn:example:x'/>".into(),
            "unsupported-stanza-type",
        ),
    ]);
    while target.goes_on() || rounds == 0 {
        for (name, bytes, conditions) in &all {
            let mut client = target.log_in("romeo").await;
            client.wire.queue(bytes);
            let mut said = String::new();
            let hear = async {
                // What is queued is written meanwhile; the server may close before all is taken.
                while let Ok(event) = client.wire.recv().await {
                    match event {
                        Event::Element(frame) => {
                            said.push_str(&String::from_utf8_lossy(frame.bytes()));
                        }
                        Event::Close => break,
                        Event::Open(_) => {}
                    }
                }
            };
            let heard = tokio::time::timeout(PATIENCE, hear).await;
            assert!(heard.is_ok(), "{name}: the server ends the stream");
            check(name, conditions, &said);
        }
        rounds += 1;
    }
    format!("{rounds} rounds, every error as named")
}

pub async fn other_carriers(target: Target) -> String {
    let mut rounds = 0;
    while target.goes_on() || rounds == 0 {
        for (name, bytes, conditions) in bad() {
            over_tls(&target, name, &bytes, conditions).await;
            over_websocket(&target, name, &bytes, conditions).await;
            over_bosh(&target, name, &bytes).await;
        }
        rounds += 1;
    }
    format!("{rounds} rounds, every error as named; BOSH: bad-request (XEP-0124 section 17.2)")
}

async fn over_tls(target: &Target, name: &str, bytes: &[u8], conditions: &str) {
    let at = target.address("c2s_tls");
    let (config, _) = liao_net::tls::client_config(None, &["xmpp-client"]).unwrap();
    let host = at.ip().to_string();
    let io = liao_net::tls::connect(&host, at.port(), "localhost", config)
        .await
        .unwrap();
    let said = answer(io, &[HEADER.as_bytes(), bytes].concat()).await;
    check(name, conditions, &said);
}

/// A text frame whose mask is zero (RFC 6455 section 5.2).
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut frame = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    frame.extend_from_slice(bytes);
    frame
}

/// Each message is one element here (RFC 7395 section 3.3.3); what is no UTF-8 is no text frame (RFC 6455 section 8.1).
async fn over_websocket(target: &Target, name: &str, bytes: &[u8], conditions: &str) {
    let mut stream = target.dial("http", 2).await.unwrap();
    let request = "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: xmpp\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut space = [0; 4096];
    let n = stream.read(&mut space).await.unwrap();
    assert!(space[..n].starts_with(b"HTTP/1.1 101"), "{name}");
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
    let all = [frame(open.as_bytes()), frame(bytes)].concat();
    let said = answer(stream, &all).await;
    if std::str::from_utf8(bytes).is_ok() {
        // A message that ends within an element is not well-formed, however deep it is.
        check(name, &format!("{conditions}|not-well-formed"), &said);
    }
}

async fn over_bosh(target: &Target, name: &str, bytes: &[u8]) {
    let stream = target.dial("http", 2).await.unwrap();
    let start = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' hold='1' wait='1' ver='1.6'>";
    let body = [start.as_bytes(), bytes, b"</body>"].concat();
    let head = format!(
        "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let said = answer(stream, &[head.as_bytes(), &body].concat()).await;
    assert!(said.contains("condition='bad-request'"), "{name}: {said}");
}
