//! Who is in the middle of which command (XEP-0050 section 4.1): bounded, and forgotten after a time.

use crate::limits;
use crate::server::random_id;
use liao_proto::jid::Jid;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One execution.
struct Session {
    who: Jid,
    node: &'static str,
    since: Instant,
    over: bool,
}

/// Why an id cannot be used (section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpen {
    /// Never given, or to somebody else, or for another command.
    Unknown,
    /// Completed, cancelled, or too old.
    Expired,
}

/// All executions.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an execution: its id.
    pub fn begin(&self, who: &Jid, node: &'static str) -> String {
        let mut all = self.lock();
        if all.len() >= limits::COMMAND_SESSIONS {
            let oldest = all.iter().min_by_key(|(_, s)| s.since);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                all.remove(&id);
            }
        }
        let id = random_id();
        let session = Session {
            who: who.clone(),
            node,
            since: Instant::now(),
            over: false,
        };
        all.insert(id.clone(), session);
        id
    }

    /// Takes an execution: it is over unless it is given back.
    pub fn take(&self, id: &str, who: &Jid, node: &str) -> Result<(), NotOpen> {
        let mut all = self.lock();
        let session = all.get_mut(id).ok_or(NotOpen::Unknown)?;
        if session.who != *who || session.node != node {
            return Err(NotOpen::Unknown);
        }
        let old = session.since.elapsed() > Duration::from_secs(limits::COMMAND_SESSION_S);
        if std::mem::replace(&mut session.over, true) || old {
            return Err(NotOpen::Expired);
        }
        Ok(())
    }

    /// What was taken goes on.
    pub fn give_back(&self, id: &str) {
        if let Some(session) = self.lock().get_mut(id) {
            session.over = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep_0050_section_4_1_sessions_belong_to_one_and_are_bounded() {
        let sessions = Sessions::default();
        let (anna, bob) = (Jid::new("anna@x/r").unwrap(), Jid::new("bob@x/r").unwrap());
        let id = sessions.begin(&anna, "n");
        assert_eq!(sessions.take(&id, &bob, "n"), Err(NotOpen::Unknown));
        assert_eq!(sessions.take(&id, &anna, "m"), Err(NotOpen::Unknown));
        assert_eq!(sessions.take(&id, &anna, "n"), Ok(()));
        assert_eq!(sessions.take(&id, &anna, "n"), Err(NotOpen::Expired));
        sessions.give_back(&id);
        assert_eq!(sessions.take(&id, &anna, "n"), Ok(()));
        for _ in 0..2 * limits::COMMAND_SESSIONS {
            sessions.begin(&anna, "n");
        }
        assert_eq!(sessions.lock().len(), limits::COMMAND_SESSIONS);
        assert_eq!(sessions.take(&id, &anna, "n"), Err(NotOpen::Unknown));
    }
}
