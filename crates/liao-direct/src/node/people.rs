//! Who is there: sightings, dials, connections that begin and end, and what the view is told of it.

use super::dial::{Made, dial};
use super::link::{Link, REFUSED};
use super::peer::Peer;
use super::{Internal, Node};
use crate::frame::{Frame, Hello};
use crate::lan::Sighting;
use crate::limits::{ADDRESSES, CONNECTIONS, LAN_PEOPLE, RETRY, STRANGERS};
use crate::probe::probe;
use crate::{Key, safety_words};
use liao_client::{Contact, Event, Show, now_ms};
use std::net::SocketAddr;
use tokio::time::Instant;

impl Node {
    /// Tells the view how somebody stands now, if it has changed.
    pub(super) async fn show(&mut self, key: &Key) {
        let Some(peer) = self.people.get_mut(key) else {
            return;
        };
        let id = key.to_z32();
        if peer.is_blocked() {
            return;
        }
        let subscription = match peer.is_friend() {
            true => "both",
            false => "",
        };
        let contact = Contact {
            peer: id.clone(),
            name: peer.name(),
            groups: Vec::new(),
            subscription: subscription.to_owned(),
            asked: false,
        };
        let listed = peer.is_friend() || peer.lan.is_some() || !peer.links.is_empty();
        let signature = listed.then(|| format!("{:?}{subscription}", contact.name));
        let here = peer.is_here();
        let changed = peer.shown != signature;
        let gone = peer.shown.is_some() && signature.is_none();
        let moved = peer.available != here;
        peer.shown = signature;
        peer.available = here;
        let (show, status) = peer.status.clone();
        if changed && listed {
            self.tell(Event::Contact(contact)).await;
        }
        if moved {
            self.tell(Event::Presence {
                peer: id.clone(),
                available: here,
                show: show.as_deref().and_then(Show::parse),
                status,
            })
            .await;
        }
        if gone {
            self.tell(Event::Gone(id)).await;
            let forget = self.people.get(key).is_some_and(|p| p.queue.is_empty());
            if forget {
                self.people.remove(key);
            }
        }
    }

    pub(super) async fn sighting(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Seen {
                key,
                name,
                addresses,
            } => {
                let crowd = self.people.values().filter(|p| p.lan.is_some()).count();
                if !self.people.contains_key(&key) && crowd >= LAN_PEOPLE {
                    return;
                }
                let peer = self.people.entry(key).or_default();
                peer.lan = Some(addresses);
                if peer.links.is_empty() {
                    peer.announced = Some(name);
                    // They are there now: whatever failed before is no reason to wait.
                    (peer.tries, peer.retry_at) = (0, None);
                    self.dial(&key);
                }
                self.show(&key).await;
            }
            Sighting::Gone(key) => {
                if let Some(peer) = self.people.get_mut(&key) {
                    peer.lan = None;
                    self.show(&key).await;
                }
            }
        }
    }

    /// Calls a friend who is not connected.
    pub(super) fn dial(&mut self, key: &Key) {
        let Some(peer) = self.people.get_mut(key) else {
            return;
        };
        let addresses = peer.addresses();
        if peer.dialling || !peer.is_friend() || !peer.links.is_empty() || addresses.is_empty() {
            return;
        }
        peer.dialling = true;
        let (endpoint, answer) = (self.endpoint.clone(), self.internal.clone());
        dial(endpoint, *key, addresses, answer);
    }

    /// Nobody answered, or somebody else did.
    pub(super) async fn not_dialled(&mut self, key: Key, why: &str) {
        let Some(peer) = self.people.get_mut(&key) else {
            return;
        };
        peer.dialling = false;
        let first = peer.tries == 0;
        peer.failed();
        let name = peer.name().unwrap_or_else(|| key.to_z32());
        let addresses = peer.addresses();
        let met = peer.met;
        if !first || !peer.links.is_empty() {
            return;
        }
        let at: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        // Who was here and left is shown as away; that needs no explanation.
        if !met {
            self.notice(format!(
                "{name} is not reached at {}: {why}. They are away, a firewall drops UDP, or NAT is between you; it is \
                 tried again, and what you say is kept",
                at.join(", ")
            ))
            .await;
        }
        // Is somebody else there?
        let internal = self.internal.clone();
        tokio::spawn(async move {
            for address in addresses {
                if let Ok(other) = probe(address).await
                    && other != key
                {
                    let _ = internal.send(Internal::Impostor(key, address, other)).await;
                }
            }
        });
    }

    /// Another key answers at a friend's address.
    pub(super) async fn impostor(&mut self, key: &Key, address: SocketAddr, other: &Key) {
        let name = self.people.get(key).and_then(Peer::name);
        let name = name.unwrap_or_else(|| key.to_z32());
        if self.people.get(other).is_some_and(Peer::is_friend) {
            // A friend has moved to where another one was.
            return;
        }
        self.notice(format!(
            "WARNING: at {address}, {name}'s address, somebody with ANOTHER KEY answers. Nothing is sent there. Known \
             words: {}; now: {}. If {name} has a new device and confirms the new words: /remove {name}, then /add \
             {address} {name}",
            safety_words(key),
            safety_words(other)
        ))
        .await;
    }

    fn strangers(&self) -> usize {
        let strangers = self.people.values().filter(|p| !p.is_friend());
        strangers.map(|p| p.links.len()).sum()
    }

    /// A connection stands: greetings first.
    pub(super) async fn connected(&mut self, key: Key, made: Made) {
        let known = self.people.get(&key);
        let friend = known.is_some_and(Peer::is_friend);
        let blocked = known.is_some_and(Peer::is_blocked);
        if blocked || (!friend && self.strangers() >= STRANGERS) {
            made.connection.close(0u32.into(), REFUSED.as_bytes());
            return;
        }
        self.next_link += 1;
        let id = self.next_link;
        let reached = made
            .connection
            .paths()
            .iter()
            .find_map(|p| match p.remote_addr() {
                iroh::TransportAddr::Ip(address) => Some(*address),
                _ => None,
            });
        let mut link = Link::start(id, made.connection, made.streams, self.news.clone());
        let (show, status) = self.show.clone();
        link.write(&Frame::Hello(Hello {
            v: 1,
            name: self.settings.identity.name.clone(),
            show,
            status,
        }));
        if friend {
            link.trust();
            link.write(&Frame::Welcome);
        }
        let peer = self.people.entry(key).or_default();
        if made.dialled {
            peer.dialling = false;
        }
        (peer.tries, peer.retry_at, peer.met) = (0, None, true);
        if peer.links.len() >= CONNECTIONS {
            let oldest = peer.links.remove(0);
            self.links.remove(&oldest.id);
            oldest.close("replaced");
        }
        peer.links.push(link);
        self.links.insert(id, key);
        if let (Some(friend), Some(at)) = (&mut peer.friend, reached.filter(|_| made.dialled)) {
            friend.addresses.retain(|a| *a != at);
            friend.addresses.insert(0, at);
            friend.addresses.truncate(ADDRESSES);
            friend.seen_ms = now_ms();
            if let Err(error) = self.settings.book.keep(friend) {
                self.notice(error.to_string()).await;
            }
        }
    }

    /// A connection is over.
    pub(super) async fn closed(&mut self, id: u64, why: &str) {
        let Some(key) = self.links.remove(&id) else {
            return;
        };
        let Some(peer) = self.people.get_mut(&key) else {
            return;
        };
        peer.links.retain(|l| l.id != id);
        tracing::debug!(peer = %key.fmt_short(), why, "connection closed");
        if peer.links.is_empty() {
            peer.status = (None, None);
            if std::mem::take(&mut peer.typing) {
                let peer = key.to_z32();
                let composing = false;
                self.tell(Event::Typing { peer, composing }).await;
            }
            // They were there a moment ago: the next dial counts as the first.
            if let Some(peer) = self.people.get_mut(&key) {
                peer.retry_at = Some(Instant::now() + RETRY);
            }
            if let Some(lan) = &self.lan {
                lan.verify(&key);
            }
        }
        self.show(&key).await;
        self.pump(&key).await;
    }
}
