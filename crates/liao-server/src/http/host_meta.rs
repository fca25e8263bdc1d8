//! Where else the server is found: host-meta (XEP-0156).

use crate::peer::Peer;
use axum::Extension;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use liao_proto::ns;
use liao_proto::xml::escape;

/// What there is: the relation, and the address as the one who asks can reach it.
fn links(peer: &Peer, headers: &HeaderMap) -> [(&'static str, String); 2] {
    let s = if peer.secure { "s" } else { "" };
    let asked = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    [
        (ns::ALT_WEBSOCKET, format!("ws{s}://{asked}/xmpp-websocket")),
        (ns::ALT_BOSH, format!("http{s}://{asked}/http-bind")),
    ]
}

/// XEP-0156 section 2.2.
pub(super) async fn host_meta(Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let link =
        |(rel, href): (&str, String)| format!("<Link rel='{rel}' href='{}'/>", escape(&href));
    let links: String = links(&peer, &headers).into_iter().map(link).collect();
    let xrd = ns::XRD;
    let body = format!("<?xml version='1.0' encoding='utf-8'?><XRD xmlns='{xrd}'>{links}</XRD>");
    let kind = (header::CONTENT_TYPE, "application/xrd+xml");
    ([kind, (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], body).into_response()
}

/// XEP-0156 section 2.2, JSON.
pub(super) async fn host_meta_json(
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let link = |(rel, href)| serde_json::json!({"rel": rel, "href": href});
    let links: Vec<_> = links(&peer, &headers).into_iter().map(link).collect();
    let links = serde_json::json!({ "links": links });
    let kind = (header::CONTENT_TYPE, "application/json");
    (
        [kind, (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")],
        links.to_string(),
    )
        .into_response()
}
