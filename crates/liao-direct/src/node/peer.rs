//! What is known of one person: how they are found, their connections, and what waits for them.

use super::link::Link;
use crate::frame::Frame;
use crate::limits::{RETRY, RETRY_MOST, WINDOW, WINDOW_BYTES};
use crate::store::Friend;
use liao_client::Message;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::time::Instant;

/// Something that is kept until the other side has it.
pub struct Out {
    pub id: String,
    pub frame: Frame,
    pub bytes: usize,
    /// A message, not a change of one.
    pub message: bool,
    /// It was written to some connection in this run.
    pub told: bool,
}

impl Out {
    pub fn message(message: &Message) -> Out {
        // On the wire an address says only that it was the other side's words.
        let reply = message.more.reply.clone().map(|mut reply| {
            reply.to = reply.to.filter(|to| *to == message.peer);
            reply
        });
        let frame = Frame::Message {
            id: message.id.clone(),
            time: message.time_ms,
            text: message.text.clone(),
            reply,
        };
        Out {
            id: message.id.clone(),
            bytes: message.text.len(),
            frame,
            message: true,
            told: false,
        }
    }

    pub fn change(id: &str, frame: Frame) -> Out {
        Out {
            id: id.to_owned(),
            frame,
            bytes: 0,
            message: false,
            told: false,
        }
    }
}

/// One person.
#[derive(Default)]
pub struct Peer {
    /// In the address book.
    pub friend: Option<Friend>,
    /// What they call themselves.
    pub announced: Option<String>,
    /// Where they are on the local network, if they are.
    pub lan: Option<Vec<SocketAddr>>,
    /// They asked to be let in, and the person was told.
    pub asked: bool,
    /// Connections, the newest last.
    pub links: Vec<Link>,
    /// What waits, oldest first.
    pub queue: VecDeque<Out>,
    /// The connection that the queue goes over, and how much of its beginning was written to it.
    active: Option<u64>,
    sent: usize,
    pub dialling: bool,
    pub retry_at: Option<Instant>,
    pub tries: u32,
    /// They were connected in this run.
    pub met: bool,
    pub status: (Option<String>, Option<String>),
    /// What the view was told: in the contact list, and here.
    pub shown: Option<String>,
    pub available: bool,
    pub typing: bool,
    pub nudged: [Option<Instant>; 2],
}

impl Peer {
    pub fn is_friend(&self) -> bool {
        self.friend.as_ref().is_some_and(|f| f.let_in && !f.blocked)
    }

    pub fn is_blocked(&self) -> bool {
        self.friend.as_ref().is_some_and(|f| f.blocked)
    }

    /// Our name for them, else theirs.
    pub fn name(&self) -> Option<String> {
        let ours = self.friend.as_ref().map(|f| f.name.clone());
        ours.filter(|n| !n.is_empty())
            .or_else(|| self.announced.clone().filter(|n| !n.is_empty()))
    }

    /// All addresses to try.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let booked = self.friend.iter().flat_map(|f| f.addresses.iter());
        let mut all: Vec<_> = self.lan.iter().flatten().chain(booked).copied().collect();
        let mut seen = std::collections::HashSet::new();
        all.retain(|a| seen.insert(*a));
        all
    }

    /// The newest connection over which they take what we say.
    pub fn open_link(&self) -> Option<&Link> {
        self.links.iter().rev().find(|l| l.lets_us_in && l.lets_in)
    }

    /// Somebody in the list is there: connected, or seen on the local network.
    pub fn is_here(&self) -> bool {
        self.links.iter().any(|l| l.greeted) || (self.lan.is_some() && !self.is_friend())
    }

    /// The time of the next try after one more failure.
    pub fn failed(&mut self) {
        let wait = RETRY.saturating_mul(1 << self.tries.min(6)).min(RETRY_MOST);
        self.tries = self.tries.saturating_add(1);
        self.retry_at = Some(Instant::now() + wait);
    }

    /// Writes what may be written of the queue. A new connection gets all that is not acknowledged again, in order: so
    /// each connection alone has everything in order, whatever was lost with the one before. The ids of messages
    /// that were written for the first time.
    pub fn pump(&mut self) -> Vec<String> {
        let Some(link) = self.links.iter().rev().find(|l| l.lets_us_in && l.lets_in) else {
            self.active = None;
            return Vec::new();
        };
        if self.active != Some(link.id) {
            (self.active, self.sent) = (Some(link.id), 0);
        }
        let mut news = Vec::new();
        let mut bytes: usize = self.queue.iter().take(self.sent).map(|o| o.bytes).sum();
        while self.sent < WINDOW {
            let Some(out) = self.queue.get_mut(self.sent) else {
                break;
            };
            bytes += out.bytes;
            if (self.sent > 0 && bytes > WINDOW_BYTES) || !link.write(&out.frame) {
                break;
            }
            self.sent += 1;
            if out.message && !std::mem::replace(&mut out.told, true) {
                news.push(out.id.clone());
            }
        }
        news
    }

    /// They have it, as they say over any connection; `None`: it is none of what waits.
    pub fn acked(&mut self, id: &str) -> Option<Out> {
        let at = self.queue.iter().position(|o| o.id == id)?;
        self.sent -= usize::from(at < self.sent);
        self.queue.remove(at)
    }
}
