//! A change of a message that the person at this program asks for, whichever way it then goes to the other side.

use crate::backend::{Command, Event, Message, Peer};
use crate::features::{By, Change};
use crate::now_ms;
use crate::store::Store;

/// An edit, a recall or a reaction of ours.
pub struct Own {
    /// In whose conversation.
    pub to: Peer,
    /// Whether the message is ours.
    pub outgoing: bool,
    /// What is done to it.
    pub change: Change,
}

/// It was done here.
pub struct Done {
    /// The message as it was.
    pub before: Message,
    /// What the views are told.
    pub event: Event,
    /// When, in ms since 1970, UTC.
    pub time_ms: i64,
}

impl Own {
    /// What a command asks for; words if it changes no message.
    pub fn of(command: Command) -> Result<Own, String> {
        let (to, outgoing, change) = match command {
            Command::Edit { to, of, text } => (to, true, Change::Edit { of, text }),
            Command::Recall { to, of } => (to, true, Change::Recall { of }),
            Command::React {
                to,
                outgoing,
                of,
                emojis,
            } => (to, outgoing, Change::React { of, emojis }),
            _ => return Err("this is no change of a message".into()),
        };
        Ok(Own {
            to,
            outgoing,
            change,
        })
    }

    /// Does it here at once, as `me`; words if it cannot be.
    pub fn make(&self, store: &Store, me: &str) -> Result<Done, String> {
        let found = store.message(me, &self.to, self.change.of(), Some(self.outgoing));
        let found = found.map_err(|e| e.to_string())?;
        let before = found.ok_or("there is no such message here")?;
        if before.more.recalled {
            return Err("it was taken back".into());
        }
        if before.more.file.is_some() && matches!(self.change, Change::Edit { .. }) {
            return Err("a file has no words to edit".into());
        }
        let by = By {
            who: me.to_owned(),
            outgoing: true,
            time_ms: now_ms(),
        };
        let changed = store
            .change_message(me, &self.to, &by, &self.change)
            .map_err(|e| e.to_string())?;
        Ok(Done {
            before,
            event: Event::Changed(changed.ok_or("it is so already")?),
            time_ms: by.time_ms,
        })
    }
}
