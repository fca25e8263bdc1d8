//! What people feel about a message, in emojis (XEP-0444).

use super::Change;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// More than anybody means: the rest is not looked at.
const MOST: usize = 20;
/// Longer than any emoji, in bytes.
const LONGEST: usize = 64;

/// The payload: all that is still felt (section 3.2), kept by servers (section 4).
pub fn reactions(of: &str, emojis: &[String]) -> String {
    let all: String = emojis
        .iter()
        .map(|e| format!("<reaction>{}</reaction>", escape(e)))
        .collect();
    format!(
        "<reactions xmlns='{}' id='{}'>{all}</reactions><store xmlns='{}'/>",
        ns::REACTIONS,
        escape(of),
        ns::HINTS
    )
}

/// Reads it; what is there twice counts once (section 4).
pub fn read(stanza: &Stanza) -> Option<Change> {
    let reactions = stanza.get("reactions", ns::REACTIONS)?;
    let mut emojis: Vec<String> = Vec::new();
    for reaction in reactions
        .children()
        .filter(|c| c.is("reaction", ns::REACTIONS))
    {
        let emoji = reaction.text().trim().to_owned();
        if !emoji.is_empty() && emoji.len() <= LONGEST && !emojis.contains(&emoji) {
            emojis.push(emoji);
        }
    }
    emojis.truncate(MOST);
    Some(Change::React {
        of: reactions.attr("id")?.to_owned(),
        emojis,
    })
}
