//! Availability: initial presence, probes, broadcast, directed presence, priority (RFC 6121 section 4).

use crate::engines::presence as engine;
use crate::entity::Behind;
use crate::hooks::{Cx, Flow, Module, SessionChange, Spec};
use crate::limits;
use crate::server::is_local;
use liao_proto::jid::Jid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use std::hash::{DefaultHasher, Hash, Hasher};

pub struct Presence;

static SPEC: Spec = Spec {
    name: "presence",
    doc: "Who is online, and what they say of it (RFC 6121 section 4).",
    ..Spec::EMPTY
};

impl Module for Presence {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_send(&self, cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
        if stanza.kind != Kind::Presence {
            return Flow::Continue;
        }
        match (stanza.type_.as_deref(), stanza.to.is_some()) {
            (None, false) => available(cx, session, stanza),
            (Some("unavailable"), false) => unavailable(cx, session, stanza),
            (None | Some("unavailable"), true) => directed(cx, session, stanza),
            (Some("probe" | "error"), true) => cx.route(stanza.clone()),
            (Some("probe" | "error"), false) => {}
            (Some(_), _) => {
                // Section 4.7.1: no such type.
                let answer = stanza.error(&ErrorKind::BAD_REQUEST);
                cx.deliver(session, answer.to_bytes());
            }
        }
        Flow::Done
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        if stanza.kind != Kind::Presence {
            return Flow::Continue;
        }
        match cx.entity.behind {
            Behind::Account => deliver(cx, stanza),
            // Section 4.3.2, rule 1.
            Behind::Nobody if stanza.type_str() == "probe" => engine::deny(cx, stanza),
            _ => {}
        }
        Flow::Done
    }

    fn on_session(&self, cx: &mut Cx<'_>, change: SessionChange) {
        if let SessionChange::Ending(session) = change {
            engine::leave(cx, session, None);
        }
    }
}

/// Section 4.7.2.3: one, from -128 to 127, 0 if absent.
fn priority(stanza: &Stanza) -> Result<i8, ErrorKind> {
    let all = stanza.children().iter();
    if all
        .filter(|c| c.name == "priority" && c.ns == ns::CLIENT)
        .count()
        > 1
    {
        return Err(ErrorKind::BAD_REQUEST.with_text("one priority is enough"));
    }
    match stanza.text_of("priority", ns::CLIENT) {
        None => Ok(0),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| ErrorKind::BAD_REQUEST.with_text("a priority is from -128 to 127")),
    }
}

/// Sections 4.2 and 4.4.
fn available(cx: &mut Cx<'_>, session: u64, stanza: &Stanza) {
    let priority = match priority(stanza) {
        Ok(p) => p,
        Err(error) => {
            let answer = stanza.error(&error);
            return cx.deliver(session, answer.to_bytes());
        }
    };
    let Some(s) = cx.entity.session(session) else {
        return;
    };
    let was_reachable = s.is_reachable();
    let initial = s.presence.replace(stanza.clone()).is_none();
    s.priority = priority;
    let full: Jid = s.full.clone().into();
    if initial {
        for contact in engine::watched(cx) {
            let contact = Jid::from(contact);
            // Section 4.3.1: from the bare address; within this server it is only a question of its own, and the
            // answer is for the one who has just come.
            let from = if is_local(cx.server, &contact) {
                full.clone()
            } else {
                cx.entity.bare.clone().into()
            };
            cx.route(Stanza::presence("probe").from(from).to(contact));
        }
        let others: Vec<Stanza> = cx
            .entity
            .sessions
            .iter()
            .filter(|s| s.id != session)
            .filter_map(|s| s.presence.clone())
            .collect();
        for other in others {
            cx.deliver(session, other.to(full.clone()).to_bytes());
        }
    }
    engine::broadcast(cx, stanza);
    let changes = [
        initial.then_some(SessionChange::Available(session)),
        (!was_reachable && priority >= 0).then_some(SessionChange::Reachable(session)),
    ];
    for change in changes.into_iter().flatten() {
        for module in super::ALL {
            module.on_session(cx, change);
        }
    }
}

/// Section 4.5.2: whoever says it hears it, too.
fn unavailable(cx: &mut Cx<'_>, session: u64, stanza: &Stanza) {
    let Some(s) = cx.entity.session(session) else {
        return;
    };
    let (was, full) = (s.presence.is_some(), s.full.clone());
    engine::leave(cx, session, Some(stanza));
    if was {
        cx.deliver(session, stanza.clone().to(full).to_bytes());
    }
}

/// Section 4.6.
fn directed(cx: &mut Cx<'_>, session: u64, stanza: &Stanza) {
    let Some(to) = stanza.to.clone() else { return };
    let Some(s) = cx.entity.session(session) else {
        return;
    };
    if stanza.type_.is_some() {
        s.directed.remove(&to);
    } else if s.directed.len() >= limits::DIRECTED_PRESENCE && !s.directed.contains(&to) {
        let answer = stanza.error(&ErrorKind::RESOURCE_CONSTRAINT);
        return cx.deliver(session, answer.to_bytes());
    } else {
        s.directed.insert(to);
    }
    cx.route(stanza.clone());
}

/// Section 8.5: to all available resources, or to the one named; probes are answered by the account (4.3.2).
fn deliver(cx: &mut Cx<'_>, stanza: &Stanza) {
    let Some(from) = &stanza.from else { return };
    match stanza.type_str() {
        "probe" => return engine::answer(cx, stanza, from),
        // Section 4.6.1: who is gone need not be told that we are.
        "unavailable" => {
            for session in &mut cx.entity.sessions {
                session.directed.retain(|to| to != from);
            }
        }
        _ => {}
    }
    let to = stanza.to.as_ref().filter(|to| to.is_full());
    let targets: Vec<u64> = match to {
        Some(full) => cx
            .entity
            .by_resource(full)
            .map(|s| s.id)
            .into_iter()
            .collect(),
        None => cx
            .entity
            .sessions
            .iter()
            .filter(|s| s.presence.is_some())
            .map(|s| s.id)
            .collect(),
    };
    let bytes = stanza.to_bytes();
    let mut hasher = DefaultHasher::new();
    ("presence", from.as_str()).hash(&mut hasher);
    let key = hasher.finish();
    for session in targets {
        match stanza.type_str() {
            // The latest is enough for whom nobody looks at (XEP-0352 section 3.2).
            "" | "unavailable" => cx.deliver_lazily(session, bytes.clone(), key),
            _ => cx.deliver(session, bytes.clone()),
        }
    }
}
