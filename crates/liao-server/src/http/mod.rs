//! HTTP and HTTPS: who asks, which page answers; health, and the authority's certificate.

mod bosh;
mod host_meta;
mod invite;
mod listen;
mod upload;
mod websocket;

pub use listen::{plain, tls};

use crate::engines::uploads::Uploads;
use crate::limits;
use crate::peer::Peer;
use crate::server::Server;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use bosh::Bosh;
use liao_proto::xml::escape;
use listen::Other;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A listener's part in a request.
#[derive(Clone)]
struct Page {
    server: Arc<Server>,
    uploads: Arc<Uploads>,
    bosh: Arc<Bosh>,
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
        .route("/http-bind", bosh::methods())
        .route("/xmpp-websocket", get(websocket::websocket))
        .route("/.well-known/host-meta", get(host_meta::host_meta))
        .route(
            "/.well-known/host-meta.json",
            get(host_meta::host_meta_json),
        )
        .route(
            "/invite/{token}",
            get(invite::invite)
                .post(invite::redeem)
                .layer(axum::middleware::from_fn(in_time)),
        )
        .route("/upload/{id}/{name}", upload::methods())
        .route(
            "/ca.pem",
            get(async |State(at): State<Page>| authority(&at.server)),
        )
        .layer(peers)
        .with_state(page)
}

/// Finds out who asks, before anything else.
async fn know_peer(State(at): State<Page>, mut request: Request, next: Next) -> Response {
    let Some(Other(direct)) = request.extensions().get::<Other>().copied() else {
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

/// A request whose body is small and must not trickle in for ever.
async fn in_time(request: Request, next: Next) -> Response {
    let limit = std::time::Duration::from_secs(limits::HTTP_FORM_S);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Who asked for an address is sent to that address: where the name is not found, it would lead nowhere.
fn to_https(link: &str, request: &Request) -> Response {
    let asked = request.headers().get(header::HOST);
    let asked = asked.and_then(|h| h.to_str().ok()).unwrap_or_default();
    let address = asked
        .parse::<SocketAddr>()
        .map(|a| a.ip())
        .or_else(|_| asked.trim_matches(['[', ']']).parse::<IpAddr>());
    let port = link.rsplit_once(':').map_or("", |(_, port)| port);
    let port = port.parse().unwrap_or(443u16);
    let host = match address {
        Ok(address) => format!("{}:{port}", crate::banner::host(address)),
        Err(_) => link.to_owned(),
    };
    let path = request.uri().path();
    Redirect::permanent(&format!("https://{host}{path}")).into_response()
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
