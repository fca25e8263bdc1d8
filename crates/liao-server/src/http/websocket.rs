//! WebSocket as a carrier (RFC 7395).

use super::Page;
use crate::c2s;
use crate::limits;
use crate::peer::Peer;
use axum::Extension;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{Sink, Stream};
use liao_net::{Wire, WireError};
use liao_proto::stream::Limits;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Upgrades a request, and serves the client on it.
pub(super) async fn websocket(
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
