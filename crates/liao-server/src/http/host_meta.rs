//! Where else the server is found: host-meta (XEP-0156).

use crate::peer::Peer;
use axum::Extension;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use liao_proto::ns;
use liao_proto::xml::escape;

fn websocket_url(peer: &Peer, headers: &HeaderMap) -> String {
    let scheme = if peer.secure { "wss" } else { "ws" };
    let asked = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    format!("{scheme}://{asked}/xmpp-websocket")
}

/// XEP-0156 section 2.2.
pub(super) async fn host_meta(Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
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
pub(super) async fn host_meta_json(
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let links = serde_json::json!({"links": [{"rel": ns::ALT_WEBSOCKET, "href": websocket_url(&peer, &headers)}]});
    let kind = (header::CONTENT_TYPE, "application/json");
    (
        [kind, (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")],
        links.to_string(),
    )
        .into_response()
}
