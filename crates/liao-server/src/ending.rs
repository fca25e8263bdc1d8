//! How the server ends: at once by a signal, or as an administrator planned it (XEP-0133 sections 4.30 and 4.31).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What comes after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing.
    Stopped,
    /// The same again.
    Restart,
}

/// The end that is planned.
pub struct Ending {
    planned: AtomicBool,
    now: watch::Sender<Option<Ended>>,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending {
            planned: AtomicBool::new(false),
            now: watch::Sender::new(None),
        }
    }
}

impl Ending {
    /// Ends after a delay. `false`: an end is planned already.
    pub fn plan(self: &Arc<Self>, delay: Duration, how: Ended) -> bool {
        if self.planned.swap(true, Ordering::AcqRel) {
            return false;
        }
        tracing::info!(?delay, ?how, "an administrator ends the server");
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            this.now.send_replace(Some(how));
        });
        true
    }

    /// Resolves when the time has come.
    pub async fn wait(&self) -> Ended {
        let mut receiver = self.now.subscribe();
        let come = receiver.wait_for(Option::is_some).await;
        // The sender is in this very struct.
        come.ok().and_then(|how| *how).unwrap_or(Ended::Stopped)
    }
}
