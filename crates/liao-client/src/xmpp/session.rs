//! A bound session: stanzas in, events out; commands in, stanzas out; the outbox is emptied in order.

use super::managed::Managed;
use super::{Ended, Program, connect, incoming};
use crate::backend::{Command, Event, Message, Show, State};
use liao_net::{Progress, Wire};
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::{Kind, Stanza};
use liao_proto::stream::Event as StreamEvent;
use liao_proto::xml::escape;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Silence after which the server is asked for a sign of life, and until when it must come.
const SILENCE: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);
/// How long the end of the stream may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes that may wait for the socket before more commands are taken.
const QUEUED_BYTES: usize = 1024 * 1024;

/// What a connection leaves to the next one, which may resume its stream.
#[derive(Default)]
pub struct Carried {
    /// The bound address.
    pub full: String,
    /// Stream management, if the server has it.
    pub managed: Option<Managed>,
    /// How far friendship goes: subscription and whether we asked.
    friends: HashMap<String, (String, bool)>,
    /// Resources by which a contact is online.
    online: HashMap<String, HashSet<String>>,
    /// The last availability of who is online.
    seen: HashMap<String, Event>,
}

/// Where stream management stands on a new stream.
pub enum Managing {
    /// The server has none.
    No,
    /// It is to be enabled.
    Offered,
    /// It was enabled while binding (XEP-0198 section 9.1); by this SM-ID it can be resumed.
    Enabled(Option<String>),
}

/// How a connection begins.
pub struct Start {
    /// Stream management.
    pub managed: Managing,
    /// The stream goes on; the server has handled so many stanzas.
    pub resumed: Option<u32>,
    /// It does not, but the server has handled so many.
    pub had: Option<u32>,
}

pub struct Session<'a> {
    program: &'a mut Program,
    wire: Wire,
    bare: BareJid,
    carried: Carried,
    /// Written, no ping after them yet: (peer, id). Only without stream management.
    written: Vec<(String, String)>,
    /// Pings under way, and the messages that were written before each of them.
    pinged: HashMap<String, Vec<String>>,
    number: u64,
}

impl<'a> Session<'a> {
    /// `bare`: the account's own address, as which the wire is bound.
    pub fn new(
        program: &'a mut Program,
        wire: Wire,
        bare: BareJid,
        carried: Carried,
    ) -> Session<'a> {
        Session {
            program,
            wire,
            bare,
            carried,
            written: Vec::new(),
            pinged: HashMap::new(),
            number: 0,
        }
    }

    /// Runs until the connection ends; what a broken one leaves goes to the program.
    pub async fn run(mut self, start: Start) -> Ended {
        let ended = match start.resumed {
            Some(h) => self.resumed(h).await,
            None => self.begin(&start).await,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => self.talk().await,
        };
        if let Ended::Lost(_) = ended {
            self.program.carried = Some(self.carried);
        }
        ended
    }

    /// A new session: contacts, presence, the outbox.
    async fn begin(&mut self, start: &Start) -> Option<Ended> {
        let old = std::mem::take(&mut self.carried);
        if let (Some(h), Some(mut managed)) = (start.had, old.managed) {
            for id in managed.acked(h) {
                self.state(&id, State::Sent).await;
            }
        }
        self.carried.full = old.full;
        if let Managing::Enabled(sm_id) = &start.managed {
            self.carried.managed = Some(Managed::enabled(sm_id.clone()));
        }
        if let Managing::Offered = start.managed {
            // A client that only sends wants the acknowledgements, not a session that outlives it.
            let resume = if self.program.xmpp.listen {
                " resume='true'"
            } else {
                ""
            };
            self.wire
                .queue(format!("<enable xmlns='{}'{resume}/>", ns::SM).as_bytes());
            self.carried.managed = Some(Managed::default());
        }
        self.queue(&format!(
            "<iq type='get' id='roster'><query xmlns='{}'/></iq>",
            ns::ROSTER
        ));
        if self.program.xmpp.listen {
            self.queue("<presence/>");
        }
        self.empty_the_outbox().await;
        None
    }

    /// The stream goes on: what the server has not is sent again; who was online is shown again.
    async fn resumed(&mut self, h: u32) -> Option<Ended> {
        let (ids, again) = match &mut self.carried.managed {
            Some(managed) => (managed.acked(h), managed.again()),
            None => Default::default(),
        };
        for id in ids {
            self.state(&id, State::Sent).await;
        }
        for xml in again {
            self.wire.queue(xml.as_bytes());
        }
        for event in self.carried.seen.values().cloned().collect::<Vec<_>>() {
            self.program.tell(event).await;
        }
        self.program.tell(Event::Ready).await;
        self.empty_the_outbox().await;
        None
    }

    async fn empty_the_outbox(&mut self) {
        match self.program.xmpp.store.unsent(self.program.me()) {
            Ok(unsent) => {
                for message in unsent {
                    let under_way = self.carried.managed.as_ref();
                    if !under_way.is_some_and(|m| m.holds(&message.id)) {
                        self.write(&message);
                    }
                }
            }
            Err(error) => self.program.tell(Event::Notice(error.to_string())).await,
        }
    }

    async fn talk(&mut self) -> Ended {
        let mut heard = Instant::now();
        loop {
            if self.program.finishing && self.is_settled() {
                return self.goodbye().await;
            }
            self.ping_if_due(false);
            let waiting = heard
                + if heard.elapsed() >= SILENCE {
                    SILENCE + ANSWER
                } else {
                    SILENCE
                };
            let room = self.wire.queued_bytes() < QUEUED_BYTES;
            tokio::select! {
                progress = self.wire.next() => match progress {
                    Ok(Progress::Flushed) => {}
                    Ok(Progress::Event(event)) => {
                        heard = Instant::now();
                        if let Some(ended) = self.event(event).await {
                            return ended;
                        }
                    }
                    Err(error) => return Ended::Lost(error.to_string()),
                },
                command = self.program.inner.commands.recv(), if room && !self.program.finishing => match command {
                    None | Some(Command::Quit { .. }) => return self.goodbye().await,
                    Some(command) => self.command(command).await,
                },
                () = sleep_until(waiting) => {
                    if heard.elapsed() >= SILENCE + ANSWER {
                        return Ended::Lost("the server does not answer any more".into());
                    }
                    self.ping_if_due(true);
                }
            }
        }
    }

    /// Queues a stanza that is no message of ours.
    fn queue(&mut self, text: &str) {
        self.wire.queue(text.as_bytes());
        if let Some(managed) = &mut self.carried.managed {
            managed.sent(text, None);
        }
    }

    /// Whether the server has all our messages.
    fn is_settled(&self) -> bool {
        let managed = self.carried.managed.as_ref();
        self.pinged.is_empty() && self.written.is_empty() && managed.is_none_or(Managed::is_settled)
    }

    /// A ping after what was written (XEP-0199). A recipient of our own server is asked by its address, so that the
    /// answer comes from where the message went, after it; else the server is asked, which reads in order. An error
    /// says the same as a result: all before it was read.
    fn ping_if_due(&mut self, alive: bool) {
        if let Some(managed) = &mut self.carried.managed {
            // The acknowledgement says it all (XEP-0198), and is a sign of life, too.
            if managed.ask() || alive {
                self.wire
                    .queue(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
            }
            return;
        }
        if !self.pinged.is_empty() || (self.written.is_empty() && !alive) {
            return;
        }
        let domain = self.bare.domain().as_str().to_owned();
        let mut groups: HashMap<String, Vec<String>> = HashMap::new();
        for (peer, id) in std::mem::take(&mut self.written) {
            let ours = peer.rsplit('@').next() == Some(domain.as_str());
            let whom = if ours { peer } else { domain.clone() };
            groups.entry(whom).or_default().push(id);
        }
        if groups.is_empty() {
            groups.insert(domain, Vec::new());
        }
        for (whom, ids) in groups {
            self.number += 1;
            let id = format!("ping-{}", self.number);
            self.queue(&format!(
                "<iq type='get' id='{id}' to='{}'><ping xmlns='{}'/></iq>",
                escape(&whom),
                ns::PING
            ));
            self.pinged.insert(id, ids);
        }
    }

    async fn goodbye(&mut self) -> Ended {
        if let Some(managed) = &self.carried.managed {
            // Section 4: what was received is not to be sent again.
            let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, managed.handled());
            self.wire.queue(a.as_bytes());
        }
        self.wire.queue_close();
        let end = async {
            while let Ok(event) = self.wire.recv().await {
                if matches!(event, StreamEvent::Close) {
                    break;
                }
            }
            self.wire.shutdown().await;
        };
        let _ = tokio::time::timeout(GOODBYE, end).await;
        Ended::Asked
    }

    /// Writes a message (RFC 6121 section 5.2; XEP-0359 origin-id, XEP-0184 request).
    fn write(&mut self, message: &Message) {
        let id = escape(&message.id);
        let stanza = format!(
            "<message type='chat' id='{id}' to='{}'><body>{}</body><origin-id xmlns='{}' id='{id}'/><request xmlns='{}'/></message>",
            escape(&message.peer),
            escape(&message.text),
            ns::STANZA_ID,
            ns::RECEIPTS,
        );
        self.wire.queue(stanza.as_bytes());
        match &mut self.carried.managed {
            Some(managed) => managed.sent(&stanza, Some(&message.id)),
            None => self
                .written
                .push((message.peer.clone(), message.id.clone())),
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Send { id, to, text } => {
                if let Some(message) = self.program.queue(id, to, text).await {
                    self.write(&message);
                }
            }
            Command::Befriend { to, name } => self.befriend(&to, name.as_deref()).await,
            Command::Answer { to, accept } => {
                let type_ = if accept { "subscribed" } else { "unsubscribed" };
                self.queue(&format!("<presence type='{type_}' to='{}'/>", escape(&to)));
                let (subscription, asked) =
                    self.carried.friends.get(&to).cloned().unwrap_or_default();
                if accept && !asked && !matches!(subscription.as_str(), "to" | "both") {
                    self.queue(&format!(
                        "<presence type='subscribe' to='{}'/>",
                        escape(&to)
                    ));
                }
            }
            Command::Remove { to } => {
                let item = format!("<item jid='{}' subscription='remove'/>", escape(&to));
                self.set_roster(&item);
            }
            Command::Presence { show, status } => self.queue(&presence(show, status.as_deref())),
            Command::Book { .. } => {
                let words =
                    "the address book is for plain sockets; /add ADDRESS NAME names a friend";
                self.program.tell(Event::Notice(words.into())).await;
            }
            Command::Finish => self.program.finishing = true,
            Command::Quit { .. } => {}
        }
    }

    /// Asks, and answers in advance what the other will ask back (RFC 6121 sections 3.1.1 and 3.4).
    async fn befriend(&mut self, to: &str, name: Option<&str>) {
        let Ok(jid) = BareJid::new(to) else {
            let words = format!("{to:?} is no address such as name@server");
            return self.program.tell(Event::Notice(words)).await;
        };
        let jid = escape(jid.as_str());
        let name = name.map_or(String::new(), |n| format!(" name='{}'", escape(n)));
        self.set_roster(&format!("<item jid='{jid}'{name}/>"));
        self.queue(&format!("<presence type='subscribe' to='{jid}'/>"));
        self.queue(&format!("<presence type='subscribed' to='{jid}'/>"));
        self.program
            .tell(Event::Notice(format!("asked {to}")))
            .await;
    }

    fn set_roster(&mut self, item: &str) {
        self.number += 1;
        let iq = format!(
            "<iq type='set' id='set-{}'><query xmlns='{}'>{item}</query></iq>",
            self.number,
            ns::ROSTER
        );
        self.queue(&iq);
    }

    async fn event(&mut self, event: StreamEvent) -> Option<Ended> {
        let frame = match event {
            StreamEvent::Element(frame) => frame,
            StreamEvent::Close => {
                self.wire.queue_close();
                let _ = tokio::time::timeout(GOODBYE, self.wire.flush()).await;
                return Some(Ended::Lost("the server closed the connection".into()));
            }
            StreamEvent::Open(_) => return None,
        };
        if frame.is("error", ns::STREAM) {
            let failure = frame.to_dom().map(|e| connect::stream_error(&e));
            return Some(match failure {
                Some(crate::Failure::Network(why)) => Ended::Lost(why),
                Some(failure) => Ended::Failed(failure),
                None => Ended::Lost("the server ended the connection".into()),
            });
        }
        if frame.ns() == ns::SM {
            self.management(&frame).await;
            return None;
        }
        let Ok(stanza) = Stanza::from_frame(frame) else {
            return None;
        };
        match stanza.kind {
            Kind::Message => self.message(&stanza).await,
            Kind::Presence => self.presence(&stanza).await,
            Kind::Iq => self.iq(&stanza).await,
        }
        // Handled: a message is on the disk now, and the view was told.
        if let Some(managed) = &mut self.carried.managed {
            managed.handle();
        }
        None
    }

    /// The elements of XEP-0198.
    async fn management(&mut self, frame: &liao_proto::xml::Frame) {
        match frame.name() {
            "enabled" => {
                let resume = matches!(frame.attr("resume"), Some("true" | "1"));
                if let Some(managed) = &mut self.carried.managed {
                    managed.resume = frame.attr("id").filter(|_| resume).map(str::to_owned);
                }
            }
            "failed" => {
                // The server offers it and refuses it: pings will do.
                if let Some(managed) = self.carried.managed.take() {
                    let domain = self.bare.domain().to_string();
                    let ids = managed.messages();
                    self.written
                        .extend(ids.into_iter().map(|id| (domain.clone(), id)));
                }
            }
            "r" => {
                if let Some(managed) = &self.carried.managed {
                    let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, managed.handled());
                    self.wire.queue(a.as_bytes());
                }
            }
            "a" => {
                let h = frame.attr("h").and_then(|h| h.parse().ok());
                let ids = match (&mut self.carried.managed, h) {
                    (Some(managed), Some(h)) => managed.acked(h),
                    _ => Vec::new(),
                };
                for id in ids {
                    self.state(&id, State::Sent).await;
                }
            }
            _ => {}
        }
    }

    async fn state(&mut self, id: &str, state: State) {
        let kept = self
            .program
            .xmpp
            .store
            .advance(self.program.me(), id, &state);
        if matches!(kept, Ok(true)) {
            let id = id.to_owned();
            self.program.tell(Event::State { id, state }).await;
        }
    }

    async fn message(&mut self, stanza: &Stanza) {
        if stanza.type_str() == "error" {
            if let Some(id) = &stanza.id {
                let why = incoming::error_words(stanza);
                let why = match &stanza.from {
                    Some(from) => format!("{}: {why}", from.to_bare()),
                    None => why,
                };
                self.state(id, State::Failed { why }).await;
            }
            return;
        }
        if stanza.type_str() == "groupchat" {
            return;
        }
        if let Some(receipt) = stanza.get("received", ns::RECEIPTS)
            && let Some(id) = receipt.attr("id")
        {
            self.state(id, State::Delivered).await;
        }
        let Some(heard) = incoming::message(stanza, &self.bare) else {
            return;
        };
        let kept = self.program.xmpp.store.received(
            self.program.me(),
            &heard.message,
            heard.stanza_id.as_deref(),
        );
        match kept {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                self.program
                    .tell(Event::Notice(format!(
                        "a message could not be kept: {error}"
                    )))
                    .await
            }
        }
        if heard.wants_receipt
            && let (Some(from), Some(id)) = (&stanza.from, &stanza.id)
        {
            self.queue(&format!(
                "<message type='chat' to='{}'><received xmlns='{}' id='{}'/></message>",
                escape(from.as_str()),
                ns::RECEIPTS,
                escape(id)
            ));
        }
        self.program.tell(Event::Message(heard.message)).await;
    }

    async fn presence(&mut self, stanza: &Stanza) {
        let Some(from) = &stanza.from else { return };
        let peer = from.to_bare().to_string();
        match stanza.type_.as_deref() {
            None | Some("unavailable") => {
                if peer == self.bare.as_str() {
                    return;
                }
                let resource = from.resource().map(ToString::to_string).unwrap_or_default();
                let resources = self.carried.online.entry(peer.clone()).or_default();
                if stanza.type_.is_none() {
                    resources.insert(resource);
                } else {
                    resources.remove(&resource);
                    if !resources.is_empty() {
                        return;
                    }
                }
                let event = incoming::availability(stanza, &peer);
                if stanza.type_.is_none() {
                    self.carried.seen.insert(peer, event.clone());
                } else {
                    self.carried.seen.remove(&peer);
                }
                self.program.tell(event).await;
            }
            Some("subscribe") => {
                let (subscription, asked) =
                    self.carried.friends.get(&peer).cloned().unwrap_or_default();
                if asked || matches!(subscription.as_str(), "to" | "both") {
                    // We asked first: that they ask back is the answer.
                    self.queue(&format!(
                        "<presence type='subscribed' to='{}'/>",
                        escape(&peer)
                    ));
                    return;
                }
                let greeting = stanza
                    .text_of("status", ns::CLIENT)
                    .filter(|s| !s.is_empty());
                self.program.tell(Event::Request { peer, greeting }).await;
            }
            Some("subscribed") => {
                self.program
                    .tell(Event::Notice(format!("{peer} is your friend now")))
                    .await
            }
            Some("unsubscribed") => {
                self.program
                    .tell(Event::Notice(format!(
                        "{peer} declined, or is no longer your friend"
                    )))
                    .await;
            }
            Some("error") => {
                let words = format!("{peer}: {}", incoming::error_words(stanza));
                self.program.tell(Event::Notice(words)).await;
            }
            Some(_) => {}
        }
    }

    async fn iq(&mut self, stanza: &Stanza) {
        let answer = matches!(stanza.type_str(), "result" | "error");
        let id = stanza.id.clone().unwrap_or_default();
        if answer && let Some(ids) = self.pinged.remove(&id) {
            for id in ids {
                self.state(&id, State::Sent).await;
            }
            return;
        }
        let query = stanza.get("query", ns::ROSTER);
        // A push must come from our own account (RFC 6121 section 2.1.6).
        let ours = stanza
            .from
            .as_ref()
            .is_none_or(|f| f.to_bare() == self.bare && f.resource().is_none());
        match (stanza.type_str(), query) {
            ("result" | "set", Some(query)) if ours => {
                for event in incoming::contacts(&query) {
                    match &event {
                        Event::Contact(c) => {
                            self.carried
                                .friends
                                .insert(c.peer.clone(), (c.subscription.clone(), c.asked));
                        }
                        Event::Gone(peer) => drop(self.carried.friends.remove(peer)),
                        _ => {}
                    }
                    self.program.tell(event).await;
                }
                if stanza.type_str() == "set" {
                    self.answer(&stanza.result());
                } else {
                    self.program.tell(Event::Ready).await;
                }
            }
            ("error", _) => {
                let words = format!("the server refused: {}", incoming::error_words(stanza));
                self.program.tell(Event::Notice(words)).await;
            }
            ("get", _) => self.query(stanza),
            ("set", _) => {
                self.answer(&stanza.error(&liao_proto::stanza::ErrorKind::SERVICE_UNAVAILABLE))
            }
            _ => {}
        }
    }

    /// What others may ask a client (XEP-0199, XEP-0092, XEP-0030).
    fn query(&mut self, stanza: &Stanza) {
        let is = |name, space| stanza.has(name, space);
        let answer = if is("ping", ns::PING) {
            stanza.result()
        } else if is("query", ns::VERSION) {
            let xml = format!(
                "<query xmlns='{}'><name>liao</name><version>{}</version></query>",
                ns::VERSION,
                env!("CARGO_PKG_VERSION")
            );
            stanza.result().raw_child("query", ns::VERSION, &xml)
        } else if is("query", ns::DISCO_INFO) {
            let features = [ns::DISCO_INFO, ns::PING, ns::VERSION, ns::RECEIPTS];
            let features: String = features
                .iter()
                .map(|f| format!("<feature var='{f}'/>"))
                .collect();
            let xml = format!(
                "<query xmlns='{}'><identity category='client' type='console' name='liao'/>{features}</query>",
                ns::DISCO_INFO
            );
            stanza.result().raw_child("query", ns::DISCO_INFO, &xml)
        } else {
            stanza.error(&liao_proto::stanza::ErrorKind::SERVICE_UNAVAILABLE)
        };
        self.answer(&answer);
    }

    fn answer(&mut self, stanza: &Stanza) {
        self.queue(&String::from_utf8_lossy(&stanza.to_bytes()));
    }
}

fn presence(show: Option<Show>, status: Option<&str>) -> String {
    let show = show.map_or(String::new(), |s| format!("<show>{}</show>", s.word()));
    let status = status.map_or(String::new(), |s| format!("<status>{}</status>", escape(s)));
    format!("<presence>{show}{status}</presence>")
}
