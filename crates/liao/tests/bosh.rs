//! BOSH (XEP-0124, XEP-0206) on a real server: what its clients cannot show. They are in tests/interop/bosh.mjs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{PATIENCE, Server};

const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";

async fn open(address: SocketAddr, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(body.as_bytes()).await;
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an answer in time");
    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200"), "{all}");
    assert!(all.contains("access-control-allow-origin: *"), "{all}");
    all.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn post(address: SocketAddr, attributes: &str, inside: &str) -> String {
    let body = format!("<body xmlns='{HTTPBIND}' {attributes}>{inside}</body>");
    answer(open(address, &body).await).await
}

fn attribute<'a>(body: &'a str, name: &str) -> &'a str {
    let (_, rest) = body
        .split_once(&format!(" {name}='"))
        .unwrap_or_else(|| panic!("{body}"));
    rest.split_once('\'').unwrap().0
}

async fn begin(address: SocketAddr) -> String {
    let body = post(
        address,
        "rid='100' to='localhost' hold='1' wait='60' ver='1.6' xml:lang='en'",
        "",
    )
    .await;
    assert!(body.contains("<stream:features"), "{body}");
    assert_eq!(attribute(&body, "requests"), "2");
    assert_eq!(attribute(&body, "hold"), "1");
    attribute(&body, "sid").to_owned()
}

#[tokio::test]
async fn what_is_wrong_is_said_by_a_terminal_condition() {
    let server = Server::start("bosh-errors", "");
    let http = server.address("http");
    for (attributes, condition) in [
        ("rid='1'", "improper-addressing"),
        ("rid='1' to=''", "improper-addressing"),
        ("rid='1' to='elsewhere.example'", "host-unknown"),
        ("to='localhost'", "bad-request"),
        ("rid='x' to='localhost'", "bad-request"),
        ("rid='1' to='localhost' wait='-1'", "bad-request"),
        ("rid='1' sid='unknown'", "item-not-found"),
    ] {
        let body = post(http, attributes, "").await;
        assert_eq!(attribute(&body, "condition"), condition, "{attributes}");
        assert_eq!(attribute(&body, "type"), "terminate");
    }
    for wrong in [
        "",
        "hello",
        "<body/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><body/>",
    ] {
        let body = answer(open(http, wrong).await).await;
        assert_eq!(attribute(&body, "condition"), "bad-request", "{wrong}");
    }
    let deep = "<a>".repeat(100) + &"</a>".repeat(100);
    let body = post(http, "rid='1' to='localhost'", &deep).await;
    assert_eq!(attribute(&body, "condition"), "bad-request");
    let sid = begin(http).await;
    let large = format!("<a xmlns='urn:a'>{}</a>", "x".repeat(100_000));
    let body = post(http, &format!("rid='101' sid='{sid}'"), &large).await;
    assert_eq!(
        attribute(&body, "condition"),
        "remote-stream-error",
        "before the login"
    );
    assert!(body.contains("<policy-violation "), "{body}");
    let body = post(http, &format!("rid='102' sid='{sid}'"), "").await;
    assert_eq!(
        attribute(&body, "condition"),
        "item-not-found",
        "it is over"
    );
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_and_the_login_has_its_time() {
    let server = Server::start("bosh-again", "[limits]\nunauthenticated_s = 5\n");
    let http = server.address("http");
    let sid = begin(http).await;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'/>";
    let first = post(http, &format!("rid='101' sid='{sid}'"), auth).await;
    assert!(first.contains("<invalid-mechanism"), "{first}");
    // The client has not seen it, and asks once more: it is not worked on twice.
    assert_eq!(
        post(http, &format!("rid='101' sid='{sid}'"), auth).await,
        first
    );
    let held = open(
        http,
        &format!("<body xmlns='{HTTPBIND}' rid='102' sid='{sid}'/>"),
    )
    .await;
    let last = answer(held).await;
    assert_eq!(
        attribute(&last, "condition"),
        "remote-stream-error",
        "{last}"
    );
    assert!(last.contains("<connection-timeout "), "{last}");
}

#[tokio::test]
async fn sessions_of_one_address_are_bounded() {
    let server = Server::start("bosh-many", "[limits]\nconnections_per_address = 5\n");
    let http = server.address("http");
    for _ in 0..5 {
        begin(http).await;
    }
    let body = post(http, "rid='100' to='localhost' hold='1' wait='60'", "").await;
    assert_eq!(attribute(&body, "condition"), "policy-violation");
}
