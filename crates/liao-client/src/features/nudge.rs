//! Shaking somebody's window (XEP-0224).

use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;
use std::time::Duration;

/// Between two nudges, ours or theirs.
pub const PAUSE: Duration = Duration::from_secs(5);

/// A headline, so that no server keeps it (section 4).
pub fn nudge(to: &str) -> String {
    format!(
        "<message type='headline' to='{}'><attention xmlns='{}'/></message>",
        escape(to),
        ns::ATTENTION
    )
}

/// Whether a message is one; after a delay none is (section 4).
pub fn is_nudge(stanza: &Stanza) -> bool {
    stanza.has("attention", ns::ATTENTION) && !stanza.has("delay", ns::DELAY)
}
