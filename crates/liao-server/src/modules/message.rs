//! Messages: which resource gets what, and what is archived first (RFC 6121 sections 5 and 8.5).

use crate::entity::Behind;
use crate::hooks::{Cx, Flow, Module, Release, Spec};
use crate::server::{is_local, now_ms};
use crate::store::{NewMessage, Op};
use liao_proto::jid::Jid;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use sha2::{Digest, Sha256};

pub struct Message;

static SPEC: Spec = Spec {
    name: "message",
    xeps: &["0359", "0334"],
    doc: "Delivers messages; what must be kept is committed before anyone sees it.",
    ..Spec::EMPTY
};

impl Module for Message {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        if stanza.kind != Kind::Message || cx.entity.behind != Behind::Account {
            return Flow::Continue;
        }
        deliver(cx, stanza);
        Flow::Done
    }
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

/// Whether a message is kept for those who are away (XEP-0160 section 3; XEP-0334 section 4 can refuse or ask).
fn is_kept(stanza: &Stanza) -> bool {
    if !matches!(stanza.type_str(), "normal" | "chat") || stanza.has("no-store", ns::HINTS) {
        return false;
    }
    let content = |name: &str, ns: &str| match ns {
        ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID | ns::DELAY => false,
        ns::CLIENT => name == "body",
        _ => true,
    };
    stanza.has("store", ns::HINTS) || stanza.children().iter().any(|c| content(&c.name, &c.ns))
}

/// The key by which a message that is sent again is known: sender, recipient, origin-id, payload.
fn dedup(stanza: &Stanza) -> Option<[u8; 16]> {
    let origin = stanza.get("origin-id", ns::STANZA_ID)?;
    let mut hash = Sha256::new();
    for part in [
        stanza.from.as_ref()?.to_bare().as_str(),
        stanza.to.as_ref()?.to_bare().as_str(),
        origin.attr("id")?,
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    for child in stanza.children().iter().filter(|c| c.ns != ns::DELAY) {
        hash.update(stanza.child_bytes(child));
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    Some(key)
}

fn keep_or_give(cx: &mut Cx<'_>, stanza: &Stanza, targets: Vec<u64>) {
    let bytes = stanza.to_bytes();
    if !is_kept(stanza) {
        for session in targets {
            cx.deliver(session, bytes.clone());
        }
        return;
    }
    if targets.is_empty() && cx.entity.offline.waiting() >= cx.server.bounds.offline_messages as u64
    {
        return cx
            .route(stanza.error(
                &ErrorKind::SERVICE_UNAVAILABLE.with_text("too many messages wait already"),
            ));
    }
    let from = stanza.from.as_ref().map(Jid::to_bare);
    let sender = stanza
        .from
        .as_ref()
        .filter(|f| is_local(cx.server, f) && f.node().is_some())
        .map(|f| f.to_bare());
    let own = from.as_ref() == Some(&cx.entity.bare);
    let row = cx
        .out
        .ops
        .iter()
        .filter(|op| matches!(op, Op::Archive(_)))
        .count();
    cx.out.ops.push(Op::Archive(NewMessage {
        // A note to oneself has one owner and one place.
        from_owner: sender.filter(|_| !own).map(|s| s.to_string()),
        to_owner: Some(cx.entity.bare.to_string()),
        from_peer: cx.entity.bare.to_string(),
        to_peer: from.map(|f| f.to_string()).unwrap_or_default(),
        time_ms: now_ms(),
        dedup: dedup(stanza),
        stanza: bytes.clone(),
    }));
    cx.out.refusals.push(stanza.clone());
    cx.out.releases.push(Release::Archived {
        sessions: targets,
        bytes,
        row,
    });
}
