//! The roster's IQs: get, set, remove (RFC 6121 section 2), and its versions (2.6).

use crate::engines::roster::{self as engine, Contact};
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::limits;
use crate::server::{Server, random_id};
use liao_proto::jid::{BareJid, Jid};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Roster;

static SPEC: Spec = Spec {
    name: "roster",
    iqs: &[("query", ns::ROSTER, At::Account)],
    needs: &[engine::COLLECTION],
    doc: "Keeps each account's contacts (RFC 6121).",
    ..Spec::EMPTY
};

impl Module for Roster {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn stream_features(&self, _: &Server, logged_in: bool, out: &mut String) {
        if logged_in {
            // Section 2.6.1.
            out.push_str(&format!("<ver xmlns='{}'/>", ns::ROSTER_VER));
        }
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        let Some(from) = &iq.from else {
            return Answer::Error(ErrorKind::FORBIDDEN);
        };
        if from.to_bare() != cx.entity.bare {
            // Section 2.3.3 and 2.1.5: nobody but the user.
            return Answer::Error(ErrorKind::FORBIDDEN);
        }
        match iq.type_.as_deref() {
            Some("get") => get(cx, iq, payload),
            _ => match change(cx, payload) {
                Ok(()) => Answer::Result(None),
                Err(error) => Answer::Error(error),
            },
        }
    }
}

/// Section 2.1.3 and 2.2; 2.6.3 for a client that knows an earlier version.
fn get(cx: &mut Cx<'_>, iq: &Stanza, payload: &Element) -> Answer {
    let Some(from) = &iq.from else {
        return Answer::Error(ErrorKind::FORBIDDEN);
    };
    if let Some(session) = cx
        .entity
        .sessions
        .iter_mut()
        .find(|s| s.full.as_str() == from.as_str())
    {
        session.interested = true;
    }
    let known = payload.attr("ver").and_then(|v| v.parse().ok());
    if let Some(changed) = known.and_then(|ver| cx.entity.roster.since(ver)) {
        let pushes: Vec<Stanza> = changed
            .into_iter()
            .map(|(jid, c)| {
                let query = engine::query(&[c.to_item(jid)], c.ver);
                Stanza::iq("set", &random_id())
                    .to(from.clone())
                    .child(&query)
            })
            .collect();
        // The answer comes first, and the changes take the same way behind it.
        cx.route(iq.result());
        pushes.into_iter().for_each(|push| cx.route(push));
        return Answer::Later;
    }
    let roster = &cx.entity.roster;
    let visible = roster.iter().filter(|(_, c)| !c.hidden);
    let items: Vec<Element> = visible.map(|(jid, c)| c.to_item(jid)).collect();
    Answer::Result(Some(engine::query(&items, roster.ver())))
}

/// Section 2.3.3 (errors), 2.4 and 2.5.
fn change(cx: &mut Cx<'_>, payload: &Element) -> Result<(), ErrorKind> {
    let mut items = payload.children();
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(ErrorKind::BAD_REQUEST);
    };
    if !item.is("item", ns::ROSTER) {
        return Err(ErrorKind::BAD_REQUEST);
    }
    let jid = item.attr("jid").ok_or(ErrorKind::BAD_REQUEST)?;
    let jid = liao_proto::address::parse(jid)
        .map_err(|_| ErrorKind::JID_MALFORMED)?
        .into_bare();
    if item.attr("subscription") == Some("remove") {
        return remove(cx, &jid);
    }
    if jid == cx.entity.bare {
        return Err(ErrorKind::NOT_ALLOWED.with_text("you are your own friend already"));
    }
    let name = item
        .attr("name")
        .filter(|n| !n.is_empty())
        .map(str::to_owned);
    let mut groups: Vec<String> = Vec::new();
    for group in item.children().filter(|c| c.is("group", ns::ROSTER)) {
        let text = group.text();
        if groups.contains(&text) {
            return Err(ErrorKind::BAD_REQUEST.with_text("a group is named twice"));
        }
        if text.is_empty() || text.len() > limits::ROSTER_NAME_BYTES {
            return Err(ErrorKind::NOT_ACCEPTABLE.with_text("a group's name is empty or too long"));
        }
        groups.push(text);
    }
    if name
        .as_ref()
        .is_some_and(|n| n.len() > limits::ROSTER_NAME_BYTES)
        || groups.len() > limits::ROSTER_GROUPS
    {
        return Err(ErrorKind::NOT_ACCEPTABLE
            .with_text("the name is too long, or there are too many groups"));
    }
    let old = cx.entity.roster.get(&jid).cloned().unwrap_or_default();
    let new = Contact {
        name,
        groups,
        hidden: false,
        ..old
    };
    if !engine::has_room(cx, &jid, &new) {
        return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("the contact list is full"));
    }
    engine::put(cx, &jid, new);
    Ok(())
}

/// Section 2.5.2: subscriptions end with the contact.
fn remove(cx: &mut Cx<'_>, jid: &BareJid) -> Result<(), ErrorKind> {
    if cx.entity.roster.get(jid).is_none_or(|c| c.hidden) {
        return Err(ErrorKind::ITEM_NOT_FOUND);
    }
    let Some(old) = engine::remove(cx, jid) else {
        return Err(ErrorKind::ITEM_NOT_FOUND);
    };
    let me: Jid = cx.entity.bare.clone().into();
    if old.to || old.ask {
        cx.route(
            Stanza::presence("unsubscribe")
                .from(me.clone())
                .to(jid.clone()),
        );
    }
    if old.from || old.request.is_some() {
        cx.route(Stanza::presence("unsubscribed").from(me).to(jid.clone()));
        let full: Vec<_> = cx
            .entity
            .sessions
            .iter()
            .filter(|s| s.presence.is_some())
            .map(|s| s.full.clone())
            .collect();
        for full in full {
            cx.route(Stanza::presence("unavailable").from(full).to(jid.clone()));
        }
    }
    Ok(())
}
