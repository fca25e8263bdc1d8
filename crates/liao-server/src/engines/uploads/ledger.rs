//! Who may send how much: slots that wait for their file and the sums of accounts, in memory; no I/O.

use crate::limits;
use liao_proto::jid::BareJid;
use liao_proto::xep::upload::{Purpose, Refusal, essence};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A place for one file that was promised to somebody.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Who may fill it.
    pub owner: BareJid,
    /// The file's name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its content type, if it was said.
    pub content_type: Option<String>,
    /// What it is for.
    pub purpose: Purpose,
    /// What who fills it, and later who deletes the file, must know.
    pub token: String,
    /// Not given to others than who asked first.
    taken: bool,
}

impl Slot {
    /// A free one.
    pub fn new(owner: BareJid, request: liao_proto::xep::upload::Request, token: String) -> Slot {
        Slot {
            owner,
            name: request.name,
            size: request.size,
            content_type: request.content_type,
            purpose: request.purpose,
            token,
            taken: false,
        }
    }

    /// What of it counts towards its owner's quota: profile pictures have a bound of their own.
    fn counted(&self) -> u64 {
        counted(self.purpose.name(), self.size)
    }
}

/// What of a file counts towards its owner's quota.
pub fn counted(purpose: &str, size: u64) -> u64 {
    if purpose == Purpose::Profile.name() {
        0
    } else {
        size
    }
}

/// Why a file is not taken (section "Upload").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No slot waits here.
    Unknown,
    /// It is used.
    Taken,
    /// The header that came with the slot is missing or wrong.
    Token,
    /// Not the bytes that were announced; so many were.
    Length(u64),
    /// Not the content type that was announced.
    Type,
}

/// One account.
#[derive(Debug)]
struct Account {
    /// Of whole files.
    bytes: u64,
    files: u32,
    /// Promised to slots.
    reserved: u64,
    slots: u32,
    /// Slots asked for since then.
    asked: u32,
    since: Instant,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    slots: HashMap<String, Slot>,
    /// All slots wait equally long: the first to end stands in front.
    due: VecDeque<(Instant, String)>,
    accounts: HashMap<BareJid, Account>,
}

impl Ledger {
    /// Whether the sums of an account are known.
    pub fn knows(&self, owner: &BareJid) -> bool {
        self.accounts.contains_key(owner)
    }

    /// The sums of an account, as they are on the disk.
    pub fn learn(&mut self, owner: &BareJid, bytes: u64, files: u32) {
        if self.accounts.len() >= limits::UPLOAD_ACCOUNTS {
            let rate = Duration::from_secs(limits::UPLOAD_RATE_S);
            self.accounts
                .retain(|_, a| a.slots > 0 || a.since.elapsed() < rate);
        }
        let account = Account {
            bytes,
            files,
            reserved: 0,
            slots: 0,
            asked: 0,
            since: Instant::now(),
        };
        self.accounts.entry(owner.clone()).or_insert(account);
    }

    /// Bytes promised to all slots.
    pub fn reserved(&self) -> u64 {
        self.accounts.values().map(|a| a.reserved).sum()
    }

    /// Counts a question for a slot, whatever its answer will be: refusals cost the disk and the store something, too.
    pub fn ask(&mut self, now: Instant, now_ms: i64, owner: &BareJid) -> Result<(), Refusal> {
        let Some(account) = self.accounts.get_mut(owner) else {
            return Err(Refusal::Wait("try again".to_owned(), Some(now_ms + 1_000)));
        };
        let rate = Duration::from_secs(limits::UPLOAD_RATE_S);
        let passed = now.saturating_duration_since(account.since);
        if passed >= rate {
            (account.since, account.asked) = (now, 0);
        }
        account.asked = account.asked.saturating_add(1);
        if account.asked > limits::UPLOAD_SLOTS_RATE {
            let text = format!(
                "You can only ask for {} uploads in {} minutes",
                limits::UPLOAD_SLOTS_RATE,
                limits::UPLOAD_RATE_S / 60
            );
            let again = now_ms + rate.saturating_sub(passed).as_millis() as i64;
            return Err(Refusal::Wait(text, Some(again)));
        }
        Ok(())
    }

    /// Promises a place, within `quota` bytes for the account.
    pub fn issue(
        &mut self,
        now: Instant,
        now_ms: i64,
        id: &str,
        slot: Slot,
        quota: u64,
    ) -> Result<(), Refusal> {
        self.expire(now);
        let wait = |text: String, seconds: u64| {
            Err(Refusal::Wait(text, Some(now_ms + seconds as i64 * 1000)))
        };
        let Some(account) = self.accounts.get_mut(&slot.owner) else {
            return wait("try again".to_owned(), 1);
        };
        if account.slots >= limits::UPLOAD_SLOTS {
            let text = format!("{} uploads are waited for already", limits::UPLOAD_SLOTS);
            return wait(text, limits::UPLOAD_SLOT_S);
        }
        if account.files + account.slots >= limits::UPLOAD_FILES {
            let text = format!("You can only have {} files here", limits::UPLOAD_FILES);
            return Err(Refusal::Wait(text, None));
        }
        let size = slot.counted();
        if account.bytes + account.reserved + size > quota {
            let text = format!(
                "Quota reached: your files take {} of {quota} bytes",
                account.bytes + account.reserved
            );
            return Err(Refusal::Wait(text, None));
        }
        account.slots += 1;
        account.reserved += size;
        let until = now + Duration::from_secs(limits::UPLOAD_SLOT_S);
        self.due.push_back((until, id.to_owned()));
        self.slots.insert(id.to_owned(), slot);
        Ok(())
    }

    /// Slots whose file did not begin in time are taken back.
    fn expire(&mut self, now: Instant) {
        while self.due.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, id)) = self.due.pop_front() else {
                return;
            };
            if self.slots.get(&id).is_some_and(|s| !s.taken) {
                self.settle(&id, false);
            }
        }
    }

    /// Takes a slot for a file that comes now; it is nobody else's from here on.
    pub fn take(
        &mut self,
        now: Instant,
        id: &str,
        name: &str,
        token: Option<&str>,
        length: u64,
        content_type: Option<&str>,
    ) -> Result<Slot, Denied> {
        self.expire(now);
        let slot = self.slots.get_mut(id).ok_or(Denied::Unknown)?;
        if slot.name != name {
            return Err(Denied::Unknown);
        }
        if !token.is_some_and(|t| same(t, &slot.token)) {
            return Err(Denied::Token);
        }
        if slot.taken {
            return Err(Denied::Taken);
        }
        if slot.size != length {
            return Err(Denied::Length(slot.size));
        }
        let other = |said: &str, now: &str| !essence(said).eq_ignore_ascii_case(essence(now));
        if let (Some(said), Some(now)) = (&slot.content_type, content_type)
            && other(said, now)
        {
            return Err(Denied::Type);
        }
        slot.taken = true;
        Ok(slot.clone())
    }

    /// Whether a slot is still its taker's: its owner's account may have gone.
    pub fn is_open(&self, id: &str) -> bool {
        self.slots.contains_key(id)
    }

    /// A slot is over; its file is here or not.
    pub fn settle(&mut self, id: &str, stored: bool) {
        let Some(slot) = self.slots.remove(id) else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(&slot.owner) {
            account.slots -= 1;
            account.reserved -= slot.counted();
            if stored {
                account.bytes += slot.counted();
                account.files += 1;
            }
        }
    }

    /// A file of an account was deleted.
    pub fn deleted(&mut self, owner: &BareJid, purpose: &str, size: u64) {
        if let Some(account) = self.accounts.get_mut(owner) {
            account.bytes = account.bytes.saturating_sub(counted(purpose, size));
            account.files = account.files.saturating_sub(1);
        }
    }

    /// An account is gone, with its slots.
    pub fn forget(&mut self, owner: &BareJid) {
        self.accounts.remove(owner);
        self.slots.retain(|_, s| s.owner != *owner);
    }
}

/// In constant time.
pub fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(size: u64, purpose: Purpose) -> Slot {
        let request = liao_proto::xep::upload::Request {
            name: "a".into(),
            size,
            content_type: Some("image/png".into()),
            purpose,
        };
        Slot::new(BareJid::new("x@y").unwrap(), request, "token".into())
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.learn(&BareJid::new("x@y").unwrap(), 50, 1);
        ledger
    }

    #[test]
    fn the_quota_counts_what_is_here_and_what_is_promised() {
        let mut ledger = ledger();
        let now = Instant::now();
        let ask = |l: &mut Ledger, at, id: &str, size| {
            l.issue(at, 0, id, slot(size, Purpose::Message), 100)
        };
        ask(&mut ledger, now, "a", 30).unwrap();
        assert!(matches!(
            ask(&mut ledger, now, "b", 21),
            Err(Refusal::Wait(..))
        ));
        ask(&mut ledger, now, "b", 20).unwrap();
        ledger
            .issue(now, 0, "p", slot(1000, Purpose::Profile), 100)
            .unwrap();
        assert_eq!(ledger.reserved(), 50);
        // A slot that nobody fills gives its bytes back.
        let later = now + Duration::from_secs(limits::UPLOAD_SLOT_S);
        ask(&mut ledger, later, "c", 50).unwrap();
        let put = ledger.take(later, "a", "a", Some("token"), 30, None);
        assert_eq!(
            put.unwrap_err(),
            Denied::Unknown,
            "it is too late for the first"
        );
    }

    #[test]
    fn a_slot_is_used_once_by_who_knows_it() {
        let mut ledger = ledger();
        let now = Instant::now();
        ledger
            .issue(now, 0, "i", slot(30, Purpose::Message), 100)
            .unwrap();
        let mut put =
            |name, token, length, kind| ledger.take(now, "i", name, token, length, kind).map(drop);
        let good = Some("token");
        assert_eq!(put("b", good, 30, None), Err(Denied::Unknown));
        assert_eq!(put("a", None, 30, None), Err(Denied::Token));
        assert_eq!(put("a", Some("tokem"), 30, None), Err(Denied::Token));
        assert_eq!(put("a", good, 31, None), Err(Denied::Length(30)));
        assert_eq!(put("a", good, 30, Some("text/html")), Err(Denied::Type));
        assert_eq!(put("a", good, 30, Some("IMAGE/png; x=y")), Ok(()));
        assert_eq!(put("a", good, 30, None), Err(Denied::Taken));
        ledger.settle("i", true);
        assert_eq!(ledger.reserved(), 0);
        assert!(
            ledger
                .issue(now, 0, "j", slot(21, Purpose::Message), 100)
                .is_err(),
            "80 are here"
        );
    }

    #[test]
    fn many_slots_without_files_are_refused_with_a_time() {
        let mut ledger = ledger();
        let now = Instant::now();
        let mut issued = 0;
        let refused = loop {
            let id = format!("{issued}");
            match ledger.issue(now, 1_000, &id, slot(1, Purpose::Message), 1 << 40) {
                Ok(()) => issued += 1,
                Err(refused) => break refused,
            }
        };
        assert_eq!(issued, limits::UPLOAD_SLOTS);
        assert!(matches!(refused, Refusal::Wait(_, Some(at)) if at > 1_000));
        let owner = BareJid::new("x@y").unwrap();
        for _ in 0..limits::UPLOAD_SLOTS_RATE {
            ledger.ask(now, 0, &owner).unwrap();
        }
        let refused = ledger.ask(now, 1_000, &owner);
        assert!(
            matches!(refused, Err(Refusal::Wait(text, Some(600_000..=601_000))) if text.contains("minutes"))
        );
        let later = now + Duration::from_secs(limits::UPLOAD_RATE_S);
        ledger.ask(later, 0, &owner).unwrap();
    }
}
