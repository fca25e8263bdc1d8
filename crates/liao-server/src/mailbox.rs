//! What waits to be written to one session: bounded in bytes, lazily allocated, nobody waits on another's.

use crate::limits;
use crate::server::now_ms;
use crate::store::{Commit, Counted, Mark, Store};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Notify;

/// One element for the wire.
#[derive(Debug)]
pub struct Item {
    /// The element.
    pub bytes: Bytes,
    /// The owner's archive seq when the element is an archived message: reported back once it is written.
    pub seq: Option<u64>,
    /// It can wait while the client is inactive (XEP-0352): what a later one of the same key makes pointless.
    pub lazy: Option<u64>,
}

/// Why a session must end from the server's side: a stream error condition (RFC 6120 section 4.9.3) and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The condition's element name.
    pub condition: &'static str,
    /// Words for a person.
    pub text: &'static str,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Elements that cannot wait.
    urgent: usize,
    /// The client is inactive.
    quiet: bool,
    end: Option<End>,
}

impl Inner {
    /// What waits goes out now.
    fn is_due(&self, bound: usize) -> bool {
        !self.quiet || self.urgent > 0 || self.end.is_some() || self.bytes > bound / 4
    }
}

/// How long a mark that could not be stored waits for the next try.
const MARK_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Which of a session's own stanzas are handled: they may be done out of order, `h` is the longest whole beginning
/// (XEP-0198 section 4; the durability contract, point 1).
#[derive(Default)]
struct Handled {
    received: u64,
    prefix: u64,
    early: BTreeSet<u64>,
    /// In work, and of no consequence after a crash.
    light: BTreeSet<u64>,
    /// Committed ones that the stored `h` does not cover yet, as some before them were not handled then.
    beyond: BTreeSet<u64>,
    /// A commit that stores `h` is under way.
    storing: bool,
    /// The first that never will be handled.
    lost: Option<u64>,
}

impl Handled {
    /// The longest whole beginning, if these were handled, too. This is for the next `<failed/>` after a crash: what
    /// would be of no consequence then does not keep it from covering the messages that came after it, or a client
    /// would send those again.
    fn prefix_with(&self, done: &[u64]) -> u64 {
        let handled = |n| {
            [&self.early, &self.light]
                .iter()
                .any(|all| all.contains(&n))
        };
        let mut prefix = self.prefix;
        while handled(prefix + 1) || done.contains(&(prefix + 1)) {
            prefix += 1;
        }
        prefix
    }

    /// One more is done.
    fn land(&mut self, number: u64) {
        self.light.remove(&number);
        if number > self.prefix {
            self.early.insert(number);
        }
        while self.early.remove(&(self.prefix + 1)) {
            self.prefix += 1;
        }
    }

    /// What may be told: nothing that was committed is covered before its being so is on the disk.
    fn told(&self) -> u64 {
        self.beyond
            .first()
            .map_or(self.prefix, |n| self.prefix.min(n - 1))
    }
}

/// What a session sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Stanzas.
    pub stanzas: AtomicU64,
    /// When the last of them came, in ms since 1970, UTC.
    pub last_ms: AtomicI64,
}

/// What all sessions of one account have in work together.
#[derive(Default)]
pub struct Work {
    bytes: AtomicUsize,
    /// There is room again.
    room: Notify,
}

impl Work {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > limits::IN_FLIGHT_ACCOUNT_BYTES
    }

    fn done(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before > limits::IN_FLIGHT_ACCOUNT_BYTES && !self.is_full() {
            self.room.notify_waiters();
        }
    }
}

/// The two directions' accounts of one session.
pub struct Mailbox {
    /// What came from it.
    pub sent: Arc<Sent>,
    /// Bytes that may wait.
    bound: usize,
    counting: AtomicBool,
    /// The number of the stream that counts.
    stream: AtomicI64,
    handled: Mutex<Handled>,
    inner: Mutex<Inner>,
    ready: Notify,
    in_flight: AtomicUsize,
    /// Of the account; a component has none.
    work: OnceLock<Arc<Work>>,
    landed: Notify,
    taken: Notify,
}

impl Mailbox {
    /// Empty; at most `bound` bytes wait in it.
    pub fn new(bound: usize) -> Mailbox {
        Mailbox {
            sent: Arc::default(),
            bound,
            counting: AtomicBool::default(),
            stream: AtomicI64::default(),
            handled: Mutex::default(),
            inner: Mutex::default(),
            ready: Notify::new(),
            in_flight: AtomicUsize::default(),
            work: OnceLock::new(),
            landed: Notify::new(),
            taken: Notify::new(),
        }
    }

    /// The bytes that may wait.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// So much waits that what can come later should.
    pub fn is_busy(&self) -> bool {
        self.waiting_bytes() > self.bound / 4
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves the queue itself in order.
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Appends an element. `false`: the mailbox is full or ended; on overflow the session is told to end.
    pub fn push(&self, bytes: Bytes, seq: Option<u64>) -> bool {
        self.push_item(Item {
            bytes,
            seq,
            lazy: None,
        })
    }

    /// Appends an element that can wait while the client is inactive; it takes the place of one with the same key.
    pub fn push_lazy(&self, bytes: Bytes, key: u64) -> bool {
        self.push_item(Item {
            bytes,
            seq: None,
            lazy: Some(key),
        })
    }

    fn push_item(&self, item: Item) -> bool {
        let mut inner = self.lock();
        if inner.end.is_some() {
            return false;
        }
        if item.lazy.is_some() && inner.quiet {
            // All that is urgent was taken at once, so what waits here is lazy and may be passed.
            let older = inner.queue.iter().position(|i| i.lazy == item.lazy);
            if let Some(older) = older.and_then(|at| inner.queue.remove(at)) {
                inner.bytes -= older.bytes.len();
            }
        }
        if inner.bytes + item.bytes.len() > self.bound {
            inner.end = Some(End {
                condition: "resource-constraint",
                text: "you read too slowly",
            });
            drop(inner);
            self.ready.notify_one();
            return false;
        }
        inner.bytes += item.bytes.len();
        inner.urgent += usize::from(item.lazy.is_none());
        inner.queue.push_back(item);
        let due = inner.is_due(self.bound);
        drop(inner);
        if due {
            self.ready.notify_one();
        }
        true
    }

    /// Ends the session after what already waits.
    pub fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.ready.notify_one();
    }

    /// Ends the session at once: nothing more is taken, and what waited is given back.
    pub fn close(&self) -> VecDeque<Item> {
        let mut inner = self.lock();
        inner.end.get_or_insert(End {
            condition: "reset",
            text: "",
        });
        (inner.bytes, inner.urgent) = (0, 0);
        let items = std::mem::take(&mut inner.queue);
        drop(inner);
        self.taken.notify_waiters();
        items
    }

    /// Whether the client is inactive: what can wait then does (XEP-0352).
    pub fn set_quiet(&self, quiet: bool) {
        self.lock().quiet = quiet;
        self.ready.notify_one();
    }

    /// Takes all that is due, and the end if there is one.
    pub fn take(&self) -> (VecDeque<Item>, Option<End>) {
        let mut inner = self.lock();
        if !inner.is_due(self.bound) {
            return (VecDeque::new(), None);
        }
        inner.bytes = 0;
        inner.urgent = 0;
        let items = std::mem::take(&mut inner.queue);
        let end = inner.end;
        drop(inner);
        self.taken.notify_waiters();
        (items, end)
    }

    /// Resolves when there is room for what could come later. Cancel-safe.
    pub async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            if !self.is_busy() || self.is_ended() {
                return;
            }
            taken.await;
        }
    }

    /// Lets [`Mailbox::ready`] resolve: there may be something to do.
    pub fn wake(&self) {
        self.ready.notify_one();
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Resolves when [`Mailbox::take`] has something to give. Cancel-safe.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// What the account's sessions have in work counts for this one, too. Set while it is bound, before it sends.
    pub fn share(&self, work: Arc<Work>) {
        let _ = self.work.set(work);
    }

    /// See [`Mailbox::share`].
    pub fn work(&self) -> Option<Arc<Work>> {
        self.work.get().cloned()
    }

    /// Resolves when what is in work is under its bounds, the session's and the account's. Cancel-safe.
    pub async fn may_read(&self) {
        let alone = Notify::new();
        let account = self.work.get().map_or(&alone, |w| &w.room);
        loop {
            let room = account.notified();
            if self.is_reading() {
                return;
            }
            tokio::select! {
                () = self.landed.notified() => {}
                () = room => {}
            }
        }
    }

    /// Stanzas are counted from now on, for this stream (XEP-0198).
    pub fn count(&self, stream: i64) {
        self.stream.store(stream, Ordering::Release);
        self.counting.store(true, Ordering::Release);
    }

    fn handled_lock(&self) -> std::sync::MutexGuard<'_, Handled> {
        self.handled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Stanzas whose effects are committed or answered, without a gap, as far as may be told; and all that were
    /// received.
    pub fn handled(&self) -> (u64, u64) {
        let handled = self.handled_lock();
        (handled.told(), handled.received)
    }

    /// Whether `h` itself has to be stored before it may be told; who is told so stores it.
    fn is_mark_due(&self) -> bool {
        let mut handled = self.handled_lock();
        let due = !handled.storing && handled.told() < handled.prefix;
        handled.storing |= due;
        due
    }

    /// Stores `h` where it has to be stored before it may be told.
    pub fn store_mark(self: &Arc<Self>, store: &Store) {
        if !self.is_mark_due() {
            return;
        }
        let mark = Mark {
            stream: self.clone(),
            number: 0,
            done: true,
        };
        let (me, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let then = Box::new(move |result: Result<_, _>| match result {
            Ok(_) => me.mark_done(),
            // Not at once again: the disk is full, or worse.
            Err(_) => drop(runtime.spawn(async move {
                tokio::time::sleep(MARK_RETRY).await;
                me.mark_done();
            })),
        });
        let commit = Commit {
            ops: Vec::new(),
            marks: vec![mark],
            then,
        };
        if let Err(commit) = store.commit(commit) {
            (commit.then)(Err(crate::store::CommitError::Overloaded));
        }
    }

    fn mark_done(&self) {
        self.handled_lock().storing = false;
        self.ready.notify_one();
        self.landed.notify_waiters();
    }

    /// Resolves when all that was received is handled and may be told. Cancel-safe.
    pub async fn all_handled(self: &Arc<Self>, store: &Store) {
        loop {
            let landed = self.landed.notified();
            self.store_mark(store);
            let (handled, received) = self.handled();
            let lost = self.handled_lock().lost;
            if handled == received || lost == Some(handled + 1) {
                return;
            }
            landed.await;
        }
    }

    fn put_in_work(&self, bytes: usize) {
        self.in_flight.fetch_add(bytes, Ordering::AcqRel);
        if let Some(work) = self.work.get() {
            work.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// Whether the session was told to end.
    pub fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Whether the socket may be read now.
    pub fn is_reading(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) <= limits::IN_FLIGHT_BYTES
            && !self.work.get().is_some_and(|w| w.is_full())
    }
}

impl Counted for Mailbox {
    fn stream(&self) -> i64 {
        self.stream.load(Ordering::Acquire)
    }

    fn h_with(&self, done: &[u64]) -> u64 {
        self.handled_lock().prefix_with(done)
    }

    fn committed(&self, touched: &[u64], done: &[u64], h: u64) {
        let mut handled = self.handled_lock();
        handled.beyond.extend(touched);
        handled.beyond.retain(|n| *n > h);
        // Their credits are dropped only when they are released; the next commit may come before that.
        done.iter().for_each(|n| handled.land(*n));
    }
}

/// What the sender's entity decided about a message that others carry on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The session that sent it.
    pub session: u64,
    /// Other devices of the sender get copies (XEP-0280 section 8).
    pub copies: bool,
    /// The sender does not want it in the own archive (XEP-0441).
    pub unarchived: bool,
}

/// Held while a stanza of a session is in work; dropped when its effects are committed or refused.
pub struct Credit {
    mailbox: Arc<Mailbox>,
    bytes: usize,
    /// Its number among the session's stanzas, if they are counted.
    number: Option<u64>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Credit {
    /// Takes `bytes` of the session's allowance.
    pub fn take(mailbox: &Arc<Mailbox>, session: u64, bytes: usize) -> Credit {
        mailbox.put_in_work(bytes);
        mailbox.sent.stanzas.fetch_add(1, Ordering::Relaxed);
        mailbox.sent.last_ms.store(now_ms(), Ordering::Relaxed);
        let number = mailbox.counting.load(Ordering::Acquire).then(|| {
            let mut handled = mailbox.handled_lock();
            handled.received += 1;
            handled.received
        });
        Credit {
            mailbox: mailbox.clone(),
            bytes,
            number,
            origin: Origin {
                session,
                ..Origin::default()
            },
        }
    }

    /// For one more stanza that came of the same one: a presence to a thousand friends is as much in work as a thousand
    /// presences.
    pub fn another(&self) -> Credit {
        self.mailbox.put_in_work(limits::FAN_OUT_BYTES);
        Credit {
            mailbox: self.mailbox.clone(),
            bytes: limits::FAN_OUT_BYTES,
            number: None,
            origin: Origin::default(),
        }
    }

    /// The stanza will never be handled: `h` stays before it.
    pub fn abandon(mut self) {
        if let Some(number) = self.number.take() {
            let mut handled = self.mailbox.handled_lock();
            handled.lost = Some(handled.lost.map_or(number, |n| n.min(number)));
        }
    }

    /// The stanza would be of no consequence after a crash.
    pub fn light(self) -> Credit {
        if let Some(number) = self.number {
            self.mailbox.handled_lock().light.insert(number);
        }
        self
    }

    /// The stanza as a commit names it; `done`: nothing else of it is under way then.
    pub fn mark(&self, done: bool) -> Option<Mark> {
        self.number.map(|number| Mark {
            stream: self.mailbox.clone(),
            number,
            done,
        })
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.mailbox
            .in_flight
            .fetch_sub(self.bytes, Ordering::AcqRel);
        if let Some(work) = self.mailbox.work.get() {
            work.done(self.bytes);
        }
        if let Some(number) = self.number {
            self.mailbox.handled_lock().land(number);
            self.mailbox.ready.notify_one();
        }
        self.mailbox.landed.notify_waiters();
        self.mailbox.landed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_account_share_what_they_may_have_in_work() {
        let all: Vec<_> = (0..6).map(|_| Arc::new(Mailbox::new(1 << 20))).collect();
        let work = Arc::<Work>::default();
        all.iter().for_each(|m| m.share(work.clone()));
        let take = |m| Credit::take(m, 1, limits::IN_FLIGHT_BYTES);
        let mut credits: Vec<Credit> = all[..4].iter().map(take).collect();
        assert!(all.iter().all(|m| m.is_reading()), "as much as they may");
        credits.push(credits[0].another());
        assert!(!all[5].is_reading(), "the others have taken all of it");
        credits.pop();
        assert!(all[5].is_reading());
        credits.push(credits[3].another());
        let mut waits = std::pin::pin!(all[5].may_read());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        drop(credits);
        assert!(waits.as_mut().poll(&mut cx).is_ready(), "it is woken");
    }

    #[test]
    fn h_is_the_longest_beginning_without_a_gap() {
        let mailbox = std::sync::Arc::new(Mailbox::new(limits::MAILBOX_BYTES));
        drop(Credit::take(&mailbox, 1, 1));
        assert_eq!(mailbox.handled(), (0, 0), "before <enable/> nothing counts");
        mailbox.count(5);
        let mut credits: Vec<Credit> = (0..4).map(|_| Credit::take(&mailbox, 1, 1)).collect();
        drop(credits.remove(1));
        assert_eq!(mailbox.handled(), (0, 4));
        drop(credits.remove(0));
        assert_eq!(mailbox.handled(), (2, 4));
        drop(credits);
        assert_eq!(mailbox.handled(), (4, 4));
    }

    #[test]
    fn what_was_committed_is_told_only_once_h_on_the_disk_covers_it() {
        let mailbox = Arc::new(Mailbox::new(limits::MAILBOX_BYTES));
        mailbox.count(5);
        let mut credits: Vec<Credit> = (0..3).map(|_| Credit::take(&mailbox, 1, 1)).collect();
        let message = credits.remove(1);
        let h = mailbox.h_with(&[2]);
        assert_eq!(h, 0, "the first is not handled yet");
        mailbox.committed(&[2], &[2], h);
        drop(message);
        drop(credits);
        assert_eq!(mailbox.handled(), (1, 3), "2 is committed, h is not");
        assert!(
            mailbox.is_mark_due() && !mailbox.is_mark_due(),
            "one at a time"
        );
        mailbox.committed(&[], &[], mailbox.h_with(&[]));
        mailbox.mark_done();
        assert_eq!(mailbox.handled(), (3, 3));
    }

    #[test]
    fn a_ping_that_is_still_in_work_does_not_keep_the_stored_h_from_a_message_after_it() {
        let mailbox = Arc::new(Mailbox::new(limits::MAILBOX_BYTES));
        mailbox.count(5);
        let ping = Credit::take(&mailbox, 1, 1).light();
        let message = Credit::take(&mailbox, 1, 1);
        let change = Credit::take(&mailbox, 1, 1);
        let h = mailbox.h_with(&[2]);
        assert_eq!(
            h, 2,
            "what is not answered at a crash never is; a change may not be missed"
        );
        mailbox.committed(&[2], &[2], h);
        drop(message);
        assert_eq!(
            mailbox.handled(),
            (0, 3),
            "while the server lives, it is answered first"
        );
        drop((ping, change));
        assert_eq!(mailbox.handled(), (3, 3));
    }

    #[test]
    fn while_a_client_is_inactive_only_what_cannot_wait_wakes_it_and_the_latest_presence_is_enough()
    {
        let mailbox = Mailbox::new(limits::MAILBOX_BYTES);
        mailbox.set_quiet(true);
        for n in 0..3 {
            mailbox.push_lazy(format!("<presence n='{n}'/>").into(), 7);
        }
        mailbox.push_lazy("<presence/>".into(), 8);
        assert!(mailbox.take().0.is_empty());
        mailbox.push("<message/>".into(), None);
        let all: Vec<Bytes> = mailbox.take().0.into_iter().map(|i| i.bytes).collect();
        assert_eq!(all, ["<presence n='2'/>", "<presence/>", "<message/>"]);
        mailbox.push_lazy("<presence/>".into(), 8);
        mailbox.set_quiet(false);
        assert_eq!(mailbox.take().0.len(), 1);
        mailbox.set_quiet(true);
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let waiting = (0..).take_while(|n| {
            mailbox.push_lazy(piece.clone(), *n);
            mailbox.take().0.is_empty()
        });
        assert!(
            waiting.count() <= limits::MAILBOX_BYTES / 4 / piece.len(),
            "it is bounded"
        );
    }

    #[test]
    fn a_slow_reader_loses_its_session_and_no_more_than_the_bound_waits() {
        let mailbox = Mailbox::new(limits::MAILBOX_BYTES);
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut taken = 0;
        while mailbox.push(piece.clone(), None) {
            taken += 1;
            assert!(taken <= limits::MAILBOX_BYTES / piece.len());
        }
        assert_eq!(mailbox.waiting_bytes(), taken * piece.len());
        assert_eq!(
            mailbox.take().1.map(|e| e.condition),
            Some("resource-constraint")
        );
    }
}
