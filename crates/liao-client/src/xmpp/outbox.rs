//! What we say: written in order, said again after any death, and how far it has come (XEP-0198, else XEP-0199).

use super::changes::content;
use super::managed::Managed;
use super::session::{Asked, Session};
use crate::backend::{Event, Message, More, Peer, State};
use crate::features::{markers, receipts, typing};
use liao_proto::ns;
use liao_proto::xml::{Frame, escape};
use std::collections::{HashMap, HashSet};

/// Signs of life instead of acknowledgements, on servers without stream management.
#[derive(Default)]
pub(super) struct Pings {
    /// Written, no ping after them yet: (peer, id).
    written: Vec<(String, String)>,
    /// Pings under way.
    under_way: usize,
    /// To whom on our own server something was written: they may still refuse it.
    may_refuse: HashSet<String>,
}

impl Session<'_> {
    /// Sends what waits, unless the archive is asked first whether it was said already.
    pub(super) async fn empty_the_outbox(&mut self) {
        if self.archive.holds_the_outbox() {
            return;
        }
        let (store, me) = (&self.program.xmpp.store, self.program.me());
        let waiting = store.unsent(me).and_then(|u| Ok((u, store.actions(me)?)));
        match waiting {
            Ok((unsent, actions)) => {
                for message in unsent {
                    let under_way = self.carried.managed.as_ref();
                    if !under_way.is_some_and(|m| m.holds(&message.id)) {
                        self.write(&message);
                    }
                }
                for (id, xml) in actions {
                    let under_way = self.carried.managed.as_ref();
                    if !under_way.is_some_and(|m| m.holds(&id)) {
                        self.write_kept(&id, &xml);
                    }
                }
            }
            Err(error) => self.program.tell(Event::Notice(error.to_string())).await,
        }
    }

    /// Keeps what the person says, and writes it.
    pub(super) async fn say(&mut self, said: (String, Peer, String), more: More) {
        if let Some(message) = self.program.queue(said, more).await
            && !self.archive.holds_the_outbox()
        {
            self.write(&message);
        }
    }

    /// Whether the server has all our messages.
    pub(super) fn is_settled(&self) -> bool {
        let managed = self.carried.managed.as_ref();
        !self.archive.holds_the_outbox()
            && !self.gives()
            && self.pings.under_way == 0
            && self.pings.written.is_empty()
            && managed.is_none_or(Managed::is_settled)
    }

    /// A ping after what was written (XEP-0199). A recipient of our own server is asked by its address, so that the
    /// answer comes from where the message went, after it; else the server is asked, which reads in order. An error
    /// says the same as a result: all before it was read.
    pub(super) fn ping_if_due(&mut self, alive: bool) {
        if let Some(managed) = &mut self.carried.managed {
            // The acknowledgement says it all (XEP-0198), and is a sign of life, too.
            if managed.ask() || alive {
                self.wire
                    .queue(format!("<r xmlns='{}'/>", ns::SM).as_bytes());
            }
            return;
        }
        if self.pings.under_way > 0 || (self.pings.written.is_empty() && !alive) {
            return;
        }
        let domain = self.bare.domain().as_str().to_owned();
        let mut groups: HashMap<String, Vec<String>> = HashMap::new();
        for (peer, id) in std::mem::take(&mut self.pings.written) {
            let ours = self.is_on_our_server(&peer);
            let whom = if ours { peer } else { domain.clone() };
            groups.entry(whom).or_default().push(id);
        }
        if groups.is_empty() {
            groups.insert(domain, Vec::new());
        }
        for (whom, ids) in groups {
            self.ping(&whom, ids);
        }
    }

    fn is_on_our_server(&self, peer: &str) -> bool {
        peer.rsplit('@').next() == Some(self.bare.domain().as_str())
    }

    fn ping(&mut self, whom: &str, ids: Vec<String>) {
        let id = self.ask(Asked::Ping(ids));
        self.queue(&format!(
            "<iq type='get' id='{id}' to='{}'><ping xmlns='{}'/></iq>",
            escape(whom),
            ns::PING
        ));
        self.pings.under_way += 1;
    }

    /// The server has all that we said, and those it went to on our server may still refuse it: an answer of theirs comes
    /// after that. Whether one is awaited.
    pub(super) fn awaits_refusals(&mut self) -> bool {
        let peers = std::mem::take(&mut self.pings.may_refuse);
        for peer in &peers {
            self.ping(peer, Vec::new());
        }
        !peers.is_empty()
    }

    /// A ping is answered: what was written before it has been read.
    pub(super) async fn pinged(&mut self, ids: Vec<String>) {
        self.pings.under_way -= 1;
        for id in ids {
            self.state(None, &id, State::Sent).await;
        }
    }

    /// Writes a message (RFC 6121 section 5.2; XEP-0359 section 2.2, XEP-0184 section 5.1, XEP-0333 section 4.1).
    pub(super) fn write(&mut self, message: &Message) {
        let id = escape(&message.id);
        let stanza = format!(
            "<message type='chat' id='{id}' to='{}'>{}<origin-id xmlns='{}' id='{id}'/>{}{}{}</message>",
            escape(&message.peer),
            content(message),
            ns::STANZA_ID,
            receipts::request(),
            markers::markable(),
            typing::active(),
        );
        self.typed(&message.peer);
        self.program.said.written(&message.id);
        if self.is_on_our_server(&message.peer) {
            self.pings.may_refuse.insert(message.peer.clone());
        }
        self.wire.queue(stanza.as_bytes());
        match &mut self.carried.managed {
            Some(managed) => managed.sent(&stanza, Some(&message.id)),
            None => self
                .pings
                .written
                .push((message.peer.clone(), message.id.clone())),
        }
    }

    /// Writes something else that is kept until the server has it.
    pub(super) fn write_kept(&mut self, id: &str, xml: &str) {
        self.wire.queue(xml.as_bytes());
        match &mut self.carried.managed {
            Some(managed) => managed.sent(xml, Some(id)),
            None => {
                let domain = self.bare.domain().to_string();
                self.pings.written.push((domain, id.to_owned()));
            }
        }
    }

    /// The elements of XEP-0198.
    pub(super) async fn management(&mut self, frame: &Frame) {
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
                    self.pings
                        .written
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
                    self.state(None, &id, State::Sent).await;
                }
            }
            _ => {}
        }
    }

    /// A message of ours has come further. `peer`: who says so, if it is not our server; only whom we said it to is
    /// believed.
    pub(super) async fn state(&mut self, peer: Option<&str>, id: &str, state: State) {
        let store = &self.program.xmpp.store;
        if matches!(state, State::Sent | State::Failed { .. })
            && store.acted(self.program.me(), id).unwrap_or(false)
        {
            if let State::Failed { why } = state {
                self.program.tell(Event::Notice(why)).await;
            }
            return;
        }
        let kept = store.advance(self.program.me(), peer, id, &state);
        // Another program on the same data may have noted it first, from a copy.
        let news = self.program.said.tell(id, &state);
        if kept.is_ok_and(|kept| kept || news) {
            if state == State::Sent {
                self.archive.sent();
            }
            let id = id.to_owned();
            self.program.tell(Event::State { id, state }).await;
        }
    }
}
