//! Other words in the place of what was said (XEP-0308).

use super::{Change, reply};
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// The payload that says which message is replaced; the whole message goes with it (section 4).
pub fn replace(of: &str) -> String {
    format!("<replace xmlns='{}' id='{}'/>", ns::CORRECT, escape(of))
}

/// Reads an edit.
pub fn read(stanza: &Stanza) -> Option<Change> {
    let replace = stanza.get("replace", ns::CORRECT)?;
    Some(Change::Edit {
        of: replace.attr("id")?.to_owned(),
        text: reply::words(stanza)?,
    })
}
