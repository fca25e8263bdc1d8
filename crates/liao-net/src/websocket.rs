//! WebSocket messages as a carrier of elements (RFC 7395 section 3.2: text messages, subprotocol `xmpp`).

use crate::WireError;
use futures_util::{Sink, Stream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, http};

/// A sequence of text messages in both directions.
pub trait Frames:
    Stream<Item = Result<String, WireError>> + Sink<String, Error = WireError> + Send
{
}
impl<T: Stream<Item = Result<String, WireError>> + Sink<String, Error = WireError> + Send> Frames
    for T
{
}

fn wrong(error: impl std::fmt::Display) -> WireError {
    WireError::WebSocket(error.to_string())
}

struct Client(WebSocketStream<Box<dyn crate::Io>>);

impl Stream for Client {
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

impl Sink<String> for Client {
    type Error = WireError;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(wrong)
    }
    fn start_send(mut self: Pin<&mut Self>, text: String) -> Result<(), WireError> {
        Pin::new(&mut self.0)
            .start_send(Message::text(text))
            .map_err(wrong)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(wrong)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(wrong)
    }
}

/// Connects to `wss://HOST:PORT/PATH`.
pub async fn connect(
    host: &str,
    port: u16,
    path: &str,
    config: Arc<rustls::ClientConfig>,
    max_bytes: usize,
) -> Result<impl Frames + use<>, WireError> {
    let io = crate::tls::connect(host, port, host, config).await?;
    let shown = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut request = format!("wss://{shown}:{port}{path}")
        .into_client_request()
        .map_err(wrong)?;
    request.headers_mut().insert(
        "Sec-WebSocket-Protocol",
        http::HeaderValue::from_static("xmpp"),
    );
    let io: Box<dyn crate::Io> = Box::new(io);
    let limits = Some(bounds(max_bytes));
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, io, limits)
        .await
        .map_err(wrong)?;
    Ok(frames(socket))
}

/// Neither a message nor a frame of one may be larger.
pub fn bounds(max_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(max_bytes))
        .max_frame_size(Some(max_bytes))
}

/// The messages of a connection that has been upgraded.
pub fn frames(socket: WebSocketStream<Box<dyn crate::Io>>) -> impl Frames + use<> {
    Client(socket)
}
