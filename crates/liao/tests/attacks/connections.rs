//! Connections that never come to a login: too many, half-open TLS, senders that trickle.

use super::{HEADER, Target};
use crate::world::PATIENCE;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Those that got an answer, or at least no end.
async fn kept(all: Vec<TcpStream>) -> Vec<TcpStream> {
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

async fn open(target: &Target, many: usize, last: u8) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..many {
        let Ok(mut stream) = target.dial("c2s", last).await else {
            continue;
        };
        let _ = stream.write_all(HEADER.as_bytes()).await;
        all.push(stream);
    }
    all
}

/// As many as the bound are kept.
pub async fn one_address(target: Target) -> String {
    let kept = kept(open(&target, 1_500, 3).await).await;
    let many = kept.len();
    assert!((990..=1_000).contains(&many), "{many} of 1,500 kept");
    target.rest().await;
    format!("{many} of 1,500 kept, the others closed")
}

/// 1,000 each of ten addresses; all are within the bound and wait for their login.
pub async fn many_addresses(target: Target) -> String {
    let mut all = Vec::new();
    for last in 10..20 {
        all.extend(open(&target, 1_000, last).await);
    }
    let many = kept(all).await.len();
    assert!(many >= 9_990, "{many} of 10,000 are there");
    target.rest().await;
    format!("{many} wait for their login")
}

/// The beginning of a ClientHello: what follows never comes (RFC 8446 section 4.1.2).
pub fn half_hello() -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    bytes.extend([7; 89]);
    bytes
}

/// 300 on each of three ways to TLS.
pub async fn half_open_tls(target: Target) -> String {
    let mut all = Vec::new();
    for _ in 0..300 {
        for what in ["c2s_tls", "https", "c2s"] {
            let mut stream = target.dial(what, 4).await.unwrap();
            if what == "c2s" {
                let start = format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                stream.write_all(start.as_bytes()).await.unwrap();
                let mut said = Vec::new();
                while !said.ends_with(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
                    let mut space = [0; 4096];
                    let n = stream.read(&mut space).await.unwrap();
                    assert!(n > 0, "{}", String::from_utf8_lossy(&said));
                    said.extend_from_slice(&space[..n]);
                }
            }
            stream.write_all(&half_hello()).await.unwrap();
            all.push(stream);
        }
    }
    target.rest().await;
    format!("{} handshakes hung", all.len())
}

/// A byte every 100 ms on each of 900 connections: of a stream header, of an HTTP header, of a login.
pub async fn slow_senders(target: Target) -> String {
    let mut all = Vec::new();
    for _ in 0..300 {
        for (what, first) in [
            ("c2s", "<stream:stream "),
            ("http", "GET / HTTP/1.1\r\nx: "),
            ("c2s", HEADER),
        ] {
            let mut stream = target.dial(what, 5).await.unwrap();
            stream.write_all(first.as_bytes()).await.unwrap();
            if first == HEADER {
                let _ = stream.write_all(b"<auth a='").await;
            }
            all.push(stream);
        }
    }
    // One who has logged in is not above it.
    let mut romeo = target.log_in("romeo").await;
    romeo.send("<message to='tybalt@localhost'><body>").await;
    let mut bytes = 0;
    while target.goes_on() || bytes == 0 {
        for stream in &mut all {
            stream.write_all(b"x").await.unwrap();
        }
        romeo.send("x").await;
        bytes += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    format!("{} senders, {bytes} bytes each", all.len() + 1)
}
