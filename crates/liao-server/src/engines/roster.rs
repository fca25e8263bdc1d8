//! The contact list and the subscription states of one account (RFC 6121 sections 2, 3 and appendix A).

use crate::hooks::Cx;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::{minidom::rxml, ns, stanza::Stanza};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The store's collection; a row per contact, keyed by the contact's bare address.
pub const COLLECTION: &str = "roster";

/// One contact, or a request that has not been answered yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Remark name (RFC 6121 section 2.1.2.4).
    pub name: Option<String>,
    /// Friend groups.
    pub groups: Vec<String>,
    /// We see the contact's presence.
    pub to: bool,
    /// The contact sees ours.
    pub from: bool,
    /// We asked and wait (`ask='subscribe'`).
    pub ask: bool,
    /// Pre-approved (section 3.4).
    pub approved: bool,
    /// The contact's unanswered request, as it came (section 3.1.3).
    pub request: Option<String>,
    /// Not in the visible roster: only a request or a pre-approval keeps the row.
    pub hidden: bool,
}

impl Contact {
    /// `subscription` (section 2.1.2.5).
    pub fn subscription(&self) -> &'static str {
        match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }

    /// The `<item/>` (section 2.1.2).
    pub fn to_item(&self, jid: &BareJid) -> Element {
        let mut item = Element::bare("item", ns::ROSTER);
        set(&mut item, "jid", jid.as_str());
        set(&mut item, "subscription", self.subscription());
        if let Some(name) = &self.name {
            set(&mut item, "name", name);
        }
        if self.ask {
            set(&mut item, "ask", "subscribe");
        }
        if self.approved {
            set(&mut item, "approved", "true");
        }
        for group in &self.groups {
            let mut child = Element::bare("group", ns::ROSTER);
            child.append_text(group.as_str());
            item.append_child(child);
        }
        item
    }
}

/// Sets an attribute by name.
pub fn set(element: &mut Element, name: &str, value: &str) {
    if let Ok(name) = rxml::NcName::try_from(name) {
        element.set_attr(rxml::Namespace::NONE, name, value);
    }
}

/// The contacts of one account.
#[derive(Debug, Default)]
pub struct Roster {
    contacts: BTreeMap<BareJid, Contact>,
}

impl Roster {
    /// Reads a stored row; a row that cannot be read is reported and left alone.
    pub fn load(&mut self, key: &str, value: &[u8]) {
        match (BareJid::new(key), serde_json::from_slice(value)) {
            (Ok(jid), Ok(contact)) => drop(self.contacts.insert(jid, contact)),
            _ => tracing::error!(contact = key, "a roster row cannot be read"),
        }
    }

    /// The contact.
    pub fn get(&self, jid: &BareJid) -> Option<&Contact> {
        self.contacts.get(jid)
    }

    /// All rows, hidden ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&BareJid, &Contact)> {
        self.contacts.iter()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }
}

/// Stores a contact and pushes what is visible of it to the interested resources (section 2.1.6).
pub fn put(cx: &mut Cx<'_>, jid: &BareJid, contact: Contact) {
    let useless = contact.hidden && contact.request.is_none() && !contact.approved && !contact.from;
    if useless {
        cx.entity.roster.contacts.remove(jid);
        cx.delete(COLLECTION, jid.as_str());
        return;
    }
    // Serialising a plain struct of strings and flags cannot fail.
    let value = serde_json::to_vec(&contact).unwrap_or_default();
    cx.put(COLLECTION, jid.as_str(), value);
    if !contact.hidden {
        push(cx, contact.to_item(jid));
    }
    cx.entity.roster.contacts.insert(jid.clone(), contact);
}

/// Removes a contact and pushes the removal (section 2.5).
pub fn remove(cx: &mut Cx<'_>, jid: &BareJid) -> Option<Contact> {
    let old = cx.entity.roster.contacts.remove(jid)?;
    cx.delete(COLLECTION, jid.as_str());
    let mut item = Element::bare("item", ns::ROSTER);
    set(&mut item, "jid", jid.as_str());
    set(&mut item, "subscription", "remove");
    push(cx, item);
    Some(old)
}

/// Whether one more row fits.
pub fn has_room(cx: &Cx<'_>, jid: &BareJid) -> bool {
    cx.entity.roster.get(jid).is_some() || cx.entity.roster.len() < cx.server.bounds.roster_size
}

/// A roster push: an IQ of type set to each interested resource.
fn push(cx: &mut Cx<'_>, item: Element) {
    let mut query = Element::bare("query", ns::ROSTER);
    query.append_child(item);
    let targets: Vec<_> = cx
        .entity
        .sessions
        .iter()
        .filter(|s| s.interested)
        .map(|s| (s.id, s.full.clone()))
        .collect();
    for (session, full) in targets {
        let iq = Stanza::iq("set", &crate::server::random_id())
            .to(full)
            .child(&query);
        cx.deliver(session, iq.to_bytes());
    }
}

/// Makes two accounts friends from this entity's side, without asking (invites, the sockets gateway).
pub fn befriend(cx: &mut Cx<'_>, jid: &BareJid, name: Option<String>, group: Option<String>) {
    let mut contact = cx.entity.roster.get(jid).cloned().unwrap_or_default();
    contact.to = true;
    contact.from = true;
    contact.ask = false;
    contact.request = None;
    contact.hidden = false;
    contact.name = contact.name.or(name);
    if contact.groups.is_empty() {
        contact.groups.extend(group);
    }
    put(cx, jid, contact);
}
