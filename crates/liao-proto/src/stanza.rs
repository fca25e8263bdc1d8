//! A stanza as start tag + payload + edits (RFC 6120 section 8).
//!
//! Forwarding writes a new start tag and copies the payload; no tree is built on that path. What an
//! entity adds or takes away is an [`Edit`].

mod content;

pub(crate) use content::moved;

use crate::ns;
use crate::xml::{Binding, Child, Frame, Ns, escape_value_into, parse_dom, write_dom};
use bytes::Bytes;
use jid::Jid;
use minidom::Element;
use std::borrow::Cow;
use std::ops::Range;

/// The three kinds (RFC 6120 section 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`.
    Message,
    /// `<presence/>`.
    Presence,
    /// `<iq/>`.
    Iq,
}

impl Kind {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
        }
    }
}

/// Why a first-level element is no acceptable stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// Not message, presence or iq in the content namespace (stream error `unsupported-stanza-type`).
    #[error("<{0}/> is no stanza")]
    Unsupported(String),
    /// `to` or `from` is no address (stanza error `jid-malformed`).
    #[error("{0:?} is not an address")]
    Jid(String),
}

/// A stanza.
#[derive(Debug, Clone)]
pub struct Stanza {
    /// Message, presence or iq.
    pub kind: Kind,
    /// `id`.
    pub id: Option<String>,
    /// `type`, as written.
    pub type_: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// `to`.
    pub to: Option<Jid>,
    /// `from`.
    pub from: Option<Jid>,
    payload: Bytes,
    children: Vec<Child>,
    outer: Vec<Binding>,
}

/// What an entity changes in a payload on the way out.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Ranges of the payload (of whole children) to leave out, in order.
    pub drop: Vec<Range<usize>>,
    /// Whole elements to append.
    pub append: Vec<Bytes>,
}

impl Stanza {
    /// Takes a checked element as a stanza of the content namespace `jabber:client`.
    pub fn from_frame(frame: Frame) -> Result<Stanza, StanzaError> {
        Stanza::of_content(frame, ns::CLIENT)
    }

    fn of_content(frame: Frame, content: &'static str) -> Result<Stanza, StanzaError> {
        let kind = match frame.name() {
            "message" if frame.ns() == content => Kind::Message,
            "presence" if frame.ns() == content => Kind::Presence,
            "iq" if frame.ns() == content => Kind::Iq,
            other => return Err(StanzaError::Unsupported(other.to_owned())),
        };
        let lang = frame.lang().map(str::to_owned);
        let (attrs, children, payload, outer, outer_default) = frame.into_parts();
        let mut stanza = Stanza {
            lang,
            payload,
            children,
            outer,
            ..Stanza::new(kind)
        };
        for attr in attrs.into_iter().filter(|a| a.ns.is_empty()) {
            match attr.name.as_str() {
                "id" => stanza.id = Some(attr.value),
                "type" => stanza.type_ = Some(attr.value),
                "to" => stanza.to = Some(address(&attr.value)?),
                "from" => stanza.from = Some(address(&attr.value)?),
                _ => {}
            }
        }
        let foreign = outer_default.filter(|n| n != content);
        if foreign.is_some() || stanza.has_prefixed(content) {
            let default = foreign.unwrap_or(Cow::Borrowed(content));
            stanza.rewrite(&(String::new(), default));
        }
        Ok(stanza)
    }

    /// Whether a child in the content namespace has a prefix, which nobody may be sent (RFC 6120 section 4.8.5).
    fn has_prefixed(&self, content: &str) -> bool {
        self.children.iter().filter(|c| c.ns == content).any(|c| {
            let tag = self.child_bytes(c).iter().skip(1);
            let mut name =
                tag.take_while(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>'));
            name.any(|b| *b == b':')
        })
    }

    /// An empty stanza.
    pub fn new(kind: Kind) -> Stanza {
        Stanza {
            kind,
            id: None,
            type_: None,
            lang: None,
            to: None,
            from: None,
            payload: Bytes::new(),
            children: Vec::new(),
            outer: Vec::new(),
        }
    }

    /// A message of a type.
    pub fn message(type_: &str) -> Stanza {
        Stanza::new(Kind::Message).typed(type_)
    }

    /// A presence; `""` for availability.
    pub fn presence(type_: &str) -> Stanza {
        Stanza::new(Kind::Presence).typed(type_)
    }

    /// An iq of a type with an id.
    pub fn iq(type_: &str, id: &str) -> Stanza {
        Stanza {
            id: Some(id.to_owned()),
            ..Stanza::new(Kind::Iq).typed(type_)
        }
    }

    fn typed(mut self, type_: &str) -> Stanza {
        self.type_ = (!type_.is_empty()).then(|| type_.to_owned());
        self
    }

    /// Sets `to`.
    pub fn to(mut self, to: impl Into<Jid>) -> Stanza {
        self.to = Some(to.into());
        self
    }

    /// Sets `from`.
    pub fn from(mut self, from: impl Into<Jid>) -> Stanza {
        self.from = Some(from.into());
        self
    }

    /// Sets `id`.
    pub fn id(mut self, id: Option<&str>) -> Stanza {
        self.id = id.map(str::to_owned);
        self
    }

    /// Says its language, if it does not yet (RFC 6120 section 8.1.5).
    pub fn in_language(mut self, lang: Option<&str>) -> Stanza {
        if self.lang.is_none() {
            self.lang = lang.map(str::to_owned);
        }
        self
    }

    /// Appends a child.
    pub fn child(mut self, element: &Element) -> Stanza {
        self.append(element.name(), element.ns().into(), &write_dom(element));
        self
    }

    /// Appends a child given as a string that is one element with its own `xmlns`.
    pub fn raw_child(mut self, name: &str, ns: &'static str, xml: &str) -> Stanza {
        self.append(name, Cow::Borrowed(ns), xml.as_bytes());
        self
    }

    fn append(&mut self, name: &str, ns: Ns, bytes: &[u8]) {
        let mut all = Vec::with_capacity(self.payload.len() + bytes.len());
        all.extend_from_slice(&self.payload);
        let start = all.len();
        all.extend_from_slice(bytes);
        self.children.push(Child {
            name: name.to_owned(),
            ns,
            range: start..all.len(),
        });
        self.payload = Bytes::from(all);
    }

    /// The `type`, or the default of the kind (`normal` for messages, `""` for presence).
    pub fn type_str(&self) -> &str {
        match (&self.type_, self.kind) {
            (Some(t), Kind::Message)
                if !matches!(t.as_str(), "chat" | "error" | "groupchat" | "headline") =>
            {
                "normal"
            }
            (Some(t), _) => t,
            (None, Kind::Message) => "normal",
            (None, _) => "",
        }
    }

    /// Whether it is an error stanza, or an IQ answer: never answered by an error (RFC 6120 section 8.3.1).
    pub fn is_answer(&self) -> bool {
        matches!(self.type_.as_deref(), Some("error"))
            || (self.kind == Kind::Iq && self.type_.as_deref() == Some("result"))
    }

    /// Direct children.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The payload's bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Whether it has a child of this name and namespace.
    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.children.iter().any(|c| c.name == name && c.ns == ns)
    }

    /// The bytes of a child as they stand.
    pub fn child_bytes(&self, child: &Child) -> &[u8] {
        &self.payload[child.range.clone()]
    }

    /// Parses one child into a tree.
    pub fn parse(&self, child: &Child) -> Option<Element> {
        let client: Binding = (String::new(), Cow::Borrowed(ns::CLIENT));
        parse_dom(
            self.child_bytes(child),
            self.outer.iter().chain(std::iter::once(&client)),
        )
    }

    /// Parses the child of this name and namespace.
    pub fn get(&self, name: &str, ns: &str) -> Option<Element> {
        self.children
            .iter()
            .find(|c| c.name == name && c.ns == ns)
            .and_then(|c| self.parse(c))
    }

    /// The text of a child.
    pub fn text_of(&self, name: &str, ns: &str) -> Option<String> {
        self.get(name, ns).map(|e| e.text())
    }

    /// A payload that relies on a foreign default namespace is written anew with its own declarations.
    fn rewrite(&mut self, default: &Binding) {
        let mut out = Stanza::new(self.kind);
        for child in &self.children {
            let bytes = &self.payload[child.range.clone()];
            if let Some(element) =
                parse_dom(bytes, self.outer.iter().chain(std::iter::once(default)))
            {
                out.append(element.name(), element.ns().into(), &write_dom(&element));
            }
        }
        self.payload = out.payload;
        self.children = out.children;
        self.outer.clear();
    }

    /// Writes the stanza, with an edit, for an explicit recipient (`None`: its own `to`).
    pub fn write_edited(&self, to: Option<&str>, edit: &Edit, out: &mut Vec<u8>) {
        let name = self.kind.name().as_bytes();
        out.reserve(self.payload.len() + 192);
        out.push(b'<');
        out.extend_from_slice(name);
        for (prefix, ns) in &self.outer {
            out.extend_from_slice(b" xmlns:");
            out.extend_from_slice(prefix.as_bytes());
            value(out, ns);
        }
        let mut attr = |name: &[u8], text: &str| {
            out.push(b' ');
            out.extend_from_slice(name);
            value(out, text);
        };
        if let Some(to) = to.or(self.to.as_ref().map(Jid::as_str)) {
            attr(b"to", to);
        }
        if let Some(from) = &self.from {
            attr(b"from", from.as_str());
        }
        for (name, text) in [
            (&b"type"[..], &self.type_),
            (b"id", &self.id),
            (b"xml:lang", &self.lang),
        ] {
            if let Some(text) = text {
                attr(name, text);
            }
        }
        if self.payload.is_empty() && edit.append.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        let mut from = 0;
        for range in &edit.drop {
            out.extend_from_slice(&self.payload[from..range.start]);
            from = range.end;
        }
        out.extend_from_slice(&self.payload[from..]);
        for more in &edit.append {
            out.extend_from_slice(more);
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(name);
        out.push(b'>');
    }

    /// The stanza's bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write_edited(None, &Edit::default(), &mut out);
        Bytes::from(out)
    }

    /// Applies an edit in place.
    pub fn edited(&self, edit: &Edit) -> Option<Stanza> {
        let mut out = Vec::new();
        self.write_edited(None, edit, &mut out);
        Stanza::parse_bytes(&out)
    }

    /// Reads a stanza that [`Stanza::to_bytes`] wrote (from the store).
    pub fn parse_bytes(bytes: &[u8]) -> Option<Stanza> {
        let limits = crate::xml::Limits {
            element_bytes: usize::MAX,
            depth: usize::MAX,
        };
        let wrapped = crate::stream::Reader::single_in(bytes, limits, ns::CLIENT).ok()?;
        Stanza::from_frame(wrapped).ok()
    }

    /// An IQ result for this IQ.
    pub fn result(&self) -> Stanza {
        self.reply("result")
    }

    fn reply(&self, type_: &str) -> Stanza {
        Stanza {
            type_: Some(type_.to_owned()),
            id: self.id.clone(),
            to: self.from.clone(),
            from: self.to.clone(),
            ..Stanza::new(self.kind)
        }
    }

    /// The error answer (RFC 6120 section 8.3).
    pub fn error(&self, error: &ErrorKind) -> Stanza {
        self.reply("error")
            .raw_child("error", ns::CLIENT, &error.to_xml())
    }
}

fn address(text: &str) -> Result<Jid, StanzaError> {
    crate::address::parse(text).map_err(|_| StanzaError::Jid(text.to_owned()))
}

fn value(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"='");
    escape_value_into(out, text);
    out.push(b'\'');
}

/// A stanza error (RFC 6120 section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorKind {
    /// `auth`, `cancel`, `continue`, `modify` or `wait` (section 8.3.2).
    pub type_: &'static str,
    /// The defined condition (section 8.3.3).
    pub condition: &'static str,
    /// Words for a person; may be empty.
    pub text: &'static str,
    /// The application's own condition (section 8.3.4): name and namespace.
    pub detail: Option<(&'static str, &'static str)>,
}

impl ErrorKind {
    const fn new(type_: &'static str, condition: &'static str) -> ErrorKind {
        ErrorKind {
            type_,
            condition,
            text: "",
            detail: None,
        }
    }
    /// RFC 6120 section 8.3.3.1.
    pub const BAD_REQUEST: ErrorKind = ErrorKind::new("modify", "bad-request");
    /// RFC 6120 section 8.3.3.2.
    pub const CONFLICT: ErrorKind = ErrorKind::new("cancel", "conflict");
    /// RFC 6120 section 8.3.3.3.
    pub const FEATURE_NOT_IMPLEMENTED: ErrorKind =
        ErrorKind::new("cancel", "feature-not-implemented");
    /// RFC 6120 section 8.3.3.4.
    pub const FORBIDDEN: ErrorKind = ErrorKind::new("auth", "forbidden");
    /// RFC 6120 section 8.3.3.6.
    pub const INTERNAL_SERVER_ERROR: ErrorKind = ErrorKind::new("cancel", "internal-server-error");
    /// RFC 6120 section 8.3.3.7.
    pub const ITEM_NOT_FOUND: ErrorKind = ErrorKind::new("cancel", "item-not-found");
    /// RFC 6120 section 8.3.3.8.
    pub const JID_MALFORMED: ErrorKind = ErrorKind::new("modify", "jid-malformed");
    /// RFC 6120 section 8.3.3.9.
    pub const NOT_ACCEPTABLE: ErrorKind = ErrorKind::new("modify", "not-acceptable");
    /// RFC 6120 section 8.3.3.10.
    pub const NOT_ALLOWED: ErrorKind = ErrorKind::new("cancel", "not-allowed");
    /// RFC 6120 section 8.3.3.11.
    pub const NOT_AUTHORIZED: ErrorKind = ErrorKind::new("auth", "not-authorized");
    /// RFC 6120 section 8.3.3.12.
    pub const POLICY_VIOLATION: ErrorKind = ErrorKind::new("modify", "policy-violation");
    /// RFC 6120 section 8.3.3.15.
    pub const REGISTRATION_REQUIRED: ErrorKind = ErrorKind::new("auth", "registration-required");
    /// RFC 6120 section 8.3.3.16.
    pub const REMOTE_SERVER_NOT_FOUND: ErrorKind =
        ErrorKind::new("cancel", "remote-server-not-found");
    /// RFC 6120 section 8.3.3.17.
    pub const REMOTE_SERVER_TIMEOUT: ErrorKind = ErrorKind::new("wait", "remote-server-timeout");
    /// RFC 6120 section 8.3.3.18.
    pub const RESOURCE_CONSTRAINT: ErrorKind = ErrorKind::new("wait", "resource-constraint");
    /// RFC 6120 section 8.3.3.19.
    pub const SERVICE_UNAVAILABLE: ErrorKind = ErrorKind::new("cancel", "service-unavailable");

    /// RFC 6120 section 8.3.3.22.
    pub const UNEXPECTED_REQUEST: ErrorKind = ErrorKind::new("wait", "unexpected-request");

    /// The same error with words.
    pub const fn with_text(self, text: &'static str) -> ErrorKind {
        ErrorKind { text, ..self }
    }

    /// The same error with the application's own condition.
    pub const fn with_detail(self, name: &'static str, ns: &'static str) -> ErrorKind {
        ErrorKind {
            detail: Some((name, ns)),
            ..self
        }
    }

    fn to_xml(self) -> String {
        let detail = self.detail.map_or(String::new(), |(name, ns)| {
            format!("<{name} xmlns='{ns}'/>")
        });
        let text = if self.text.is_empty() {
            String::new()
        } else {
            format!(
                "<text xmlns='{}' xml:lang='en'>{}</text>",
                ns::STANZAS,
                crate::xml::escape(self.text)
            )
        };
        format!(
            "<error xmlns='jabber:client' type='{}'><{} xmlns='{}'/>{text}{detail}</error>",
            self.type_,
            self.condition,
            ns::STANZAS
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Event, Limits, Reader};

    fn stanza(header: &str, bytes: &str) -> Stanza {
        let mut reader = Reader::new(Limits::default());
        reader.push(format!("<s:stream xmlns:s='{}' {header}>", ns::STREAM).as_bytes());
        reader.push(bytes.as_bytes());
        reader.next_event().unwrap();
        match reader.next_event().unwrap() {
            Some(Event::Element(frame)) => Stanza::from_frame(frame).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn forwarding_keeps_the_payload_and_carries_its_prefixes() {
        let s = stanza(
            "xmlns='jabber:client' xmlns:a='urn:a' xmlns:b='urn:b'",
            "<message xmlns:c='urn:c' to='x@y' type='chat' id='1'><body>hi &amp; 你</body><a:z c:k='v'/></message>",
        );
        let out =
            String::from_utf8(s.from(Jid::new("q@y/r").unwrap()).to_bytes().to_vec()).unwrap();
        assert_eq!(
            out,
            "<message xmlns:a='urn:a' xmlns:c='urn:c' to='x@y' from='q@y/r' type='chat' id='1'>\
             <body>hi &amp; 你</body><a:z c:k='v'/></message>"
        );
        assert_eq!(
            Stanza::parse_bytes(out.as_bytes()).unwrap().to_bytes(),
            out.as_bytes()
        );
    }

    #[test]
    fn a_foreign_default_namespace_is_declared_anew() {
        let s = stanza(
            "xmlns='urn:d' xmlns:c='jabber:client'",
            "<c:message><c:body>hi</c:body><x><y/></x></c:message>",
        );
        let again = Stanza::parse_bytes(&s.to_bytes()).unwrap();
        assert_eq!(again.text_of("body", ns::CLIENT).as_deref(), Some("hi"));
        assert!(again.get("x", "urn:d").unwrap().has_child("y", "urn:d"));
    }

    #[test]
    fn attributes_keep_their_white_space_and_line_ends_become_one() {
        let s = stanza(
            "xmlns='jabber:client'",
            "<message id='a\r\nb&#xD;&#xA;&#9;c'>x\r\ny\rz&#xD;</message>",
        );
        assert_eq!(s.id.as_deref(), Some("a b\r\n\tc"));
        let again = Stanza::parse_bytes(&s.to_bytes()).unwrap();
        assert_eq!(again.id, s.id);
        let frame = Reader::single(b"<a>x\r\ny\rz&#xD;</a>", Limits::default()).unwrap();
        assert_eq!(frame.text(), "x\ny\nz\r");
        assert_eq!(crate::xml::escape("a\r\nb"), "a&#xD;\nb");
    }

    #[test]
    fn what_is_of_the_content_namespace_leaves_without_a_prefix() {
        for (header, bytes) in [
            (
                "xmlns='jabber:client' xmlns:c='jabber:client'",
                "<c:message><c:body>hi</c:body></c:message>",
            ),
            (
                "xmlns='jabber:client'",
                "<message><c:body xmlns:c='jabber:client'>hi</c:body></message>",
            ),
        ] {
            let s = stanza(header, bytes);
            assert_eq!(s.text_of("body", ns::CLIENT).as_deref(), Some("hi"));
            let out = String::from_utf8(s.to_bytes().to_vec()).unwrap();
            assert!(out.contains("<body") && !out.contains("c:"), "{out}");
        }
    }

    #[test]
    fn edits_drop_and_append_whole_children() {
        let s = stanza(
            "xmlns='jabber:client'",
            "<message><a xmlns='u'/>text<b xmlns='u'>1</b><c xmlns='u'/></message>",
        );
        let edit = Edit {
            drop: vec![s.children()[1].range.clone()],
            append: vec![Bytes::from_static(b"<d xmlns='v'/>")],
        };
        let mut out = Vec::new();
        s.write_edited(Some("x@y"), &edit, &mut out);
        assert_eq!(
            out,
            b"<message to='x@y'><a xmlns='u'/>text<c xmlns='u'/><d xmlns='v'/></message>"
        );
    }

    #[test]
    fn errors_carry_type_and_condition() {
        let s = stanza(
            "xmlns='jabber:client'",
            "<iq type='get' id='7' to='x@y' from='a@b/c'><q xmlns='u'/></iq>",
        );
        let e = s.error(&ErrorKind::SERVICE_UNAVAILABLE);
        assert_eq!(e.to.as_ref().unwrap().as_str(), "a@b/c");
        let dom = e.get("error", ns::CLIENT).unwrap();
        assert!(dom.has_child("service-unavailable", ns::STANZAS));
    }
}
