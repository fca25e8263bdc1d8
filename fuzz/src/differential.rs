//! Our stream reader against rxml, which minidom is built on: what both accept is the same, and what one refuses the
//! other refuses, but for the differences that [`check`] names.

use super::tree::{Node, Tree, has_lone_return};
use liao_proto::stream::{Event, Limits, Reader, StreamError};
use liao_proto::xml::XmlError;
use rxml::Parse;
use rxml::error::EndOrError;

/// Small, so that short inputs reach them, and below rxml's own bound on a token.
const LIMITS: Limits = Limits {
    element_bytes: 1024,
    depth: 24,
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x'>";

/// The input follows a stream header.
///
/// Known differences, all on purpose. We refuse and rxml does not: text between stanzas (`bad-format`), what passes a
/// bound (`policy-violation`), and what RFC 6120 section 11.1 forbids (`restricted-xml`). rxml reads a token's bytes as
/// they come, we read a tag when it has ended: it may see a fault while we still wait. And see [`has_lone_return`].
pub fn check(data: &[u8]) {
    let (ours, our_end) = ours(data);
    let (theirs, their_end) = theirs(data);
    for (a, b) in ours.iter().zip(&theirs) {
        assert_eq!(a, b);
    }
    if has_lone_return(data) {
        return;
    }
    match our_end {
        Some(
            StreamError::BadFormat(_)
            | StreamError::Xml(XmlError::Limit(_) | XmlError::Restricted(_)),
        ) => {}
        Some(error) => assert!(
            theirs.len() <= ours.len() && (their_end.is_some() || is_waiting(data)),
            "we refuse ({error}), rxml does not"
        ),
        None => assert!(theirs.len() <= ours.len(), "rxml has read more"),
    }
    if let Some(error) = their_end {
        assert!(
            ours.len() <= theirs.len(),
            "rxml refuses ({error}), we do not"
        );
    }
}

/// Whether rxml could still be inside of a token at the end of the input.
fn is_waiting(data: &[u8]) -> bool {
    theirs(&[data, b"'>\"></>]]></"].concat()).1.is_some()
}

fn ours(data: &[u8]) -> (Vec<Tree>, Option<StreamError>) {
    let mut reader = Reader::new(LIMITS);
    reader.push(HEADER.as_bytes());
    reader.push(data);
    let mut trees = Vec::new();
    loop {
        match reader.next_event() {
            Ok(Some(Event::Element(frame))) => trees.push(Tree::of_frame(&frame)),
            Ok(Some(Event::Open(_))) => {}
            Ok(Some(Event::Close) | None) => return (trees, None),
            Err(error) => return (trees, Some(error)),
        }
    }
}

fn theirs(data: &[u8]) -> (Vec<Tree>, Option<rxml::Error>) {
    let bytes = [HEADER.as_bytes(), data].concat();
    let mut rest = &bytes[..];
    let mut parser = rxml::Parser::new();
    let mut open: Vec<Tree> = Vec::new();
    let mut trees = Vec::new();
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(rxml::Event::StartElement(_, (ns, name), attrs))) => {
                let mut tree = Tree {
                    name: (ns.to_string(), name.to_string()),
                    ..Tree::default()
                };
                for ((ns, name), value) in attrs.iter() {
                    tree.attrs
                        .push((ns.to_string(), name.to_string(), value.clone()));
                }
                tree.attrs.sort();
                open.push(tree);
            }
            Ok(Some(rxml::Event::EndElement(_))) => {
                let done = open.pop().expect("rxml ends what it began");
                match open.len() {
                    0 => return (trees, None),
                    1 => trees.push(done),
                    n => open[n - 1].nodes.push(Node::Tree(done)),
                }
            }
            Ok(Some(rxml::Event::Text(_, text))) => {
                if let Some(tree) = open.last_mut() {
                    tree.text(&text);
                }
            }
            Ok(Some(rxml::Event::XmlDeclaration(..))) => {}
            Ok(None) | Err(EndOrError::NeedMoreData) => return (trees, None),
            Err(EndOrError::Error(error)) => return (trees, Some(error)),
        }
    }
}
