//! Direct mode as a way to talk: one task that owns everyone's state; what it waits for comes to it over channels.
//!
//! ```text
//! commands ─┐                                ┌─ events
//! sightings ┼▶ Node: people, their queues ───┼─ frames → link.rs → QUIC
//! frames   ─┘   ↕ the client's store, book   └─ dial.rs
//! ```

mod changes;
mod commands;
mod dial;
mod frames;
mod link;
mod peer;
mod people;

use crate::lan::{Lan, Sighting};
use crate::limits::{FINISH, GOODBYE, VERIFY};
use crate::store::Book;
use crate::{ACCOUNT, Identity, Key, Ticket, endpoint, safety_words};
use dial::Made;
use iroh::Endpoint;
use liao_client::{Backend, Command, Event, Failure, Inner, Store, link as two_ends};
use link::{BYE, News};
use peer::{Out, Peer};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

/// The settings of direct mode.
pub struct Direct {
    /// The client's data: messages and outbox.
    pub store: Store,
    /// Friends.
    pub book: Book,
    /// Who we are.
    pub identity: Identity,
    /// The UDP port that was asked for.
    pub port: Option<u16>,
    /// Announce us on the local network and look for others there.
    pub lan: bool,
    /// Whom to add and dial from the start.
    pub dial: Option<Ticket>,
}

impl Backend for Direct {
    fn start(self: Box<Self>) -> liao_client::Link {
        let (link, inner) = two_ends();
        tokio::spawn(async move {
            let events = inner.events.clone();
            let error = run(*self, inner).await.err();
            let _ = events.send(Event::Closed { error }).await;
        });
        link
    }
}

/// What the node's own tasks tell it.
pub enum Internal {
    /// A dial has ended.
    Dialled(Key, Result<Box<Made>, String>),
    /// Somebody called.
    Called(Box<Made>),
    /// Who answers at an address that the person gave, and the name for them.
    Asked(String, Option<String>, Result<Ticket, String>),
    /// Another key answers at a friend's address.
    Impostor(Key, std::net::SocketAddr, Key),
}

struct Node {
    settings: Direct,
    endpoint: Endpoint,
    inner: Inner,
    lan: Option<Lan>,
    people: HashMap<Key, Peer>,
    /// Whose a connection is.
    links: HashMap<u64, Key>,
    next_link: u64,
    show: (Option<String>, Option<String>),
    news: mpsc::Sender<News>,
    internal: mpsc::Sender<Internal>,
    finish: Option<Instant>,
    /// When strangers were announced lately.
    announced: VecDeque<Instant>,
    verified: Instant,
}

/// What comes to the node beside commands.
struct Channels {
    news: mpsc::Receiver<News>,
    internal: mpsc::Receiver<Internal>,
    sightings: mpsc::Receiver<Sighting>,
}

async fn run(settings: Direct, inner: Inner) -> Result<(), Failure> {
    let _alone = settings.identity.lock().map_err(Failure::Refused)?;
    let endpoint = endpoint::bind(&settings.identity, settings.port)
        .await
        .map_err(Failure::Network)?;
    let (news, news_in) = mpsc::channel(256);
    let (internal, internal_in) = mpsc::channel(64);
    let (sightings, sightings_in) = mpsc::channel(64);
    let mut node = Node {
        settings,
        endpoint: endpoint.clone(),
        inner,
        lan: None,
        people: HashMap::new(),
        links: HashMap::new(),
        next_link: 0,
        show: (None, None),
        news,
        internal: internal.clone(),
        finish: None,
        announced: VecDeque::new(),
        verified: Instant::now(),
    };
    let channels = Channels {
        news: news_in,
        internal: internal_in,
        sightings: sightings_in,
    };
    tokio::spawn(dial::answer(endpoint, internal));
    node.load()?;
    node.begin(sightings).await;
    node.work(channels).await;
    node.goodbye().await;
    Ok(())
}

impl Node {
    async fn tell(&self, event: Event) {
        let _ = self.inner.events.send(event).await;
    }

    async fn notice(&self, words: impl Into<String>) {
        self.tell(Event::Notice(words.into())).await;
    }

    /// Friends and what waits for them.
    fn load(&mut self) -> Result<(), Failure> {
        let refused = |e: &dyn std::fmt::Display| Failure::Refused(e.to_string());
        for friend in self.settings.book.all().map_err(|e| refused(&e))? {
            let key = friend.key;
            self.people.entry(key).or_default().friend = Some(friend);
        }
        let store = &self.settings.store;
        for message in store.unsent(ACCOUNT).map_err(|e| refused(&e))? {
            if let Ok(key) = Key::from_z32(&message.peer) {
                let peer = self.people.entry(key).or_default();
                peer.queue.push_back(Out::message(&message));
            }
        }
        for (id, kept) in store.actions(ACCOUNT).map_err(|e| refused(&e))? {
            if let Some((key, frame)) = changes::kept(&kept) {
                let peer = self.people.entry(key).or_default();
                peer.queue.push_back(Out::change(&id, frame));
            }
        }
        Ok(())
    }

    async fn begin(&mut self, sightings: mpsc::Sender<Sighting>) {
        let key = self.settings.identity.key();
        let port = endpoint::port(&self.endpoint);
        let name = self.settings.identity.name.clone();
        self.tell(Event::Online {
            me: format!("{name}, UDP port {port}"),
        })
        .await;
        let ticket = Ticket {
            key,
            addresses: endpoint::addresses(port),
        };
        let at: Vec<String> = ticket.addresses.iter().map(|a| a.to_string()).collect();
        self.notice(format!(
            "others reach you at {}; your ticket: {ticket}\nyour safety words: {}",
            at.join(", "),
            safety_words(&key)
        ))
        .await;
        if self.settings.lan {
            match Lan::start(&self.settings.identity, port, sightings) {
                Ok(lan) => self.lan = Some(lan),
                Err(why) => {
                    self.notice(format!(
                        "people on the local network will not appear by themselves: {why}; dial by /add HOST:PORT"
                    ))
                    .await;
                }
            }
        }
        let keys: Vec<Key> = self.people.keys().copied().collect();
        for key in &keys {
            self.show(key).await;
        }
        self.tell_blocked().await;
        self.tell(Event::Ready).await;
        for key in keys {
            self.dial(&key);
        }
        if let Some(ticket) = self.settings.dial.take() {
            self.asked("this address", None, Ok(ticket)).await;
        }
    }

    async fn work(&mut self, mut channels: Channels) {
        let mut tick = interval(Duration::from_millis(500));
        loop {
            let busy = self.people.values().any(|p| !p.queue.is_empty());
            if self
                .finish
                .is_some_and(|until| !busy || Instant::now() >= until)
            {
                if busy {
                    self.notice("what could not be delivered is kept, and goes out when `liao direct` runs and they are there")
                        .await;
                }
                return;
            }
            tokio::select! {
                command = self.inner.commands.recv() => match command {
                    None | Some(Command::Quit { .. }) => return,
                    Some(Command::Finish) => self.finish = Some(Instant::now() + FINISH),
                    Some(command) => self.command(command).await,
                },
                Some(news) = channels.news.recv() => match news {
                    News::Frame(id, frame) => self.frame(id, frame).await,
                    News::Closed(id, why) => self.closed(id, &why).await,
                },
                Some(one) = channels.internal.recv() => self.internal(one).await,
                Some(sighting) = channels.sightings.recv() => self.sighting(sighting).await,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn internal(&mut self, one: Internal) {
        match one {
            Internal::Dialled(key, Ok(made)) => self.connected(key, *made).await,
            Internal::Dialled(key, Err(why)) => self.not_dialled(key, &why).await,
            Internal::Called(made) => {
                let key = made.connection.remote_id();
                self.connected(key, *made).await;
            }
            Internal::Asked(whom, name, found) => self.asked(&whom, name, found).await,
            Internal::Impostor(key, address, other) => self.impostor(&key, address, &other).await,
        }
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        let keys: Vec<Key> = self.people.keys().copied().collect();
        let verify = now.duration_since(self.verified) >= VERIFY;
        if verify {
            self.verified = now;
        }
        for key in keys {
            let Some(peer) = self.people.get_mut(&key) else {
                continue;
            };
            if peer.retry_at.is_some_and(|at| at <= now) {
                peer.retry_at = None;
                self.dial(&key);
            } else if verify
                && peer.lan.is_some()
                && peer.links.is_empty()
                && let Some(lan) = &self.lan
            {
                lan.verify(&key);
            }
            self.pump(&key).await;
        }
    }

    /// The end: everyone is told, the local network, too.
    async fn goodbye(&mut self) {
        for peer in self.people.values_mut() {
            for link in peer.links.drain(..) {
                link.close(BYE);
            }
        }
        let lan = self.lan.take();
        let left = tokio::task::spawn_blocking(move || drop(lan));
        let _ = timeout(GOODBYE, async {
            self.endpoint.close().await;
            let _ = left.await;
        })
        .await;
    }
}
