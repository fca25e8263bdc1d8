//! A conversation and the states of its messages: which of them wait for the peer's turn, which are gone out.

use crate::backend::{Event, Message, Peer, State};
use crate::{now_ms, random_id};
use liao_proto::sockets::{Carrier, Conversation, Incoming, Kind};
use std::collections::VecDeque;

/// One peer's talk.
pub struct Talk {
    peer: Peer,
    conversation: Conversation,
    /// Messages not wholly out: (id, pieces left, pieces in all, what was last told).
    messages: VecDeque<(String, usize, usize, usize)>,
    /// What is to be told to the view.
    pub news: Vec<Event>,
}

impl Talk {
    pub fn new(peer: Peer, carrier: Carrier, caller: bool, kind: Option<Kind>) -> Talk {
        Talk {
            peer,
            conversation: Conversation::new(carrier, caller, kind),
            messages: VecDeque::new(),
            news: Vec::new(),
        }
    }

    fn pieces(&self) -> usize {
        self.conversation.waiting().map_or(0, |(_, _, all)| all)
    }

    pub fn say(&mut self, id: String, words: &str) {
        let before = self.pieces();
        match self.conversation.say(words) {
            Ok(()) => {
                let of = self.pieces() - before;
                self.messages.push_back((id, of, of, 0));
            }
            Err(why) => self.news.push(failed(id, &why.to_string())),
        }
    }

    /// The next bytes to send, if it is our turn.
    pub fn outgoing(&mut self) -> Option<Vec<u8>> {
        let before = self.pieces();
        let bytes = self.conversation.outgoing();
        if self.pieces() < before
            && let Some((id, left, _, _)) = self.messages.front_mut()
        {
            *left -= 1;
            if *left == 0 {
                let (id, state) = (std::mem::take(id), State::Sent);
                self.news.push(Event::State { id, state });
                self.messages.pop_front();
            }
        }
        if bytes.is_none() {
            self.tell_waiting();
        }
        bytes
    }

    fn tell_waiting(&mut self) {
        for (id, left, of, told) in self.messages.iter_mut().filter(|m| m.3 != m.1) {
            *told = *left;
            let state = State::Waiting {
                left: *left,
                of: *of,
            };
            let id = id.clone();
            self.news.push(Event::State { id, state });
        }
    }

    /// Takes bytes from the peer; `true`: it said goodbye.
    pub fn received(&mut self, bytes: &[u8]) -> bool {
        let heard = self.conversation.received(bytes);
        self.hear(heard)
    }

    /// The peer closed.
    pub fn eof(&mut self) {
        let heard = self.conversation.eof();
        self.hear(heard);
    }

    fn hear(&mut self, heard: Vec<Incoming>) -> bool {
        for one in heard {
            let Incoming::Text(text) = one else {
                return true;
            };
            self.news.push(Event::Message(Message {
                peer: self.peer.clone(),
                outgoing: false,
                id: random_id(),
                text,
                time_ms: now_ms(),
                delayed: false,
                ..Message::default()
            }));
        }
        false
    }

    /// What was not sent fails with a word.
    pub fn abandon(&mut self, why: &str) {
        for (id, ..) in std::mem::take(&mut self.messages) {
            self.news.push(failed(id, why));
        }
    }

    pub fn goodbye(&self) -> &'static [u8] {
        self.conversation.goodbye()
    }

    pub fn is_idle(&self) -> bool {
        self.conversation.is_idle()
    }

    /// Something waits for the peer's turn.
    pub fn is_waiting(&self) -> bool {
        !self.messages.is_empty()
    }

    pub fn take_turn(&mut self) {
        self.conversation.take_turn();
    }
}

pub fn failed(id: String, why: &str) -> Event {
    let why = why.to_owned();
    Event::State {
        id,
        state: State::Failed { why },
    }
}
