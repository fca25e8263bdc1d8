//! The server's own block list and allow list (XEP-0133 sections 4.11 and 4.12), both ways.

use crate::entity::Behind;
use crate::hooks::{Cx, Flow, Module, Spec};
use liao_proto::jid::Jid;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};

pub struct Policy;

static SPEC: Spec = Spec {
    name: "policy",
    doc: "Keeps out whom the administrators keep out.",
    ..Spec::EMPTY
};

impl Module for Policy {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_send(&self, cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
        let Some(to) = &stanza.to else {
            return Flow::Continue;
        };
        if may_pass(cx, to) {
            return Flow::Continue;
        }
        if !stanza.is_answer() {
            let text = "this server does not communicate with that address";
            let answer = stanza.error(&ErrorKind::NOT_ALLOWED.with_text(text));
            cx.deliver(session, answer.to_bytes());
        }
        Flow::Done
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        let from = stanza.from.as_ref();
        if cx.entity.behind != Behind::Account || from.is_none_or(|f| may_pass(cx, f)) {
            return Flow::Continue;
        }
        if stanza.kind != Kind::Presence && !stanza.is_answer() {
            cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
        }
        Flow::Done
    }
}

/// Whether this account and that address may communicate. With itself and with the server anybody may.
fn may_pass(cx: &Cx<'_>, other: &Jid) -> bool {
    let domain = cx.server.domain.as_str();
    let me = Jid::from(cx.entity.bare.clone());
    !cx.server.accounts.rules.refuse(&[other, &me], domain)
        || other.to_bare() == cx.entity.bare
        || other.as_str() == domain
}
