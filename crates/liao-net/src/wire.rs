//! [`Wire`]: both framings behind one face.

use crate::WireError;
use crate::websocket::Frames;
use bytes::{Buf, BytesMut};
use liao_proto::ns;
use liao_proto::sasl::Binding;
use liao_proto::stream::{CLOSE_TAG, Event, Header, Limits, Reader, WS_CLOSE, open_tag, ws_open};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes read at once, into the stack: an idle connection holds no buffer.
const READ_BYTES: usize = 16 * 1024;

/// What a connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What [`Wire::next`] reports. It moves through one poll and is never stored: boxing it would cost an allocation a
/// stanza.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Progress {
    /// Something arrived.
    Event(Event),
    /// All that was queued has been written.
    Flushed,
}

enum Carrier {
    Stream {
        io: Option<Box<dyn Io>>,
        reader: Box<Reader>,
        out: BytesMut,
        tls: bool,
    },
    WebSocket {
        frames: Pin<Box<dyn Frames>>,
        out: VecDeque<String>,
        bytes: usize,
    },
}

/// A connection that carries elements.
pub struct Wire {
    carrier: Carrier,
    bindings: Vec<Binding>,
    limits: Limits,
    open: bool,
    flushing: bool,
    written: u64,
}

impl Wire {
    /// Over a byte stream; `tls` says whether it is TLS already.
    pub fn stream(io: impl Io + 'static, tls: bool, limits: Limits) -> Wire {
        let reader = Box::new(Reader::new(limits));
        let carrier = Carrier::Stream {
            io: Some(Box::new(io)),
            reader,
            out: BytesMut::new(),
            tls,
        };
        Wire {
            carrier,
            bindings: Vec::new(),
            limits,
            open: false,
            flushing: false,
            written: 0,
        }
    }

    /// Over WebSocket messages.
    pub fn websocket(frames: impl Frames + 'static, limits: Limits) -> Wire {
        let carrier = Carrier::WebSocket {
            frames: Box::pin(frames),
            out: VecDeque::new(),
            bytes: 0,
        };
        Wire {
            carrier,
            bindings: Vec::new(),
            limits,
            open: false,
            flushing: false,
            written: 0,
        }
    }

    /// Over TLS, with its channel binding data.
    pub fn bound(io: impl Io + 'static, bindings: Vec<Binding>, limits: Limits) -> Wire {
        let mut wire = Wire::stream(io, true, limits);
        wire.bindings = bindings;
        wire
    }

    /// The channel binding data, the strongest first. A WebSocket has none: a browser does not see the TLS beneath,
    /// and behind a proxy it is another's.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// After the login nobody asks for them any more.
    pub fn forget_bindings(&mut self) {
        self.bindings = Vec::new();
    }

    /// Whether TLS was made on this connection itself.
    pub fn is_tls(&self) -> bool {
        matches!(self.carrier, Carrier::Stream { tls: true, .. })
    }

    /// Whether it is a WebSocket.
    pub fn is_websocket(&self) -> bool {
        matches!(self.carrier, Carrier::WebSocket { .. })
    }

    /// Whether our own stream header has been queued.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Queues our stream header.
    pub fn queue_open(&mut self, header: &Header) {
        self.open = true;
        match &self.carrier {
            Carrier::Stream { .. } => self.put(open_tag(header)),
            Carrier::WebSocket { .. } => self.put(ws_open(header)),
        }
    }

    /// Queues the end of our stream.
    pub fn queue_close(&mut self) {
        match &self.carrier {
            Carrier::Stream { .. } => self.put(CLOSE_TAG.to_owned()),
            Carrier::WebSocket { .. } => self.put(WS_CLOSE.to_owned()),
        }
    }

    fn put(&mut self, text: String) {
        self.flushing = true;
        match &mut self.carrier {
            Carrier::Stream { out, .. } => out.extend_from_slice(text.as_bytes()),
            Carrier::WebSocket { out, bytes, .. } => {
                *bytes += text.len();
                out.push_back(text);
            }
        }
    }

    /// Queues one whole element. A stanza carries no `xmlns` of its own; over WebSocket, where no stream
    /// surrounds it, it gets one (RFC 7395 section 3.3.3).
    pub fn queue(&mut self, element: &[u8]) {
        match &mut self.carrier {
            Carrier::Stream { out, .. } => {
                out.extend_from_slice(element);
                self.flushing = true;
            }
            Carrier::WebSocket { .. } => {
                let text = String::from_utf8_lossy(element);
                let name = ["<message", "<presence", "<iq"]
                    .into_iter()
                    .find(|n| text.starts_with(n));
                let text = match name {
                    Some(name) => format!("{name} xmlns='{}'{}", ns::CLIENT, &text[name.len()..]),
                    None => text.into_owned(),
                };
                self.put(text);
            }
        }
    }

    /// Bytes queued and not yet taken by the socket.
    pub fn queued_bytes(&self) -> usize {
        match &self.carrier {
            Carrier::Stream { out, .. } => out.len(),
            Carrier::WebSocket { bytes, .. } => *bytes,
        }
    }

    /// Bytes that the socket has taken so far.
    pub fn written_bytes(&self) -> u64 {
        self.written
    }

    /// A new stream begins on the same connection (after SASL).
    pub fn restart(&mut self) {
        self.open = false;
        if let Carrier::Stream { reader, .. } = &mut self.carrier {
            reader.restart();
        }
    }

    /// Bounds from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        if let Carrier::Stream { reader, .. } = &mut self.carrier {
            reader.set_limits(limits);
        }
    }

    /// The next thing that happens: an event, or the end of writing. Cancel-safe.
    pub async fn next(&mut self) -> Result<Progress, WireError> {
        poll_fn(|cx| self.poll(cx, true)).await
    }

    /// [`Wire::next`] that writes but does not read while `reading` is false.
    pub async fn drive(&mut self, reading: bool) -> Result<Progress, WireError> {
        poll_fn(|cx| self.poll(cx, reading)).await
    }

    /// The next event; writes meanwhile. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Event, WireError> {
        loop {
            if let Progress::Event(event) = self.next().await? {
                return Ok(event);
            }
        }
    }

    /// Writes all that is queued. Cancel-safe.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        if !self.flushing {
            return Ok(());
        }
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Ends the connection.
    pub async fn shutdown(&mut self) {
        match &mut self.carrier {
            Carrier::Stream { io: Some(io), .. } => drop(io.shutdown().await),
            Carrier::Stream { .. } => {}
            Carrier::WebSocket { frames, .. } => {
                drop(poll_fn(|cx| frames.as_mut().poll_close(cx)).await);
            }
        }
    }

    /// [`Wire::shutdown`], and what still arrives is thrown away until the other side closes, too, or has sent `most`
    /// bytes: a system that drops a connection with unread bytes takes our last words from the other side
    /// (RFC 1122 section 4.2.2.13).
    pub async fn shutdown_and_drain(&mut self, most: usize) {
        self.shutdown().await;
        let Carrier::Stream { io: Some(io), .. } = &mut self.carrier else {
            return;
        };
        let (mut space, mut left) = ([0; 4096], most);
        while left > 0 {
            match tokio::io::AsyncReadExt::read(io, &mut space).await {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Result<Progress, WireError>> {
        if self.flushing && self.poll_write(cx)?.is_ready() {
            return Poll::Ready(Ok(Progress::Flushed));
        }
        if !reading {
            return Poll::Pending;
        }
        let event = ready!(self.poll_read(cx))?;
        Poll::Ready(Ok(Progress::Event(event)))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        match &mut self.carrier {
            Carrier::Stream { io, out, .. } => {
                let io = io.as_mut().ok_or(WireError::Closed)?;
                while !out.is_empty() {
                    let n = ready!(Pin::new(&mut **io).poll_write(cx, out))?;
                    if n == 0 {
                        return Poll::Ready(Err(WireError::Closed));
                    }
                    out.advance(n);
                    self.written += n as u64;
                }
                *out = BytesMut::new();
                ready!(Pin::new(&mut **io).poll_flush(cx))?;
            }
            Carrier::WebSocket { frames, out, bytes } => {
                while !out.is_empty() {
                    ready!(frames.as_mut().poll_ready(cx))?;
                    if let Some(text) = out.pop_front() {
                        *bytes -= text.len();
                        self.written += text.len() as u64;
                        frames.as_mut().start_send(text)?;
                    }
                }
                ready!(frames.as_mut().poll_flush(cx))?;
            }
        }
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, WireError>> {
        match &mut self.carrier {
            Carrier::Stream { io, reader, .. } => {
                let io = io.as_mut().ok_or(WireError::Closed)?;
                loop {
                    if let Some(event) = reader.next_event()? {
                        return Poll::Ready(Ok(event));
                    }
                    let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
                    let mut buf = ReadBuf::uninit(&mut space);
                    ready!(Pin::new(&mut **io).poll_read(cx, &mut buf))?;
                    if buf.filled().is_empty() {
                        return Poll::Ready(Err(WireError::Closed));
                    }
                    reader.push(buf.filled());
                }
            }
            Carrier::WebSocket { frames, .. } => {
                let Some(text) = ready!(frames.as_mut().poll_next(cx)).transpose()? else {
                    return Poll::Ready(Err(WireError::Closed));
                };
                let frame = Reader::single(text.as_bytes(), self.limits)?;
                let of = |name: &str| frame.attr(name).map(str::to_owned);
                let event = match (frame.name(), frame.ns()) {
                    ("open", ns::FRAMING) => Event::Open(Header {
                        to: of("to"),
                        from: of("from"),
                        id: of("id"),
                        version: of("version"),
                        lang: frame.lang().map(str::to_owned),
                        content_ns: ns::CLIENT.to_owned(),
                    }),
                    ("close", ns::FRAMING) => Event::Close,
                    _ => Event::Element(frame),
                };
                Poll::Ready(Ok(event))
            }
        }
    }

    fn take_io(&mut self) -> Result<Box<dyn Io>, WireError> {
        match &mut self.carrier {
            Carrier::Stream { io, reader, .. } if reader.is_idle_empty() => {
                io.take().ok_or(WireError::Closed)
            }
            Carrier::Stream { .. } => Err(WireError::Injected),
            Carrier::WebSocket { .. } => {
                Err(WireError::WebSocket("STARTTLS makes no sense here".into()))
            }
        }
    }

    fn put_io(&mut self, new: Box<dyn Io>, bindings: Vec<Binding>) {
        self.open = false;
        self.bindings = bindings;
        if let Carrier::Stream {
            io, tls, reader, ..
        } = &mut self.carrier
        {
            *io = Some(new);
            *tls = true;
            reader.restart();
        }
    }

    /// The server's side of STARTTLS (RFC 6120 section 5.4.3): bytes that came too early are refused.
    pub async fn starttls_accept_in_place(
        &mut self,
        config: Arc<rustls::ServerConfig>,
    ) -> Result<(), WireError> {
        let io = self.take_io()?;
        let (tls, bindings) = crate::tls::accept(io, config).await?;
        self.put_io(Box::new(tls), bindings);
        Ok(())
    }

    /// The client's side of STARTTLS.
    pub async fn starttls_connect_in_place(
        &mut self,
        name: rustls::pki_types::ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
    ) -> Result<(), WireError> {
        let io = self.take_io()?;
        let tls = tokio_rustls::TlsConnector::from(config)
            .connect(name, io)
            .await?;
        let bindings = crate::tls::bindings(&tls);
        self.put_io(Box::new(tls), bindings);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn elements_cross_in_both_directions_at_once_through_narrow_pipes() {
        let (a, b) = tokio::io::duplex(64);
        let (mut a, mut b) = (
            Wire::stream(a, false, Limits::default()),
            Wire::stream(b, false, Limits::default()),
        );
        let body = "汉😀".repeat(20_000);
        let stanza = format!("<message><body>{body}</body></message>");
        for wire in [&mut a, &mut b] {
            wire.queue_open(&Header::default());
            wire.queue(stanza.as_bytes());
        }
        let read = async |wire: &mut Wire| {
            assert!(matches!(wire.recv().await.unwrap(), Event::Open(_)));
            let Event::Element(frame) = wire.recv().await.unwrap() else {
                panic!("no element")
            };
            assert_eq!(frame.bytes(), stanza.as_bytes());
            wire.flush().await.unwrap();
        };
        tokio::join!(read(&mut a), read(&mut b));
    }

    #[tokio::test]
    async fn bytes_before_tls_are_refused() {
        let (a, b) = tokio::io::duplex(4096);
        let (mut a, mut b) = (
            Wire::stream(a, false, Limits::default()),
            Wire::stream(b, false, Limits::default()),
        );
        a.queue_open(&Header::default());
        a.queue(format!("<starttls xmlns='{}'/><iq", ns::TLS).as_bytes());
        a.flush().await.unwrap();
        b.recv().await.unwrap();
        b.recv().await.unwrap();
        assert!(matches!(b.take_io(), Err(WireError::Injected)));
    }
}
