//! What is archived, and for whom (XEP-0313 section 6.1, XEP-0334, XEP-0359, XEP-0441).

use crate::entity::State;
use crate::hooks::Cx;
use liao_proto::jid::Jid;
use liao_proto::ns;
use liao_proto::stanza::{Edit, Stanza};
use liao_proto::xml::Child;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The store's collection of preferences; its one key is [`KEY`].
pub const COLLECTION: &str = "archiving";
/// The key of the preferences.
pub const KEY: &str = "prefs";

/// Whose messages are archived by default (XEP-0441 section 2.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Default_ {
    /// Everybody's.
    #[default]
    Always,
    /// Nobody's.
    Never,
    /// Those of contacts.
    Roster,
}

impl Default_ {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Default_::Always => "always",
            Default_::Never => "never",
            Default_::Roster => "roster",
        }
    }

    /// The meaning of a word on the wire.
    pub fn parse(word: &str) -> Option<Default_> {
        [Default_::Always, Default_::Never, Default_::Roster]
            .into_iter()
            .find(|d| d.word() == word)
    }
}

/// What an account wants to have archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefs {
    /// For those in neither list.
    pub default: Default_,
    /// These are archived.
    pub always: Vec<Jid>,
    /// These are not.
    pub never: Vec<Jid>,
}

/// The preferences of an account.
pub fn prefs(state: &State) -> Prefs {
    let row = state.rows(COLLECTION).get(KEY);
    row.and_then(|v| serde_json::from_slice(v).ok())
        .unwrap_or_default()
}

/// Whether an account wants messages to or from this address in its archive (XEP-0441 section 2.3).
pub fn wants(state: &State, peer: &Jid) -> bool {
    if state.rows(COLLECTION).is_empty() {
        return true;
    }
    let prefs = prefs(state);
    let bare = peer.to_bare();
    let listed = |list: &[Jid]| {
        let is = |j: &Jid| {
            if j.is_full() {
                j == peer
            } else {
                j.as_str() == bare.as_str()
            }
        };
        list.iter().any(is)
    };
    if listed(&prefs.never) {
        return false;
    }
    listed(&prefs.always)
        || match prefs.default {
            Default_::Always => true,
            Default_::Never => false,
            Default_::Roster => state.roster.get(&bare).is_some_and(|c| !c.hidden),
        }
}

/// Whether a message is kept until it is delivered, and archived (XEP-0160 section 3, XEP-0313 section 6.1.1; XEP-0334
/// section 4 can refuse or ask).
pub fn is_kept(stanza: &Stanza) -> bool {
    let type_ = stanza.type_str();
    if matches!(type_, "error" | "groupchat") || stanza.has("no-store", ns::HINTS) {
        return false;
    }
    if stanza.has("store", ns::HINTS) {
        return true;
    }
    let content = |name: &str, ns: &str| match ns {
        ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID | ns::DELAY => false,
        ns::CLIENT => name == "body" || (name == "subject" && type_ == "normal"),
        _ => true,
    };
    matches!(type_, "normal" | "chat") && stanza.children().iter().any(|c| content(&c.name, &c.ns))
}

/// Whether a message is to be in no archive (XEP-0334 section 4.1).
pub fn is_passing(stanza: &Stanza) -> bool {
    stanza.has("no-permanent-store", ns::HINTS)
}

/// The key by which a message that is sent again is known: sender, recipient, origin-id, payload.
pub fn dedup(stanza: &Stanza) -> Option<[u8; 16]> {
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

/// Removes what only we may say: ids by this account or by an address of ours (XEP-0359 section 4, rule 2), and since
/// when we kept it.
pub fn strip(cx: &Cx<'_>, stanza: &mut Stanza) {
    let suspicious = |ns: &str| ns == ns::STANZA_ID || ns == ns::DELAY;
    if !stanza.children().iter().any(|c| suspicious(&c.ns)) {
        return;
    }
    let own = cx.origin.session != 0;
    let false_claim = |child: &Child| {
        let is_id = (child.name.as_str(), child.ns.as_ref()) == ("stanza-id", ns::STANZA_ID);
        let attr = if is_id { "by" } else { "from" };
        let Some(jid) = stanza
            .parse(child)
            .and_then(|e| Jid::new(e.attr(attr)?).ok())
        else {
            return false;
        };
        let domain = jid.domain().as_str();
        let server = domain == cx.server.domain.as_str() || cx.server.is_service(domain);
        // A client may say how long it kept a message itself (XEP-0203 section 4); only for the server it may not.
        if is_id {
            jid.to_bare() == cx.entity.bare || (own && server)
        } else {
            child.name == "delay" && server && jid.node().is_none()
        }
    };
    let drop: Vec<_> = stanza
        .children()
        .iter()
        .filter(|c| suspicious(&c.ns) && false_claim(c))
        .map(|c| c.range.clone())
        .collect();
    if drop.is_empty() {
        return;
    }
    let edit = Edit {
        drop,
        ..Edit::default()
    };
    if let Some(edited) = stanza.edited(&edit) {
        *stanza = edited;
    }
}
