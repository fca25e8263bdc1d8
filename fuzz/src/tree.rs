//! An element as plain data, from each of the three readers.

use liao_proto::minidom::{Element, Node as DomNode};
use liao_proto::stream::{Event, Limits, Reader};
use liao_proto::xml::{Frame, escape};
use liao_proto::{ns, xml};

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Namespace and local name.
    pub name: (String, String),
    /// Namespace, local name and value; sorted.
    pub attrs: Vec<(String, String, String)>,
    /// Children and text.
    pub nodes: Vec<Node>,
}

/// What stands in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Tree(Tree),
    /// Text; never empty, never two in a row.
    Text(String),
}

impl Tree {
    /// Adds text to what is there.
    pub fn text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    /// The children that are elements.
    pub fn children(&self) -> impl Iterator<Item = &Tree> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Tree(tree) => Some(tree),
            Node::Text(_) => None,
        })
    }

    /// Whether it, or an element in it, has no namespace.
    pub fn has_nameless(&self) -> bool {
        self.name.0.is_empty() || self.children().any(Tree::has_nameless)
    }

    /// From minidom's tree.
    pub fn of_dom(element: &Element) -> Tree {
        let mut tree = Tree {
            name: (element.ns(), element.name().to_owned()),
            ..Tree::default()
        };
        for ((ns, name), value) in element.attrs().iter() {
            tree.attrs
                .push((ns.to_string(), name.to_string(), value.clone()));
        }
        tree.attrs.sort();
        for node in element.nodes() {
            match node {
                DomNode::Element(child) => tree.nodes.push(Node::Tree(Tree::of_dom(child))),
                DomNode::Text(text) => tree.text(text),
            }
        }
        tree
    }

    /// From our own reader alone: each child is read again as an element of its own, inside a stream that declares what
    /// the frame says its payload takes from outside.
    pub fn of_frame(frame: &Frame) -> Tree {
        let mut tree = Tree {
            name: (frame.ns().to_owned(), frame.name().to_owned()),
            ..Tree::default()
        };
        for attr in frame.attrs() {
            tree.attrs
                .push((attr.ns.to_string(), attr.name.clone(), attr.value.clone()));
        }
        tree.attrs.sort();
        let payload = frame.payload();
        let mut at = 0;
        for child in frame.children() {
            tree.text(&text(&payload[at..child.range.start]));
            let inner = child_frame(frame, &payload[child.range.clone()]);
            assert_eq!((inner.name(), inner.ns()), (&*child.name, &*child.ns));
            tree.nodes.push(Node::Tree(Tree::of_frame(&inner)));
            at = child.range.end;
        }
        tree.text(&text(&payload[at..]));
        tree
    }
}

/// Known difference: rxml refuses a carriage return in an attribute if no line feed follows; XML 1.0 section 2.11 makes
/// a line end of it.
pub fn has_lone_return(bytes: &[u8]) -> bool {
    let mut pairs = bytes.windows(2);
    bytes.last() == Some(&b'\r') || pairs.any(|p| p[0] == b'\r' && p[1] != b'\n')
}

const WIDE: Limits = Limits {
    element_bytes: usize::MAX,
    depth: usize::MAX,
};

fn text(bytes: &[u8]) -> String {
    let element = [b"<t>", bytes, b"</t>"].concat();
    let frame = Reader::single_in(&element, WIDE, ns::CLIENT).expect("text between children");
    frame.text()
}

fn child_frame(frame: &Frame, bytes: &[u8]) -> Frame {
    let mut header = format!("<outermost:stream xmlns:outermost='{}'", ns::STREAM);
    let mut declare = |name: &str, ns: &xml::Ns| {
        header.push_str(&format!(" {name}='{}'", escape(ns)));
    };
    match frame.outer_default() {
        // No child may rely on it, then.
        None => declare("xmlns", &"urn:nothing".into()),
        Some(ns) if ns.is_empty() => {}
        Some(ns) => declare("xmlns", ns),
    }
    for (prefix, ns) in frame.outer() {
        declare(&format!("xmlns:{prefix}"), ns);
    }
    header.push('>');
    let mut reader = Reader::new(WIDE);
    reader.push(header.as_bytes());
    reader.push(bytes);
    assert!(matches!(reader.next_event(), Ok(Some(Event::Open(_)))));
    match reader.next_event() {
        Ok(Some(Event::Element(frame))) => frame,
        other => panic!("a child by itself: {other:?}"),
    }
}
