//! Files over HTTP (XEP-0363 section "Upload"): PUT into a slot, GET and HEAD with ranges, DELETE by the owner.
//!
//! What is known of a file never touches a path of the disk, and what a browser could run is not shown in it.

use super::Page;
use crate::engines::uploads::{Denied, KeepError, Kept, Policy, Taken};
use crate::limits::{TRANSFER_WINDOW_BYTES, UPLOAD_CHUNK_BYTES};
use crate::peer::Peer;
use crate::places::Place;
use crate::server::now_ms;
use crate::store::{CommitError, Writing};
use axum::Extension;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures_util::{Stream, StreamExt, stream};
use liao_proto::xep::upload::{essence, percent};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// What a browser may show by itself: nothing among it runs.
const SHOWN: &[&str] = &[
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/heic",
    "audio/aac",
    "audio/flac",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/wav",
    "audio/webm",
    "video/mp4",
    "video/mpeg",
    "video/ogg",
    "video/quicktime",
    "video/webm",
    "text/plain",
];
/// How long others may keep a copy, in seconds: its owner may delete it.
const CACHE_S: i64 = 3600;

/// On every answer: web pages of other origins may use it, and nothing in it runs (section "Server side").
/// `Access-Control-Allow-Credentials` is left out: there are no cookies, and it does not go with `*`.
const ALWAYS: [(HeaderName, &str); 8] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Content-Length, Content-Range, Content-Disposition, ETag",
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    ),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];
const PREFLIGHT: [(HeaderName, &str); 4] = [
    (header::ALLOW, "OPTIONS, HEAD, GET, PUT, DELETE"),
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "OPTIONS, HEAD, GET, PUT, DELETE",
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, Range, If-None-Match, If-Range",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
];

/// What answers at `/upload/ID/NAME`.
pub(super) fn methods() -> MethodRouter<Page> {
    get(give)
        .put(take)
        .delete(remove)
        .options(async || (StatusCode::NO_CONTENT, PREFLIGHT))
        .layer(axum::middleware::map_response(harmless))
}

async fn harmless(mut response: Response) -> Response {
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(status: StatusCode, words: impl Into<String>) -> Response {
    let none = [(header::CACHE_CONTROL, "no-store")];
    (status, none, format!("{}\n", words.into())).into_response()
}

fn not_here() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is no such file")
}

fn failed(error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "a file cannot be stored or given out");
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "the server failed")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The token that came with the slot. The scheme's name is case-insensitive (RFC 9110 section 11.1).
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then_some(token.trim())
}

/// Held while a file is on its way.
type Held = (OwnedSemaphorePermit, Place);

/// A place among the files on their way.
fn place(at: &Page, peer: &Peer) -> Result<Held, Box<Response>> {
    let busy = || {
        let mut response = refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many files are on their way",
        );
        let soon = HeaderValue::from_static("10");
        response.headers_mut().insert(header::RETRY_AFTER, soon);
        Box::new(response)
    };
    let permit = at.uploads.transfers.clone().try_acquire_owned();
    let place = at.uploads.places.take(peer.address.ip());
    Ok((permit.map_err(|_| busy())?, place.ok_or_else(busy)?))
}

async fn take(
    State(at): State<Page>,
    Extension(peer): Extension<Peer>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let Some(length) = text(headers, &header::CONTENT_LENGTH).and_then(|l| l.parse().ok()) else {
        return refuse(StatusCode::LENGTH_REQUIRED, "a Content-Length is needed");
    };
    let held = match place(&at, &peer) {
        Ok(held) => held,
        Err(busy) => return *busy,
    };
    let content_type = text(headers, &header::CONTENT_TYPE);
    let taken = match at
        .uploads
        .take(&id, &name, token(headers), length, content_type)
    {
        Ok(taken) => taken,
        Err(denied) => return deny(denied),
    };
    let window = Duration::from_secs(at.server.bounds.transfer_window_s);
    let policy = Policy::of(&at.server.config());
    // A task of its own: when the client goes away, the half file is still cleared in order.
    let work = tokio::spawn(async move {
        let result = receive(taken, request.into_body(), window, policy).await;
        drop(held);
        result
    });
    match work.await {
        Ok(Ok(())) => StatusCode::CREATED.into_response(),
        Ok(Err(stop)) => stop.answer(),
        Err(error) => failed(&error),
    }
}

fn deny(denied: Denied) -> Response {
    match denied {
        Denied::Unknown => refuse(
            StatusCode::NOT_FOUND,
            "no slot waits here; ask for a new one",
        ),
        Denied::Taken => refuse(StatusCode::CONFLICT, "this slot is used; ask for a new one"),
        Denied::Token => refuse(
            StatusCode::FORBIDDEN,
            "the Authorization header that came with the slot is missing",
        ),
        Denied::Length(size) => refuse(
            StatusCode::BAD_REQUEST,
            format!("the slot is for {size} bytes"),
        ),
        Denied::Type => refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the slot is for another content type",
        ),
    }
}

/// Why a file did not arrive.
enum Stop {
    /// Its connection ended.
    Gone,
    /// Too little came in too long a time.
    Slow,
    /// It could not be kept.
    Keep(KeepError),
}

impl<E: Into<KeepError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Keep(error.into())
    }
}

impl Stop {
    fn answer(self) -> Response {
        let full = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Stop::Gone => refuse(StatusCode::BAD_REQUEST, "not all bytes came"),
            Stop::Slow => refuse(StatusCode::REQUEST_TIMEOUT, "the bytes came too slowly"),
            Stop::Keep(KeepError::Gone) => refuse(StatusCode::GONE, "the account is gone"),
            Stop::Keep(KeepError::Disk(error)) if full(&error) => disk_full(),
            Stop::Keep(KeepError::Commit(CommitError::Full)) => disk_full(),
            Stop::Keep(error) => failed(&error),
        }
    }
}

fn disk_full() -> Response {
    tracing::error!("the disk is full: a file was not taken");
    refuse(
        StatusCode::INSUFFICIENT_STORAGE,
        "the server's disk is full",
    )
}

/// Moves a body to the disk, [`UPLOAD_CHUNK_BYTES`] at a time: what is not written yet is not read either.
async fn receive(taken: Taken, body: Body, window: Duration, policy: Policy) -> Result<(), Stop> {
    let mut writing = taken.create().await?;
    let mut left = taken.slot.size;
    let mut body = Paced {
        body: body.into_data_stream(),
        window,
        until: Instant::now() + window,
        got: 0,
    };
    while left > 0 {
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while left > 0 && bytes < UPLOAD_CHUNK_BYTES {
            let piece = body.next().await?;
            left = left.checked_sub(piece.len() as u64).ok_or(Stop::Gone)?;
            bytes += piece.len();
            pieces.push(piece);
        }
        writing = write(writing, pieces).await?;
    }
    taken.keep(writing, policy).await?;
    Ok(())
}

async fn write(mut writing: Writing, pieces: Vec<Bytes>) -> io::Result<Writing> {
    let work = move || writing.write(&pieces).map(|()| writing);
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A body of which something must come in every window of time.
struct Paced {
    body: BodyDataStream,
    window: Duration,
    until: Instant,
    got: u64,
}

impl Paced {
    async fn next(&mut self) -> Result<Bytes, Stop> {
        loop {
            match timeout_at(self.until, self.body.next()).await {
                Ok(Some(Ok(piece))) => {
                    self.got += piece.len() as u64;
                    return Ok(piece);
                }
                Ok(_) => return Err(Stop::Gone),
                Err(_) if self.got < TRANSFER_WINDOW_BYTES => return Err(Stop::Slow),
                Err(_) => (self.until, self.got) = (Instant::now() + self.window, 0),
            }
        }
    }
}

async fn remove(
    State(at): State<Page>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let kept = match at.uploads.find(&id, &name).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return not_here(),
        Err(error) => return failed(&error),
    };
    match at
        .uploads
        .delete(&kept, token(&headers).unwrap_or_default())
        .await
    {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => deny(Denied::Token),
        Err(error) => failed(&error),
    }
}

async fn give(
    State(at): State<Page>,
    Extension(peer): Extension<Peer>,
    Path((id, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let kept = match at.uploads.find(&id, &name).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return not_here(),
        Err(error) => return failed(&error),
    };
    let mut out = describe(&kept);
    let etag = etag(&kept);
    let matches = |value: &str| {
        value
            .split(',')
            .any(|t| t.trim() == "*" || t.trim().trim_start_matches("W/") == etag)
    };
    if text(&headers, &header::IF_NONE_MATCH).is_some_and(matches) {
        return (StatusCode::NOT_MODIFIED, out).into_response();
    }
    let size = kept.meta.size;
    // RFC 9110 section 13.1.5: a range of another version would not fit what the client has.
    let fits = text(&headers, &header::IF_RANGE).is_none_or(|v| v == etag);
    let asked = text(&headers, &header::RANGE).filter(|_| fits);
    let (from, until) = match asked.map_or(Wanted::All, |r| wanted(r, size)) {
        Wanted::All => (0, size),
        Wanted::Part(from, until) => (from, until),
        Wanted::Nothing => {
            out.insert(header::CONTENT_RANGE, ascii(&format!("bytes */{size}")));
            out.remove(header::CONTENT_DISPOSITION);
            return (StatusCode::RANGE_NOT_SATISFIABLE, out).into_response();
        }
    };
    let status = if until - from < size {
        let last = until - 1;
        let range = ascii(&format!("bytes {from}-{last}/{size}"));
        out.insert(header::CONTENT_RANGE, range);
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(until - from));
    if method == Method::HEAD {
        return (status, out).into_response();
    }
    let held = match place(&at, &peer) {
        Ok(held) => held,
        Err(busy) => return *busy,
    };
    match at.uploads.open(&kept).await {
        Ok(file) => (
            status,
            out,
            Body::from_stream(bytes(file, from, until, held)),
        )
            .into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => not_here(),
        Err(error) => failed(&error),
    }
}

/// A file never changes, so one name for its contents is enough.
fn etag(kept: &Kept) -> String {
    format!("\"{:x}-{:x}\"", kept.meta.created_ms, kept.meta.size)
}

fn ascii(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

fn describe(kept: &Kept) -> HeaderMap {
    let meta = &kept.meta;
    let said = meta.content_type.as_deref().unwrap_or_default();
    let shown = SHOWN.iter().find(|s| s.eq_ignore_ascii_case(essence(said)));
    // Text without its encoding would be guessed at.
    let content_type = match shown {
        Some(&"text/plain") => "text/plain; charset=utf-8",
        Some(shown) => shown,
        None => "application/octet-stream",
    };
    let how = if shown.is_some() {
        "inline"
    } else {
        "attachment"
    };
    let plain: String = meta
        .name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._- ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    // RFC 6266 section 4.3: the second name is for those who read it, the first for the others.
    let name = percent(&meta.name);
    let disposition = format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{name}");
    let left_s = meta
        .until_ms
        .map_or(CACHE_S, |u| ((u - now_ms()) / 1000).clamp(0, CACHE_S));
    let cache = format!("private, max-age={left_s}, immutable");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_DISPOSITION, ascii(&disposition)),
        (header::CACHE_CONTROL, ascii(&cache)),
        (header::ETAG, ascii(&etag(kept))),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ])
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// From the first up to, not including, the second.
    Part(u64, u64),
    Nothing,
}

/// RFC 9110 section 14.2: one range of bytes; what else is asked for gets the whole, which is always right.
fn wanted(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .filter(|r| !r.contains(','))
        .and_then(|r| r.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (from, until) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => return Wanted::All,
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
        (Some(first), None) if last.is_empty() => (first, size),
        (None, Some(last)) if first.is_empty() => (size - last.min(size), size),
        _ => return Wanted::All,
    };
    if from >= until {
        return Wanted::Nothing;
    }
    Wanted::Part(from, until)
}

/// A part of a file, [`UPLOAD_CHUNK_BYTES`] at a time: the next is read when the socket has taken the last.
fn bytes(
    file: File,
    from: u64,
    until: u64,
    held: Held,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, from, held), move |(mut file, at, held)| async move {
        if at >= until {
            return Ok(None);
        }
        let read = move || {
            if at == from {
                file.seek(SeekFrom::Start(from))?;
            }
            let most = (until - at).min(UPLOAD_CHUNK_BYTES as u64);
            let mut piece = Vec::with_capacity(most as usize);
            (&mut file).take(most).read_to_end(&mut piece)?;
            Ok::<_, io::Error>((file, piece))
        };
        let (file, piece) = spawn_blocking(read).await.map_err(io::Error::other)??;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let next = at + piece.len() as u64;
        Ok(Some((Bytes::from(piece), (file, next, held))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_what_is_no_range_gets_the_whole() {
        for (range, is) in [
            ("bytes=0-0", Wanted::Part(0, 1)),
            ("bytes=2-", Wanted::Part(2, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-30", Wanted::Part(0, 10)),
            ("bytes=5-99999999999999999999", Wanted::Part(5, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), is, "{range}");
        }
    }
}
