//! A bound session: stanzas in to the entity, the mailbox out to the socket, until either side ends it. With stream
//! management (XEP-0198) it outlives its connection.

use crate::acks::{Acks, is_light};
use crate::c2s::{Bound, failed, farewell};
use crate::entity::Item;
use crate::limits;
use crate::mailbox::{Credit, End, Mailbox};
use crate::server::{Server, SessionInfo, now_ms, random_id};
use crate::streams::random_stream;
use bytes::Bytes;
use liao_net::{Progress, Wire, WireError};
use liao_proto::jid::FullJid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Kind, Stanza, StanzaError};
use liao_proto::stream::Event;
use liao_proto::xml::{Frame, escape};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes that may lie in the wire's own buffer before more is taken from the mailbox.
const WIRE_BYTES: usize = 256 * 1024;

/// How a session goes on after an event.
enum Next {
    Go,
    /// The stream was closed as agreed.
    Left,
    /// The connection is gone without a word.
    Lost,
    Fail(End),
    /// Another connection carries on.
    Resumed(Box<Resume>),
}

/// A connection that takes over a session (XEP-0198 section 5).
pub struct Resume {
    /// The connection.
    pub wire: Wire,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Its stream's language.
    pub lang: Option<Box<str>>,
    /// What the client has handled.
    pub h: u32,
    /// What the answer stands in.
    pub around: Around,
    /// Dropped when the session lets go of the connection.
    pub held: tokio::sync::oneshot::Sender<()>,
}

/// What an answer stands in: `<success/>` if it was asked for with SASL2 (XEP-0388 section 2.6.1), else nothing.
#[derive(Default)]
pub struct Around {
    /// Before it.
    pub before: String,
    /// After it.
    pub after: String,
}

/// What a client wants of stream management (XEP-0198 section 3).
pub struct Enable {
    resume: bool,
    max_s: Option<u64>,
}

impl Enable {
    /// From the attributes of `<enable/>`.
    pub fn read(resume: Option<&str>, max: Option<&str>) -> Enable {
        Enable {
            resume: matches!(resume, Some("true" | "1")),
            max_s: max.and_then(|m| m.parse().ok()),
        }
    }
}

/// How a session begins; all but the language is for one that was bound inline (XEP-0386 section 3.2).
#[derive(Default)]
pub struct Start {
    /// Stream management from the first stanza (XEP-0198 section 9.1).
    pub enable: Option<Enable>,
    /// The success that says so.
    pub around: Around,
    /// The stream features after it.
    pub features: String,
    /// The stream's language.
    pub lang: Option<Box<str>>,
}

fn carrier(wire: &Wire) -> &'static str {
    if wire.is_websocket() {
        "websocket"
    } else if wire.is_tls() {
        "tls"
    } else {
        "tcp"
    }
}

/// Runs a session to its end and unbinds it. The future is most of what an idle connection costs: what happens seldom
/// in it is boxed.
pub fn run(
    server: Arc<Server>,
    wire: Wire,
    bound: Bound,
    peer: SocketAddr,
) -> impl Future<Output = ()> + Send {
    let Bound {
        place,
        id,
        full,
        mailbox,
        start,
    } = bound;
    place.taken();
    let (resume, resumes) = mpsc::channel(1);
    let mut session = Session {
        server,
        wire,
        id,
        full,
        mailbox,
        peer,
        lang: None,
        acks: None,
        resume,
        resumes,
        held: None,
        seqs: Vec::new(),
        heard: Instant::now(),
        stuck: None,
        broken: false,
        answered: 0,
    };
    session.note();
    session.begin(*start);
    live(Box::new(session))
}

async fn live(mut session: Box<Session>) {
    loop {
        let end = match session.talk().await {
            Next::Resumed(resume) => {
                Box::pin(session.take_over(*resume, true)).await;
                continue;
            }
            Next::Lost if session.is_resumable() => {
                session.held = None;
                match session.wait().await {
                    Some(resume) => {
                        Box::pin(session.take_over(*resume, false)).await;
                        continue;
                    }
                    None => None,
                }
            }
            Next::Fail(end) => Some(end),
            _ => None,
        };
        return Box::pin(session.end(end)).await;
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

/// The old connection learns that another took its place (section 5).
async fn farewell_owned(wire: Wire) {
    farewell(wire, "conflict", "the session was resumed elsewhere").await;
}

/// The disk is behind with what the client sent: it tries again later.
async fn overtaken(wire: Wire) {
    farewell(wire, "resource-constraint", "the disk is behind; try again").await;
}

struct Session {
    server: Arc<Server>,
    wire: Wire,
    id: u64,
    full: FullJid,
    mailbox: Arc<Mailbox>,
    peer: SocketAddr,
    /// What a stanza is in that does not say it (RFC 6120 section 8.1.5).
    lang: Option<Box<str>>,
    /// Stream management, once it is enabled.
    acks: Option<Acks>,
    /// Boxed: a channel has room for 32 from its start.
    resume: mpsc::Sender<Box<Resume>>,
    resumes: mpsc::Receiver<Box<Resume>>,
    /// Tells the task that brought the present connection when it is no longer held.
    held: Option<tokio::sync::oneshot::Sender<()>>,
    /// Archived messages in the wire's buffer.
    seqs: Vec<u64>,
    heard: Instant,
    stuck: Option<u64>,
    /// A stream error was queued: only the end is left.
    broken: bool,
    /// Of the client's stanzas, those handled whose answers are on the wire, too.
    answered: u64,
}

impl Session {
    /// Notes the session where `liao admin sessions` looks.
    fn note(&self) {
        let info = SessionInfo {
            full: self.full.to_string(),
            peer: self.peer.to_string(),
            carrier: carrier(&self.wire),
            since_ms: now_ms(),
            sent: self.mailbox.sent.clone(),
        };
        if let Ok(mut sessions) = self.server.sessions.lock() {
            sessions.insert(self.id, info);
        }
    }

    /// Says what was bound inline; in the classic way that is said already.
    fn begin(&mut self, start: Start) {
        self.lang = start.lang;
        let enabled = start.enable.map(|enable| self.enable(&enable));
        let (Around { before, after }, enabled) = (start.around, enabled.unwrap_or_default());
        for text in [format!("{before}{enabled}{after}"), start.features] {
            if !text.is_empty() {
                self.wire.queue(text.as_bytes());
            }
        }
    }

    async fn end(mut self, end: Option<End>) {
        if let Ok(mut sessions) = self.server.sessions.lock() {
            sessions.remove(&self.id);
        }
        let mut rest = self.mailbox.close();
        if let Some(acks) = &mut self.acks {
            if let Some(stream) = acks.resume {
                self.server.streams_lock().ended(stream, &self.mailbox);
            }
            rest.extend(acks.rest());
        }
        // Archived messages stay for the next session; who asked for something else is told (section 4).
        for item in rest.into_iter().filter(|i| i.seq.is_none()) {
            let iq = Stanza::parse_bytes(&item.bytes).filter(|s| s.kind == Kind::Iq);
            if let Some(iq) = iq.filter(|s| !s.is_answer()) {
                self.server
                    .route(iq.error(&ErrorKind::SERVICE_UNAVAILABLE), None);
            }
        }
        self.server
            .post(self.full.into_bare(), Item::Unbind(self.id));
        match end {
            Some(end) => farewell(self.wire, end.condition, end.text).await,
            None => close(self.wire).await,
        }
    }

    fn is_resumable(&self) -> bool {
        self.acks.as_ref().is_some_and(|a| a.resume.is_some())
    }

    /// Without a connection: until one comes, the time is over, or the session must end.
    async fn wait(&mut self) -> Option<Box<Resume>> {
        let max_s = self.acks.as_ref().map_or(0, |a| a.max_s);
        let over = Instant::now() + Duration::from_secs(max_s);
        loop {
            if self.mailbox.is_ended() {
                return None;
            }
            tokio::select! {
                resume = self.resumes.recv() => return resume,
                () = self.mailbox.ready() => self.mailbox.store_mark(&self.server.store),
                () = sleep_until(over) => return None,
            }
        }
    }

    /// Goes on over another connection: what it has not handled is sent again, in order.
    async fn take_over(&mut self, resume: Resume, open: bool) {
        // What the old connection brought is committed or answered first; only then is `h` the whole truth.
        let patience = Duration::from_secs(self.server.bounds.unauthenticated_s);
        let settled = timeout(patience, self.mailbox.all_handled(&self.server.store)).await;
        // The stream's counts start from active again (XEP-0352 section 5.2).
        self.mailbox.set_quiet(false);
        if settled.is_err() {
            tokio::spawn(overtaken(resume.wire));
            return;
        }
        let old = std::mem::replace(&mut self.wire, resume.wire);
        if open {
            tokio::spawn(farewell_owned(old));
        }
        (self.peer, self.held) = (resume.peer, Some(resume.held));
        self.lang = resume.lang;
        (self.heard, self.stuck) = (Instant::now(), None);
        self.note();
        let (handled, _) = self.mailbox.handled();
        let Some(acks) = &mut self.acks else { return };
        let bare = self.full.to_bare();
        let sm_id = self.server.sm_id(&bare, acks.resume.unwrap_or_default());
        let Around { before, after } = resume.around;
        let resumed = format!(
            "{before}<resumed xmlns='{}' previd='{sm_id}' h='{}'/>{after}",
            ns::SM,
            handled as u32
        );
        self.wire.queue(resumed.as_bytes());
        if !self.acked(resume.h) {
            return;
        }
        if let Some(acks) = &mut self.acks {
            for item in acks.again() {
                self.wire.queue(&item.bytes);
            }
        }
        self.ask();
        // What came meanwhile waits in the mailbox.
        self.mailbox.wake();
    }

    async fn talk(&mut self) -> Next {
        let tick = Duration::from_secs(limits::WRITE_STALL_S);
        let timer = sleep_until(Instant::now() + tick);
        tokio::pin!(timer);
        if self.broken {
            return Next::Left;
        }
        loop {
            let reading = self.mailbox.is_reading();
            let room = self.has_room();
            let next = tokio::select! {
                () = self.mailbox.ready(), if room || self.mailbox.is_ended() => self.drain(),
                progress = self.wire.drive(reading) => self.progress(progress),
                () = self.mailbox.may_read(), if !reading => Next::Go,
                Some(resume) = self.resumes.recv() => Next::Resumed(resume),
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

    /// Queues a stanza; with stream management it is kept until the client has it.
    fn send(&mut self, bytes: Bytes, seq: Option<u64>) {
        self.wire.queue(&bytes);
        match &mut self.acks {
            Some(acks) => acks.sent(crate::mailbox::Item {
                bytes,
                seq,
                lazy: None,
            }),
            None => self.seqs.extend(seq),
        }
    }

    /// Asks the client what it has handled, if it is time to.
    fn ask(&mut self) {
        if self.acks.as_mut().is_some_and(Acks::ask) {
            self.wire
                .queue(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
        }
    }

    /// Whether more may be taken from the mailbox.
    fn has_room(&self) -> bool {
        let unacked = self.acks.as_ref().map_or(0, Acks::bytes);
        self.wire.queued_bytes() < WIRE_BYTES && unacked < self.mailbox.bound()
    }

    /// Moves what waits to the wire; it leaves in as few writes as the socket takes.
    fn drain(&mut self) -> Next {
        // Looked at before the mailbox is emptied: the answer to what is counted is in there, and leaves first.
        let (handled, received) = self.mailbox.handled();
        self.answered = handled;
        let was_busy = self.mailbox.is_busy();
        let (items, end) = self.mailbox.take();
        if was_busy {
            // There is room again for what was kept.
            self.server
                .post(self.full.to_bare(), Item::Written(Vec::new()));
        }
        for item in items {
            self.send(item.bytes, item.seq);
        }
        self.ask();
        self.mailbox.store_mark(&self.server.store);
        if self
            .acks
            .as_mut()
            .is_some_and(|a| a.settle(handled, received))
        {
            self.tell(handled);
        }
        match end {
            Some(end) => Next::Fail(end),
            None => Next::Go,
        }
    }

    fn tell(&mut self, handled: u64) {
        let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, handled as u32);
        self.wire.queue(a.as_bytes());
    }

    fn progress(&mut self, progress: Result<Progress, WireError>) -> Next {
        match progress {
            Ok(Progress::Flushed) => {
                self.stuck = None;
                if !self.seqs.is_empty() {
                    let seqs = std::mem::take(&mut self.seqs);
                    self.server.post(self.full.to_bare(), Item::Written(seqs));
                }
                Next::Go
            }
            Ok(Progress::Event(Event::Element(frame))) => {
                self.heard = Instant::now();
                match frame.ns() {
                    ns::SM => self.management(&frame),
                    ns::CSI => self.client_state(&frame),
                    _ => self.stanza(frame),
                }
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
            Err(_) => Next::Lost,
        }
    }

    /// The elements of XEP-0198 on a bound stream.
    fn management(&mut self, frame: &Frame) -> Next {
        match (frame.name(), self.acks.is_some()) {
            ("enable", false) => {
                let enabled = self.enable(&Enable::read(frame.attr("resume"), frame.attr("max")));
                self.wire.queue(enabled.as_bytes());
            }
            // Section 3: at most one attempt.
            ("enable", true) => {
                return Next::Fail(End {
                    condition: "policy-violation",
                    text: "stream management is enabled already",
                });
            }
            // Section 5: only before binding.
            ("resume", _) => self.refuse("unexpected-request"),
            ("r", true) => {
                // A refusal must not come after the count that covers it: if the server died in between, the client
                // would believe that its message is kept.
                let next = if self.has_room() {
                    self.drain()
                } else {
                    Next::Go
                };
                let (_, received) = self.mailbox.handled();
                if let Some(acks) = &mut self.acks {
                    acks.asked_by_client(self.answered, received);
                }
                self.tell(self.answered);
                return next;
            }
            ("a", true) => match frame.attr("h").and_then(|h| h.parse().ok()) {
                Some(h) => {
                    if !self.acked(h) {
                        return Next::Left;
                    }
                    self.ask();
                    // There may be room again.
                    self.mailbox.wake();
                }
                None => {
                    return Next::Fail(End {
                        condition: "bad-format",
                        text: "an ack without a count",
                    });
                }
            },
            ("r" | "a", false) => self.refuse("unexpected-request"),
            _ => {
                return Next::Fail(End {
                    condition: "unsupported-stanza-type",
                    text: "",
                });
            }
        }
        Next::Go
    }

    /// XEP-0352 section 4.2. What waited is on its way before anything that the client sends next is answered.
    fn client_state(&mut self, frame: &Frame) -> Next {
        match frame.name() {
            "inactive" => self.mailbox.set_quiet(true),
            "active" => {
                self.mailbox.set_quiet(false);
                return self.drain();
            }
            _ => {
                return Next::Fail(End {
                    condition: "unsupported-stanza-type",
                    text: "",
                });
            }
        }
        Next::Go
    }

    fn refuse(&mut self, condition: &str) {
        self.wire.queue(failed(condition, None).as_bytes());
    }

    /// Counts from now on; `<enabled/>`.
    fn enable(&mut self, enable: &Enable) -> String {
        let stream = random_stream();
        let mut acks = Acks::default();
        let mut more = String::new();
        if enable.resume {
            let most = self.server.bounds.resume_s;
            acks.max_s = enable.max_s.map_or(most, |m| m.min(most));
            let sm_id = self.server.sm_id(&self.full.to_bare(), stream);
            more = format!(" id='{sm_id}' resume='true' max='{}'", acks.max_s);
            let config = self.server.config();
            match config.get("resume.location") {
                "" => {}
                location => more.push_str(&format!(" location='{}'", escape(location))),
            }
            let mut streams = self.server.streams_lock();
            streams.begun(stream, self.resume.clone());
            acks.resume = Some(stream);
        }
        self.mailbox.count(stream);
        self.acks = Some(acks);
        format!("<enabled xmlns='{}'{more}/>", ns::SM)
    }

    /// Takes the client's count; `false`: it is too high, and the stream is at its end (section 4).
    fn acked(&mut self, h: u32) -> bool {
        let Some(acks) = &mut self.acks else {
            return true;
        };
        match acks.acked(h) {
            Ok(items) => {
                let seqs: Vec<u64> = items.into_iter().filter_map(|i| i.seq).collect();
                if !seqs.is_empty() {
                    self.server.post(self.full.to_bare(), Item::Written(seqs));
                }
                true
            }
            Err(sent) => {
                let error = format!(
                    "<stream:error xmlns:stream='{}'><undefined-condition xmlns='{}'/>\
                     <handled-count-too-high xmlns='{}' h='{h}' send-count='{sent}'/></stream:error>",
                    ns::STREAM,
                    ns::STREAMS,
                    ns::SM
                );
                self.wire.queue(error.as_bytes());
                self.broken = true;
                false
            }
        }
    }

    fn stanza(&mut self, frame: Frame) -> Next {
        let size = frame.bytes().len();
        let address = |name: &str| {
            frame
                .attr(name)
                .filter(|a| liao_proto::address::parse(a).is_err())
                .map(str::to_owned)
        };
        let (bad_to, id, kind) = (
            address("to"),
            frame.attr("id").map(str::to_owned),
            frame.name().to_owned(),
        );
        let answerable = !matches!(frame.attr("type"), Some("error" | "result"));
        let stanza = match Stanza::from_frame(frame) {
            Ok(stanza) => stanza.in_language(self.lang.as_deref()),
            Err(StanzaError::Jid(_)) if bad_to.is_some() => {
                // RFC 6120 section 8.1.1.1 and 8.3.3.8.
                if answerable {
                    self.malformed(&kind, id.as_deref());
                } else {
                    // It counts (XEP-0198 section 4).
                    drop(Credit::take(&self.mailbox, self.id, 0));
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
        // A presence to all friends may become thousands: the next stanza is read when they are on their way.
        let broadcast = stanza.kind == Kind::Presence && stanza.to.is_none();
        let bytes = match broadcast {
            true => size.max(limits::IN_FLIGHT_BYTES + 1),
            false => size + limits::FAN_OUT_BYTES,
        };
        let mut credit = Credit::take(&self.mailbox, self.id, bytes);
        if is_light(&stanza) {
            credit = credit.light();
        }
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
        // It counts, and it is answered (XEP-0198).
        drop(Credit::take(&self.mailbox, self.id, 0));
        self.send(answer.to_bytes(), None);
    }

    /// Once a minute: a stalled write, or a client that is silent for too long.
    fn tick(&mut self) -> Next {
        if self.wire.queued_bytes() > 0 {
            let written = self.wire.written_bytes();
            let stuck = self.stuck == Some(written);
            if stuck && self.is_resumable() {
                return Next::Lost;
            }
            if stuck {
                return Next::Fail(End {
                    condition: "resource-constraint",
                    text: "nothing can be written to you",
                });
            }
            self.stuck = Some(written);
        }
        let silent = self.heard.elapsed().as_secs();
        if silent > 2 * self.server.bounds.idle_ping_s {
            if self.is_resumable() {
                return Next::Lost;
            }
            return Next::Fail(End {
                condition: "connection-timeout",
                text: "you did not answer a ping",
            });
        }
        if silent > self.server.bounds.idle_ping_s {
            let ping = Stanza::iq("get", &random_id())
                .to(self.full.clone())
                .from(self.server.domain.clone())
                .raw_child("ping", ns::PING, "<ping xmlns='urn:xmpp:ping'/>");
            self.send(ping.to_bytes(), None);
            self.ask();
        }
        Next::Go
    }
}
