//! Who types (XEP-0085).

use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// Goes with every message (section 5.3), and asks to be told the same.
pub fn active() -> String {
    format!("<active xmlns='{}'/>", ns::CHAT_STATES)
}

/// Tells that we type, or stopped; nothing else is in it (section 5.6).
pub fn state(to: &str, composing: bool) -> String {
    let name = if composing { "composing" } else { "paused" };
    format!(
        "<message type='chat' to='{}'><{name} xmlns='{}'/></message>",
        escape(to),
        ns::CHAT_STATES
    )
}

/// Whether somebody types; `None`: the message says nothing about it.
pub fn composing(stanza: &Stanza) -> Option<bool> {
    let state = stanza.children().iter().find(|c| c.ns == ns::CHAT_STATES)?;
    Some(state.name == "composing")
}
