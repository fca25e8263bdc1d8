//! IQs: answers to what we asked, and what others may ask a client (XEP-0199, XEP-0092, XEP-0030).

use super::incoming;
use super::session::{Asked, Session};
use crate::backend::Event;
use crate::features::block;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};

impl Session<'_> {
    pub(super) async fn iq(&mut self, stanza: &Stanza) {
        // Without an address it comes from our own account (RFC 6120 section 8.1.2.1), as do pushes of the contact list
        // (RFC 6121 section 2.1.6).
        let from = stanza.from.as_ref().map(|f| f.as_str());
        let ours = from.is_none_or(|f| f == self.bare.as_str());
        let id = stanza.id.as_deref().unwrap_or_default();
        let is_answer = matches!(stanza.type_str(), "result" | "error");
        if is_answer && let Some(asked) = self.asked.remove(id) {
            match asked {
                Asked::Ping(ids) => self.pinged(ids).await,
                Asked::Carbons => self.carried.carbons = stanza.type_str() == "result",
                Asked::Features if ours => self.features(stanza).await,
                Asked::Page if ours => self.page(stanza).await,
                Asked::Blocked if ours => {
                    if block::take(stanza, &mut self.signs.blocked) {
                        self.tell_blocked().await;
                    }
                }
                Asked::Block if ours && stanza.type_str() == "error" => {
                    let words = format!("not blocked: {}", incoming::error_words(stanza));
                    self.program.tell(Event::Notice(words)).await;
                }
                Asked::Block if ours => {}
                Asked::Items if from == Some(self.bare.domain().as_str()) => {
                    self.items(stanza).await
                }
                Asked::Takes(item) if from == Some(item.as_str()) => {
                    self.takes(item, stanza).await;
                }
                Asked::Slot(gift) if from == self.uploads.address() => {
                    self.slot(gift, stanza).await;
                }
                other => drop(self.asked.insert(id.to_owned(), other)),
            }
            return;
        }
        if ours && stanza.type_str() == "set" && block::take(stanza, &mut self.signs.blocked) {
            self.answer(&stanza.result());
            return self.tell_blocked().await;
        }
        let query = stanza.get("query", ns::ROSTER);
        match (stanza.type_str(), query) {
            ("result" | "set", Some(query)) if ours => self.contacts(stanza, &query).await,
            ("error", _) => {
                let words = format!("the server refused: {}", incoming::error_words(stanza));
                self.program.tell(Event::Notice(words)).await;
            }
            ("get", _) => self.query(stanza),
            ("set", _) => self.answer(&stanza.error(&ErrorKind::SERVICE_UNAVAILABLE)),
            _ => {}
        }
    }

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
            let features = [
                ns::DISCO_INFO,
                ns::PING,
                ns::VERSION,
                ns::RECEIPTS,
                ns::MARKERS,
                ns::CHAT_STATES,
                ns::ATTENTION,
                ns::CORRECT,
                ns::RETRACT,
                ns::REPLY,
                ns::FALLBACK,
                ns::REACTIONS,
            ];
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
            stanza.error(&ErrorKind::SERVICE_UNAVAILABLE)
        };
        self.answer(&answer);
    }

    pub(super) fn answer(&mut self, stanza: &Stanza) {
        self.queue(&String::from_utf8_lossy(&stanza.to_bytes()));
    }
}
