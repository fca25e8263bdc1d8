//! A stanza that crosses from one kind of stream to another: its content namespace changes, and with it that of the
//! elements which stand in it (RFC 6120 section 4.8.3). What an extension wraps, such as a forwarded message, stays.

use super::{Stanza, StanzaError};
use crate::ns;
use crate::xml::{Binding, Frame, parse_dom, write_dom};
use bytes::Bytes;
use minidom::{Element, Node};
use std::borrow::Cow;

impl Stanza {
    /// [`Stanza::from_frame`] of a stream whose content namespace is `content`.
    pub fn from_frame_in(frame: Frame, content: &'static str) -> Result<Stanza, StanzaError> {
        let mut stanza = Stanza::of_content(frame, content)?;
        if content == ns::CLIENT {
            return Ok(stanza);
        }
        if stanza.names(content) {
            stanza.convert(content, ns::CLIENT);
        } else {
            // Elements without a namespace of their own take that of the stream into which they are written.
            for child in stanza.children.iter_mut().filter(|c| c.ns == content) {
                child.ns = Cow::Borrowed(ns::CLIENT);
            }
        }
        Ok(stanza)
    }

    /// The stanza's bytes for a stream whose content namespace is `content`.
    pub fn to_bytes_in(&self, content: &'static str) -> Bytes {
        if content == ns::CLIENT || !self.names(ns::CLIENT) {
            return self.to_bytes();
        }
        let mut other = self.clone();
        other.convert(ns::CLIENT, content);
        other.to_bytes()
    }

    /// Whether the payload may name this namespace itself; a text that has the same letters does no harm.
    fn names(&self, content: &str) -> bool {
        memchr::memmem::find(&self.payload, content.as_bytes()).is_some()
            || self.outer.iter().any(|(_, ns)| ns == content)
    }

    fn convert(&mut self, from: &'static str, to: &'static str) {
        let mut out = Stanza::new(self.kind);
        let default: Binding = (String::new(), Cow::Borrowed(from));
        for child in &self.children {
            let scope = self.outer.iter().chain(std::iter::once(&default));
            if let Some(element) = parse_dom(self.child_bytes(child), scope) {
                let element = moved(&element, from, to);
                out.append(element.name(), element.ns().into(), &write_dom(&element));
            }
        }
        self.payload = out.payload;
        self.children = out.children;
        self.outer.clear();
    }
}

/// An element and what of it shares its namespace, in another one.
pub(crate) fn moved(element: &Element, from: &str, to: &str) -> Element {
    if element.ns() != from {
        return element.clone();
    }
    let mut out = Element::bare(element.name(), to);
    out.attrs_mut().clone_from(element.attrs());
    for node in element.nodes() {
        match node {
            Node::Element(child) => drop(out.append_child(moved(child, from, to))),
            Node::Text(text) => out.append_text_node(text.clone()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Event, Limits, Reader};

    const C: &str = ns::COMPONENT;

    fn stanza(header: &str, bytes: &str) -> Stanza {
        let mut reader = Reader::new(Limits::default());
        reader.push(format!("<s:stream xmlns:s='{}' {header}>", ns::STREAM).as_bytes());
        reader.push(bytes.as_bytes());
        reader.next_event().unwrap();
        match reader.next_event().unwrap() {
            Some(Event::Element(frame)) => Stanza::from_frame_in(frame, C).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_inherits_the_content_namespace_is_copied_as_it_stands() {
        let plain = format!("xmlns='{C}' xmlns:a='urn:a'");
        let s = stanza(
            &plain,
            "<message to='x@y'><body>hi  你</body><a:z/></message>",
        );
        assert_eq!(s.text_of("body", ns::CLIENT).as_deref(), Some("hi  你"));
        let out = "<message xmlns:a='urn:a' to='x@y'><body>hi  你</body><a:z/></message>";
        assert_eq!(text(&s.to_bytes()), out);
        assert_eq!(text(&s.to_bytes_in(C)), out);
    }

    #[test]
    fn what_names_it_is_moved_and_what_an_extension_wraps_is_not() {
        let wrapped = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>in</body></message></forwarded>";
        for (header, body) in [
            (
                format!("xmlns='{C}'"),
                format!("<message><body xmlns='{C}' a='1'>o&amp;ut</body>{wrapped}</message>"),
            ),
            (
                format!("xmlns='urn:x' xmlns:c='{C}'"),
                format!("<c:message><c:body a='1'>o&amp;ut</c:body>{wrapped}</c:message>"),
            ),
        ] {
            let s = stanza(&header, &body);
            assert_eq!(
                s.text_of("body", ns::CLIENT).as_deref(),
                Some("o&ut"),
                "{body}"
            );
            assert!(
                !text(&s.to_bytes()).contains(&format!("xmlns='{C}'")),
                "{}",
                text(&s.to_bytes())
            );
            let inner = s.get("forwarded", "urn:xmpp:forward:0").unwrap();
            assert!(inner.has_child("message", ns::CLIENT));
            let back = text(&s.to_bytes_in(C));
            assert!(
                back.contains("jabber:client") && back.contains("a="),
                "{back}"
            );
            let again = stanza(&format!("xmlns='{C}'"), &back);
            assert_eq!(again.text_of("body", ns::CLIENT).as_deref(), Some("o&ut"));
        }
    }

    #[test]
    fn errors_of_ours_reach_a_component_in_its_namespace() {
        let s = stanza(
            &format!("xmlns='{C}'"),
            "<iq type='get' id='1' to='a@b' from='c'><q xmlns='u'/></iq>",
        );
        let error = s.error(&crate::stanza::ErrorKind::BAD_REQUEST);
        let bytes = text(&error.to_bytes_in(C));
        assert!(
            bytes.contains(&format!("<error xmlns='{C}'"))
                || bytes.contains(&format!("<error xmlns=\"{C}\"")),
            "{bytes}"
        );
    }
}
