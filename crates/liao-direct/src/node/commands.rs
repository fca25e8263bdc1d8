//! What the person asks for.

use super::link::REFUSED;
use super::{Internal, Node, Out};
use crate::frame::Frame;
use crate::limits::{FRAME_BYTES, NUDGE, STATUS_CHARS};
use crate::probe::find;
use crate::store::Friend;
use crate::{ACCOUNT, Key, Ticket, safety_words};
use liao_client::{Before, Command, Event, Message, More, Older, Reply, State, now_ms, quote};
use std::net::SocketAddr;
use tokio::time::Instant;

impl Node {
    pub(super) async fn command(&mut self, command: Command) {
        match command {
            Command::Send { id, to, text } => self.say(id, to, text, None).await,
            Command::Reply { id, to, text, of } => self.say(id, to, text, Some(of)).await,
            Command::Edit { .. } | Command::Recall { .. } | Command::React { .. } => {
                self.change(command).await;
            }
            Command::SendFile { id, .. } => {
                let why = "direct mode carries words only; `liao chat` carries files".to_owned();
                self.failed(id, why).await;
            }
            Command::SaveFile { id, .. } => {
                let saved = Err("there are no files in direct mode".to_owned());
                self.tell(Event::Saved { id, saved }).await;
            }
            Command::Nudge { to } => self.nudge(&to).await,
            Command::Typing { to, composing } => {
                if self.lets_know("tell_typing") {
                    self.hint(&to, &Frame::Typing { composing });
                }
            }
            Command::Block { peer } => self.block(&peer, true).await,
            Command::Unblock { peer } => self.block(&peer, false).await,
            Command::Befriend { to, name, .. } => self.add(&to, name),
            Command::Book { name, address } => self.add(&address, Some(name)),
            // There are no groups of friends here.
            Command::Arrange { to, name, .. } => self.rename(&to, name).await,
            Command::Answer { to, accept } => self.answer(&to, accept).await,
            Command::Remove { to } => self.remove(&to).await,
            Command::Presence { show, status } => {
                let status = status.map(|s| s.chars().take(STATUS_CHARS).collect());
                self.show = (show.map(|s| s.word().to_owned()), status);
                let (show, status) = self.show.clone();
                let frame = Frame::Presence { show, status };
                for peer in self.people.values().filter(|p| p.is_friend()) {
                    peer.open_link().inspect(|l| l.hint(&frame));
                }
            }
            Command::History {
                peer,
                before,
                count,
            } => self.history(peer, before, count).await,
            Command::Read { peer } => {
                if let Err(error) = self.settings.store.saw(ACCOUNT, &peer) {
                    self.notice(error.to_string()).await;
                }
                if let Ok(key) = Key::from_z32(&peer) {
                    self.tell_read(&key).await;
                }
            }
            Command::CancelFile { .. } | Command::Finish | Command::Quit { .. } => {}
        }
    }

    fn lets_know(&self, what: &str) -> bool {
        let said = self.settings.store.preference(ACCOUNT, what);
        said.ok().flatten().as_deref() != Some("no")
    }

    fn hint(&self, to: &str, frame: &Frame) {
        let key = Key::from_z32(to).ok();
        let peer = key.and_then(|k| self.people.get(&k));
        if let Some(link) = peer.and_then(|p| p.open_link()) {
            link.hint(frame);
        }
    }

    async fn failed(&self, id: String, why: String) {
        let state = State::Failed { why };
        self.tell(Event::State { id, state }).await;
    }

    async fn say(&mut self, id: String, to: String, text: String, of: Option<String>) {
        let key = Key::from_z32(&to).ok();
        let known = key.filter(|k| self.people.contains_key(k));
        let Some(key) = known else {
            let why = format!("nobody here is called {to}; add them: /add HOST:PORT or a ticket");
            return self.failed(id, why).await;
        };
        if self.people.get(&key).is_some_and(|p| p.is_blocked()) {
            return self.failed(id, "you blocked them".into()).await;
        }
        let store = &self.settings.store;
        let quoted = of.and_then(|of| {
            let found = store.message(ACCOUNT, &to, &of, None).ok().flatten()?;
            let who = if found.outgoing { ACCOUNT } else { &to };
            Some(Reply {
                id: of,
                to: Some(who.to_owned()),
                quote: quote(&found.text),
            })
        });
        let message = Message {
            peer: to,
            outgoing: true,
            id: id.clone(),
            text,
            time_ms: now_ms(),
            delayed: false,
            more: More {
                reply: quoted,
                ..More::default()
            },
        };
        let out = Out::message(&message);
        if out.frame.encode().len() > FRAME_BYTES {
            let why = format!("too long: {} MB is the most", FRAME_BYTES >> 20);
            return self.failed(id, why).await;
        }
        if let Err(error) = store.queue(ACCOUNT, &message) {
            return self.failed(id, error.to_string()).await;
        }
        // Whom we speak to is let in.
        self.befriend(&key, None, Vec::new()).await;
        if let Some(peer) = self.people.get_mut(&key) {
            peer.queue.push_back(out);
        }
        let state = State::Queued;
        self.tell(Event::State { id, state }).await;
        self.pump(&key).await;
    }

    async fn nudge(&mut self, to: &str) {
        let peer = Key::from_z32(to).ok();
        let Some(peer) = peer.and_then(|k| self.people.get_mut(&k)) else {
            return;
        };
        if peer.nudged[1].is_some_and(|at| at.elapsed() < NUDGE) {
            return self.notice("not so often: once in five seconds").await;
        }
        peer.nudged[1] = Some(Instant::now());
        match peer.open_link() {
            Some(link) => link.hint(&Frame::Nudge),
            None => self.notice("they are not here").await,
        }
    }

    async fn history(&mut self, peer: String, before: Option<i64>, count: usize) {
        let page = self
            .settings
            .store
            .history(ACCOUNT, ACCOUNT, &peer, before, count);
        match page {
            Ok((messages, rest)) => {
                let older = match rest {
                    Before::Nothing => Older::Nothing,
                    Before::Messages | Before::Gap(_) => Older::Here,
                };
                self.tell(Event::History {
                    peer,
                    before,
                    messages,
                    older,
                })
                .await;
            }
            Err(error) => self.notice(error.to_string()).await,
        }
    }

    /// Tells somebody how far their words were seen, if they are there.
    pub(super) async fn tell_read(&mut self, key: &Key) {
        let id = key.to_z32();
        let Some(link) = self.people.get(key).and_then(|p| p.open_link()) else {
            return;
        };
        let store = &self.settings.store;
        let untold = store.untold(ACCOUNT).unwrap_or_default();
        for (peer, of) in untold.into_iter().filter(|(p, _)| *p == id) {
            if self.lets_know("tell_read") && !link.write(&Frame::Read { id: of.clone() }) {
                return;
            }
            // Without a note of it, it is told once more: that harms nobody.
            let _ = store.told(ACCOUNT, &peer, &of);
        }
    }

    /// Finds out who is meant by an address, a ticket, or the key of somebody who is here.
    pub(super) fn add(&mut self, whom: &str, name: Option<String>) {
        let (whom, internal) = (whom.trim().to_owned(), self.internal.clone());
        let known = Key::from_z32(&whom).ok();
        let known = known.filter(|k| self.people.contains_key(k));
        tokio::spawn(async move {
            let found = match known {
                Some(key) => Ok(Ticket {
                    key,
                    addresses: Vec::new(),
                }),
                None => find(&whom).await,
            };
            let _ = internal.send(Internal::Asked(whom, name, found)).await;
        });
    }

    /// It is known who is meant: they are pinned, unless the address is somebody else's already.
    pub(super) async fn asked(
        &mut self,
        whom: &str,
        name: Option<String>,
        found: Result<Ticket, String>,
    ) {
        let ticket = match found {
            Ok(ticket) => ticket,
            Err(why) => return self.notice(why).await,
        };
        if ticket.key == self.settings.identity.key() {
            return self.notice(format!("{whom} is you")).await;
        }
        let pinned = self.people.iter().find(|(k, p)| {
            let addresses = p.friend.iter().flat_map(|f| f.addresses.iter());
            **k != ticket.key
                && p.links.is_empty()
                && addresses.into_iter().any(|a| ticket.addresses.contains(a))
        });
        if let Some((key, address)) =
            pinned.and_then(|(k, _)| Some((*k, *ticket.addresses.first()?)))
        {
            return self.impostor(&key, address, &ticket.key).await;
        }
        let words = safety_words(&ticket.key);
        self.befriend(&ticket.key, name, ticket.addresses).await;
        let name = self.people.get(&ticket.key).and_then(|p| p.name());
        let name = name.unwrap_or_else(|| ticket.key.to_z32());
        self.notice(format!(
            "{name} is in your address book; compare the safety words by voice: {words}"
        ))
        .await;
    }

    /// Lets somebody in, or changes what is known of them.
    async fn befriend(&mut self, key: &Key, name: Option<String>, addresses: Vec<SocketAddr>) {
        let peer = self.people.entry(*key).or_default();
        if peer.is_friend() && name.is_none() && addresses.is_empty() {
            return;
        }
        let known = peer.friend.take();
        let mut friend = known.unwrap_or(Friend {
            key: *key,
            name: peer.announced.clone().unwrap_or_default(),
            addresses: peer.lan.clone().unwrap_or_default(),
            let_in: true,
            blocked: false,
            seen_ms: 0,
        });
        (friend.let_in, friend.blocked) = (true, false);
        if let Some(name) = name {
            friend.name = name;
        }
        for address in addresses {
            friend.addresses.retain(|a| *a != address);
            friend.addresses.insert(0, address);
        }
        let kept = self.settings.book.keep(&friend);
        peer.friend = Some(friend);
        (peer.tries, peer.retry_at) = (0, None);
        for link in peer.links.iter_mut().filter(|l| !l.lets_in) {
            link.trust();
            link.write(&Frame::Welcome);
        }
        if let Err(error) = kept {
            self.notice(error.to_string()).await;
        }
        self.show(key).await;
        self.dial(key);
        self.pump(key).await;
    }

    /// Another name of ours for somebody; none: theirs.
    async fn rename(&mut self, to: &str, name: Option<String>) {
        let Ok(key) = Key::from_z32(to) else { return };
        let Some(peer) = self.people.get_mut(&key) else {
            return;
        };
        let announced = peer.announced.clone();
        let Some(friend) = peer.friend.as_mut().filter(|f| f.let_in) else {
            return self.notice("they are not in your address book").await;
        };
        friend.name = name.or(announced).unwrap_or_default();
        if let Err(error) = self.settings.book.keep(friend) {
            self.notice(error.to_string()).await;
        }
        self.show(&key).await;
    }

    async fn answer(&mut self, to: &str, accept: bool) {
        let Ok(key) = Key::from_z32(to) else { return };
        if accept {
            return self.befriend(&key, None, Vec::new()).await;
        }
        self.part(&key, "no");
        self.show(&key).await;
    }

    /// Ends all connections with somebody.
    fn part(&mut self, key: &Key, why: &str) {
        if let Some(peer) = self.people.get_mut(key) {
            for link in peer.links.drain(..) {
                self.links.remove(&link.id);
                link.close(why);
            }
        }
    }

    async fn remove(&mut self, to: &str) {
        let Ok(key) = Key::from_z32(to) else { return };
        self.part(&key, REFUSED);
        if let Err(error) = self.settings.book.remove(&key) {
            self.notice(error.to_string()).await;
        }
        if let Some(peer) = self.people.get_mut(&key) {
            peer.friend = None;
            peer.asked = false;
        }
        self.show(&key).await;
    }

    async fn block(&mut self, to: &str, block: bool) {
        let Ok(key) = Key::from_z32(to) else {
            let words = format!("nobody here is called {to}");
            return self.notice(words).await;
        };
        if block {
            self.part(&key, REFUSED);
        }
        let peer = self.people.entry(key).or_default();
        let known = peer.friend.take();
        let mut friend = known.unwrap_or(Friend {
            key,
            name: peer.announced.clone().unwrap_or_default(),
            addresses: Vec::new(),
            let_in: false,
            blocked: block,
            seen_ms: 0,
        });
        friend.blocked = block;
        let kept = self.settings.book.keep(&friend);
        peer.friend = Some(friend);
        if let Err(error) = kept {
            self.notice(error.to_string()).await;
        }
        if block {
            let (peer, available) = (key.to_z32(), false);
            if let Some(person) = self.people.get_mut(&key) {
                person.available = false;
            }
            self.tell(Event::Presence {
                peer,
                available,
                show: None,
                status: None,
            })
            .await;
        } else {
            self.show(&key).await;
            self.dial(&key);
        }
        self.tell_blocked().await;
    }

    pub(super) async fn tell_blocked(&mut self) {
        let blocked = self.people.iter().filter(|(_, p)| p.is_blocked());
        let blocked: Vec<_> = blocked.map(|(k, _)| k.to_z32()).collect();
        self.tell(Event::Blocked(blocked)).await;
    }
}
