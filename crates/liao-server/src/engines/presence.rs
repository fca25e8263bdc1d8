//! Who is told of a session's presence (RFC 6121 section 4).

use crate::accounts::{SEEN, Seen};
use crate::engines::blocking;
use crate::entity::Session;
use crate::hooks::Cx;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::{delay, forward};

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

fn is_subscribed(cx: &Cx<'_>, bare: &BareJid) -> bool {
    *bare == cx.entity.bare || cx.entity.roster.get(bare).is_some_and(|c| c.from)
}

/// The answer to a probe (sections 4.3.2 and 4.6.6): what is asked for, if the one who asks may see it.
pub fn answer(cx: &mut Cx<'_>, probe: &Stanza, from: &Jid) {
    let full = probe.to.as_ref().filter(|to| to.is_full());
    let wanted =
        |s: &&Session| s.presence.is_some() && full.is_none_or(|f| f.as_str() == s.full.as_str());
    if !is_subscribed(cx, &from.to_bare()) {
        // Mere presence, and only of the resources that showed theirs.
        let bare = Jid::from(from.to_bare());
        let sessions = cx.entity.sessions.iter();
        let shown = sessions.filter(|s| s.directed.contains(from) || s.directed.contains(&bare));
        let shown = shown.filter(|s| full.is_none_or(|f| f.as_str() == s.full.as_str()));
        let shown: Vec<_> = shown.map(|s| s.full.clone()).collect();
        if shown.is_empty() {
            deny(cx, probe);
        }
        for one in shown {
            cx.route(Stanza::presence("").from(one).to(from.clone()));
        }
        return;
    }
    let Some(full) = full else {
        return tell_for(cx, from, probe.id.as_deref());
    };
    // A full address learns of this one resource, and no more than whether it is there.
    let (type_, id) = match cx.entity.sessions.iter().find(wanted) {
        Some(_) => ("", None),
        None => ("unavailable", probe.id.as_deref()),
    };
    let mere = Stanza::presence(type_).from(full.clone()).to(from.clone());
    cx.route(mere.id(id));
}

/// Section 4.3.2, rule 1: there is nothing to see for the one who probes; both addresses are bare.
pub fn deny(cx: &mut Cx<'_>, probe: &Stanza) {
    let Some(from) = &probe.from else { return };
    let no = Stanza::presence("unsubscribed")
        .from(cx.entity.bare.clone())
        .to(from.to_bare());
    cx.route(no.id(probe.id.as_deref()));
}

/// When the account's last session ended, while there is none.
fn left(cx: &Cx<'_>) -> Option<i64> {
    let row = cx
        .entity
        .rows(SEEN)
        .get("")
        .filter(|_| cx.entity.sessions.is_empty())?;
    serde_json::from_slice::<Seen>(row).ok()?.left_ms
}

fn since(cx: &Cx<'_>, ms: i64) -> String {
    forward::delay(cx.server.domain.as_str(), &delay::utc_from_ms(ms))
}

/// Answers with the availability of every resource; unavailable if none is.
pub fn tell(cx: &mut Cx<'_>, to: &Jid) {
    tell_for(cx, to, None);
}

/// Section 4.3.2, rules 3 and 4, and 4.3.2.1: the ids of the presences stay; the one of the probe is for the answer
/// that nobody is there, which says since when.
fn tell_for(cx: &mut Cx<'_>, to: &Jid, id: Option<&str>) {
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
            .to(to.clone())
            .id(id);
        cx.route(match left(cx) {
            Some(ms) => gone.raw_child("delay", ns::DELAY, &since(cx, ms)),
            None => gone,
        });
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
