//! BOSH (XEP-0124, XEP-0206) at `/http-bind`: a carrier for where WebSocket does not pass. To the rest of the server
//! a session is a connection of whole elements, as a WebSocket is.

use super::Page;
use crate::c2s;
use crate::limits;
use crate::peer::Peer;
use crate::places::{Place, Places};
use crate::server::{Server, random_id};
use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use futures_util::{Sink, Stream};
use liao_net::{Wire, WireError};
use liao_proto::stream::{Header, Limits, WS_CLOSE, ws_open};
use liao_proto::xep::bosh::{Do, Exchange, Post, terminal};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Every answer's: web pages of other origins may ask, and whatever the client calls it, nothing in it runs.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];
const PREFLIGHT: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type"),
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
];
/// Room for the wrapper around a stanza of the largest size.
const WRAPPER_BYTES: usize = 8 * 1024;

/// The sessions of one listener.
pub(super) struct Bosh {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    places: Places,
}

/// One session.
struct Session {
    inner: Mutex<Inner>,
    began: Instant,
    /// It began under TLS, and stays there.
    secure: bool,
    content: HeaderValue,
}

struct Inner {
    exchange: Exchange<oneshot::Sender<String>>,
    incoming: VecDeque<String>,
    bytes: usize,
    /// Woken when something came in, or the session is over.
    reader: Option<Waker>,
    /// Woken when something went out.
    writer: Option<Waker>,
    over: bool,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Does something with the exchange, and then what it asks for.
    fn with(
        &self,
        work: impl FnOnce(
            &mut Exchange<oneshot::Sender<String>>,
            u64,
        ) -> Vec<Do<oneshot::Sender<String>>>,
    ) {
        let mut inner = self.lock();
        let all = work(&mut inner.exchange, self.now_ms());
        self.act(&mut inner, all);
    }

    fn act(&self, inner: &mut Inner, all: Vec<Do<oneshot::Sender<String>>>) {
        for one in all {
            match one {
                // Who is gone asks again, and gets the same.
                Do::Answer(waiter, body) => drop(waiter.send(body)),
                Do::Element(element) => inner.enqueue(element),
                Do::Restart => inner.enqueue(ws_open(&Header {
                    version: Some("1.0".into()),
                    ..Header::default()
                })),
                Do::Over => inner.over = true,
            }
        }
        if inner.over || !inner.incoming.is_empty() {
            inner.reader.take().into_iter().for_each(Waker::wake);
        }
        inner.writer.take().into_iter().for_each(Waker::wake);
        if inner.bytes > limits::BOSH_BYTES {
            inner.exchange.fill();
        }
    }
}

impl Inner {
    fn enqueue(&mut self, element: String) {
        self.bytes += element.len();
        self.incoming.push_back(element);
    }
}

impl Bosh {
    pub(super) fn new(server: &Server) -> Arc<Bosh> {
        Arc::new(Bosh {
            sessions: Mutex::default(),
            places: Places::new(server.bounds.connections_per_address),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What answers at `/http-bind`.
pub(super) fn methods() -> MethodRouter<Page> {
    post(request).options(async || (StatusCode::NO_CONTENT, PREFLIGHT))
}

fn answer(body: String, content: HeaderValue) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content)], body).into_response();
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(condition: &str) -> Response {
    answer(terminal(condition), xml())
}

fn xml() -> HeaderValue {
    HeaderValue::from_static("text/xml; charset=utf-8")
}

async fn request(State(at): State<Page>, Extension(peer): Extension<Peer>, body: Body) -> Response {
    let most = at.server.bounds.stanza_bytes + WRAPPER_BYTES;
    // As long as a login may take: a body that trickles in holds its bytes no longer.
    let patience = Duration::from_secs(at.server.bounds.unauthenticated_s);
    let Ok(Ok(bytes)) = tokio::time::timeout(patience, to_bytes(body, most)).await else {
        return refuse("bad-request");
    };
    let bounds = Limits {
        element_bytes: most,
        depth: limits::STANZA_DEPTH + 1,
    };
    let Some(post) = Post::read(&bytes, bounds) else {
        return refuse("bad-request");
    };
    let session = match &post.sid {
        Some(sid) => at.bosh.lock().get(sid).cloned(),
        None => match begin(&at, peer, &post) {
            Ok(session) => Some(session),
            Err(condition) => return refuse(condition),
        },
    };
    let Some(session) = session.filter(|s| s.secure == peer.secure) else {
        return refuse("item-not-found");
    };
    let (waiter, waiting) = oneshot::channel();
    session.with(|exchange, now_ms| exchange.arrive(now_ms, post, waiter));
    match waiting.await {
        Ok(body) => answer(body, session.content.clone()),
        Err(_) => refuse("internal-server-error"),
    }
}

/// A new session (XEP-0124 section "Session Creation Request", XEP-0206).
fn begin(at: &Page, peer: Peer, post: &Post) -> Result<Arc<Session>, &'static str> {
    let domain = at.server.domain.as_str();
    match post.to.as_deref() {
        None => return Err("improper-addressing"),
        Some(to) if to != domain => return Err("host-unknown"),
        Some(_) => {}
    }
    let place = at.bosh.places.take(peer.address.ip());
    let place = place.ok_or("policy-violation")?;
    let sid = random_id();
    let content = post.content.as_deref().and_then(|c| c.parse().ok());
    let session = Arc::new(Session {
        inner: Mutex::new(Inner {
            exchange: Exchange::new(sid.clone(), domain, post, 0),
            incoming: VecDeque::new(),
            bytes: 0,
            reader: None,
            writer: None,
            over: false,
        }),
        began: Instant::now(),
        secure: peer.secure,
        content: content.unwrap_or(xml()),
    });
    session.lock().enqueue(ws_open(&Header {
        to: Some(domain.to_owned()),
        version: Some("1.0".into()),
        lang: post.lang.clone(),
        ..Header::default()
    }));
    at.bosh.lock().insert(sid.clone(), session.clone());
    tokio::spawn(watch(Arc::downgrade(&session)));
    let carrier = Carrier {
        session: session.clone(),
        bosh: at.bosh.clone(),
        sid,
        _place: place,
    };
    let limits = Limits {
        element_bytes: limits::STANZA_BYTES_UNAUTHENTICATED,
        depth: limits::STANZA_DEPTH,
    };
    let wire = Wire::websocket(carrier, limits);
    tokio::spawn(c2s::serve(at.server.clone(), wire, peer, None));
    Ok(session)
}

/// Answers who waited long enough, and notices who is gone.
async fn watch(session: Weak<Session>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(session) = session.upgrade() else {
            return;
        };
        session.with(Exchange::tick);
        if session.lock().over {
            return;
        }
    }
}

/// A session as the wire's frames.
struct Carrier {
    session: Arc<Session>,
    bosh: Arc<Bosh>,
    sid: String,
    _place: Place,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.session.with(Exchange::close);
        let over = self.session.lock().over;
        let (bosh, sid) = (self.bosh.clone(), self.sid.clone());
        if over {
            bosh.lock().remove(&sid);
            return;
        }
        // Its last answer still waits for a request to travel on.
        let session = self.session.clone();
        tokio::spawn(async move {
            watch(Arc::downgrade(&session)).await;
            bosh.lock().remove(&sid);
        });
    }
}

impl Stream for Carrier {
    type Item = Result<String, WireError>;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.session.lock();
        let Some(element) = inner.incoming.pop_front() else {
            if inner.over {
                return Poll::Ready(None);
            }
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.bytes -= element.len();
        if inner.bytes <= limits::BOSH_BYTES {
            let all = inner.exchange.drained(self.session.now_ms());
            self.session.act(&mut inner, all);
        }
        Poll::Ready(Some(Ok(element)))
    }
}

impl Sink<String> for Carrier {
    type Error = WireError;
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let mut inner = self.session.lock();
        if inner.over {
            return Poll::Ready(Err(WireError::Closed));
        }
        if inner.exchange.waiting_bytes() > limits::BOSH_BYTES {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
    fn start_send(self: Pin<&mut Self>, text: String) -> Result<(), WireError> {
        // The stream's header and end have other forms here (XEP-0206).
        if text == WS_CLOSE {
            self.session.with(Exchange::close);
        } else if !text.starts_with("<open ") {
            self.session
                .with(|exchange, now_ms| exchange.push(now_ms, text));
        }
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let mut inner = self.session.lock();
        if inner.exchange.waiting_bytes() > 0 && !inner.over {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Poll::Ready(Ok(()))
    }
}
