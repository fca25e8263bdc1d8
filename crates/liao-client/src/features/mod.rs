//! What a person does beside sending words: one feature a file, each only reads and writes payloads.

pub mod archive;
pub mod block;
pub mod carbons;
pub mod edit;
pub mod encryption;
pub mod files;
pub mod ids;
pub mod markers;
pub mod nudge;
pub mod reactions;
pub mod recall;
pub mod receipts;
pub mod reply;
pub mod typing;

use crate::backend::{Message, More, Reaction};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::delay;
use liao_proto::xml::write_dom;
use serde::{Deserialize, Serialize};

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

/// What a message does to one that was said before, instead of saying something itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Other words (XEP-0308).
    Edit {
        /// The first form's id.
        of: String,
        /// The words.
        text: String,
    },
    /// None any more (XEP-0424).
    Recall {
        /// Which.
        of: String,
    },
    /// All that the sender feels about it (XEP-0444).
    React {
        /// Which.
        of: String,
        /// Each one emoji.
        emojis: Vec<String>,
    },
}

/// Who changes a message, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// A bare address.
    pub who: String,
    /// It is us, on any device.
    pub outgoing: bool,
    /// Milliseconds since 1970, UTC.
    pub time_ms: i64,
}

impl Change {
    /// Changes a message; `false`: it stays as it is, because something newer was done to it. That the right one does it
    /// is for the caller to see to.
    pub fn apply(&self, message: &mut Message, by: &By) -> bool {
        let more = &mut message.more;
        match self {
            _ if more.recalled => false,
            Change::Edit { text, .. } => {
                if more.edited_ms.is_some_and(|ms| ms > by.time_ms) || message.text == *text {
                    return false;
                }
                more.edited_ms = Some(by.time_ms);
                message.text.clone_from(text);
                more.file = None;
                true
            }
            Change::Recall { .. } => {
                message.text.clear();
                *more = More {
                    recalled: true,
                    ..More::default()
                };
                true
            }
            Change::React { emojis, .. } => {
                let before = more.reactions.iter().position(|r| r.who == by.who);
                if let Some(at) = before {
                    if more.reactions[at].time_ms > by.time_ms
                        || more.reactions[at].emojis == *emojis
                    {
                        return false;
                    }
                    more.reactions.remove(at);
                } else if emojis.is_empty() {
                    return false;
                }
                // Who takes all away is remembered: an older message of theirs may come later.
                more.reactions.push(Reaction {
                    who: by.who.clone(),
                    emojis: emojis.clone(),
                    time_ms: by.time_ms,
                });
                true
            }
        }
    }

    /// The id of what is changed.
    pub fn of(&self) -> &str {
        match self {
            Change::Edit { of, .. } | Change::Recall { of } | Change::React { of, .. } => of,
        }
    }

    /// Reads it.
    pub fn read(stanza: &Stanza) -> Option<Change> {
        recall::read(stanza)
            .or_else(|| reactions::read(stanza))
            .or_else(|| edit::read(stanza))
    }
}

#[cfg(test)]
pub(crate) fn stanza(xml: &str) -> Stanza {
    let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
    Stanza::parse_bytes(xml.as_bytes()).unwrap_or_else(|| panic!("no stanza: {xml}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(who: &str, time_ms: i64) -> By {
        By {
            who: who.into(),
            outgoing: false,
            time_ms,
        }
    }

    #[test]
    fn the_newest_of_each_wins_in_whatever_order_they_come() {
        let mut message = Message {
            text: "frist".into(),
            ..Message::default()
        };
        let edit = |text: &str| Change::Edit {
            of: "1".into(),
            text: text.into(),
        };
        let feel = |emojis: &[&str]| Change::React {
            of: "1".into(),
            emojis: emojis.iter().map(|e| (*e).to_owned()).collect(),
        };
        assert!(edit("first!").apply(&mut message, &by("b@y", 20)));
        assert!(!edit("first").apply(&mut message, &by("b@y", 10)));
        assert_eq!(message.text, "first!");
        assert!(feel(&["👍"]).apply(&mut message, &by("b@y", 30)));
        assert!(!feel(&["👎"]).apply(&mut message, &by("b@y", 25)));
        assert!(feel(&["👍", "🎉"]).apply(&mut message, &by("a@y", 31)));
        assert!(feel(&[]).apply(&mut message, &by("b@y", 32)));
        let felt: Vec<_> = message
            .more
            .reactions
            .iter()
            .map(|r| r.emojis.len())
            .collect();
        assert_eq!(felt, [2, 0]);
        let recall = Change::Recall { of: "1".into() };
        assert!(recall.apply(&mut message, &by("b@y", 5)));
        assert!(message.text.is_empty() && message.more.recalled);
        assert!(!edit("again").apply(&mut message, &by("b@y", 99)));
    }
}
