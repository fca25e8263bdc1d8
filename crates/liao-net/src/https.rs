//! HTTPS as the client needs it: one GET, for host-meta (XEP-0156) and invite pages; one PUT, for files (XEP-0363).

use crate::WireError;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Frame};
use hyper::header;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of an answer at most.
const BODY_BYTES: usize = 256 * 1024;
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body that comes in pieces, whose length is known before.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    sent: Arc<AtomicU64>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Some(Ok(Frame::data(piece)))
        })
    }
}

/// What is put where.
pub struct Put<'a> {
    /// The host.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Path and query.
    pub path: &'a str,
    /// Headers beside those that a PUT always has.
    pub headers: &'a [(String, String)],
    /// Bytes of all pieces together.
    pub length: u64,
    /// The pieces; if they end early the server is told so.
    pub pieces: mpsc::Receiver<Bytes>,
    /// Bytes that are on their way.
    pub sent: Arc<AtomicU64>,
}

/// Puts a body; the status. It takes as long as it takes: whoever waits looks at `sent`.
pub async fn put(put: Put<'_>, config: Arc<ClientConfig>) -> Result<u16, WireError> {
    let connect = crate::tls::connect(put.host, put.port, put.host, config);
    let io = match tokio::time::timeout(PATIENCE, connect).await {
        Ok(io) => io?,
        Err(_) => return Err(wrong("no answer within 20 s")),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .map_err(wrong)?;
    let driver = tokio::spawn(connection);
    let mut request = hyper::Request::put(put.path)
        .header(header::HOST, authority(put.host, put.port))
        .header(header::CONTENT_LENGTH, put.length);
    for (name, value) in put.headers {
        request = request.header(name, value);
    }
    let (pieces, sent) = (put.pieces, put.sent);
    let request = request.body(Pieces { pieces, sent }).map_err(wrong)?;
    let response = sender.send_request(request).await;
    driver.abort();
    Ok(response.map_err(wrong)?.status().as_u16())
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn wrong(error: impl std::fmt::Display) -> WireError {
    WireError::Io(std::io::Error::other(error.to_string()))
}

/// The status and body of `https://HOST:PORT/PATH`.
pub async fn get(
    host: &str,
    port: u16,
    path: &str,
    config: Arc<ClientConfig>,
) -> Result<(u16, String), WireError> {
    let work = async {
        let io = crate::tls::connect(host, port, host, config).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(wrong)?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::get(path)
            .header(header::HOST, authority(host, port))
            .body(Empty::<Bytes>::new())
            .map_err(wrong)?;
        let response = sender.send_request(request).await.map_err(wrong)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES)
            .collect()
            .await;
        driver.abort();
        let body = body.map_err(wrong)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(wrong("no answer within 20 s")),
    }
}
