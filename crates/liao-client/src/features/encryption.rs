//! Messages that are encrypted for others: they are said to be so, never shown as nonsense (XEP-0380).

use liao_proto::ns;
use liao_proto::stanza::Stanza;

/// Methods by the namespace of what they send (section 3.2).
const METHODS: &[(&str, &str)] = &[
    ("urn:xmpp:otr:0", "OTR"),
    ("jabber:x:encrypted", "PGP"),
    ("urn:xmpp:openpgp:0", "OpenPGP"),
    ("eu.siacs.conversations.axolotl", "OMEMO"),
    ("urn:xmpp:omemo:1", "OMEMO"),
    ("urn:xmpp:omemo:2", "OMEMO"),
];

/// By what method a message is encrypted.
pub fn method(stanza: &Stanza) -> Option<String> {
    // Without words for others it carries keys, and nothing to read.
    if !stanza.has("body", ns::CLIENT) {
        return None;
    }
    let known = |ns: &str| {
        METHODS
            .iter()
            .find(|(n, _)| *n == ns)
            .map(|(_, name)| *name)
    };
    if let Some(told) = stanza.get("encryption", ns::EME) {
        let ns = told.attr("namespace").unwrap_or_default();
        let name = known(ns).or(told.attr("name")).unwrap_or(ns);
        return Some(name.chars().take(64).collect());
    }
    // Older programs do not tell it.
    let payload = stanza.children().iter();
    let mut payload = payload.filter(|c| matches!(c.name.as_str(), "encrypted" | "openpgp" | "x"));
    payload.find_map(|c| known(&c.ns)).map(str::to_owned)
}

/// The words in place of what cannot be read.
pub fn words(method: &str) -> String {
    format!("This message is encrypted with {method}, and liao cannot read it.")
}
