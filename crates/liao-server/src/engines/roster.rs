//! The contact list and the subscription states of one account (RFC 6121 sections 2, 3 and appendix A), with its
//! versions (section 2.6): each change that is pushed has a number greater than all before it, and a contact that was
//! removed leaves a row that says when.

use crate::hooks::Cx;
use crate::limits;
use crate::server::now_ms;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::{minidom::rxml, ns, stanza::Stanza, xml::escape};
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
    /// Not in the visible roster: only a request or a pre-approval keeps the row, or that it was there once.
    pub hidden: bool,
    /// The version at which what is visible of it changed last (section 2.6); 0: it was never visible.
    pub ver: u64,
}

/// The row without a contact.
#[derive(Default, Serialize, Deserialize)]
struct Begun {
    /// Versions below this one are not known any more.
    floor: u64,
}

impl Contact {
    /// Nothing is left of it but that it was removed.
    fn is_removed(&self) -> bool {
        self.hidden && self.request.is_none() && !self.approved && !self.from
    }

    /// Bytes that it takes in a roster result, about, and what is kept for it beside.
    pub fn weight(&self, jid: &BareJid) -> usize {
        /// `<item jid='' name='' subscription='both' ask='subscribe' approved='true'></item>`.
        const ITEM: usize = 84;
        /// `<group></group>`.
        const GROUP: usize = 15;
        let groups = self.groups.iter().map(|g| GROUP + escape(g).len());
        let name = self.name.as_deref().map_or(0, |n| escape(n).len());
        let request = self.request.as_ref().map_or(0, String::len);
        ITEM + jid.as_str().len() + name + groups.sum::<usize>() + request
    }

    /// `subscription` (section 2.1.2.5).
    pub fn subscription(&self) -> &'static str {
        match (self.to, self.from) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }

    /// The `<item/>` (section 2.1.2); of one that is not visible, its removal.
    pub fn to_item(&self, jid: &BareJid) -> Element {
        let mut item = Element::bare("item", ns::ROSTER);
        set(&mut item, "jid", jid.as_str());
        if self.hidden {
            set(&mut item, "subscription", "remove");
            return item;
        }
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
    /// The version of the whole: that of the last change.
    ver: u64,
    floor: u64,
    /// What all of it weighs.
    bytes: usize,
}

impl Roster {
    fn insert(&mut self, jid: BareJid, contact: Contact) {
        self.forget(&jid);
        self.bytes += contact.weight(&jid);
        self.contacts.insert(jid, contact);
    }

    fn forget(&mut self, jid: &BareJid) {
        if let Some(old) = self.contacts.remove(jid) {
            self.bytes -= old.weight(jid);
        }
    }

    /// Reads a stored row; a row that cannot be read is reported and left alone.
    pub fn load(&mut self, key: &str, value: &[u8]) {
        if key.is_empty() {
            let begun: Begun = serde_json::from_slice(value).unwrap_or_default();
            self.floor = begun.floor;
            self.ver = self.ver.max(begun.floor);
            return;
        }
        match (BareJid::new(key), serde_json::from_slice::<Contact>(value)) {
            (Ok(jid), Ok(contact)) => {
                self.ver = self.ver.max(contact.ver);
                self.insert(jid, contact);
            }
            _ => tracing::error!(contact = key, "a roster row cannot be read"),
        }
    }

    /// The contact.
    pub fn get(&self, jid: &BareJid) -> Option<&Contact> {
        self.contacts.get(jid).filter(|c| !c.is_removed())
    }

    /// All rows, hidden ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&BareJid, &Contact)> {
        self.contacts.iter().filter(|(_, c)| !c.is_removed())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version of the whole (section 2.6.1).
    pub fn ver(&self) -> u64 {
        self.ver
    }

    /// What changed after a version, in order (section 2.6.3). `None`: that is not known, or the whole list is
    /// shorter.
    pub fn since(&self, ver: u64) -> Option<Vec<(&BareJid, &Contact)>> {
        if ver < self.floor || ver > self.ver {
            return None;
        }
        let mut changed: Vec<_> = self.contacts.iter().filter(|(_, c)| c.ver > ver).collect();
        changed.sort_by_key(|(_, c)| c.ver);
        let visible = self.contacts.values().filter(|c| !c.hidden).count();
        (changed.is_empty() || changed.len() < visible).then_some(changed)
    }
}

/// Stores a contact and pushes what is visible of it to the interested resources (section 2.1.6).
pub fn put(cx: &mut Cx<'_>, jid: &BareJid, mut contact: Contact) {
    let was = cx.entity.roster.contacts.get(jid);
    let was_visible = was.is_some_and(|c| !c.hidden);
    contact.ver = was.map_or(0, |c| c.ver);
    if was_visible || !contact.hidden {
        contact.ver = next_version(cx);
        push(cx, &[contact.to_item(jid)], contact.ver);
    }
    if contact.is_removed() && contact.ver == 0 {
        cx.entity.roster.forget(jid);
        return cx.delete(COLLECTION, jid.as_str());
    }
    // Serialising a plain struct of strings and flags cannot fail.
    let value = serde_json::to_vec(&contact).unwrap_or_default();
    cx.put(COLLECTION, jid.as_str(), value);
    cx.entity.roster.insert(jid.clone(), contact);
    forget_removed(cx);
}

/// Removes a contact and pushes the removal (section 2.5).
pub fn remove(cx: &mut Cx<'_>, jid: &BareJid) -> Option<Contact> {
    let old = cx.entity.roster.get(jid).cloned()?;
    let gone = Contact {
        hidden: true,
        ..Contact::default()
    };
    put(cx, jid, gone);
    Some(old)
}

/// The number of the next change. Time is in it, so that an account that is made again begins above the one before.
fn next_version(cx: &mut Cx<'_>) -> u64 {
    let now = u64::try_from(now_ms()).unwrap_or(0);
    let next = now.max(cx.entity.roster.ver + 1);
    if cx.entity.roster.ver == 0 {
        set_floor(cx, next);
    }
    cx.entity.roster.ver = next;
    next
}

fn set_floor(cx: &mut Cx<'_>, floor: u64) {
    cx.entity.roster.floor = floor;
    let value = serde_json::to_vec(&Begun { floor }).unwrap_or_default();
    cx.put(COLLECTION, "", value);
}

/// Drops the oldest of the removed contacts when there are too many.
fn forget_removed(cx: &mut Cx<'_>) {
    let rows = cx.entity.roster.contacts.iter();
    let removed: Vec<_> = rows.filter(|(_, c)| c.is_removed()).collect();
    if removed.len() <= limits::ROSTER_REMOVED {
        return;
    }
    let oldest = removed.into_iter().min_by_key(|(_, c)| c.ver);
    let Some((jid, ver)) = oldest.map(|(j, c)| (j.clone(), c.ver)) else {
        return;
    };
    cx.entity.roster.forget(&jid);
    cx.delete(COLLECTION, jid.as_str());
    set_floor(cx, ver);
}

/// Whether this row fits, in place of the one that is there: not too many, and a list that can be given whole.
pub fn has_room(cx: &Cx<'_>, jid: &BareJid, new: &Contact) -> bool {
    let roster = &cx.entity.roster;
    let old = roster.get(jid);
    let more = new
        .weight(jid)
        .saturating_sub(old.map_or(0, |c| c.weight(jid)));
    // It is given in one stanza, beside which others wait.
    let fits = more == 0 || roster.bytes + more <= cx.server.bounds.mailbox_bytes / 2;
    match old {
        Some(_) => fits,
        None => roster.len() < cx.server.bounds.roster_size && fits,
    }
}

/// A roster push's `<query/>` (sections 2.1.6 and 2.6.3).
pub fn query(items: &[Element], ver: u64) -> Element {
    let mut query = Element::bare("query", ns::ROSTER);
    set(&mut query, "ver", &ver.to_string());
    for item in items {
        query.append_child(item.clone());
    }
    query
}

/// A roster push: an IQ of type set to each interested resource.
fn push(cx: &mut Cx<'_>, items: &[Element], ver: u64) {
    let query = query(items, ver);
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
