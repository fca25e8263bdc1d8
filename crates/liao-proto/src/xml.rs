//! The tokeniser: checks bytes strictly and splits them into top-level elements, once.
//!
//! RFC 6120 section 11 (XML usage) and Namespaces in XML 1.0. It works over the buffered bytes of one
//! element, stops at any byte and goes on from there when more arrive, and never looks at a byte of a
//! half-received token twice except within one token's end search. No tree is built: a [`Frame`] keeps the
//! bytes, the start tag's attributes, and for each child its name, namespace and range.

use crate::ns;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// A namespace name; the well-known ones are not allocated.
pub type Ns = Cow<'static, str>;

/// What is wrong with the bytes (each has its stream error condition, RFC 6120 section 4.9.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// `not-well-formed`.
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// `restricted-xml`: comment, processing instruction, DTD, or an entity other than the five.
    #[error("restricted XML: {0}")]
    Restricted(&'static str),
    /// `bad-namespace-prefix`: a prefix that nothing binds.
    #[error("a namespace prefix is not bound")]
    UnboundPrefix,
    /// `policy-violation`: a named bound was passed.
    #[error("over the limit: {0}")]
    Limit(&'static str),
    /// `unsupported-encoding`: not UTF-8.
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// Bounds on one top-level element, counted on received bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one top-level element.
    pub element_bytes: usize,
    /// Elements open at once below the stream, the stanza included.
    pub depth: usize,
}

/// Attributes on one element: more is an attack on the duplicate check.
pub const MAX_ATTRIBUTES: usize = 128;
/// Namespace declarations in scope at once: more is an attack on prefix look-up.
pub const MAX_DECLARATIONS: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            element_bytes: 512 * 1024,
            depth: 64,
        }
    }
}

/// An attribute of a start tag, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Namespace; empty for an unprefixed attribute.
    pub ns: Ns,
    /// Local name.
    pub name: String,
    /// Value with references resolved and white space normalised.
    pub value: String,
}

/// A direct child of a top-level element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Local name.
    pub name: String,
    /// Namespace.
    pub ns: Ns,
    /// The whole child, start tag to end tag, in the payload.
    pub range: Range<usize>,
}

/// A prefix binding; the prefix is empty for the default namespace.
pub type Binding = (String, Ns);

/// One fully checked top-level element.
#[derive(Debug, Clone)]
pub struct Frame {
    name: String,
    ns: Ns,
    attrs: Vec<Attr>,
    children: Vec<Child>,
    bytes: Bytes,
    payload: Range<usize>,
    /// Prefixed bindings that the payload takes from outside itself.
    outer: Vec<Binding>,
    /// Default namespace around the payload, where some child relies on it.
    outer_default: Option<Ns>,
    /// Bindings of the stream around the element that its own bytes rely on.
    stream: Vec<Binding>,
}

impl Frame {
    /// Local name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }
    /// Whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }
    /// The value of an unprefixed attribute.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|a| a.ns.is_empty() && a.name == name)
            .map(|a| a.value.as_str())
    }
    /// `xml:lang`.
    pub fn lang(&self) -> Option<&str> {
        self.attrs
            .iter()
            .find(|a| a.ns == ns::XML && a.name == "lang")
            .map(|a| a.value.as_str())
    }
    /// All attributes.
    pub fn attrs(&self) -> &[Attr] {
        &self.attrs
    }
    /// Direct children; ranges are relative to [`Frame::payload`].
    pub fn children(&self) -> &[Child] {
        &self.children
    }
    /// The whole element as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// What stands between the start tag and the end tag.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(self.payload.clone())
    }
    /// Prefixed bindings that the payload takes from outside itself.
    pub fn outer(&self) -> &[Binding] {
        &self.outer
    }
    /// The default namespace that a child without `xmlns` relies on, if one does.
    pub fn outer_default(&self) -> Option<&Ns> {
        self.outer_default.as_ref()
    }
    /// Character data of the element when it has no children (`<auth>`, `<response>` …), references resolved.
    pub fn text(&self) -> String {
        if self.children.is_empty() && !self.bytes[self.payload.clone()].contains(&b'<') {
            let raw = String::from_utf8_lossy(&self.bytes[self.payload.clone()]);
            decode(&raw)
        } else {
            self.to_dom().map(|e| e.text()).unwrap_or_default()
        }
    }
    /// Parses the whole element into a tree (for structured payloads; never on the forwarding path).
    pub fn to_dom(&self) -> Option<minidom::Element> {
        parse_dom(&self.bytes, self.stream.iter())
    }
    pub(crate) fn into_parts(self) -> (Vec<Attr>, Vec<Child>, Bytes, Vec<Binding>, Option<Ns>) {
        let payload = self.bytes.slice(self.payload.clone());
        (
            self.attrs,
            self.children,
            payload,
            self.outer,
            self.outer_default,
        )
    }
}

/// Parses checked bytes into a tree, given the bindings around them.
pub fn parse_dom<'a>(
    bytes: &[u8],
    scope: impl Iterator<Item = &'a Binding>,
) -> Option<minidom::Element> {
    let map: BTreeMap<Option<String>, String> = scope
        .map(|(p, n)| {
            (
                if p.is_empty() { None } else { Some(p.clone()) },
                n.to_string(),
            )
        })
        .collect();
    minidom::Element::from_reader_with_prefixes(bytes, map).ok()
}

/// Writes a tree as bytes.
pub fn write_dom(element: &minidom::Element) -> Bytes {
    let mut out = Vec::with_capacity(256);
    // Writing into memory fails only for names that minidom would not have let in.
    let _ = element.write_to(&mut out);
    Bytes::from(out)
}

/// Appends text with the characters escaped that may not stand in character data or attributes, and the one that a
/// reader would change in both.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    escape_bytes(out, text, false);
}

/// [`escape_into`] for an attribute's value, where a reader also makes spaces of tabs and line ends (XML 1.0 section
/// 3.3.3).
pub fn escape_value_into(out: &mut Vec<u8>, text: &str) {
    escape_bytes(out, text, true);
}

fn escape_bytes(out: &mut Vec<u8>, text: &str, attribute: bool) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, b) in bytes.iter().enumerate() {
        let word: &[u8] = match b {
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'&' => b"&amp;",
            b'\'' => b"&apos;",
            b'"' => b"&quot;",
            b'\r' => b"&#xD;",
            b'\n' if attribute => b"&#xA;",
            b'\t' if attribute => b"&#x9;",
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(word);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// [`escape_into`] as a string; characters that XML 1.0 forbids become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 8);
    if text.chars().all(is_char) {
        escape_into(&mut out, text);
    } else {
        let clean: String = text
            .chars()
            .map(|c| if is_char(c) { c } else { '\u{FFFD}' })
            .collect();
        escape_into(&mut out, &clean);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// XML 1.0 production 2.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn known(uri: &str) -> Ns {
    match ns::KNOWN.iter().find(|k| **k == uri) {
        Some(k) => Cow::Borrowed(k),
        None => Cow::Owned(uri.to_owned()),
    }
}

/// Every line end as a reader has to see it (XML 1.0 section 2.11).
fn line_ends(raw: &str) -> Cow<'_, str> {
    match memchr::memchr(b'\r', raw.as_bytes()) {
        Some(_) => Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")),
        None => Cow::Borrowed(raw),
    }
}

/// Resolves the references in checked text.
fn decode(raw: &str) -> String {
    let raw = line_ends(raw);
    let mut out = String::with_capacity(raw.len());
    let mut rest = &*raw;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';').map_or(rest.len(), |e| at + e);
        match reference(&rest.as_bytes()[at + 1..end]) {
            Ok(c) => out.push(c),
            Err(_) => out.push('\u{FFFD}'),
        }
        rest = rest.get(end + 1..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// What stands between `&` and `;`.
fn reference(body: &[u8]) -> Result<char, XmlError> {
    let digits = |s: &[u8], radix| {
        let text = std::str::from_utf8(s).ok()?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        char::from_u32(u32::from_str_radix(text, radix).ok()?).filter(|c| is_char(*c))
    };
    match body {
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"amp" => Ok('&'),
        b"apos" => Ok('\''),
        b"quot" => Ok('"'),
        [b'#', b'x', hex @ ..] => {
            digits(hex, 16).ok_or(XmlError::NotWellFormed("character reference"))
        }
        [b'#', dec @ ..] => digits(dec, 10).ok_or(XmlError::NotWellFormed("character reference")),
        _ => Err(XmlError::Restricted("entity reference")),
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}' | '\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}' | '\u{2040}')
}

/// Splits `p:local`; checks both parts (Namespaces in XML, productions 7 to 11).
fn qname(name: &str) -> Result<(&str, &str), XmlError> {
    let (prefix, local) = match name.split_once(':') {
        Some((p, l)) if !p.is_empty() => (p, l),
        Some(_) => return Err(XmlError::NotWellFormed("name")),
        None => ("", name),
    };
    for part in [prefix, local] {
        let mut chars = part.chars();
        match chars.next() {
            None if std::ptr::eq(part, prefix) => continue,
            Some(c) if is_name_start(c) && chars.all(is_name_char) => {}
            _ => return Err(XmlError::NotWellFormed("name")),
        }
    }
    Ok((prefix, local))
}

/// Checks character data; `text` has neither `<` nor `&`.
fn check_text(bytes: &[u8]) -> Result<&str, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
    if bytes
        .iter()
        .any(|b| *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r'))
    {
        return Err(XmlError::NotWellFormed("control character"));
    }
    if memchr::memmem::find(bytes, b"\xEF\xBF\xBE").is_some()
        || memchr::memmem::find(bytes, b"\xEF\xBF\xBF").is_some()
    {
        return Err(XmlError::NotWellFormed("forbidden character"));
    }
    Ok(text)
}

/// A start tag taken apart.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) ns: Ns,
    pub(crate) attrs: Vec<Attr>,
    empty: bool,
}

struct Open {
    /// The raw name in the buffer.
    name: Range<usize>,
    /// Declarations in scope before this element.
    declared: usize,
}

/// The resumable scan of one element.
#[derive(Default)]
pub(crate) struct Scanner {
    /// Everything before is checked.
    pos: usize,
    /// Where the search for the end of the token at `pos` goes on, and the open quote.
    tag_seen: usize,
    quote: u8,
    in_cdata: bool,
    open: Vec<Open>,
    /// Declarations: the stream's first (`base` of them), then those of the open elements.
    scope: Vec<Binding>,
    base: usize,
    // The frame in the making.
    top: Option<Tag>,
    top_declared: usize,
    content_start: usize,
    children: Vec<Child>,
    child_start: usize,
    child: Option<(String, Ns)>,
    outer: Vec<Binding>,
    outer_default: Option<Ns>,
    stream: Vec<Binding>,
}

impl Scanner {
    /// Forgets the stream and its declarations.
    pub(crate) fn reset(&mut self) {
        *self = Scanner::default();
    }

    /// Where the scan stands, for callers that must skip white space between elements.
    pub(crate) fn is_between(&self) -> bool {
        self.open.is_empty() && self.pos == 0 && self.tag_seen == 0
    }

    /// Finds the end (after `>`) of the tag that begins at `self.pos`, if it has arrived.
    fn tag_end(&mut self, buf: &[u8]) -> Option<usize> {
        let mut at = self.tag_seen.max(self.pos + 1);
        loop {
            if self.quote != 0 {
                match memchr::memchr(self.quote, &buf[at..]) {
                    Some(n) => {
                        at += n + 1;
                        self.quote = 0;
                    }
                    None => {
                        self.tag_seen = buf.len();
                        return None;
                    }
                }
            }
            match memchr::memchr3(b'>', b'"', b'\'', &buf[at..]) {
                Some(n) if buf[at + n] == b'>' => {
                    self.tag_seen = 0;
                    return Some(at + n + 1);
                }
                Some(n) => {
                    self.quote = buf[at + n];
                    at += n + 1;
                }
                None => {
                    self.tag_seen = buf.len();
                    return None;
                }
            }
        }
    }

    fn lookup(&self, prefix: &str) -> Option<(usize, &Ns)> {
        self.scope
            .iter()
            .enumerate()
            .rev()
            .find(|(_, (p, _))| p == prefix)
            .map(|(i, (_, n))| (i, n))
    }

    /// Resolves a prefix and notes what the payload takes from outside.
    fn resolve(&mut self, prefix: &str, depth: usize, attribute: bool) -> Result<Ns, XmlError> {
        if prefix == "xml" {
            return Ok(Cow::Borrowed(ns::XML));
        }
        if attribute && prefix.is_empty() {
            return Ok(Cow::Borrowed(""));
        }
        let Some((index, ns)) = self.lookup(prefix).map(|(i, n)| (i, n.clone())) else {
            if !prefix.is_empty() {
                return Err(XmlError::UnboundPrefix);
            }
            if depth > 0 {
                self.outer_default = Some(Cow::Borrowed(""));
            }
            return Ok(Cow::Borrowed(""));
        };
        let note = |list: &mut Vec<Binding>| {
            if !list.iter().any(|(p, _)| p == prefix) {
                list.push((prefix.to_owned(), ns.clone()));
            }
        };
        if index < self.base {
            note(&mut self.stream);
        }
        if depth > 0 && index < self.top_declared {
            if prefix.is_empty() {
                self.outer_default = Some(ns.clone());
            } else {
                note(&mut self.outer);
            }
        }
        Ok(ns)
    }

    /// Parses the start tag in `raw` (`<name …>` or `<name …/>`), whose element lies at `depth`.
    fn start_tag(&mut self, raw: &[u8], depth: usize) -> Result<(Tag, usize), XmlError> {
        let text = check_text(raw)?;
        let empty = text.ends_with("/>");
        let inner = &text[1..text.len() - if empty { 2 } else { 1 }];
        let name_len = inner.bytes().position(is_space).unwrap_or(inner.len());
        let (prefix, local) = qname(&inner[..name_len])?;
        let mut raw_attrs: Vec<(&str, &str, String)> = Vec::new();
        let mut rest = &inner[name_len..];
        loop {
            let trimmed = rest.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
            if trimmed.is_empty() {
                break;
            }
            if trimmed.len() == rest.len() {
                return Err(XmlError::NotWellFormed("white space between attributes"));
            }
            let (key, value, after) = attribute(trimmed)?;
            if raw_attrs.len() == MAX_ATTRIBUTES {
                return Err(XmlError::Limit("attributes of one element"));
            }
            let (p, l) = qname(key)?;
            if raw_attrs.iter().any(|(q, m, _)| *q == p && *m == l) {
                return Err(XmlError::NotWellFormed("duplicate attribute"));
            }
            raw_attrs.push((p, l, value));
            rest = after;
        }
        for (p, l, value) in &raw_attrs {
            let bound = if *p == "xmlns" {
                *l
            } else if p.is_empty() && *l == "xmlns" {
                ""
            } else {
                continue;
            };
            self.declare(bound, value)?;
        }
        if depth == 0 {
            self.top_declared = self.scope.len();
        }
        let ns = self.resolve(prefix, depth, false)?;
        let mut attrs = Vec::with_capacity(raw_attrs.len());
        for (p, l, value) in raw_attrs {
            if p == "xmlns" || (p.is_empty() && l == "xmlns") {
                continue;
            }
            let ns = self.resolve(p, depth, true)?;
            if !p.is_empty() && attrs.iter().any(|a: &Attr| a.ns == ns && a.name == l) {
                return Err(XmlError::NotWellFormed("duplicate attribute"));
            }
            attrs.push(Attr {
                ns,
                name: l.to_owned(),
                value,
            });
        }
        Ok((
            Tag {
                name: local.to_owned(),
                ns,
                attrs,
                empty,
            },
            name_len,
        ))
    }

    fn declare(&mut self, prefix: &str, uri: &str) -> Result<(), XmlError> {
        let wrong = match prefix {
            "xmlns" => true,
            "xml" => uri != ns::XML,
            "" => uri == ns::XML || uri == ns::XMLNS,
            _ => uri.is_empty() || uri == ns::XML || uri == ns::XMLNS,
        };
        if wrong {
            return Err(XmlError::NotWellFormed("namespace declaration"));
        }
        if self.scope.len() >= MAX_DECLARATIONS {
            return Err(XmlError::Limit("namespace declarations in scope"));
        }
        self.scope.push((prefix.to_owned(), known(uri)));
        Ok(())
    }

    /// Takes the stream's start tag `raw`; its declarations stay in scope for all that follows.
    pub(crate) fn stream_tag(&mut self, raw: &[u8]) -> Result<Tag, XmlError> {
        let (tag, _) = self.start_tag(raw, 0)?;
        if tag.empty {
            return Err(XmlError::NotWellFormed("empty stream"));
        }
        self.base = self.scope.len();
        self.stream.clear();
        Ok(tag)
    }

    /// The end of the tag that starts at 0, for the stream's own tag.
    pub(crate) fn first_tag_end(&mut self, buf: &[u8]) -> Option<usize> {
        self.tag_end(buf)
    }

    /// Scans on. `buf` begins with `<` of a top-level element and only grows between calls.
    /// `Some(len)`: the element is complete and `len` bytes long; take it with [`Scanner::finish`].
    pub(crate) fn scan(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, XmlError> {
        let done = self.scan_tokens(buf, limits)?;
        let size = done.unwrap_or(buf.len());
        if size > limits.element_bytes {
            return Err(XmlError::Limit("stanza size"));
        }
        Ok(done)
    }

    fn scan_tokens(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, XmlError> {
        while self.pos < buf.len() {
            if self.in_cdata {
                if !self.cdata(buf)? {
                    return Ok(None);
                }
                continue;
            }
            let more = match buf[self.pos] {
                b'<' => match buf.get(self.pos + 1) {
                    None => return Ok(None),
                    Some(b'/') => {
                        let Some(end) = self.tag_end(buf) else {
                            return Ok(None);
                        };
                        if let Some(len) = self.close(buf, end)? {
                            return Ok(Some(len));
                        }
                        true
                    }
                    Some(b'!') => self.bang(buf)?,
                    Some(b'?') => return Err(XmlError::Restricted("processing instruction")),
                    Some(_) => {
                        let Some(end) = self.tag_end(buf) else {
                            return Ok(None);
                        };
                        if let Some(len) = self.element(buf, end, limits)? {
                            return Ok(Some(len));
                        }
                        true
                    }
                },
                b'&' => self.entity(buf)?,
                _ => self.text(buf)?,
            };
            if !more {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn element(
        &mut self,
        buf: &[u8],
        end: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, XmlError> {
        let depth = self.open.len();
        if depth >= limits.depth {
            return Err(XmlError::Limit("depth"));
        }
        let declared = self.scope.len();
        let start = self.pos;
        let (tag, name_len) = self.start_tag(&buf[start..end], depth)?;
        self.pos = end;
        let empty = tag.empty;
        match depth {
            0 => {
                self.content_start = end;
                self.top = Some(tag);
            }
            1 => {
                self.child_start = start;
                self.child = Some((tag.name, tag.ns));
            }
            _ => {}
        }
        if empty {
            self.scope.truncate(declared);
            return Ok(self.ended(depth, end, end));
        }
        self.open.push(Open {
            name: start + 1..start + 1 + name_len,
            declared,
        });
        Ok(None)
    }

    fn close(&mut self, buf: &[u8], end: usize) -> Result<Option<usize>, XmlError> {
        let start = self.pos;
        let raw = buf[start + 2..end - 1].trim_ascii_end();
        let Some(open) = self.open.pop() else {
            return Err(XmlError::NotWellFormed("end tag"));
        };
        if raw != &buf[open.name.clone()] {
            return Err(XmlError::NotWellFormed("end tag does not match"));
        }
        self.scope.truncate(open.declared);
        self.pos = end;
        Ok(self.ended(self.open.len(), start, end))
    }

    /// An element at `depth` ended; gives the frame's length when it was the top one.
    fn ended(&mut self, depth: usize, content_end: usize, end: usize) -> Option<usize> {
        match depth {
            0 => {
                // The payload of `<a/>` is empty and lies at its end.
                self.child_start = content_end;
                Some(end)
            }
            1 => {
                if let Some((name, ns)) = self.child.take() {
                    let range = self.child_start - self.content_start..end - self.content_start;
                    self.children.push(Child { name, ns, range });
                }
                None
            }
            _ => None,
        }
    }

    fn bang(&mut self, buf: &[u8]) -> Result<bool, XmlError> {
        const CDATA: &[u8] = b"<![CDATA[";
        let have = &buf[self.pos..];
        let n = have.len().min(CDATA.len());
        if have[..n] == CDATA[..n] {
            if n < CDATA.len() {
                return Ok(false);
            }
            if self.open.is_empty() {
                return Err(XmlError::NotWellFormed("CDATA outside of an element"));
            }
            self.pos += n;
            self.in_cdata = true;
            return Ok(true);
        }
        Err(XmlError::Restricted(if have.starts_with(b"<!-") {
            "comment"
        } else {
            "document type declaration"
        }))
    }

    fn cdata(&mut self, buf: &[u8]) -> Result<bool, XmlError> {
        let rest = &buf[self.pos..];
        if let Some(n) = memchr::memmem::find(rest, b"]]>") {
            check_text(&rest[..n])?;
            self.pos += n + 3;
            self.in_cdata = false;
            return Ok(true);
        }
        let keep = rest
            .iter()
            .rev()
            .take(2)
            .take_while(|b| **b == b']')
            .count();
        self.partial_text(&rest[..rest.len() - keep])?;
        Ok(false)
    }

    /// Checks text whose last character may be cut, and moves past what is whole.
    fn partial_text(&mut self, bytes: &[u8]) -> Result<(), XmlError> {
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => return Err(XmlError::NotUtf8),
        };
        check_text(&bytes[..whole])?;
        self.pos += whole;
        Ok(())
    }

    fn text(&mut self, buf: &[u8]) -> Result<bool, XmlError> {
        let rest = &buf[self.pos..];
        let end = memchr::memchr2(b'<', b'&', rest);
        let run = &rest[..end.unwrap_or(rest.len())];
        if memchr::memmem::find(run, b"]]>").is_some() {
            return Err(XmlError::NotWellFormed("]]> in text"));
        }
        match end {
            Some(n) => {
                check_text(run)?;
                self.pos += n;
                Ok(true)
            }
            None => {
                let keep = run.iter().rev().take(2).take_while(|b| **b == b']').count();
                self.partial_text(&run[..run.len() - keep])?;
                Ok(false)
            }
        }
    }

    fn entity(&mut self, buf: &[u8]) -> Result<bool, XmlError> {
        // The longest legal reference is "#x10FFFF", but leading zeros are legal, too.
        const LONGEST: usize = 16;
        let rest = &buf[self.pos + 1..];
        match memchr::memchr(b';', &rest[..rest.len().min(LONGEST)]) {
            Some(n) => {
                reference(&rest[..n])?;
                self.pos += n + 2;
                Ok(true)
            }
            None if rest.len() < LONGEST => Ok(false),
            None => Err(XmlError::Restricted("entity reference")),
        }
    }

    /// Hands out the element just completed; `bytes` are its own.
    pub(crate) fn finish(&mut self, bytes: Bytes) -> Option<Frame> {
        let top = self.top.take()?;
        let payload = self.content_start..self.child_start.max(self.content_start);
        let payload = if top.empty {
            bytes.len()..bytes.len()
        } else {
            payload
        };
        self.pos = 0;
        self.tag_seen = 0;
        self.scope.truncate(self.base);
        Some(Frame {
            name: top.name,
            ns: top.ns,
            attrs: top.attrs,
            children: std::mem::take(&mut self.children),
            bytes,
            payload,
            outer: std::mem::take(&mut self.outer),
            outer_default: self.outer_default.take(),
            stream: std::mem::take(&mut self.stream),
        })
    }
}

/// Takes `key = "value"` off the front.
fn attribute(text: &str) -> Result<(&str, String, &str), XmlError> {
    const WRONG: XmlError = XmlError::NotWellFormed("attribute");
    let space = |c: char| c.is_ascii() && is_space(c as u8);
    let eq = text.find('=').ok_or(WRONG)?;
    let key = text[..eq].trim_end_matches(space);
    let rest = text[eq + 1..].trim_start_matches(space);
    let quote = rest
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''))
        .ok_or(WRONG)?;
    let body = &rest[1..];
    let end = body.find(quote).ok_or(WRONG)?;
    let raw = &body[..end];
    if raw.contains('<') {
        return Err(XmlError::NotWellFormed("< in an attribute"));
    }
    Ok((key, attribute_value(raw)?, &body[end + 1..]))
}

/// Resolves references and normalises white space (XML 1.0 section 3.3.3).
fn attribute_value(raw: &str) -> Result<String, XmlError> {
    if !raw.bytes().any(|b| b == b'&' || (b < 0x20)) {
        return Ok(raw.to_owned());
    }
    let raw = line_ends(raw);
    let mut out = String::with_capacity(raw.len());
    let mut rest = &*raw;
    while let Some(c) = rest.chars().next() {
        if c == '&' {
            let end = rest.find(';').ok_or(XmlError::NotWellFormed("reference"))?;
            out.push(reference(&rest.as_bytes()[1..end])?);
            rest = &rest[end + 1..];
        } else {
            out.push(if matches!(c, '\t' | '\n') { ' ' } else { c });
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(out)
}

impl Scanner {
    /// A scanner inside a stream of this default namespace.
    pub(crate) fn within(default: &'static str) -> Scanner {
        Scanner {
            scope: vec![(String::new(), Cow::Borrowed(default))],
            base: 1,
            ..Scanner::default()
        }
    }

    /// The default namespace that the stream's own tag declared.
    pub(crate) fn default_ns(&self) -> String {
        self.lookup("")
            .map(|(_, n)| n.to_string())
            .unwrap_or_default()
    }
}
