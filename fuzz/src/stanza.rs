//! A stanza as start tag and edits against the tree of the same bytes: forwarding changes nothing in a payload, and an
//! edit leaves out and adds exactly what it says.

use super::tree::{Tree, has_lone_return};
use liao_proto::ns;
use liao_proto::stanza::{Edit, Stanza};
use liao_proto::stream::{Event, Limits, Reader};
use liao_proto::xml::parse_dom;

/// Within what minidom's parser takes in one token.
const LIMITS: Limits = Limits {
    element_bytes: 1024,
    depth: 24,
};

/// How a stream may declare its namespaces.
const HEADERS: [&str; 3] = [
    "xmlns='jabber:client' xmlns:x='urn:x'",
    "xmlns='urn:d' xmlns:c='jabber:client' xmlns:x='urn:x'",
    "xmlns:c='jabber:client'",
];

/// The first byte chooses the header, the second which children are dropped; then come stanzas.
pub fn check(data: &[u8]) {
    let [header, mask, stanzas @ ..] = data else {
        return;
    };
    let header = HEADERS[usize::from(*header) % HEADERS.len()];
    let mut reader = Reader::new(LIMITS);
    reader.push(format!("<s:stream xmlns:s='{}' {header}>", ns::STREAM).as_bytes());
    reader.push(stanzas);
    while let Ok(Some(event)) = reader.next_event() {
        if let Event::Element(frame) = event {
            let tree = Tree::of_frame(&frame);
            // Known differences: minidom takes no element without a namespace, and stands on rxml.
            if tree.has_nameless() || has_lone_return(frame.bytes()) {
                continue;
            }
            let dom = frame.to_dom().expect("minidom reads what we accept");
            assert_eq!(Tree::of_dom(&dom), tree);
            if let Ok(stanza) = Stanza::from_frame(frame) {
                one(&stanza, &tree, *mask);
            }
        }
    }
}

fn one(stanza: &Stanza, tree: &Tree, mask: u8) {
    let children: Vec<&Tree> = tree.children().collect();
    assert_eq!(stanza.children().len(), children.len());
    for (child, tree) in stanza.children().iter().zip(&children) {
        let dom = stanza.parse(child).expect("minidom reads a child");
        assert_eq!(&&Tree::of_dom(&dom), tree);
        assert_eq!((&*child.ns, &*child.name), (&*tree.name.0, &*tree.name.1));
    }
    let bytes = stanza.to_bytes();
    let again = Stanza::parse_bytes(&bytes).expect("a stanza that we wrote");
    assert_eq!(again.to_bytes(), bytes, "written twice");
    same(&again, stanza);

    let is_dropped = |n: usize| mask >> (n % 7) & 1 == 1;
    let mut edit = Edit::default();
    for (n, child) in stanza.children().iter().enumerate() {
        if is_dropped(n) {
            edit.drop.push(child.range.clone());
        }
    }
    let added = "<added xmlns='urn:added'>&lt;</added>";
    edit.append.push(added.as_bytes().to_vec().into());
    let edited = stanza.edited(&edit).expect("an edited stanza");
    same(&edited, stanza);
    let read = edited.to_bytes();
    let default = [(String::new(), ns::CLIENT.into())];
    let dom = parse_dom(&read, default.iter()).expect("minidom reads an edited stanza");
    let edited = Tree::of_dom(&dom);
    let kept = children.iter().enumerate().filter(|(n, _)| !is_dropped(*n));
    let kept: Vec<&Tree> = kept.map(|(_, tree)| *tree).collect();
    let found: Vec<&Tree> = edited.children().collect();
    assert_eq!(found.len(), kept.len() + 1);
    assert_eq!(found[..kept.len()], kept);
    assert_eq!(found[kept.len()].name.1, "added");
}

fn same(a: &Stanza, b: &Stanza) {
    assert_eq!(
        (a.kind, &a.id, &a.type_, &a.lang, &a.to, &a.from),
        (b.kind, &b.id, &b.type_, &b.lang, &b.to, &b.from)
    );
}
