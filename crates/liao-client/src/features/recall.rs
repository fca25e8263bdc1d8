//! What was said is taken back (XEP-0424).

use super::Change;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// What programs that do not know it show (XEP-0428), and what makes servers keep it (section 3).
const FALLBACK: &str = "/me took a message back, which your program cannot do.";

/// The payload of a message that takes back another one.
pub fn retract(of: &str) -> String {
    format!(
        "<retract xmlns='{retract}' id='{}'/><fallback xmlns='{}' for='{retract}'/><body>{FALLBACK}</body><store xmlns='{}'/>",
        escape(of),
        ns::FALLBACK,
        ns::HINTS,
        retract = ns::RETRACT,
    )
}

/// Reads it.
pub fn read(stanza: &Stanza) -> Option<Change> {
    let retract = stanza.get("retract", ns::RETRACT)?;
    Some(Change::Recall {
        of: retract.attr("id")?.to_owned(),
    })
}

/// Whether an archive has only a tombstone of the message (section 4).
pub fn is_tombstone(stanza: &Stanza) -> bool {
    stanza.has("retracted", ns::RETRACT)
}
