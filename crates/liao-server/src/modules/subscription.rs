//! Presence subscriptions: every transition of RFC 6121 appendix A, outbound and inbound (section 3).

use crate::engines::presence;
use crate::engines::roster::{self as engine, Contact};
use crate::entity::{Behind, Session};
use crate::hooks::{Cx, Flow, Module, SessionChange, Spec};
use crate::server::Server;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::{Kind, Stanza};

pub struct Subscription;

static SPEC: Spec = Spec {
    name: "subscription",
    needs: &[engine::COLLECTION],
    doc: "Friend requests and their answers (RFC 6121 section 3, pre-approval included).",
    ..Spec::EMPTY
};

impl Module for Subscription {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn stream_features(&self, _: &Server, logged_in: bool, out: &mut String) {
        if logged_in {
            // Section 3.4: approval before the request is taken.
            out.push_str(&format!("<sub xmlns='{}'/>", ns::PRE_APPROVAL));
        }
    }

    fn on_send(&self, cx: &mut Cx<'_>, _session: u64, stanza: &mut Stanza) -> Flow {
        let Some(type_) = subscription_type(stanza) else {
            return Flow::Continue;
        };
        let Some(to) = stanza.to.as_ref().map(Jid::to_bare) else {
            return Flow::Done;
        };
        if to == cx.entity.bare {
            return Flow::Done;
        }
        // Section 3.1.2: stamped with the bare address on both sides.
        stanza.from = Some(cx.entity.bare.clone().into());
        stanza.to = Some(to.clone().into());
        outbound(cx, type_, &to, stanza.clone());
        Flow::Done
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        let Some(type_) = subscription_type(stanza) else {
            return Flow::Continue;
        };
        let Some(from) = stanza.from.as_ref().map(Jid::to_bare) else {
            return Flow::Done;
        };
        // Sections 8.5.1 and 8.5.3.2.2: nobody is there, or no longer.
        let gone = |to: &Jid| to.is_full() && cx.entity.by_resource(to).is_none();
        let late = type_ != "subscribe" && stanza.to.as_ref().is_some_and(gone);
        if cx.entity.behind != Behind::Account || late {
            return Flow::Done;
        }
        stanza.to = Some(cx.entity.bare.clone().into());
        inbound(cx, type_, &from, stanza.clone());
        Flow::Done
    }

    fn on_session(&self, cx: &mut Cx<'_>, change: SessionChange) {
        // Section 3.1.3: an unanswered request is shown to each resource that becomes available.
        let SessionChange::Available(session) = change else {
            return;
        };
        let waiting: Vec<String> = cx
            .entity
            .roster
            .iter()
            .filter_map(|(_, c)| c.request.clone())
            .collect();
        for request in waiting {
            cx.deliver(session, request.into());
        }
    }
}

/// The four types that are about subscriptions.
fn subscription_type(stanza: &Stanza) -> Option<&'static str> {
    if stanza.kind != Kind::Presence {
        return None;
    }
    let type_ = stanza.type_.as_deref()?;
    ["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
        .into_iter()
        .find(|t| *t == type_)
}

/// A presence from this account's bare address.
fn answer(cx: &mut Cx<'_>, type_: &str, to: &BareJid) {
    let stanza = Stanza::presence(type_)
        .from(cx.entity.bare.clone())
        .to(to.clone());
    cx.route(stanza);
}

/// Appendix A.2: what the user sends.
fn outbound(cx: &mut Cx<'_>, type_: &str, to: &BareJid, stanza: Stanza) {
    let fresh = Contact {
        hidden: true,
        ..Contact::default()
    };
    let mut c = cx.entity.roster.get(to).cloned().unwrap_or(fresh);
    if !engine::has_room(cx, to, &c) {
        cx.route(
            Stanza::presence("unsubscribed")
                .from(to.clone())
                .to(cx.entity.bare.clone()),
        );
        return;
    }
    match type_ {
        "subscribe" => {
            if !c.to && (!c.ask || c.hidden) {
                c.ask = true;
                c.hidden = false;
                engine::put(cx, to, c);
            }
            cx.route(stanza);
        }
        "unsubscribe" => {
            if c.to || c.ask {
                c.to = false;
                c.ask = false;
                engine::put(cx, to, c);
            }
            cx.route(stanza);
        }
        "subscribed" => {
            if c.request.take().is_some() {
                c.from = true;
                c.hidden = false;
                engine::put(cx, to, c);
                cx.route(stanza);
                presence::tell(cx, &to.clone().into());
            } else if !c.from && !c.approved {
                // Section 3.4.2: pre-approval stays here.
                c.approved = true;
                c.hidden = false;
                engine::put(cx, to, c);
            }
        }
        _ => {
            let was_from = c.from;
            if was_from || c.request.is_some() || c.approved {
                let told = was_from || c.request.is_some();
                c.from = false;
                c.request = None;
                c.approved = false;
                engine::put(cx, to, c);
                if was_from {
                    say_gone(cx, to);
                }
                if told {
                    cx.route(stanza);
                }
            }
        }
    }
}

/// Section 3.2.2: who may no longer see us is told that we are gone.
fn say_gone(cx: &mut Cx<'_>, to: &BareJid) {
    let full: Vec<_> = cx
        .entity
        .sessions
        .iter()
        .filter(|s| s.presence.is_some())
        .map(|s| s.full.clone())
        .collect();
    for full in full {
        cx.route(Stanza::presence("unavailable").from(full).to(to.clone()));
    }
}

/// Appendix A.3: what arrives for the user.
fn inbound(cx: &mut Cx<'_>, type_: &str, from: &BareJid, stanza: Stanza) {
    let known = cx.entity.roster.get(from).cloned();
    let mut c = known.unwrap_or(Contact {
        hidden: true,
        ..Contact::default()
    });
    match type_ {
        "subscribe" if c.from => answer(cx, "subscribed", from),
        "subscribe" if c.approved => {
            // Section 3.4.2.
            c.from = true;
            c.approved = false;
            c.hidden = false;
            engine::put(cx, from, c);
            answer(cx, "subscribed", from);
            presence::tell(cx, &from.clone().into());
        }
        "subscribe" => {
            if c.request.is_some() {
                return;
            }
            c.request = String::from_utf8(stanza.to_bytes().to_vec()).ok();
            if !engine::has_room(cx, from, &c) {
                return answer(cx, "unsubscribed", from);
            }
            engine::put(cx, from, c);
            show(cx, &stanza, |s| s.presence.is_some());
        }
        "unsubscribe" if c.from || c.request.is_some() => {
            let was_from = c.from;
            c.from = false;
            c.request = None;
            show(cx, &stanza, |s| s.interested);
            engine::put(cx, from, c);
            answer(cx, "unsubscribed", from);
            if was_from {
                say_gone(cx, from);
            }
        }
        "subscribed" if c.ask && !c.to => {
            c.to = true;
            c.ask = false;
            show(cx, &stanza, |s| s.interested);
            engine::put(cx, from, c);
        }
        "unsubscribed" if c.to || c.ask => {
            c.to = false;
            c.ask = false;
            show(cx, &stanza, |s| s.interested);
            engine::put(cx, from, c);
        }
        _ => {}
    }
}

/// Requests go to all available resources (section 3.1.3), what became of one to all interested ones, before the push
/// (3.1.6, 3.2.3, 3.3.3).
fn show(cx: &mut Cx<'_>, stanza: &Stanza, to: impl Fn(&Session) -> bool) {
    let bytes = stanza.to_bytes();
    let all = cx.entity.sessions.iter().filter(|s| to(s));
    let all: Vec<u64> = all.map(|s| s.id).collect();
    for session in all {
        cx.deliver(session, bytes.clone());
    }
}

#[cfg(test)]
mod appendix_a;
