//! A component's connection: the handshake (XEP-0114 section "Protocol Flow"), then stanzas both ways.

use super::{ABSENT, Component, refuse};
use crate::entity::check_iq;
use crate::limits;
use crate::mailbox::{Credit, End, Mailbox};
use crate::places::Places;
use crate::server::{Server, SessionInfo, now_ms, random_id};
use bytes::Bytes;
use liao_net::{Progress, Wire, WireError};
use liao_proto::jid::Jid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza, StanzaError};
use liao_proto::stream::{Event, Header, Limits, error_element};
use liao_proto::xep::component::is_handshake;
use liao_proto::xml::Frame;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes that may lie in the wire's own buffer before more is taken from the mailbox.
const WIRE_BYTES: usize = 256 * 1024;

/// Takes the components' connections.
pub async fn listen(server: Arc<Server>, components: Vec<Arc<Component>>, listener: TcpListener) {
    let places = Places::new(server.bounds.connections_per_address);
    let components: Arc<[Arc<Component>]> = components.into();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "a component's connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip()) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (server, components) = (server.clone(), components.clone());
        tokio::spawn(async move {
            let _place = place;
            serve(server, &components, stream, peer).await;
        });
    }
}

/// How a connection goes on after an event.
enum Next {
    Go,
    /// It closed its stream.
    Left,
    /// It is gone without a word.
    Lost,
    Fail(End),
}

const fn fail(condition: &'static str, text: &'static str) -> Next {
    Next::Fail(End { condition, text })
}

async fn serve(
    server: Arc<Server>,
    components: &[Arc<Component>],
    stream: TcpStream,
    peer: SocketAddr,
) {
    let limits = |element_bytes| Limits {
        element_bytes,
        depth: limits::STANZA_DEPTH,
    };
    let unknown = limits(limits::STANZA_BYTES_UNAUTHENTICATED);
    let mut wire = Wire::stream(stream, false, unknown);
    let patience = Duration::from_secs(server.bounds.unauthenticated_s);
    let component = match timeout(patience, negotiate(&mut wire, components)).await {
        Ok(Ok(component)) => component,
        Ok(Err(next)) => return close(wire, next).await,
        Err(_) => return close(wire, fail("connection-timeout", "no handshake came")).await,
    };
    let mailbox = Arc::new(Mailbox::new(server.bounds.mailbox_bytes));
    if !component.attach(&mailbox) {
        let taken = fail("conflict", "this component is connected already");
        return close(wire, taken).await;
    }
    wire.set_limits(limits(server.bounds.stanza_bytes));
    wire.queue(b"<handshake/>");
    let name = component.address.clone();
    tracing::info!(component = %name, %peer, "a component is connected");
    let mut connection = Connection {
        id: server.session_id(),
        server,
        wire,
        component,
        mailbox,
        unwritten: Vec::new(),
        heard: Instant::now(),
        stuck: false,
    };
    connection.note(peer);
    let next = connection.talk().await;
    connection.end(next).await;
    tracing::info!(component = %name, "a component is gone");
}

/// The stream header and the handshake; which component it is.
async fn negotiate(wire: &mut Wire, components: &[Arc<Component>]) -> Result<Arc<Component>, Next> {
    let lost = |error| match error {
        WireError::Stream(e) => fail(e.condition(), ""),
        _ => Next::Lost,
    };
    let Event::Open(header) = wire.recv().await.map_err(lost)? else {
        return Err(Next::Left);
    };
    let id = random_id();
    wire.queue_open(&Header {
        from: header.to.clone(),
        id: Some(id.clone()),
        content_ns: ns::COMPONENT.into(),
        ..Header::default()
    });
    if header.content_ns != ns::COMPONENT {
        let text = "the content namespace must be jabber:component:accept";
        return Err(fail("invalid-namespace", text));
    }
    let name = header
        .to
        .as_deref()
        .and_then(|to| liao_proto::address::parse(to).ok());
    let component = name.and_then(|n| components.iter().find(|c| n.as_str() == c.address.as_str()));
    let Some(component) = component else {
        return Err(fail(
            "host-unknown",
            "no component of this name is configured",
        ));
    };
    match wire.recv().await.map_err(lost)? {
        Event::Element(frame)
            if frame.is("handshake", ns::COMPONENT)
                && is_handshake(&frame.text(), &id, &component.secret) =>
        {
            Ok(component.clone())
        }
        Event::Element(_) => {
            tracing::warn!(component = %component.address, "a component has a wrong secret");
            tokio::time::sleep(Duration::from_secs(limits::COMPONENT_PAUSE_S)).await;
            Err(fail("not-authorized", "the handshake is wrong"))
        }
        _ => Err(Next::Left),
    }
}

/// Says goodbye and ends the connection (RFC 6120 section 4.9.1).
async fn close(mut wire: Wire, next: Next) {
    if matches!(next, Next::Lost) {
        return;
    }
    if !wire.is_open() {
        // Section 4.9.1.2: an error before the header still needs one around it.
        wire.queue_open(&Header {
            id: Some(random_id()),
            content_ns: ns::COMPONENT.into(),
            ..Header::default()
        });
    }
    if let Next::Fail(End { condition, text }) = next {
        wire.queue(error_element(condition, text).as_bytes());
    }
    wire.queue_close();
    let _ = timeout(Duration::from_secs(limits::SHUTDOWN_S), async {
        let _ = wire.flush().await;
        wire.shutdown().await;
    })
    .await;
}

struct Connection {
    server: Arc<Server>,
    wire: Wire,
    component: Arc<Component>,
    mailbox: Arc<Mailbox>,
    /// Where `liao admin sessions` looks.
    id: u64,
    /// In the wire's buffer.
    unwritten: Vec<Bytes>,
    heard: Instant,
    stuck: bool,
}

impl Connection {
    fn note(&self, peer: SocketAddr) {
        let info = SessionInfo {
            full: self.component.address.to_string(),
            peer: peer.to_string(),
            carrier: "component",
            since_ms: now_ms(),
            sent: self.mailbox.sent.clone(),
        };
        if let Ok(mut sessions) = self.server.sessions.lock() {
            sessions.insert(self.id, info);
        }
    }

    async fn talk(&mut self) -> Next {
        let tick = Duration::from_secs(limits::WRITE_STALL_S);
        let timer = sleep_until(Instant::now() + tick);
        tokio::pin!(timer);
        loop {
            let reading = self.mailbox.is_reading();
            let room = self.wire.queued_bytes() < WIRE_BYTES;
            let next = tokio::select! {
                () = self.mailbox.ready(), if room || self.mailbox.is_ended() => self.drain(),
                progress = self.wire.drive(reading) => self.progress(progress),
                () = self.mailbox.may_read(), if !reading => Next::Go,
                () = &mut timer => {
                    timer.as_mut().reset(Instant::now() + tick);
                    self.tick()
                }
            };
            if !matches!(next, Next::Go) {
                return next;
            }
        }
    }

    /// Moves what waits to the wire.
    fn drain(&mut self) -> Next {
        let (items, end) = self.mailbox.take();
        for item in items {
            self.wire.queue(&item.bytes);
            self.unwritten.push(item.bytes);
        }
        end.map_or(Next::Go, Next::Fail)
    }

    fn progress(&mut self, progress: Result<Progress, WireError>) -> Next {
        match progress {
            Ok(Progress::Flushed) => {
                self.unwritten.clear();
                self.stuck = false;
                // There may be room again.
                self.mailbox.wake();
                Next::Go
            }
            Ok(Progress::Event(Event::Element(frame))) => {
                self.heard = Instant::now();
                self.stanza(frame)
            }
            Ok(Progress::Event(Event::Close)) => Next::Left,
            Ok(Progress::Event(Event::Open(_))) => fail("bad-format", "a second stream"),
            Err(WireError::Stream(error)) => fail(error.condition(), ""),
            Err(_) => Next::Lost,
        }
    }

    /// A component names itself or a user of its own (section "Protocol Flow", last paragraph), and always whom it
    /// means (RFC 6120 section 8.1.1.2).
    fn stanza(&mut self, frame: Frame) -> Next {
        let size = frame.bytes().len();
        let said = |name: &str| frame.attr(name).filter(|v| !v.is_empty());
        let (Some(to), Some(from)) = (said("to"), said("from")) else {
            return fail("improper-addressing", "every stanza needs to and from");
        };
        let Ok(from) = liao_proto::address::parse(from) else {
            return fail("improper-addressing", "from is no address");
        };
        if from.domain().as_str() != self.component.address.as_str() {
            return fail("invalid-from", "from must be at the component's own name");
        }
        if liao_proto::address::parse(to).is_err() {
            return self.malformed(&frame, from);
        }
        let stanza = match Stanza::from_frame_in(frame, ns::COMPONENT) {
            Ok(stanza) => stanza,
            Err(StanzaError::Unsupported(_)) => return fail("unsupported-stanza-type", ""),
            Err(StanzaError::Jid(_)) => return fail("improper-addressing", ""),
        };
        if let Err(error) = check_iq(&stanza) {
            return self.answer(refuse(&stanza, &error));
        }
        let credit = Credit::take(&self.mailbox, 0, size + 256);
        self.server.route(stanza, Some(credit));
        Next::Go
    }

    /// RFC 6120 section 8.3.3.8: whom a stanza is for is its sender's slip, not the whole component's end.
    fn malformed(&mut self, frame: &Frame, from: Jid) -> Next {
        if matches!(frame.attr("type"), Some("error" | "result")) {
            return Next::Go;
        }
        let stanza = match frame.name() {
            "message" => Stanza::message(""),
            "presence" => Stanza::presence(""),
            "iq" => Stanza::iq("get", ""),
            _ => return fail("unsupported-stanza-type", ""),
        };
        let stanza = stanza.id(frame.attr("id")).from(from);
        self.answer(Some(stanza.error(&ErrorKind::JID_MALFORMED)))
    }

    fn answer(&mut self, answer: Option<Stanza>) -> Next {
        if let Some(answer) = answer {
            self.mailbox.push(answer.to_bytes_in(ns::COMPONENT), None);
        }
        Next::Go
    }

    /// Once a minute: a stalled write, or a component that is silent for too long.
    fn tick(&mut self) -> Next {
        if self.wire.queued_bytes() > 0 {
            if self.stuck {
                return fail("resource-constraint", "nothing can be written to you");
            }
            self.stuck = true;
        }
        let silent = self.heard.elapsed().as_secs();
        let bound = self.server.bounds.idle_ping_s;
        if silent > 2 * bound {
            return fail("connection-timeout", "you did not answer a ping");
        }
        if silent > bound {
            let ping = Stanza::iq("get", &random_id())
                .to(self.component.address.clone())
                .from(self.server.domain.clone())
                .raw_child("ping", ns::PING, "<ping xmlns='urn:xmpp:ping'/>");
            self.mailbox.push(ping.to_bytes(), None);
        }
        Next::Go
    }

    /// What the component has not got is answered in its stead; the last that were on their way it may have got.
    async fn end(self, next: Next) {
        self.component.detach();
        if let Ok(mut sessions) = self.server.sessions.lock() {
            sessions.remove(&self.id);
        }
        // From here on nothing more gets in: who would have sent is told.
        self.mailbox.end(End {
            condition: "reset",
            text: "",
        });
        let (rest, _) = self.mailbox.take();
        let rest = rest.into_iter().map(|item| item.bytes);
        for bytes in self.unwritten.into_iter().chain(rest) {
            let refused = Stanza::parse_bytes(&bytes).and_then(|s| refuse(&s, &ABSENT));
            if let Some(refused) = refused {
                self.server.route(refused, None);
            }
        }
        close(self.wire, next).await;
    }
}
