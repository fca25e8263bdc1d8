//! What this run of the program said: whether it was ever written, and what was told of it.

use crate::backend::State;
use std::collections::{HashSet, VecDeque};

/// Messages whose states are in memory.
const LAST: usize = 1_000;

/// Messages of this run.
#[derive(Default)]
pub(super) struct Said {
    /// Those that were surely never written to any connection.
    fresh: HashSet<String>,
    /// The last ones, and the last state that was told of each.
    last: VecDeque<(String, State)>,
}

impl Said {
    /// It is in the outbox.
    pub(super) fn queued(&mut self, id: &str) {
        self.fresh.insert(id.to_owned());
        self.last.push_back((id.to_owned(), State::Queued));
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    /// It is on its way to the server.
    pub(super) fn written(&mut self, id: &str) {
        self.fresh.remove(id);
    }

    /// It was never on its way.
    pub(super) fn is_fresh(&self, id: &str) -> bool {
        self.fresh.contains(id)
    }

    /// Notes that a state is told; `false`: it says no more than what was told before, or is not of this run.
    pub(super) fn tell(&mut self, id: &str, state: &State) -> bool {
        let Some((_, before)) = self.last.iter_mut().rev().find(|(said, _)| said == id) else {
            return false;
        };
        let news = match before {
            State::Queued => true,
            State::Sent => *state != State::Sent,
            _ => false,
        };
        if news {
            *before = state.clone();
        }
        news
    }
}
