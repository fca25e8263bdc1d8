//! What stanzas from the server mean, without doing anything about it (RFC 6121 sections 2 to 5).

use crate::backend::{Contact, Event, Message, More, Show};
use crate::features::{encryption, files, ids, recall, reply};
use crate::{now_ms, random_id};
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::delay;

/// The words of an error stanza (RFC 6120 section 8.3): its text, else what its condition means.
pub fn error_words(stanza: &Stanza) -> String {
    let Some(error) = stanza.get("error", ns::CLIENT) else {
        return "the server refused without a reason".into();
    };
    let text = error.get_child("text", ns::STANZAS).map(Element::text);
    if let Some(text) = text.filter(|t| !t.is_empty()) {
        return text;
    }
    let condition = error.children().find(|c| c.ns() == ns::STANZAS);
    match condition.map_or("undefined-condition", Element::name) {
        "conflict" => "this name is taken".into(),
        "forbidden" | "not-allowed" => "this is not allowed".into(),
        "item-not-found" => "there is no such account".into(),
        "service-unavailable" => "there is no such account, or it does not take this".into(),
        "remote-server-not-found" => "there is no such server".into(),
        "remote-server-timeout" => "the other server does not answer".into(),
        "resource-constraint" => "the server has no room for it now; try later".into(),
        "jid-malformed" => "this is no address".into(),
        other => other.replace('-', " "),
    }
}

/// The conversation part of a message, if it has one. `ours`: we, on any device, said it.
pub fn message(stanza: &Stanza, me: &BareJid, ours: bool) -> Option<Message> {
    let recalled = recall::is_tombstone(stanza);
    let encrypted = encryption::method(stanza);
    let text = match (&encrypted, recalled) {
        (_, true) => String::new(),
        (Some(method), _) => encryption::words(method),
        (None, _) => reply::words(stanza)?,
    };
    let other = if ours { &stanza.to } else { &stanza.from };
    let peer = other.as_ref().map_or(me.clone(), |f| f.to_bare());
    let stamp = stamp(stanza);
    let id = stanza.id.clone().or_else(|| ids::origin_id(stanza));
    Some(Message {
        peer: peer.to_string(),
        outgoing: ours,
        id: id.unwrap_or_else(random_id),
        text,
        time_ms: stamp.unwrap_or_else(now_ms),
        delayed: stamp.is_some(),
        more: More {
            reply: reply::read(stanza),
            file: files::read(stanza).map(Box::new),
            recalled,
            encrypted,
            ..More::default()
        },
    })
}

/// When a message that was kept on its way was sent (XEP-0203), milliseconds since 1970, UTC.
pub fn stamp(stanza: &Stanza) -> Option<i64> {
    let delay = stanza.get("delay", ns::DELAY)?;
    delay::ms_from_utc(delay.attr("stamp")?)
}

/// A presence that says who is where.
pub fn availability(stanza: &Stanza, peer: &str) -> Event {
    let show = stanza.text_of("show", ns::CLIENT);
    Event::Presence {
        peer: peer.to_owned(),
        available: stanza.type_.is_none(),
        show: show.and_then(|s| Show::parse(s.trim())),
        status: stanza
            .text_of("status", ns::CLIENT)
            .filter(|s| !s.is_empty()),
    }
}

/// The contacts of a roster result or push (RFC 6121 section 2.1.2).
pub fn contacts(query: &Element) -> Vec<Event> {
    let items = query.children().filter(|c| c.is("item", ns::ROSTER));
    items
        .filter_map(|item| {
            let peer = BareJid::new(item.attr("jid")?).ok()?.to_string();
            if item.attr("subscription") == Some("remove") {
                return Some(Event::Gone(peer));
            }
            Some(Event::Contact(Contact {
                peer,
                name: item
                    .attr("name")
                    .filter(|n| !n.is_empty())
                    .map(str::to_owned),
                groups: item
                    .children()
                    .filter(|c| c.is("group", ns::ROSTER))
                    .map(Element::text)
                    .collect(),
                subscription: item.attr("subscription").unwrap_or("none").to_owned(),
                asked: item.attr("ask") == Some("subscribe"),
            }))
        })
        .collect()
}
