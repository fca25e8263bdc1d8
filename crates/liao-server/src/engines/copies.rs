//! Message carbons (XEP-0280): which messages are copied to an account's other sessions, and what a copy looks like.

use crate::hooks::Cx;
use bytes::Bytes;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::forward;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Sent messages whose errors are copied, too: the latest of an account.
const REMEMBERED: usize = 256;

/// What an account sent lately of which its other sessions got copies.
#[derive(Debug, Default)]
pub struct Copies {
    sent: VecDeque<u64>,
}

fn key(peer: &BareJid, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (peer.as_str(), id).hash(&mut hasher);
    hasher.finish()
}

impl Copies {
    /// Remembers a message that is copied.
    pub fn note(&mut self, stanza: &Stanza) {
        if let (Some(to), Some(id)) = (&stanza.to, &stanza.id) {
            if self.sent.len() >= REMEMBERED {
                self.sent.pop_front();
            }
            self.sent.push_back(key(&to.to_bare(), id));
        }
    }

    /// Whether an error answers a message that was copied.
    fn knows(&self, error: &Stanza) -> bool {
        let of = error.from.as_ref().zip(error.id.as_ref());
        of.is_some_and(|(from, id)| self.sent.contains(&key(&from.to_bare(), id)))
    }
}

/// Section 6.1, rule by rule; `incoming`: as its recipient's server sees it.
pub fn is_eligible(stanza: &Stanza, incoming: bool, copies: &Copies) -> bool {
    let full = stanza.to.as_ref().is_some_and(Jid::is_full);
    if stanza.has("private", ns::CARBONS) || (full && stanza.has("no-copy", ns::HINTS)) {
        return false;
    }
    let type_ = stanza.type_str();
    if type_ == "groupchat" {
        return false;
    }
    if type_ == "error" {
        return incoming && copies.knows(stanza);
    }
    if stanza.has("x", ns::CONFERENCE) {
        return true;
    }
    if let Some(x) = stanza.get("x", ns::MUC_USER) {
        let invitation = ["invite", "decline"]
            .iter()
            .any(|n| x.has_child(n, ns::MUC_USER));
        // A room gives its private messages to each of the account's sessions itself.
        if invitation || (incoming && full) {
            return invitation;
        }
    }
    let im = [ns::RECEIPTS, ns::CHAT_STATES, ns::MARKERS];
    type_ == "chat"
        || (type_ == "normal" && stanza.has("body", ns::CLIENT))
        || stanza
            .children()
            .iter()
            .any(|c| im.contains(&c.ns.as_ref()))
}

/// Gives the account's other sessions a copy of what one of them sent (section 8).
pub fn sent(cx: &mut Cx<'_>, sender: u64, bytes: &Bytes, type_: &str, id: Option<&str>) {
    let bare = cx.entity.bare.to_string();
    let message = match id {
        Some(id) => forward::with_stanza_id(bytes, &bare, id),
        None => bytes.clone(),
    };
    let others = cx.entity.sessions.iter();
    let others: Vec<_> = others
        .filter(|s| s.carbons && s.id != sender)
        .map(|s| (s.id, s.full.to_string()))
        .collect();
    for (session, full) in others {
        let copy = forward::carbon("sent", &bare, &full, type_, &message);
        cx.deliver(session, copy);
    }
}
