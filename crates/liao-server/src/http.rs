//! HTTP and HTTPS: WebSocket (RFC 7395), where to find it (XEP-0156), invite pages (XEP-0401), health.

use crate::c2s;
use crate::limits;
use crate::peer::{self, Peer};
use crate::places::{Held, Places};
use crate::registration;
use crate::server::Server;
use axum::Extension;
use axum::Router;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{ConnectInfo, Form, Path, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::{Sink, Stream};
use liao_net::{Wire, WireError};
use liao_proto::ns;
use liao_proto::stream::Limits;
use liao_proto::xml::escape;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A listener's part in a request.
#[derive(Clone)]
struct Page {
    server: Arc<Server>,
    /// TLS ends here.
    secure: bool,
    /// Others than proxies are only shown the way to HTTPS.
    only_proxies: bool,
}

fn routes(page: Page) -> Router {
    let peers = axum::middleware::from_fn_with_state(page.clone(), know_peer);
    Router::new()
        .route("/", get(front))
        .route("/health", get(async || "ok\n"))
        .route("/xmpp-websocket", get(websocket))
        .route("/.well-known/host-meta", get(host_meta))
        .route("/.well-known/host-meta.json", get(host_meta_json))
        .route("/invite/{token}", get(invite).post(redeem))
        .route(
            "/ca.pem",
            get(async |State(at): State<Page>| authority(&at.server)),
        )
        .layer(peers)
        .with_state(page)
}

/// Finds out who asks, before anything else.
async fn know_peer(State(at): State<Page>, mut request: Request, next: Next) -> Response {
    let parts = request.extensions();
    let direct = parts
        .get::<ConnectInfo<TlsPeer>>()
        .map(|p| p.0.0)
        .or(parts.get::<ConnectInfo<PlainPeer>>().map(|p| p.0.0));
    let Some(direct) = direct else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let trusted = at.server.config().trusted_proxies();
    let peer = Peer::of_request(direct, at.secure, request.headers(), &trusted);
    // Who does not know the authority yet can fetch it without a warning, and compare its fingerprint.
    if at.only_proxies && !peer.proxied && request.uri().path() != "/ca.pem" {
        return match at.server.link.get() {
            Some(link) => to_https(link, &request),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    request.extensions_mut().insert(peer);
    next.run(request).await
}

/// Who asked for an address is sent to that address: where the name is not found, it would lead nowhere.
fn to_https(link: &str, request: &Request) -> Response {
    let asked = request.headers().get(header::HOST);
    let asked = asked.and_then(|h| h.to_str().ok()).unwrap_or_default();
    let address = asked
        .parse::<SocketAddr>()
        .map(|a| a.ip())
        .or_else(|_| asked.trim_matches(['[', ']']).parse::<IpAddr>());
    let port = link.rsplit(':').next().unwrap_or_default();
    let host = match address {
        Ok(address) => format!("{}:{port}", crate::banner::host(address)),
        Err(_) => link.to_owned(),
    };
    let path = request.uri().path();
    Redirect::permanent(&format!("https://{host}{path}")).into_response()
}

/// Plain HTTP. On other addresses than loopback it only shows the way to HTTPS, but to proxies that are trusted.
pub async fn plain(server: Arc<Server>, listener: TcpListener) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    let known = server.clone();
    let app = routes(Page {
        server,
        secure: false,
        only_proxies: !local,
    });
    let listener = Taking {
        places: Places::new(known.bounds.connections_per_address),
        server: known,
        listener,
    };
    let service = app.into_make_service_with_connect_info::<PlainPeer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "HTTP ended");
    }
}

/// The certificate authority of `--lan`, to be installed by who does not want to be warned.
fn authority(server: &Server) -> Response {
    let config = server.config();
    match std::fs::read(config.data().join("tls").join("ca.pem")) {
        Ok(pem) if config.lan() => {
            ([(header::CONTENT_TYPE, "application/x-x509-ca-cert")], pem).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// HTTPS.
pub async fn tls(server: Arc<Server>, listener: TcpListener, config: c2s::Tls) {
    let mut taking = Taking {
        places: Places::new(server.bounds.connections_per_address),
        server: server.clone(),
        listener,
    };
    let app = routes(Page {
        server,
        secure: true,
        only_proxies: false,
    });
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = axum::serve::Listener::accept(&mut taking).await;
            let (config, sender) = (config.borrow().clone(), sender.clone());
            tokio::spawn(async move {
                let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                if let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, accept).await {
                    let _ = sender.send((tls, peer)).await;
                }
            });
        }
    });
    let service = app.into_make_service_with_connect_info::<TlsPeer>();
    if let Err(error) = axum::serve(Accepted(receiver), service).await {
        tracing::error!(%error, "HTTPS ended");
    }
}

/// Takes connections, so many from one address; from proxies that are trusted as many as there are.
struct Taking {
    listener: TcpListener,
    places: Places,
    server: Arc<Server>,
}

impl axum::serve::Listener for Taking {
    type Io = Held<TcpStream>;
    type Addr = SocketAddr;
    async fn accept(&mut self) -> (Held<TcpStream>, SocketAddr) {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(pair) => pair,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let trusted = self.server.config().trusted_proxies();
            let place = self.places.take(peer.ip());
            if place.is_some() || peer::is_among(&trusted, peer.ip()) {
                return (Held::new(stream, place), peer);
            }
        }
    }
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The peer of a connection without TLS.
#[derive(Clone)]
struct PlainPeer(SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Taking>> for PlainPeer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Taking>) -> PlainPeer {
        PlainPeer(*stream.remote_addr())
    }
}

type TlsStream = tokio_rustls::server::TlsStream<Held<TcpStream>>;

/// Connections whose handshake is done.
struct Accepted(tokio::sync::mpsc::Receiver<(TlsStream, SocketAddr)>);

impl axum::serve::Listener for Accepted {
    type Io = TlsStream;
    type Addr = SocketAddr;
    async fn accept(&mut self) -> (TlsStream, SocketAddr) {
        match self.0.recv().await {
            Some(pair) => pair,
            None => std::future::pending().await,
        }
    }
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// The peer of a TLS connection.
#[derive(Clone)]
struct TlsPeer(SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Accepted>> for TlsPeer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Accepted>) -> TlsPeer {
        TlsPeer(*stream.remote_addr())
    }
}

/// Headers of every page: nothing is loaded from elsewhere, no script runs, nobody frames it.
fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html><head><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title}</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:3rem auto;\
         padding:0 1rem;color:#222;background:#fafafa}}input,button{{font:inherit;padding:.5rem;width:100%;\
         box-sizing:border-box;margin:.2rem 0 1rem}}code{{overflow-wrap:anywhere}}.error{{color:#a00}}\
         @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}a{{color:#8bf}}.error{{color:#f88}}}}\
         </style></head><body>{body}</body></html>"
    );
    let mut response = (status, Html(html)).into_response();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn front(State(at): State<Page>) -> Response {
    let domain = escape(at.server.domain.as_str());
    let body = format!(
        "<h1>liao 聊 · {domain}</h1><p>A chat server that somebody you know runs. The web client is coming; until then \
         use <code>liao chat</code> or any XMPP app.</p><p>这是一个自建的聊天服务器。网页客户端即将推出；\
         现在可以用 <code>liao chat</code> 或任何 XMPP 应用。</p>"
    );
    page(StatusCode::OK, "liao", &body)
}

fn is_chinese(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|l| l.trim_start().starts_with("zh"))
}

async fn invite(State(at): State<Page>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    form(&at, &token, is_chinese(&headers), "", "", StatusCode::OK).await
}

async fn form(
    at: &Page,
    token: &str,
    zh: bool,
    name: &str,
    error: &str,
    status: StatusCode,
) -> Response {
    let domain = escape(at.server.domain.as_str());
    let invite = at.server.accounts.invite(token).await.ok().flatten();
    let Some(invite) = invite.filter(|_| registration::is_offered(&at.server)) else {
        let words = if zh {
            "<h1>邀请无效</h1><p>这个邀请已被使用、已过期或不存在。请向邀请人要一个新的。</p>"
        } else {
            "<h1>No such invite</h1><p>This invite is used up, expired or unknown. Ask for a new one.</p>"
        };
        return page(StatusCode::NOT_FOUND, "liao", words);
    };
    let (title, who, labels) = if zh {
        (
            "你被邀请了",
            "邀请人",
            ["用户名", "密码", "创建账号", "也可以用应用打开"],
        )
    } else {
        (
            "You are invited",
            "Invited by",
            [
                "Name",
                "Password",
                "Create the account",
                "Or open it in an app",
            ],
        )
    };
    let from = invite
        .from
        .as_ref()
        .map(|f| format!("<p>{who}: {}</p>", escape(f.as_str())))
        .unwrap_or_default();
    let error = if error.is_empty() {
        String::new()
    } else {
        format!("<p class=error role=alert>{}</p>", escape(error))
    };
    let uri = escape(&liao_proto::xep::invite::register_uri(
        at.server.domain.as_str(),
        token,
    ));
    let body = format!(
        "<h1>{title}: {domain}</h1>{from}{error}<form method=post><label>{}<input name=name required autofocus \
         autocomplete=username value='{}'></label><label>{}<input name=password type=password required \
         autocomplete=new-password></label><button>{}</button></form><p>{}: <a href='{uri}'><code>{uri}</code></a></p>",
        labels[0],
        escape(name),
        labels[1],
        labels[2],
        labels[3]
    );
    page(status, "liao", &body)
}

#[derive(Deserialize)]
struct Answers {
    name: String,
    password: String,
}

async fn redeem(
    State(at): State<Page>,
    Path(token): Path<String>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(answers): Form<Answers>,
) -> Response {
    let zh = is_chinese(&headers);
    if !peer.secure && !peer.local {
        // The password would cross a network in the open.
        return StatusCode::FORBIDDEN.into_response();
    }
    if !at.server.registrations.admit(
        peer.address.ip(),
        at.server.bounds.registrations_per_address,
    ) {
        let error = "too many new accounts from your address; try again in ten minutes";
        return form(
            &at,
            &token,
            zh,
            &answers.name,
            error,
            StatusCode::TOO_MANY_REQUESTS,
        )
        .await;
    }
    if !registration::is_offered(&at.server) {
        return form(&at, &token, zh, "", "", StatusCode::NOT_FOUND).await;
    }
    match registration::create(
        &at.server,
        Some(&token),
        answers.name.trim(),
        &answers.password,
    )
    .await
    {
        Ok(jid) => {
            let jid = escape(jid.as_str());
            let words = if zh {
                format!(
                    "<h1>欢迎</h1><p>你的地址是 <code>{jid}</code>。现在运行 <code>liao chat</code>，或在任何 XMPP 应用中登录。</p>"
                )
            } else {
                format!(
                    "<h1>Welcome</h1><p>Your address is <code>{jid}</code>. Now run <code>liao chat</code>, or log in with any XMPP app.</p>"
                )
            };
            page(StatusCode::OK, "liao", &words)
        }
        Err(error) => {
            form(
                &at,
                &token,
                zh,
                &answers.name,
                &error.to_string(),
                StatusCode::BAD_REQUEST,
            )
            .await
        }
    }
}

fn websocket_url(peer: &Peer, headers: &HeaderMap) -> String {
    let scheme = if peer.secure { "wss" } else { "ws" };
    let asked = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    format!("{scheme}://{asked}/xmpp-websocket")
}

/// XEP-0156 section 2.2.
async fn host_meta(Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let href = escape(&websocket_url(&peer, &headers));
    let body = format!(
        "<?xml version='1.0' encoding='utf-8'?><XRD xmlns='{}'><Link rel='{}' href='{href}'/></XRD>",
        ns::XRD,
        ns::ALT_WEBSOCKET
    );
    let kind = (header::CONTENT_TYPE, "application/xrd+xml");
    ([kind, (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], body).into_response()
}

/// XEP-0156 section 2.2, JSON.
async fn host_meta_json(Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let links = serde_json::json!({"links": [{"rel": ns::ALT_WEBSOCKET, "href": websocket_url(&peer, &headers)}]});
    let kind = (header::CONTENT_TYPE, "application/json");
    (
        [kind, (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")],
        links.to_string(),
    )
        .into_response()
}

async fn websocket(
    State(at): State<Page>,
    Extension(peer): Extension<Peer>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(at.server.bounds.stanza_bytes)
        .protocols(["xmpp"])
        .on_upgrade(move |socket| async move {
            let limits = Limits {
                element_bytes: limits::STANZA_BYTES_UNAUTHENTICATED,
                depth: limits::STANZA_DEPTH,
            };
            let wire = Wire::websocket(Socket(socket), limits);
            c2s::serve(at.server, wire, peer, None).await;
        })
}

/// axum's WebSocket as the wire's frames.
struct Socket(WebSocket);

fn wrong(error: impl std::fmt::Display) -> WireError {
    WireError::WebSocket(error.to_string())
}

impl Stream for Socket {
    type Item = Result<String, WireError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Some(Ok(text.as_str().to_owned())),
                Some(Ok(Message::Close(_))) | None => None,
                Some(Ok(Message::Binary(_))) => Some(Err(wrong("a binary message"))),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Some(Err(wrong(error))),
            });
        }
    }
}

impl Sink<String> for Socket {
    type Error = WireError;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(wrong)
    }
    fn start_send(mut self: Pin<&mut Self>, text: String) -> Result<(), WireError> {
        Pin::new(&mut self.0)
            .start_send(Message::Text(text.into()))
            .map_err(wrong)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(wrong)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(wrong)
    }
}
