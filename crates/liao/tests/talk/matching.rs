//! Whether a received element is the one that a talk expects (tests/talks/README.md, "What matches").

use liao_proto::minidom::{Element, Node};
use std::collections::HashMap;

/// Attributes that a received stanza may have although the talk does not name them.
const FREE: &[&str] = &["to", "id", "lang"];

/// Captured and given values.
pub type Variables = HashMap<String, String>;

/// `Ok` or what differs.
pub fn matches(expected: &Element, got: &Element, variables: &mut Variables) -> Result<(), String> {
    if expected.name() != got.name() || expected.ns() != got.ns() {
        return Err(format!(
            "<{} xmlns='{}'> is not <{} xmlns='{}'>",
            got.name(),
            got.ns(),
            expected.name(),
            expected.ns()
        ));
    }
    for ((_, name), value) in expected.attrs().iter() {
        let name = name.to_string();
        let found = attr(got, &name);
        let fits = match (value.as_str(), &found) {
            ("*", Some(_)) => true,
            (v, Some(found)) if v.starts_with('{') && v.ends_with('}') => {
                variables.insert(v[1..v.len() - 1].to_owned(), found.clone());
                true
            }
            (v, Some(found)) => v == found,
            (_, None) => false,
        };
        if !fits {
            return Err(format!(
                "<{}>: {name} is {found:?}, not {value:?}",
                got.name()
            ));
        }
    }
    for ((_, name), value) in got.attrs().iter() {
        let name = name.to_string();
        if attr(expected, &name).is_none() && !FREE.contains(&name.as_str()) {
            return Err(format!(
                "<{}> has {name}={value:?}, of which the talk says nothing",
                got.name()
            ));
        }
    }
    let words = |e: &Element| e.nodes().filter_map(Node::as_text).collect::<String>();
    let (wanted, found) = (words(expected), words(got));
    let open = wanted.contains('…');
    let wanted = wanted.replace('…', "");
    let name = wanted.trim().strip_prefix('{');
    if let Some(name) = name.and_then(|w| w.strip_suffix('}')) {
        variables.insert(name.to_owned(), found.trim().to_owned());
    } else if wanted.trim() != "*" && wanted.trim() != found.trim() {
        return Err(format!(
            "<{}> says {:?}, not {:?}",
            got.name(),
            found.trim(),
            wanted.trim()
        ));
    }
    let mut left: Vec<&Element> = got.children().collect();
    for child in expected.children() {
        let mut trial = Err(format!(
            "<{}> has no <{} xmlns='{}'>",
            got.name(),
            child.name(),
            child.ns()
        ));
        let at = left.iter().position(|c| {
            let mut copy = variables.clone();
            let fits = matches(child, c, &mut copy);
            if fits.is_ok() {
                *variables = copy;
            } else if c.name() == child.name() && c.ns() == child.ns() {
                trial = fits.clone();
            }
            fits.is_ok()
        });
        match at {
            Some(at) => drop(left.remove(at)),
            None => return trial,
        }
    }
    // The archive's ids are in every message that is kept; only talks about them name them.
    left.retain(|c| !c.is("stanza-id", liao_proto::ns::STANZA_ID));
    match left.first() {
        Some(more) if !open => Err(format!(
            "<{}> has <{} xmlns='{}'>, too",
            got.name(),
            more.name(),
            more.ns()
        )),
        _ => Ok(()),
    }
}

/// An attribute by its local name.
pub fn attr(element: &Element, name: &str) -> Option<String> {
    let mut all = element.attrs().iter();
    all.find(|((_, n), _)| **n == *name)
        .map(|(_, v)| v.to_owned())
}

/// Reads an element as it stands in a talk: `jabber:client` unless it says otherwise.
pub fn parse(text: &str) -> Result<Element, String> {
    let whole = format!(
        "<w xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{text}</w>"
    );
    let root: Element = whole.parse().map_err(|e| format!("{text}: {e}"))?;
    root.children()
        .next()
        .cloned()
        .ok_or_else(|| format!("{text}: no element"))
}
