//! HTTPS as the client needs it: a GET, for host-meta (XEP-0156), invite pages and
//! files; a PUT, for files (XEP-0363).

use crate::WireError;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Bytes of an answer at most.
const BODY_BYTES: usize = 256 * 1024;
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body that comes in pieces, whose length is known before.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    sent: Arc<AtomicU64>,
}

impl Body for Pieces {
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
        Err(_) => return Err(late()),
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

/// An answer whose body is read piece by piece; the connection ends with it.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Bytes of the body, if the server says how many.
    pub length: Option<u64>,
    body: Incoming,
    driver: AbortHandle,
}

impl Answer {
    /// The next piece; `None` at the end of the body.
    pub async fn next(&mut self) -> Option<Result<Bytes, WireError>> {
        loop {
            match self.body.frame().await?.map(Frame::into_data) {
                Ok(Ok(piece)) => return Some(Ok(piece)),
                // Trailers say nothing that we want to know.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(wrong(error))),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Asks for `https://HOST:PORT/PATH`; the answer's body has not been read yet.
pub async fn ask(
    host: &str,
    port: u16,
    path: &str,
    config: Arc<ClientConfig>,
) -> Result<Answer, WireError> {
    let work = async {
        let io = crate::tls::connect(host, port, host, config).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(wrong)?;
        let driver = tokio::spawn(connection).abort_handle();
        let request = hyper::Request::get(path)
            .header(header::HOST, authority(host, port))
            .body(Empty::<Bytes>::new())
            .map_err(wrong)?;
        let response = sender.send_request(request).await.map_err(wrong)?;
        Ok(Answer {
            status: response.status().as_u16(),
            length: response.body().size_hint().exact(),
            body: response.into_body(),
            driver,
        })
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(late()),
    }
}

fn late() -> WireError {
    wrong("no answer within 20 s")
}

/// The status and body of `https://HOST:PORT/PATH`.
pub async fn get(
    host: &str,
    port: u16,
    path: &str,
    config: Arc<ClientConfig>,
) -> Result<(u16, String), WireError> {
    let mut answer = ask(host, port, path, config).await?;
    let work = async {
        let mut body = Vec::new();
        while let Some(piece) = answer.next().await {
            body.extend_from_slice(&piece?);
            if body.len() > BODY_BYTES {
                return Err(wrong("the answer is too long"));
            }
        }
        Ok(body)
    };
    let body = match tokio::time::timeout(PATIENCE, work).await {
        Ok(body) => body?,
        Err(_) => return Err(late()),
    };
    Ok((answer.status, String::from_utf8_lossy(&body).into_owned()))
}
