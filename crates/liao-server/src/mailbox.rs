//! What waits to be written to one session: bounded in bytes, lazily allocated, nobody waits on another's.

use crate::limits;
use crate::server::now_ms;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// One element for the wire.
#[derive(Debug)]
pub struct Item {
    /// The element.
    pub bytes: Bytes,
    /// The owner's archive seq when the element is an archived message: reported back once it is written.
    pub seq: Option<u64>,
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
    end: Option<End>,
}

/// Which of a session's own stanzas are handled: they may be done out of order, `h` is the longest whole beginning
/// (XEP-0198 section 4; the durability contract, point 1).
#[derive(Default)]
struct Handled {
    received: u64,
    prefix: u64,
    early: BTreeSet<u64>,
}

/// What a session sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Stanzas.
    pub stanzas: AtomicU64,
    /// When the last of them came, in ms since 1970, UTC.
    pub last_ms: AtomicI64,
}

/// The two directions' accounts of one session.
pub struct Mailbox {
    /// What came from it.
    pub sent: Arc<Sent>,
    /// Bytes that may wait.
    bound: usize,
    counting: AtomicBool,
    handled: Mutex<Handled>,
    inner: Mutex<Inner>,
    ready: Notify,
    in_flight: AtomicUsize,
    landed: Notify,
}

impl Mailbox {
    /// Empty; at most `bound` bytes wait in it.
    pub fn new(bound: usize) -> Mailbox {
        Mailbox {
            sent: Arc::default(),
            bound,
            counting: AtomicBool::default(),
            handled: Mutex::default(),
            inner: Mutex::default(),
            ready: Notify::new(),
            in_flight: AtomicUsize::default(),
            landed: Notify::new(),
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
        let mut inner = self.lock();
        if inner.end.is_some() {
            return false;
        }
        if inner.bytes + bytes.len() > self.bound {
            inner.end = Some(End {
                condition: "resource-constraint",
                text: "you read too slowly",
            });
            drop(inner);
            self.ready.notify_one();
            return false;
        }
        inner.bytes += bytes.len();
        inner.queue.push_back(Item { bytes, seq });
        drop(inner);
        self.ready.notify_one();
        true
    }

    /// Ends the session after what already waits.
    pub fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.ready.notify_one();
    }

    /// Takes all that waits, and the end if there is one.
    pub fn take(&self) -> (VecDeque<Item>, Option<End>) {
        let mut inner = self.lock();
        inner.bytes = 0;
        (std::mem::take(&mut inner.queue), inner.end)
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

    /// Resolves when the session's own stanzas in work are under their bound. Cancel-safe.
    pub async fn may_read(&self) {
        while self.in_flight.load(Ordering::Acquire) > limits::IN_FLIGHT_BYTES {
            self.landed.notified().await;
        }
    }

    /// Stanzas are counted from now on (XEP-0198).
    pub fn count(&self) {
        self.counting.store(true, Ordering::Release);
    }

    fn handled_lock(&self) -> std::sync::MutexGuard<'_, Handled> {
        self.handled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Stanzas whose effects are committed or answered, without a gap; and all that were received.
    pub fn handled(&self) -> (u64, u64) {
        let handled = self.handled_lock();
        (handled.prefix, handled.received)
    }

    /// Resolves when all that was received is handled. Cancel-safe.
    pub async fn all_handled(&self) {
        loop {
            let landed = self.landed.notified();
            let (handled, received) = self.handled();
            if handled == received {
                return;
            }
            landed.await;
        }
    }

    /// Whether the session was told to end.
    pub fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Whether the socket may be read now.
    pub fn is_reading(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) <= limits::IN_FLIGHT_BYTES
    }
}

/// Held while a stanza of a session is in work; dropped when its effects are committed or refused.
pub struct Credit {
    mailbox: std::sync::Arc<Mailbox>,
    bytes: usize,
    /// Its number among the session's stanzas, if they are counted.
    number: Option<u64>,
}

impl Credit {
    /// Takes `bytes` of the session's allowance.
    pub fn take(mailbox: &std::sync::Arc<Mailbox>, bytes: usize) -> Credit {
        mailbox.in_flight.fetch_add(bytes, Ordering::AcqRel);
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
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.mailbox
            .in_flight
            .fetch_sub(self.bytes, Ordering::AcqRel);
        if let Some(number) = self.number {
            let mut handled = self.mailbox.handled_lock();
            handled.early.insert(number);
            loop {
                let next = handled.prefix + 1;
                if !handled.early.remove(&next) {
                    break;
                }
                handled.prefix = next;
            }
            drop(handled);
            self.mailbox.ready.notify_one();
        }
        self.mailbox.landed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h_is_the_longest_beginning_without_a_gap() {
        let mailbox = std::sync::Arc::new(Mailbox::new(limits::MAILBOX_BYTES));
        drop(Credit::take(&mailbox, 1));
        assert_eq!(mailbox.handled(), (0, 0), "before <enable/> nothing counts");
        mailbox.count();
        let mut credits: Vec<Credit> = (0..4).map(|_| Credit::take(&mailbox, 1)).collect();
        drop(credits.remove(1));
        assert_eq!(mailbox.handled(), (0, 4));
        drop(credits.remove(0));
        assert_eq!(mailbox.handled(), (2, 4));
        drop(credits);
        assert_eq!(mailbox.handled(), (4, 4));
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
