//! When somebody was here: what last activity (XEP-0012) and administrators (XEP-0133) are told.

use crate::limits;
use serde::{Deserialize, Serialize};

/// The collection of [`Seen`]: one row an account.
pub const SEEN: &str = "seen";

/// When somebody was here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The last logins, oldest first, at most [`limits::LOGINS_REMEMBERED`]; ms since 1970, UTC.
    pub logins_ms: Vec<i64>,
    /// When the last session ended.
    pub left_ms: Option<i64>,
    /// The status of its last unavailable presence (XEP-0012 section 3).
    pub farewell: String,
    /// The session that said so, while it lasts.
    pub farewell_of: Option<u64>,
}

impl Seen {
    /// Counts a login.
    pub fn logged_in(&mut self, now_ms: i64) {
        if self.logins_ms.len() >= limits::LOGINS_REMEMBERED {
            self.logins_ms.remove(0);
        }
        self.logins_ms.push(now_ms);
        self.farewell_of = None;
    }
}
