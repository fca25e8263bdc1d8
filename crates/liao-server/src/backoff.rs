//! Back-off of logins: who guesses passwords waits longer and longer, by account and by address
//! (RFC 6120 section 6.5.11 for what a client is told, section 13.12 for why).

use crate::limits;
use crate::peer::household;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What failures are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A bare address, whether an account stands behind it or not: nobody learns which.
    Account(String),
    /// Where tries come from: a household.
    Address(IpAddr),
}

impl Key {
    fn address(address: IpAddr) -> Key {
        Key::Address(household(address))
    }

    /// How many times an account's bounds apply: many people may sit behind one address.
    fn factor(&self) -> u32 {
        match self {
            Key::Account(_) => 1,
            Key::Address(_) => limits::AUTH_ADDRESS_FACTOR,
        }
    }
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    /// Tries that have been let in and have not ended.
    at_once: u32,
    /// The last failure or try.
    last: Instant,
    /// Nothing is let in before. `None` and not a time that has come: two tries at once may have taken theirs in the
    /// other order.
    until: Option<Instant>,
}

impl Entry {
    fn is_stale(&self, now: Instant) -> bool {
        let window = Duration::from_secs(limits::AUTH_WINDOW_S);
        self.at_once == 0 && now.saturating_duration_since(self.last) > window
    }

    /// 1, 2, 4 … seconds from the first failure that is one too many.
    fn pause(&self, bound: u32) -> Duration {
        let over = self.failures.saturating_sub(bound).min(31);
        Duration::from_secs((1u64 << over).min(limits::AUTH_PAUSE_S))
    }

    fn fail(&mut self, bound: u32, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if self.failures >= bound {
            self.until = Some(now + self.pause(bound));
        }
    }
}

type Entries = HashMap<Key, Entry>;

/// The failures of late. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Backoff {
    entries: Arc<Mutex<Entries>>,
    /// Failures that an account has for nothing.
    failures: u32,
}

/// One try that was let in. Dropped without a verdict it counts as nothing: nobody learnt anything by it.
#[derive(Debug)]
pub struct Try {
    all: Backoff,
    keys: Vec<Key>,
}

impl Backoff {
    /// Tries wait after so many failures of an account.
    pub fn new(failures: u32) -> Backoff {
        Backoff {
            entries: Arc::default(),
            failures,
        }
    }

    fn bound(&self, key: &Key) -> u32 {
        self.failures.saturating_mul(key.factor())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a try in, or says how long to wait. `account` is `None` if the name can be nobody's.
    pub fn admit(
        &self,
        account: Option<&str>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Try, Duration> {
        let mut keys = vec![Key::address(address)];
        keys.extend(account.map(|a| Key::Account(a.to_owned())));
        let mut all = self.lock();
        make_room(&mut all, keys.len(), now);
        let wait = keys.iter().filter_map(|k| wait(&all, k, now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in &keys {
            let bound = self.bound(key);
            let entry = all.entry(key.clone()).or_insert(Entry {
                failures: 0,
                at_once: 0,
                last: now,
                until: None,
            });
            if entry.is_stale(now) {
                entry.failures = 0;
            }
            entry.at_once += 1;
            entry.last = now;
            if entry.failures >= bound {
                // After a pause one try is let in, not all that waited for its end.
                entry.until = Some(now + entry.pause(bound));
            }
        }
        drop(all);
        Ok(Try {
            all: self.clone(),
            keys,
        })
    }
}

/// How long this key has to wait.
fn wait(all: &Entries, key: &Key, now: Instant) -> Option<Duration> {
    let entry = all.get(key).filter(|e| !e.is_stale(now))?;
    if let Some(until) = entry.until.filter(|until| *until > now) {
        return Some(until - now);
    }
    let full = entry.at_once >= limits::AUTH_AT_ONCE * key.factor();
    full.then_some(Duration::from_secs(1))
}

/// Forgets what is old; at the bound, then, who failed least and longest ago.
fn make_room(all: &mut Entries, more: usize, now: Instant) {
    if all.len() + more <= limits::AUTH_REMEMBERED {
        return;
    }
    all.retain(|_, e| !e.is_stale(now));
    if all.len() + more <= limits::AUTH_REMEMBERED {
        return;
    }
    let mut ranks: Vec<(u32, Instant)> = all.values().map(|e| (e.failures, e.last)).collect();
    let middle = ranks.len() / 4;
    let (_, limit, _) = ranks.select_nth_unstable(middle);
    let limit = *limit;
    all.retain(|_, e| (e.failures, e.last) > limit);
}

impl Try {
    /// The password was wrong.
    pub fn failed(self, now: Instant) {
        let mut all = self.all.lock();
        for key in &self.keys {
            if let Some(entry) = all.get_mut(key) {
                entry.fail(self.all.bound(key), now);
            }
        }
    }

    /// The password was right: the account's failures are forgotten, the address's are not, or who has one account
    /// could guess at others for ever.
    pub fn succeeded(self) {
        let mut all = self.all.lock();
        for key in self.keys.iter().filter(|k| matches!(k, Key::Account(_))) {
            if let Some(entry) = all.get_mut(key) {
                entry.failures = 0;
                entry.until = None;
            }
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        for key in &self.keys {
            if let Some(entry) = all.get_mut(key) {
                entry.at_once = entry.at_once.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn pauses_grow_from_one_second_to_the_bound_and_one_try_passes_after_each() {
        let (all, mut now) = (Backoff::new(limits::AUTH_FAILURES), Instant::now());
        let home = ip("192.0.2.1");
        for _ in 0..limits::AUTH_FAILURES {
            all.admit(Some("a@x"), home, now).unwrap().failed(now);
        }
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = all.admit(Some("a@x"), home, now).unwrap_err();
            pauses.push(pause.as_secs());
            now += pause;
            let one = all.admit(Some("a@x"), home, now).unwrap();
            assert!(
                all.admit(Some("a@x"), ip("192.0.2.9"), now).is_err(),
                "one after a pause"
            );
            one.failed(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(
            all.admit(Some("b@x"), home, now).is_ok(),
            "others are not harmed"
        );
        now += Duration::from_secs(60);
        all.admit(Some("a@x"), home, now).unwrap().succeeded();
        assert!(
            all.admit(Some("a@x"), home, now).is_ok(),
            "success forgets the account's"
        );
    }

    #[test]
    fn tries_at_the_same_moment_do_not_keep_each_other_out() {
        let (all, now) = (Backoff::new(limits::AUTH_FAILURES), Instant::now());
        let later = now + Duration::from_micros(5);
        let first = all.admit(Some("a@x"), ip("192.0.2.1"), later).unwrap();
        first.succeeded();
        assert!(all.admit(Some("a@x"), ip("192.0.2.1"), now).is_ok());
        assert!(all.admit(Some("b@x"), ip("192.0.2.1"), now).is_ok());
    }

    #[test]
    fn an_address_has_ten_times_the_bound_and_success_does_not_clear_it() {
        let (all, now) = (Backoff::new(limits::AUTH_FAILURES), Instant::now());
        let bound = limits::AUTH_FAILURES * limits::AUTH_ADDRESS_FACTOR;
        for n in 0..bound {
            let address = ip(&format!("2001:db8::{n:x}"));
            let one = all.admit(Some(&format!("{n}@x")), address, now).unwrap();
            one.failed(now);
            let own = all.admit(Some("mine@x"), address, now);
            if let Ok(own) = own {
                own.succeeded();
            }
        }
        assert!(all.admit(Some("new@x"), ip("2001:db8::ffff"), now).is_err());
        assert!(all.admit(None, ip("2001:db8::ffff"), now).is_err());
        assert!(all.admit(Some("new@x"), ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn the_window_passes_and_an_abandoned_try_is_no_failure() {
        let (all, now) = (Backoff::new(limits::AUTH_FAILURES), Instant::now());
        for _ in 0..100 {
            all.admit(Some("a@x"), ip("192.0.2.1"), now).unwrap();
        }
        for _ in 0..limits::AUTH_FAILURES {
            let one = all.admit(Some("a@x"), ip("192.0.2.1"), now).unwrap();
            one.failed(now);
        }
        assert!(all.admit(Some("a@x"), ip("192.0.2.2"), now).is_err());
        let later = now + Duration::from_secs(limits::AUTH_WINDOW_S + 1);
        all.admit(Some("a@x"), ip("192.0.2.2"), later)
            .unwrap()
            .failed(later);
        assert!(all.admit(Some("a@x"), ip("192.0.2.2"), later).is_ok());
        let open: Vec<_> = (0..limits::AUTH_AT_ONCE)
            .map(|_| all.admit(Some("b@x"), ip("192.0.2.3"), now).unwrap())
            .collect();
        assert!(
            all.admit(Some("b@x"), ip("192.0.2.3"), now).is_err(),
            "no flood of tries at once"
        );
        drop(open);
        assert!(all.admit(Some("b@x"), ip("192.0.2.3"), now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_a_flood_of_names_does_not_clear_the_worst() {
        let (all, now) = (Backoff::new(limits::AUTH_FAILURES), Instant::now());
        for _ in 0..limits::AUTH_FAILURES {
            let one = all.admit(Some("victim@x"), ip("192.0.2.1"), now).unwrap();
            one.failed(now);
        }
        for n in 0..limits::AUTH_REMEMBERED as u32 {
            let address = IpAddr::V4((0x0a00_0000 + n).into());
            let now = now + Duration::from_micros(u64::from(n));
            if let Ok(one) = all.admit(Some(&format!("{n}@x")), address, now) {
                one.failed(now);
            }
            assert!(all.lock().len() <= limits::AUTH_REMEMBERED);
        }
        assert!(all.admit(Some("victim@x"), ip("192.0.2.2"), now).is_err());
    }
}
