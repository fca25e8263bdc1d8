//! WebSocket (RFC 6455, RFC 7395): no message passes the bound, the same messages however the bytes are cut, and the
//! same as a plain reading of RFC 6455 section 5.2 gives.

use futures_util::StreamExt;
use liao_net::websocket::{bounds, frames};
use liao_net::{Io, Wire};
use liao_proto::stream::{Event, Limits};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Small, so that short inputs reach it.
const MAX_BYTES: usize = 512;
const LIMITS: Limits = Limits {
    element_bytes: MAX_BYTES,
    depth: 8,
};

/// The first byte says which side we are and how the rest is cut.
pub fn check(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else {
        return;
    };
    let role = match how % 2 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let (whole, failed) = messages(bytes, role, 0);
    let (cut, cut_failed) = messages(bytes, role, *how);
    assert_eq!(
        (&whole, failed),
        (&cut, cut_failed),
        "other messages in pieces"
    );
    assert_eq!(whole, plainly(bytes, role), "RFC 6455 reads others");
    assert!(whole.iter().all(|m| m.len() <= MAX_BYTES));
    let (events, failed) = events(bytes, role, 0);
    let (cut, cut_failed) = self::events(bytes, role, 1);
    assert_eq!(
        (events, failed),
        (cut, cut_failed),
        "other events in pieces"
    );
}

/// A connection on which these pieces arrive, and nothing after; what is written is gone.
struct Pieces(Vec<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(piece) = self.0.last_mut() {
            let n = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..n]);
            piece.drain(..n);
            if piece.is_empty() {
                self.0.pop();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Everything here is always ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits although all has arrived"),
    }
}

async fn socket(bytes: &[u8], role: Role, seed: u8) -> WebSocketStream<Box<dyn Io>> {
    let pieces = super::pieces(bytes, seed);
    let pieces = pieces.into_iter().rev().map(<[u8]>::to_vec).collect();
    let io: Box<dyn Io> = Box::new(Pieces(pieces));
    WebSocketStream::from_raw_socket(io, role, Some(bounds(MAX_BYTES))).await
}

/// The messages, and whether they ended by an error.
fn messages(bytes: &[u8], role: Role, seed: u8) -> (Vec<String>, bool) {
    now(async {
        let mut frames = pin!(frames(socket(bytes, role, seed).await));
        let mut out = Vec::new();
        while let Some(message) = frames.next().await {
            match message {
                Ok(text) => out.push(text),
                Err(_) => return (out, true),
            }
        }
        (out, false)
    })
}

/// The same as events of a stream.
fn events(bytes: &[u8], role: Role, seed: u8) -> (Vec<String>, bool) {
    now(async {
        let mut wire = Wire::websocket(frames(socket(bytes, role, seed).await), LIMITS);
        let mut out = Vec::new();
        loop {
            match wire.recv().await {
                Ok(Event::Close) => return (out, false),
                Ok(event) => out.push(format!("{event:?}")),
                Err(_) => return (out, true),
            }
        }
    })
}

/// The text messages before the first fault, binary message, or close, by RFC 6455 sections 5.2 to 5.5.
fn plainly(bytes: &[u8], role: Role) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = bytes;
    let mut half: Option<Vec<u8>> = None;
    while let Some((first, payload, after)) = frame(rest, role) {
        rest = after;
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        match (opcode, &mut half) {
            (8, _) => break,
            (9 | 10, _) if fin && payload.len() <= 125 => continue,
            (0, Some(text)) => text.extend(payload),
            (1, None) => half = Some(payload),
            _ => break,
        }
        let Some(text) = half.take() else { break };
        if text.len() > MAX_BYTES {
            break;
        }
        if !fin {
            half = Some(text);
            continue;
        }
        match String::from_utf8(text) {
            Ok(text) => out.push(text),
            Err(_) => break,
        }
    }
    out
}

/// The first byte, the payload, and what follows the frame.
fn frame(bytes: &[u8], role: Role) -> Option<(u8, Vec<u8>, &[u8])> {
    let (&[first, second], mut rest) = bytes.split_first_chunk::<2>()?;
    let masked = second & 0x80 != 0;
    // Section 5.1: clients mask, servers do not; section 5.2: the reserved bits are 0.
    if first & 0x70 != 0 || masked != (role == Role::Server) {
        return None;
    }
    let size = match second & 0x7F {
        126 => {
            let (size, after) = rest.split_first_chunk()?;
            rest = after;
            u64::from(u16::from_be_bytes(*size))
        }
        127 => {
            let (size, after) = rest.split_first_chunk()?;
            rest = after;
            u64::from_be_bytes(*size)
        }
        n => u64::from(n),
    };
    let mut key = [0; 4];
    if masked {
        let (mask, after) = rest.split_first_chunk()?;
        rest = after;
        key = *mask;
    }
    let size = usize::try_from(size).ok().filter(|n| *n <= MAX_BYTES)?;
    let (payload, after) = rest.split_at_checked(size)?;
    let unmasked = payload.iter().zip(key.iter().cycle());
    Some((first, unmasked.map(|(b, k)| b ^ k).collect(), after))
}
