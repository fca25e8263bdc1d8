//! The client's side of stream management (XEP-0198): what the server has, what it must be sent again.

use std::collections::VecDeque;

/// A stanza that the server has not acknowledged.
struct Sent {
    xml: String,
    /// The id of the message of ours that it is, if it is one.
    id: Option<String>,
}

/// The counts of one stream, which outlive its connections.
#[derive(Default)]
pub struct Managed {
    /// The SM-ID, if the server lets us resume.
    pub resume: Option<String>,
    /// Stanzas of the server that were handled.
    handled: u32,
    acked: u32,
    unacked: VecDeque<Sent>,
    asked: bool,
}

impl Managed {
    /// Enabled from the first stanza.
    pub fn enabled(resume: Option<String>) -> Managed {
        Managed {
            resume,
            ..Managed::default()
        }
    }

    /// A stanza goes out; `id` if it is a message of ours.
    pub fn sent(&mut self, xml: &str, id: Option<&str>) {
        self.unacked.push_back(Sent {
            xml: xml.to_owned(),
            id: id.map(str::to_owned),
        });
    }

    /// A stanza of the server is done with.
    pub fn handle(&mut self) {
        self.handled = self.handled.wrapping_add(1);
    }

    /// Our `h`.
    pub fn handled(&self) -> u32 {
        self.handled
    }

    /// The server has handled `h` stanzas (section 4): the messages among them. A count that is too high is a fault of
    /// the server and acknowledges nothing.
    pub fn acked(&mut self, h: u32) -> Vec<String> {
        self.asked = false;
        let new = h.wrapping_sub(self.acked) as usize;
        if new > self.unacked.len() {
            return Vec::new();
        }
        self.acked = h;
        self.unacked.drain(..new).filter_map(|s| s.id).collect()
    }

    /// Whether to ask now: a message waits, and no question is under way.
    pub fn ask(&mut self) -> bool {
        let due = !self.asked && self.unacked.iter().any(|s| s.id.is_some());
        self.asked |= due;
        due
    }

    /// What is to be sent again on a resumed stream, in order.
    pub fn again(&mut self) -> Vec<String> {
        self.asked = false;
        self.unacked.iter().map(|s| s.xml.clone()).collect()
    }

    /// Whether a message is on its way on this stream.
    pub fn holds(&self, id: &str) -> bool {
        self.unacked.iter().any(|s| s.id.as_deref() == Some(id))
    }

    /// Whether all messages are acknowledged.
    pub fn is_settled(&self) -> bool {
        self.unacked.iter().all(|s| s.id.is_none())
    }

    /// The messages on their way, in order.
    pub fn messages(&self) -> Vec<String> {
        self.unacked.iter().filter_map(|s| s.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_has_not_is_sent_again() {
        let mut managed = Managed::default();
        managed.sent("<presence/>", None);
        assert!(!managed.ask(), "presence need not be asked for");
        managed.sent("<message id='1'/>", Some("1"));
        managed.sent("<message id='2'/>", Some("2"));
        assert!(managed.ask() && !managed.ask());
        assert_eq!(managed.acked(2), ["1"]);
        assert!(managed.acked(9).is_empty(), "the server counts too far");
        assert!(managed.holds("2") && !managed.holds("1"));
        assert_eq!(managed.again(), ["<message id='2'/>"]);
        assert_eq!(managed.acked(3), ["2"]);
        assert!(managed.is_settled());
    }
}
