//! What others say over their connections.

use super::Node;
use super::changes;
use super::link::REFUSED;
use crate::frame::{Frame, Hello};
use crate::limits::{ANNOUNCEMENTS, ANNOUNCING, NUDGE};
use crate::{ACCOUNT, Key, safety_words};
use liao_client::{Arriving, By, Event, Message, More, Show, State, StoreError, now_ms};
use tokio::time::Instant;

impl Node {
    /// A frame came.
    pub(super) async fn frame(&mut self, id: u64, frame: Frame) {
        let Some(key) = self.links.get(&id).copied() else {
            return;
        };
        let Some(peer) = self.people.get_mut(&key) else {
            return;
        };
        let known = peer.is_friend() || peer.asked;
        let Some(link) = peer.links.iter_mut().find(|l| l.id == id) else {
            return;
        };
        let (greeted, lets_in) = (link.greeted, link.lets_in);
        match frame {
            Frame::Hello(hello) if !greeted => {
                let long_ago = |at: &Instant| at.elapsed() > ANNOUNCING;
                while self.announced.front().is_some_and(long_ago) {
                    self.announced.pop_front();
                }
                if !known && self.announced.len() >= ANNOUNCEMENTS {
                    return link.close(REFUSED);
                }
                if !known {
                    self.announced.push_back(Instant::now());
                }
                link.greeted = true;
                self.greeted(key, hello).await;
            }
            Frame::Welcome => {
                link.lets_us_in = true;
                self.pump(&key).await;
                self.tell_read(&key).await;
            }
            Frame::Unknown => {}
            // Somebody who was not let in has nothing to say here.
            _ if !greeted || !lets_in => link.close(REFUSED),
            frame => self.said(id, key, frame).await,
        }
    }

    async fn greeted(&mut self, key: Key, hello: Hello) {
        let Some(peer) = self.people.get_mut(&key) else {
            return;
        };
        peer.announced = Some(hello.name.clone());
        peer.status = (hello.show, hello.status);
        let unnamed = peer.friend.as_mut().filter(|f| f.name.is_empty());
        let unnamed = unnamed.map(|f| {
            f.name.clone_from(&hello.name);
            self.settings.book.keep(f)
        });
        let friend = peer.is_friend();
        let new = !friend && !std::mem::replace(&mut peer.asked, true);
        if let Some(Err(error)) = unnamed {
            self.notice(error.to_string()).await;
        }
        self.show(&key).await;
        if new {
            let words = safety_words(&key);
            let greeting = format!("{}; safety words {words}", hello.name);
            self.tell(Event::Request {
                peer: key.to_z32(),
                greeting: Some(greeting),
            })
            .await;
        }
    }

    /// A friend says something.
    async fn said(&mut self, link: u64, key: Key, frame: Frame) {
        let peer = key.to_z32();
        match frame {
            Frame::Message {
                id,
                time,
                text,
                reply,
            } => {
                let reply = reply.map(|mut reply| {
                    // Whose words those are is seen from our side.
                    let ours = reply.to.is_some();
                    reply.to = Some(if ours {
                        ACCOUNT.to_owned()
                    } else {
                        peer.clone()
                    });
                    reply
                });
                let message = Message {
                    peer,
                    outgoing: false,
                    id: id.clone(),
                    text,
                    time_ms: time,
                    delayed: now_ms().saturating_sub(time) > 60_000,
                    more: More {
                        reply,
                        ..More::default()
                    },
                };
                self.message(link, &key, message).await;
            }
            Frame::Change {
                id,
                time,
                change,
                own,
            } => {
                let by = By {
                    who: peer.clone(),
                    outgoing: false,
                    time_ms: time,
                };
                // Only an author may edit or take back; it is acknowledged, or it would come for ever.
                if !own && !changes::is_reaction(&change) {
                    return self.ack(link, &key, id);
                }
                let store = &self.settings.store;
                match store.change_message(ACCOUNT, &peer, &by, &change) {
                    Ok(changed) => {
                        self.ack(link, &key, id);
                        if let Some(message) = changed {
                            self.tell(Event::Changed(message)).await;
                        }
                    }
                    Err(error) => self.notice(error.to_string()).await,
                }
            }
            Frame::Ack { id } => self.acked(&key, &id).await,
            Frame::Read { id } => {
                let read = self.settings.store.displayed(ACCOUNT, &peer, &id);
                for id in read.unwrap_or_default() {
                    let state = State::Read;
                    self.tell(Event::State { id, state }).await;
                }
            }
            hint => self.hinted(&key, hint).await,
        }
    }

    /// What is not kept: typing, nudges, presence.
    async fn hinted(&mut self, key: &Key, frame: Frame) {
        let peer = key.to_z32();
        match frame {
            Frame::Typing { composing } => {
                if let Some(person) = self.people.get_mut(key) {
                    person.typing = composing;
                }
                self.tell(Event::Typing { peer, composing }).await;
            }
            Frame::Nudge => {
                let due = self.people.get_mut(key).is_some_and(|p| {
                    let due = p.nudged[0].is_none_or(|at| at.elapsed() >= NUDGE);
                    if due {
                        p.nudged[0] = Some(Instant::now());
                    }
                    due
                });
                if due {
                    self.tell(Event::Nudge { peer }).await;
                }
            }
            Frame::Presence { show, status } => {
                if let Some(person) = self.people.get_mut(key) {
                    person.status = (show.clone(), status.clone());
                }
                self.tell(Event::Presence {
                    peer,
                    available: true,
                    show: show.as_deref().and_then(Show::parse),
                    status,
                })
                .await;
            }
            _ => {}
        }
    }

    /// Keeps a message once, and only then says so.
    async fn message(&mut self, link: u64, key: &Key, message: Message) {
        let store = &self.settings.store;
        let (peer, id) = (message.peer.clone(), message.id.clone());
        let kept = || -> Result<bool, StoreError> {
            // The sender's ids are used once: what has one that is here came again, edited since or not.
            if store.message(ACCOUNT, &peer, &id, Some(false))?.is_some() {
                return Ok(false);
            }
            let new = Arriving {
                message: message.clone(),
                archive_id: None,
                origin: Some(id.clone()),
                markable: true,
                live: true,
            };
            store.arrive(ACCOUNT, &new, None)?;
            Ok(true)
        };
        match kept() {
            Ok(new) => {
                self.ack(link, key, id.clone());
                if new {
                    if let Some(person) = self.people.get_mut(key) {
                        person.typing = false;
                    }
                    // A change may have come before it.
                    let now = self
                        .settings
                        .store
                        .message(ACCOUNT, &peer, &id, Some(false));
                    let message = now.ok().flatten().unwrap_or(message);
                    self.tell(Event::Message(message)).await;
                }
            }
            // Not acknowledged, so it comes again with the next connection.
            Err(error) => {
                self.notice(format!("a message could not be kept: {error}"))
                    .await
            }
        }
    }

    fn ack(&mut self, link: u64, key: &Key, id: String) {
        let links = self.people.get(key).map(|p| &p.links);
        let Some(link) = links.and_then(|l| l.iter().find(|l| l.id == link)) else {
            return;
        };
        if !link.write(&Frame::Ack { id }) {
            // They send and do not read: what they repeat later is acknowledged then.
            link.close("you read nothing of what is sent to you");
        }
    }

    async fn acked(&mut self, key: &Key, id: &str) {
        let Some(out) = self.people.get_mut(key).and_then(|p| p.acked(id)) else {
            return;
        };
        let store = &self.settings.store;
        let kept = match out.message {
            true => store.advance(ACCOUNT, Some(&key.to_z32()), id, &State::Delivered),
            false => store.acted(ACCOUNT, id),
        };
        if let Err(error) = kept {
            self.notice(error.to_string()).await;
        }
        if out.message {
            let (id, state) = (out.id, State::Delivered);
            self.tell(Event::State { id, state }).await;
        }
        self.pump(key).await;
    }

    /// Writes what may be written, and tells what went out.
    pub(super) async fn pump(&mut self, key: &Key) {
        let Some(peer) = self.people.get_mut(key) else {
            return;
        };
        for id in peer.pump() {
            let state = State::Sent;
            self.tell(Event::State { id, state }).await;
        }
    }
}
