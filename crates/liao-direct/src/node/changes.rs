//! Edits, recalls and reactions of ours: done here at once, kept until the other side has them.

use super::{Node, Out};
use crate::frame::Frame;
use crate::{ACCOUNT, Key};
use liao_client::{Change, Command, Done, Event, Own, random_id};
use serde::{Deserialize, Serialize};

/// A change as the outbox keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    to: String,
    frame: Frame,
}

/// Reads what the outbox kept.
pub fn kept(text: &str) -> Option<(Key, Frame)> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    Some((Key::from_z32(&kept.to).ok()?, kept.frame))
}

pub fn is_reaction(change: &Change) -> bool {
    matches!(change, Change::React { .. })
}

impl Node {
    pub(super) async fn change(&mut self, command: Command) {
        match self.act(command) {
            Ok((key, event)) => {
                self.tell(event).await;
                self.pump(&key).await;
            }
            Err(words) => self.notice(words).await,
        }
    }

    fn act(&mut self, command: Command) -> Result<(Key, Event), String> {
        let own = Own::of(command)?;
        let key =
            Key::from_z32(&own.to).map_err(|_| format!("nobody here is called {}", own.to))?;
        let store = &self.settings.store;
        let Done { event, time_ms, .. } = own.make(store, ACCOUNT)?;
        let Own {
            to,
            outgoing,
            change,
        } = own;
        let id = random_id();
        let frame = Frame::Change {
            id: id.clone(),
            time: time_ms,
            change,
            own: outgoing,
        };
        let kept = Kept {
            to,
            frame: frame.clone(),
        };
        let kept = serde_json::to_string(&kept).map_err(|e| e.to_string())?;
        store.act(ACCOUNT, &id, &kept).map_err(|e| e.to_string())?;
        if let Some(peer) = self.people.get_mut(&key) {
            peer.queue.push_back(Out::change(&id, frame));
        }
        Ok((key, event))
    }
}
