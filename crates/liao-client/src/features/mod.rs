//! What a person does beside sending words: one feature a file, each only reads and writes payloads.

pub mod archive;
pub mod carbons;
pub mod ids;
pub mod markers;
pub mod receipts;

use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::delay;
use liao_proto::xml::write_dom;

/// A forwarded message (XEP-0297) and when the one who forwards it got it, milliseconds since 1970, UTC.
pub struct Forwarded {
    /// The message; none if the archive no longer gives it out (XEP-0313 section 3.2).
    pub stanza: Option<Stanza>,
    /// The time, if it is told.
    pub time_ms: Option<i64>,
}

/// Reads the `<forwarded/>` in an element.
pub fn forwarded(wrapper: &Element) -> Option<Forwarded> {
    let forwarded = wrapper.get_child("forwarded", ns::FORWARD)?;
    let message = forwarded.get_child("message", ns::CLIENT);
    Some(Forwarded {
        stanza: message.and_then(|m| Stanza::parse_bytes(&write_dom(m))),
        time_ms: forwarded
            .get_child("delay", ns::DELAY)
            .and_then(|d| delay::ms_from_utc(d.attr("stamp")?)),
    })
}

#[cfg(test)]
pub(crate) fn stanza(xml: &str) -> Stanza {
    let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
    Stanza::parse_bytes(xml.as_bytes()).unwrap_or_else(|| panic!("no stanza: {xml}"))
}
