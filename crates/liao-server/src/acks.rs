//! Stream management of one session (XEP-0198): what was sent and not acknowledged, who asked for what.

use crate::mailbox::Item;
use liao_proto::ns;
use liao_proto::stanza::{Kind, Stanza};
use liao_proto::xml::Child;
use std::collections::VecDeque;

/// Whether a client's stanza is of no consequence after a crash: its session is gone then, and with it its presence,
/// its questions and what it was writing.
pub fn is_light(stanza: &Stanza) -> bool {
    let type_ = stanza.type_.as_deref();
    match stanza.kind {
        Kind::Presence => matches!(type_, None | Some("unavailable" | "probe")),
        Kind::Iq => type_ != Some("set"),
        Kind::Message => {
            let state =
                |c: &Child| c.ns == ns::CHAT_STATES || (c.ns == ns::HINTS && c.name != "store");
            !stanza.children().is_empty() && stanza.children().iter().all(state)
        }
    }
}

/// The server's side of the outgoing count, and what was told to the client.
#[derive(Debug, Default)]
pub struct Acks {
    /// The stream's number, if the client wants to be able to resume (section 5).
    pub resume: Option<i64>,
    /// Seconds for which the session waits without a connection.
    pub max_s: u64,
    /// Stanzas sent to the client since `<enable/>`.
    sent: u64,
    /// Of these, how many the client has acknowledged.
    acked: u64,
    unacked: VecDeque<Item>,
    bytes: usize,
    /// The client asked and the answer was behind what it had sent: an `<a/>` follows the commits.
    owed: bool,
    /// We asked and await the answer.
    asked: bool,
}

impl Acks {
    /// A stanza leaves.
    pub fn sent(&mut self, item: Item) {
        self.sent += 1;
        self.bytes += item.bytes.len();
        self.unacked.push_back(item);
    }

    /// Bytes that wait for the client's acknowledgement.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An `<r/>` is due: something is unacknowledged and none is under way.
    pub fn ask(&mut self) -> bool {
        let due = !self.asked && !self.unacked.is_empty();
        self.asked |= due;
        due
    }

    /// The client has handled `h` stanzas (section 4, modulo 2^32): these. `Err`: more than were sent, with their
    /// number.
    pub fn acked(&mut self, h: u32) -> Result<Vec<Item>, u32> {
        let new = h.wrapping_sub(self.acked as u32) as usize;
        if new > self.unacked.len() {
            return Err(self.sent as u32);
        }
        self.asked = false;
        self.acked += new as u64;
        let items: Vec<Item> = self.unacked.drain(..new).collect();
        self.bytes -= items.iter().map(|i| i.bytes.len()).sum::<usize>();
        Ok(items)
    }

    /// What must be sent again on a resumed stream, in order.
    pub fn again(&mut self) -> impl Iterator<Item = &Item> {
        self.asked = false;
        self.unacked.iter()
    }

    /// What nobody acknowledged, at the end of the session.
    pub fn rest(&mut self) -> VecDeque<Item> {
        std::mem::take(&mut self.unacked)
    }

    /// The client asks, and is told `handled` of `received`.
    pub fn asked_by_client(&mut self, handled: u64, received: u64) {
        self.owed = handled < received;
    }

    /// Whether an `<a/>` that is owed may go now, all being committed or answered.
    pub fn settle(&mut self, handled: u64, received: u64) -> bool {
        let due = self.owed && handled == received;
        self.owed &= !due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u64) -> Item {
        Item {
            bytes: format!("<message id='{n}'/>").into(),
            seq: Some(n),
            lazy: None,
        }
    }

    #[test]
    fn acknowledged_stanzas_go_others_are_sent_again_and_too_high_a_count_is_refused() {
        let mut acks = Acks::default();
        for n in 1..=5 {
            acks.sent(item(n));
        }
        assert!(acks.ask() && !acks.ask(), "one request at a time");
        let seqs: Vec<_> = acks
            .acked(3)
            .unwrap()
            .into_iter()
            .filter_map(|i| i.seq)
            .collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!(acks.acked(3).unwrap().len(), 0);
        assert_eq!(acks.acked(2).unwrap_err(), 5, "never backwards");
        assert_eq!(acks.acked(6).unwrap_err(), 5);
        assert_eq!(
            acks.again().filter_map(|i| i.seq).collect::<Vec<_>>(),
            [4, 5]
        );
        assert_eq!(acks.bytes(), 2 * item(4).bytes.len());
        acks.acked(5).unwrap();
        assert!(!acks.ask() && acks.bytes() == 0);
    }

    #[test]
    fn the_count_wraps_at_two_to_the_32() {
        let mut acks = Acks {
            sent: u64::from(u32::MAX) - 1,
            acked: u64::from(u32::MAX) - 1,
            ..Acks::default()
        };
        (0..4).for_each(|n| acks.sent(item(n)));
        assert_eq!(acks.acked(u32::MAX).unwrap().len(), 1);
        assert_eq!(acks.acked(1).unwrap().len(), 2);
        assert_eq!(acks.acked(2).unwrap().len(), 1);
    }

    #[test]
    fn an_answer_that_was_behind_is_followed_by_another() {
        let mut acks = Acks::default();
        acks.asked_by_client(2, 3);
        assert!(!acks.settle(2, 3));
        assert!(acks.settle(3, 3) && !acks.settle(3, 3));
    }
}
