//! Who is told of a session's presence (RFC 6121 section 4).

use crate::engines::blocking;
use crate::hooks::Cx;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::stanza::Stanza;

/// Contacts that see this account (`from` or `both`), but for those who are blocked or kept out.
pub fn watchers(cx: &Cx<'_>) -> Vec<BareJid> {
    cx.entity
        .roster
        .iter()
        .filter(|(j, c)| c.from && !blocking::is_shut_out(cx, &Jid::from((*j).clone())))
        .map(|(j, _)| j.clone())
        .collect()
}

/// Contacts that this account sees (`to` or `both`), but for those who are blocked or kept out.
pub fn watched(cx: &Cx<'_>) -> Vec<BareJid> {
    cx.entity
        .roster
        .iter()
        .filter(|(j, c)| c.to && !blocking::is_shut_out(cx, &Jid::from((*j).clone())))
        .map(|(j, _)| j.clone())
        .collect()
}

/// Sends a presence of one session to all watchers and to the account's own available resources
/// (sections 4.2.2, 4.4.2 and 4.5.2).
pub fn broadcast(cx: &mut Cx<'_>, presence: &Stanza) {
    for contact in watchers(cx) {
        cx.route(presence.clone().to(contact));
    }
    let own: Vec<_> = cx
        .entity
        .sessions
        .iter()
        .filter(|s| s.presence.is_some())
        .map(|s| (s.id, s.full.clone()))
        .collect();
    for (session, full) in own {
        let bytes = presence.clone().to(full).to_bytes();
        cx.deliver(session, bytes);
    }
}

/// Answers with the availability of every resource, as a probe wants (section 4.3.2); unavailable if none is.
pub fn tell(cx: &mut Cx<'_>, to: &Jid) {
    let mut any = false;
    let all: Vec<_> = cx
        .entity
        .sessions
        .iter()
        .filter_map(|s| s.presence.clone())
        .collect();
    for presence in all {
        any = true;
        cx.route(presence.to(to.clone()));
    }
    if !any {
        let gone = Stanza::presence("unavailable")
            .from(cx.entity.bare.clone())
            .to(to.clone());
        cx.route(gone);
    }
}

/// A session is gone or says that it is: everyone who thinks it available is told (section 4.5).
pub fn leave(cx: &mut Cx<'_>, session: u64, farewell: Option<&Stanza>) {
    let Some(s) = cx.entity.session(session) else {
        return;
    };
    let was = s.presence.take().is_some();
    let directed: Vec<Jid> = std::mem::take(&mut s.directed).into_iter().collect();
    let full = s.full.clone();
    let gone = match farewell {
        Some(f) => f.clone(),
        None => Stanza::presence("unavailable").from(full),
    };
    if was {
        broadcast(cx, &gone);
    }
    let watchers = if was { watchers(cx) } else { Vec::new() };
    for to in directed
        .into_iter()
        .filter(|j| !watchers.contains(&j.to_bare()))
    {
        cx.route(gone.clone().to(to));
    }
}
