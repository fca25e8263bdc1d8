//! Addresses (RFC 7622): what is read is written and read again as the same, by the whole and by its parts.

use liao_proto::address;
use liao_proto::jid::{BareJid, DomainPart, Jid, NodePart, ResourcePart};
use liao_proto::stanza::{Kind, Stanza};

/// RFC 7622 sections 3.2 to 3.4.
const PART_BYTES: usize = 1023;

/// The input is the address.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let whole = address::parse(text).ok();
    assert_eq!(whole.as_ref().map(Jid::as_str), by_parts(text).as_deref());
    let Some(jid) = whole else { return };
    assert_eq!(
        address::parse(jid.as_str()).as_ref(),
        Ok(&jid),
        "not stable"
    );
    let sizes = [
        jid.node().map_or(1, |p| p.as_str().len()),
        jid.domain().as_str().len(),
        jid.resource().map_or(1, |p| p.as_str().len()),
    ];
    assert!(sizes.iter().all(|n| (1..=PART_BYTES).contains(n)));
    let bare = jid.to_bare();
    assert_eq!(BareJid::new(bare.as_str()).as_ref(), Ok(&bare));
    let again = Jid::from_parts(jid.node(), jid.domain(), jid.resource());
    assert_eq!(again, jid);
    // Through a start tag.
    let stanza = Stanza::new(Kind::Message).to(jid.clone()).from(jid.clone());
    let read = Stanza::parse_bytes(&stanza.to_bytes()).expect("a stanza that we wrote");
    assert_eq!((read.to, read.from), (Some(jid.clone()), Some(jid)));
}

/// RFC 7622 section 3.2 read literally: the resource begins at the first slash, the local part ends at the first `@`.
fn by_parts(text: &str) -> Option<String> {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(ResourcePart::new(resource).ok()?)),
        None => (text, None),
    };
    let (node, domain) = match bare.split_once('@') {
        Some((node, domain)) => (Some(NodePart::new(node).ok()?), domain),
        None => (None, bare),
    };
    let domain = DomainPart::new(domain).ok()?;
    let mut out = String::new();
    if let Some(node) = node {
        out.push_str(node.as_str());
        out.push('@');
    }
    out.push_str(domain.as_str());
    if let Some(resource) = resource {
        out.push('/');
        out.push_str(resource.as_str());
    }
    Some(out)
}
