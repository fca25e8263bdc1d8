//! A disk that fails while people talk, and comes back: nobody is told that something is kept which is not, and the
//! server lives on.

use super::Run;
use super::ledger::Told;
use super::line::Line;
use super::power::{Fail, Power};

/// How the disk fails.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub how: Fail,
    /// Which files, by the ending of their names; empty: all.
    pub ending: &'static str,
    /// What the server must say in its log.
    pub says: &'static str,
    /// When it begins.
    pub when: When,
}

/// When a trouble begins, and so what it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In the middle of the traffic: senders are refused.
    Talking,
    /// When nothing is said any more: what the server does behind the traffic fails, nobody is refused.
    Idle,
}

/// Messages that are counted before, between and after troubles.
const TALK: u64 = 400;
/// Errors that senders get in each trouble.
const REFUSALS: u64 = 20;

impl Run {
    /// Talk, trouble, talk, trouble …; then a kill, and what is there must be what was told.
    pub(super) async fn troubles(&mut self, troubles: &[Trouble]) -> Result<(), String> {
        self.world
            .send_modify(|w| (w.at, w.round) = (Some(self.server.address), 1));
        self.kept(TALK).await?;
        for trouble in troubles {
            let words = |why: String| format!("{trouble:?}: {why}");
            self.trouble(trouble).await.map_err(words)?;
            self.world
                .send_modify(|w| (w.draining, w.round) = (false, w.round + 1));
            self.kept(TALK)
                .await
                .map_err(|why| format!("after {trouble:?}: {why}"))?;
        }
        self.drain().await?;
        self.check_rosters().await?;
        self.world.send_modify(|w| w.at = None);
        self.server.kill();
        let lab = self.lab.clone();
        lab.until("all connections break", || lab.talking.get() == 0)
            .await?;
        self.server = self.home.start()?;
        self.drain().await?;
        self.check().await
    }

    fn power(&self) -> &Power {
        self.home
            .power
            .as_ref()
            .expect("troubles are made by the library")
    }

    /// Waits until so many more messages are kept.
    async fn kept(&self, more: u64) -> Result<(), String> {
        let lab = &self.lab;
        let kept = || {
            let told = |m: &&super::ledger::Message| matches!(m.told, Told::Counted(_));
            lab.ledger.borrow().messages.values().filter(told).count() as u64
        };
        let until = kept() + more;
        let dead = |why| format!("{why}: {}", self.server.log.text());
        lab.until("messages are kept", || kept() >= until)
            .await
            .map_err(dead)
    }

    async fn trouble(&mut self, trouble: &Trouble) -> Result<(), String> {
        let lab = self.lab.clone();
        let refusals = || lab.counts.borrow().refused.values().sum::<u64>();
        let before = refusals();
        if trouble.when == When::Idle {
            self.world.send_modify(|w| w.draining = true);
            lab.until("all that was sent is counted", || lab.unacked() == 0)
                .await?;
        }
        let let_pass = match trouble.when {
            When::Talking => self.random.below(20) as u32,
            When::Idle => 0,
        };
        let failed = self.power().failed();
        self.power().fail(trouble.how, trouble.ending, let_pass);
        if trouble.when == When::Talking {
            lab.until("senders are told", || refusals() >= before + REFUSALS)
                .await?;
        }
        let log = self.server.log.clone();
        let says = trouble.says;
        let heard = tokio::task::spawn_blocking(move || log.wait_for(says)).await;
        heard.map_err(|e| e.to_string())?;
        if self.power().failed() == failed {
            return Err("nothing failed".into());
        }
        // It lives on: the administrator is answered, and so is who comes now.
        let stats = self.home.stats()?;
        if !stats.contains("uptime") {
            return Err(format!("the administrator is told: {stats}"));
        }
        let account = self.people[0].account.clone();
        let came = Line::log_in(self.server.address, &account).await;
        drop(came.map_err(|_| "nobody can log in")?);
        self.power().fail(Fail::Nothing, "", 0);
        if trouble.when == When::Idle && refusals() != before {
            return Err("senders were refused something".into());
        }
        self.server.log.forget();
        Ok(())
    }
}
