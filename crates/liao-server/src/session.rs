//! A bound session: stanzas in to the entity, the mailbox out to the socket, until either side ends it.

use crate::c2s::farewell;
use crate::entity::Item;
use crate::limits;
use crate::mailbox::{Credit, End, Mailbox};
use crate::server::{Server, SessionInfo, now_ms, random_id};
use liao_net::{Progress, Wire, WireError};
use liao_proto::jid::{FullJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza, StanzaError};
use liao_proto::stream::Event;
use liao_proto::xml::Frame;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes that may lie in the wire's own buffer before more is taken from the mailbox.
const WIRE_BYTES: usize = 256 * 1024;

/// How a session goes on after an event.
enum Next {
    Go,
    Left,
    Fail(End),
}

/// Runs a session to its end and unbinds it.
pub async fn run(
    server: Arc<Server>,
    wire: Wire,
    id: u64,
    full: FullJid,
    mailbox: Arc<Mailbox>,
    peer: SocketAddr,
) {
    let carrier = if wire.is_websocket() {
        "websocket"
    } else if wire.is_tls() {
        "tls"
    } else {
        "tcp"
    };
    let info = SessionInfo {
        full: full.to_string(),
        peer: peer.to_string(),
        carrier,
        since_ms: now_ms(),
    };
    if let Ok(mut sessions) = server.sessions.lock() {
        sessions.insert(id, info);
    }
    let mut session = Session {
        server,
        wire,
        id,
        full,
        mailbox,
        seqs: Vec::new(),
        heard: Instant::now(),
        stuck: false,
    };
    let end = session.talk().await;
    let Session {
        server, wire, full, ..
    } = session;
    if let Ok(mut sessions) = server.sessions.lock() {
        sessions.remove(&id);
    }
    server.post(full.into_bare(), Item::Unbind(id));
    match end {
        Some(end) => farewell(wire, end.condition, end.text).await,
        None => close(wire).await,
    }
}

async fn close(mut wire: Wire) {
    wire.queue_close();
    let _ = timeout(Duration::from_secs(limits::SHUTDOWN_S), async {
        let _ = wire.flush().await;
        wire.shutdown().await;
    })
    .await;
}

struct Session {
    server: Arc<Server>,
    wire: Wire,
    id: u64,
    full: FullJid,
    mailbox: Arc<Mailbox>,
    /// Archived messages in the wire's buffer.
    seqs: Vec<u64>,
    heard: Instant,
    stuck: bool,
}

impl Session {
    async fn talk(&mut self) -> Option<End> {
        let tick = Duration::from_secs(limits::WRITE_STALL_S);
        let timer = sleep_until(Instant::now() + tick);
        tokio::pin!(timer);
        loop {
            let reading = self.mailbox.is_reading();
            let queued = self.wire.queued_bytes();
            let next = tokio::select! {
                () = self.mailbox.ready(), if queued < WIRE_BYTES => self.drain(),
                progress = self.wire.drive(reading) => self.progress(progress),
                () = self.mailbox.may_read(), if !reading => Next::Go,
                () = &mut timer => {
                    timer.as_mut().reset(Instant::now() + tick);
                    self.tick()
                }
            };
            match next {
                Next::Go => {}
                Next::Left => return None,
                Next::Fail(end) => return Some(end),
            }
        }
    }

    /// Moves what waits to the wire; it leaves in as few writes as the socket takes.
    fn drain(&mut self) -> Next {
        let (items, end) = self.mailbox.take();
        for item in items {
            self.wire.queue(&item.bytes);
            self.seqs.extend(item.seq);
        }
        match end {
            Some(end) => Next::Fail(end),
            None => Next::Go,
        }
    }

    fn progress(&mut self, progress: Result<Progress, WireError>) -> Next {
        match progress {
            Ok(Progress::Flushed) => {
                self.stuck = false;
                if !self.seqs.is_empty() {
                    let seqs = std::mem::take(&mut self.seqs);
                    self.server.post(self.full.to_bare(), Item::Written(seqs));
                }
                Next::Go
            }
            Ok(Progress::Event(Event::Element(frame))) => {
                self.heard = Instant::now();
                self.stanza(frame)
            }
            Ok(Progress::Event(Event::Close)) => Next::Left,
            Ok(Progress::Event(Event::Open(_))) => Next::Fail(End {
                condition: "bad-format",
                text: "a second stream",
            }),
            Err(WireError::Stream(error)) => Next::Fail(End {
                condition: error.condition(),
                text: "",
            }),
            Err(_) => Next::Left,
        }
    }

    fn stanza(&mut self, frame: Frame) -> Next {
        let size = frame.bytes().len();
        let address = |name: &str| {
            frame
                .attr(name)
                .filter(|a| Jid::new(a).is_err())
                .map(str::to_owned)
        };
        let (bad_to, id, kind) = (
            address("to"),
            frame.attr("id").map(str::to_owned),
            frame.name().to_owned(),
        );
        let answerable = !matches!(frame.attr("type"), Some("error" | "result"));
        let stanza = match Stanza::from_frame(frame) {
            Ok(stanza) => stanza,
            Err(StanzaError::Jid(_)) if bad_to.is_some() => {
                // RFC 6120 section 8.1.1.1 and 8.3.3.8.
                if answerable {
                    self.malformed(&kind, id.as_deref());
                }
                return Next::Go;
            }
            Err(StanzaError::Jid(_)) => {
                return Next::Fail(End {
                    condition: "invalid-from",
                    text: "",
                });
            }
            Err(StanzaError::Unsupported(_)) => {
                return Next::Fail(End {
                    condition: "unsupported-stanza-type",
                    text: "",
                });
            }
        };
        // RFC 6120 section 8.1.2.1: a client may name itself, nobody else.
        if let Some(from) = &stanza.from
            && from.as_str() != self.full.as_str()
            && from.as_str() != self.full.to_bare().as_str()
        {
            return Next::Fail(End {
                condition: "invalid-from",
                text: "you are somebody else",
            });
        }
        let credit = Credit::take(&self.mailbox, size + 256);
        self.server
            .post(self.full.to_bare(), Item::Send(self.id, stanza, credit));
        Next::Go
    }

    fn malformed(&mut self, kind: &str, id: Option<&str>) {
        let stanza = match kind {
            "message" => Stanza::message(""),
            "presence" => Stanza::presence(""),
            _ => Stanza::iq("get", id.unwrap_or_default()),
        };
        let answer = stanza
            .id(id)
            .from(self.full.clone())
            .error(&ErrorKind::JID_MALFORMED);
        self.wire.queue(&answer.to_bytes());
    }

    /// Once a minute: a stalled write, or a client that is silent for too long.
    fn tick(&mut self) -> Next {
        if self.wire.queued_bytes() > 0 {
            if self.stuck {
                return Next::Fail(End {
                    condition: "resource-constraint",
                    text: "nothing can be written to you",
                });
            }
            self.stuck = true;
        }
        let silent = self.heard.elapsed().as_secs();
        if silent > 2 * limits::IDLE_PING_S {
            return Next::Fail(End {
                condition: "connection-timeout",
                text: "you did not answer a ping",
            });
        }
        if silent > limits::IDLE_PING_S {
            let ping = Stanza::iq("get", &random_id())
                .to(self.full.clone())
                .from(self.server.domain.clone())
                .raw_child("ping", ns::PING, "<ping xmlns='urn:xmpp:ping'/>");
            self.wire.queue(&ping.to_bytes());
        }
        Next::Go
    }
}
