//! Messages: what others say, what our other devices say and hear, and what tells how far ours have come.

use super::changes::lets_know;
use super::session::Session;
use super::{archive, incoming};
use crate::backend::{Event, Message, State};
use crate::features::{carbons, ids, markers, receipts};
use crate::store::{Arrival, Arriving};
use liao_proto::ns;
use liao_proto::stanza::Stanza;

impl Session<'_> {
    pub(super) async fn message(&mut self, stanza: &Stanza) {
        if stanza.has("result", ns::MAM) {
            return self.found(stanza);
        }
        match carbons::copy(stanza, &self.bare) {
            None => self.hear(stanza, true).await,
            Some(Ok(carbon)) => self.hear(&carbon, false).await,
            Some(Err(carbons::Spoofed)) => {
                tracing::warn!(from = ?stanza.from, "a copy that is none of our server's");
            }
        }
    }

    /// `live`: it came by itself, not as a copy.
    async fn hear(&mut self, stanza: &Stanza, live: bool) {
        if stanza.type_str() == "groupchat" {
            return;
        }
        let ours = archive::is_ours(stanza, &self.bare);
        if stanza.type_str() == "error" {
            if !ours {
                self.refused(stanza).await;
            }
            return;
        }
        let archive_id = match self.carried.archived {
            Some(false) => None,
            _ => ids::archive_id(stanza, &self.bare),
        };
        // What the server had kept for us was in the archive before it was asked.
        let kept_for_us = stanza.has("delay", ns::DELAY);
        if let Some(id) = archive_id.as_ref().filter(|_| !kept_for_us) {
            self.archive.heard(id);
        }
        self.notices(stanza, ours).await;
        if live && !ours {
            self.signs(stanza).await;
        }
        let message = match self.changed(stanza, ours, None).await {
            true => None,
            false => incoming::message(stanza, &self.bare, ours),
        };
        match message {
            Some(message) => {
                let arriving = Arriving {
                    message,
                    archive_id,
                    origin: ids::origin_id(stanza),
                    markable: !ours && markers::is_markable(stanza),
                    live,
                };
                self.keep(stanza, arriving).await;
            }
            None => {
                if let Some(id) = archive_id.filter(|_| self.is_whole() && !kept_for_us) {
                    let (store, me) = (&self.program.xmpp.store, self.program.me());
                    // If the mark cannot go on, more is asked for again next time.
                    let _ = store.follow(me, me, &id);
                }
            }
        }
    }

    /// Keeps what somebody said, and tells it.
    async fn keep(&mut self, stanza: &Stanza, new: Arriving) {
        let me = self.program.me().to_owned();
        let whole = self.is_whole() && !new.message.delayed;
        let whole = whole.then_some(me.as_str());
        let kept = self.program.xmpp.store.arrive(&me, &new, whole);
        let first = match &kept {
            Ok(Arrival::New) => true,
            Ok(Arrival::Known { first_live, sent }) => {
                if *sent {
                    self.tell_sent(new.message.id.clone()).await;
                }
                *first_live
            }
            Err(error) => {
                let words = format!("a message could not be kept: {error}");
                self.program.tell(Event::Notice(words)).await;
                true
            }
        };
        // A copy (XEP-0280 section 10.4) is answered by the device that it was sent to.
        if first && new.live {
            self.send_receipt(&new.message, stanza);
        }
        if matches!(kept, Ok(Arrival::New) | Err(_)) {
            self.answered_elsewhere(&new.message).await;
            let event = Event::Message(new.message);
            self.show(new.archive_id, event).await;
        }
    }

    /// Who answers on another device has read what was said before.
    pub(super) async fn answered_elsewhere(&mut self, message: &Message) {
        if message.outgoing {
            let peer = message.peer.clone();
            self.program.tell(Event::ReadElsewhere { peer }).await;
        }
    }

    /// Tells the sender that a message has arrived, when it is first received (XEP-0184 section 5.5), if it asks to know
    /// and may know that we are here (section 8).
    pub(super) fn send_receipt(&mut self, message: &Message, stanza: &Stanza) {
        if !message.outgoing
            && self.shows_presence_to(&message.peer)
            && let (Some(id), Some(from)) = (receipts::wanted(stanza), &stanza.from)
        {
            let receipt = receipts::receipt(from.as_str(), stanza.type_str(), id);
            self.queue(&receipt);
        }
    }

    /// What a message says about others: receipts (XEP-0184), markers (XEP-0333).
    pub(super) async fn notices(&mut self, stanza: &Stanza, ours: bool) {
        let other = if ours { &stanza.to } else { &stanza.from };
        let Some(peer) = other.as_ref().map(|o| o.to_bare().to_string()) else {
            return;
        };
        let displayed = markers::displayed(stanza);
        if ours {
            if let Some(id) = displayed {
                let store = &self.program.xmpp.store;
                // Where it cannot be kept, more is shown as unread.
                let _ = store.seen_elsewhere(self.program.me(), &peer, &id);
                self.program.tell(Event::ReadElsewhere { peer }).await;
            }
            return;
        }
        if let Some(id) = receipts::received(stanza) {
            self.state(Some(&peer), &id, State::Delivered).await;
        }
        if let Some(id) = displayed {
            let store = &self.program.xmpp.store;
            let read = store.displayed(self.program.me(), &peer, &id);
            for id in read.unwrap_or_default() {
                let state = State::Read;
                self.program.tell(Event::State { id, state }).await;
            }
        }
    }

    /// A message of ours comes back (RFC 6120 section 8.3.1).
    async fn refused(&mut self, stanza: &Stanza) {
        let Some(id) = &stanza.id else { return };
        let why = incoming::error_words(stanza);
        let (peer, why) = match &stanza.from {
            Some(from) => (
                Some(from.to_bare().to_string()),
                format!("{}: {why}", from.to_bare()),
            ),
            None => (None, why),
        };
        // Our own server refuses in its name or in the recipient's.
        let server = [self.bare.as_str(), self.bare.domain().as_str()];
        let peer = peer.filter(|p| !server.contains(&p.as_str()));
        self.state(peer.as_deref(), id, State::Failed { why }).await;
    }

    pub(super) async fn tell_sent(&mut self, id: String) {
        let state = State::Sent;
        self.program.tell(Event::State { id, state }).await;
    }

    /// Tells those who want to know what the person has seen of theirs (XEP-0333 section 4.2), if they may know that
    /// we are here (section 7).
    pub(super) async fn tell_what_was_seen(&mut self) {
        if self.carried.friends.is_empty() {
            // Who may know is not known yet.
            return;
        }
        let store = self.program.xmpp.store.clone();
        let me = self.program.me().to_owned();
        for (peer, id) in store.untold(&me).unwrap_or_default() {
            if self.shows_presence_to(&peer) && lets_know(&self.program.xmpp, "tell_read") {
                self.queue(&markers::marker(&peer, &id));
            }
            // Without a note of it, it is told once more: that harms nobody.
            let _ = store.told(&me, &peer, &id);
        }
    }
}
