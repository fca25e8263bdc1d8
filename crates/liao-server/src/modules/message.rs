//! Messages: which resource gets what, and what is archived first (RFC 6121 sections 5 and 8.5).

use crate::engines::{archiving, copies};
use crate::entity::Behind;
use crate::hooks::{Cx, Flow, Module, Release, Spec};
use crate::server::{is_local, now_ms};
use crate::store::NewMessage;
use liao_proto::jid::Jid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use std::hash::{DefaultHasher, Hash, Hasher};

pub struct Message;

static SPEC: Spec = Spec {
    name: "message",
    xeps: &["0359", "0334"],
    features: &[ns::STANZA_ID],
    account_features: &[ns::STANZA_ID],
    doc: "Delivers messages; what must be kept is committed before anyone sees it.",
    ..Spec::EMPTY
};

impl Module for Message {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_send(&self, cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
        if stanza.kind != Kind::Message {
            return Flow::Continue;
        }
        send(cx, session, stanza)
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        if stanza.kind != Kind::Message {
            return Flow::Continue;
        }
        match cx.entity.behind {
            Behind::Account => {
                archiving::strip(cx, stanza);
                deliver(cx, stanza);
                return Flow::Done;
            }
            // It goes nowhere, but the sender's other devices see that it was said.
            Behind::Nobody => copy_to_sender(cx, stanza, None),
            Behind::Domain => {}
        }
        Flow::Continue
    }
}

/// What the sender's side does: copies, and the archive where no account of ours is at the other end.
fn send(cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
    archiving::strip(cx, stanza);
    let own: Jid = cx.entity.bare.clone().into();
    let to = stanza.to.get_or_insert(own).clone();
    let others = cx
        .entity
        .sessions
        .iter()
        .any(|s| s.carbons && s.id != session);
    if others
        && to.to_bare() != cx.entity.bare
        && copies::is_eligible(stanza, false, &cx.entity.copies)
    {
        cx.origin.copies = true;
        cx.entity.copies.note(stanza);
    }
    cx.origin.unarchived = archiving::is_passing(stanza) || !archiving::wants(cx.entity, &to);
    let account = is_local(cx.server, &to) && to.node().is_some();
    let service = cx.server.is_service(to.domain().as_str());
    if account || !service {
        return Flow::Continue;
    }
    let row = (archiving::is_kept(stanza) && !cx.origin.unarchived).then(|| {
        cx.out.refusals.push(stanza.clone());
        cx.archive(NewMessage {
            from_owner: Some(cx.entity.bare.to_string()),
            to_owner: None,
            from_peer: to.to_bare().to_string(),
            to_peer: cx.entity.bare.to_string(),
            time_ms: now_ms(),
            dedup: archiving::dedup(stanza),
            stanza: stanza.to_bytes(),
            kept: false,
        })
    });
    copy_to_sender(cx, stanza, row);
    cx.route(stanza.clone());
    Flow::Done
}

/// Lets the sender's entity copy a message to the sender's other sessions (XEP-0280 section 8).
fn copy_to_sender(cx: &mut Cx<'_>, stanza: &Stanza, row: Option<usize>) {
    let sender = stanza.from.as_ref().map(Jid::to_bare);
    if let Some(sender) = sender.filter(|_| cx.origin.copies) {
        cx.out.releases.push(Release::Copied {
            sender,
            session: cx.origin.session,
            bytes: stanza.to_bytes(),
            type_: type_word(stanza),
            row,
            id: None,
        });
    }
}

fn type_word(stanza: &Stanza) -> &'static str {
    const WORDS: [&str; 4] = ["chat", "error", "groupchat", "headline"];
    let known = WORDS.into_iter().find(|w| *w == stanza.type_str());
    known.unwrap_or("normal")
}

/// RFC 6121 section 8.5.2 and 8.5.3, row by row.
fn deliver(cx: &mut Cx<'_>, stanza: &Stanza) {
    let to = stanza.to.as_ref().filter(|to| to.is_full());
    let exact = to.and_then(|to| cx.entity.by_resource(to)).map(|s| s.id);
    let reachable = |cx: &Cx<'_>| -> Vec<u64> {
        cx.entity
            .sessions
            .iter()
            .filter(|s| s.is_reachable())
            .map(|s| s.id)
            .collect()
    };
    match (stanza.type_str(), exact) {
        (_, Some(session)) => keep_or_give(cx, stanza, vec![session]),
        // Section 8.5.3.2.1: what was for one resource alone. Chat goes on with the others.
        ("normal", None) if to.is_some() => {
            copy_to_sender(cx, stanza, None);
            cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
        }
        ("normal" | "chat", None) => {
            let targets = reachable(cx);
            keep_or_give(cx, stanza, targets);
        }
        ("headline", None) if to.is_none() => {
            let bytes = stanza.to_bytes();
            for session in reachable(cx) {
                cx.deliver(session, bytes.clone());
            }
        }
        ("groupchat", None) => cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE)),
        // Errors and headlines to a resource that is gone are dropped (8.5.3.2.1).
        _ => {}
    }
}

/// The sessions that get a copy of what these get (XEP-0280 section 7). The one that sent it needs none.
fn copied(cx: &Cx<'_>, stanza: &Stanza, targets: &[u64]) -> Vec<u64> {
    let others = cx.entity.sessions.iter().filter(|s| s.carbons);
    let others: Vec<u64> = others
        .map(|s| s.id)
        .filter(|id| !targets.contains(id) && *id != cx.origin.session)
        .collect();
    if others.is_empty() || !copies::is_eligible(stanza, true, &cx.entity.copies) {
        return Vec::new();
    }
    others
}

fn keep_or_give(cx: &mut Cx<'_>, stanza: &Stanza, targets: Vec<u64>) {
    let copies = copied(cx, stanza, &targets);
    if !archiving::is_kept(stanza) {
        return give(cx, stanza, &targets, &copies);
    }
    if targets.is_empty() && cx.entity.offline.waiting() >= cx.server.bounds.offline_messages as u64
    {
        return cx
            .route(stanza.error(
                &ErrorKind::SERVICE_UNAVAILABLE.with_text("too many messages wait already"),
            ));
    }
    let bytes = stanza.to_bytes();
    let from = stanza.from.as_ref();
    let sender = from
        .filter(|f| is_local(cx.server, f) && f.node().is_some())
        .map(|f| f.to_bare());
    let own = sender.as_ref() == Some(&cx.entity.bare);
    let unarchived = cx.origin.unarchived;
    let kept =
        archiving::is_passing(stanza) || !from.is_none_or(|f| archiving::wants(cx.entity, f));
    let row = cx.archive(NewMessage {
        // A note to oneself has one owner and one place.
        from_owner: sender
            .filter(|_| !own && !unarchived)
            .map(|s| s.to_string()),
        to_owner: Some(cx.entity.bare.to_string()),
        from_peer: cx.entity.bare.to_string(),
        to_peer: from.map(|f| f.to_bare().to_string()).unwrap_or_default(),
        time_ms: now_ms(),
        dedup: archiving::dedup(stanza),
        stanza: bytes.clone(),
        kept,
    });
    cx.out.refusals.push(stanza.clone());
    cx.out.releases.push(Release::Archived {
        sessions: targets,
        copies,
        bytes,
        type_: type_word(stanza),
        row,
        kept,
    });
    copy_to_sender(cx, stanza, Some(row));
}

/// Gives what is not kept to those who are there.
fn give(cx: &mut Cx<'_>, stanza: &Stanza, targets: &[u64], copies: &[u64]) {
    let said = matches!(stanza.type_str(), "chat" | "normal") && stanza.has("body", ns::CLIENT);
    if targets.is_empty() && said {
        // Not kept, as its sender wants it, and nobody is there (RFC 6121 section 8.5.2.2.1).
        cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
    }
    let bytes = stanza.to_bytes();
    let (bare, type_) = (cx.entity.bare.to_string(), type_word(stanza));
    // Only "is writing" and its like: the latest is enough (XEP-0352 section 3.2).
    let state = stanza
        .children()
        .iter()
        .all(|c| c.ns == ns::CHAT_STATES || c.ns == ns::HINTS);
    let lazy = (state && !stanza.children().is_empty()).then(|| {
        let mut hasher = DefaultHasher::new();
        ("state", stanza.from.as_ref().map(Jid::as_str)).hash(&mut hasher);
        hasher.finish()
    });
    let mut put = |session: u64, bytes| match lazy {
        Some(key) => cx.deliver_lazily(session, bytes, key),
        None => cx.deliver(session, bytes),
    };
    targets.iter().for_each(|s| put(*s, bytes.clone()));
    for session in copies {
        let Some(full) = cx.entity.session(*session).map(|s| s.full.to_string()) else {
            continue;
        };
        let copy = liao_proto::xep::forward::carbon("received", &bare, &full, type_, &bytes);
        match lazy {
            Some(key) => cx.deliver_lazily(*session, copy, key),
            None => cx.deliver(*session, copy),
        }
    }
    copy_to_sender(cx, stanza, None);
}

#[cfg(test)]
mod section_8;
