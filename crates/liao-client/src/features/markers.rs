//! Displayed markers (XEP-0333): what was read up to where.

use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// What asks for a marker (section 4.1).
pub fn markable() -> String {
    format!("<markable xmlns='{}'/>", ns::MARKERS)
}

/// Whether a message's sender wants to know when it was read. A marker itself never asks (section 4.2).
pub fn is_markable(stanza: &Stanza) -> bool {
    stanza.has("markable", ns::MARKERS)
        && !stanza.has("displayed", ns::MARKERS)
        && stanza.id.is_some()
}

/// Tells that all up to the message `id` was displayed (section 4.2).
pub fn marker(to: &str, id: &str) -> String {
    format!(
        "<message type='chat' to='{}'><displayed xmlns='{}' id='{}'/></message>",
        escape(to),
        ns::MARKERS,
        escape(id)
    )
}

/// Up to which message was displayed.
pub fn displayed(stanza: &Stanza) -> Option<String> {
    let displayed = stanza.get("displayed", ns::MARKERS)?;
    displayed.attr("id").map(str::to_owned)
}
