//! An account on an XMPP server as a way to talk (RFC 6120, RFC 6121): connects, stays connected, keeps the outbox.

mod connect;
mod incoming;
mod login;
mod managed;
mod register;
mod session;

use crate::backend::{Backend, Command, Event, Failure, Inner, Link, Message, Peer, State, link};
use crate::store::{Account, Agent, Store};
use crate::{now_ms, random_id};
use liao_net::resolve::Target;
use liao_proto::jid::BareJid;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use connect::Dial;
pub use register::{Invitation, invitation, register};

/// The longest pause between two tries.
const PAUSE_S: u64 = 60;

/// What the account is used for.
pub struct Xmpp {
    /// Which account.
    pub account: Account,
    /// Where its messages and pins are.
    pub store: Store,
    /// Be available, and so get messages; else only send.
    pub listen: bool,
    /// A certificate that the person vouches for, in place of a pinned one.
    pub trust: Option<String>,
}

/// How a connection ended.
enum Ended {
    /// As asked.
    Asked,
    /// It broke; another try may help.
    Lost(String),
    /// Another try would not help.
    Failed(Failure),
}

impl Backend for Xmpp {
    fn start(self: Box<Self>) -> Link {
        let (link, inner) = link();
        tokio::spawn(async move {
            let events = inner.events.clone();
            // Who only sends takes no place: it has no session to come back to.
            let agent = self.listen.then(|| self.store.agent(&self.account.jid));
            let mut program = Program {
                agent: agent.flatten(),
                xmpp: *self,
                inner,
                finishing: false,
                carried: None,
            };
            let error = program.run().await.err();
            let _ = events.send(Event::Closed { error }).await;
        });
        link
    }
}

struct Program {
    xmpp: Xmpp,
    /// How servers know this program again.
    agent: Option<Agent>,
    inner: Inner,
    finishing: bool,
    /// What a broken connection leaves to the next one.
    carried: Option<session::Carried>,
}

impl Program {
    async fn tell(&self, event: Event) {
        let _ = self.inner.events.send(event).await;
    }

    fn me(&self) -> &str {
        &self.xmpp.account.jid
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let jid = BareJid::new(self.me()).ok();
        let Some(jid) = jid.filter(|j| j.node().is_some()) else {
            let words = format!("{:?} is no address such as name@server", self.me());
            return Err(Failure::Refused(words));
        };
        let mut pause_s = 1;
        loop {
            let started = Instant::now();
            let why = match self.once(&jid).await {
                Ended::Asked => return Ok(()),
                Ended::Failed(failure) => return Err(failure),
                Ended::Lost(why) => why,
            };
            if started.elapsed() > Duration::from_secs(PAUSE_S) {
                pause_s = 1;
            }
            if self.finishing {
                return Err(self.unfinished(&why));
            }
            let retry_s = pause_s;
            self.tell(Event::Offline {
                why: why.clone(),
                retry_s,
            })
            .await;
            let until = Instant::now() + Duration::from_secs(retry_s);
            pause_s = (pause_s * 2).min(PAUSE_S);
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    command = self.inner.commands.recv() => match command {
                        None | Some(Command::Quit { .. }) => return Ok(()),
                        Some(Command::Finish) => return Err(self.unfinished(&why)),
                        Some(Command::Send { id, to, text }) => drop(self.queue(id, to, text).await),
                        Some(_) => self.tell(Event::Notice("this needs the connection; try again when it is back".into())).await,
                    }
                }
            }
        }
    }

    fn unfinished(&self, why: &str) -> Failure {
        match self.xmpp.store.unsent(self.me()) {
            Ok(unsent) if !unsent.is_empty() => Failure::Network(format!(
                "{why}; {} kept, sent when `liao chat` is online again",
                if unsent.len() == 1 {
                    "the message is".into()
                } else {
                    format!("{} messages are", unsent.len())
                }
            )),
            _ => Failure::Network(why.to_owned()),
        }
    }

    /// Puts a message into the outbox; `None` and a word if the disk does not take it.
    async fn queue(&self, id: String, to: Peer, text: String) -> Option<Message> {
        keep(&self.xmpp, &self.inner.events, id, to, text).await
    }

    /// One connection, from finding the server to its end.
    async fn once(&mut self, jid: &BareJid) -> Ended {
        let account = self.xmpp.account.clone();
        let resource = format!("liao-{}", &random_id()[..8]);
        let dial = connect::Dial {
            domain: jid.domain().as_str(),
            server: account.server.as_deref(),
            store: &self.xmpp.store,
            trust: self.xmpp.trust.as_deref(),
            events: &self.inner.events,
        };
        let carried = self.carried.take();
        let previous = carried.as_ref().and_then(|c| {
            Some((
                c.managed.as_ref()?.resume.clone()?,
                c.managed.as_ref()?.handled(),
            ))
        });
        let connecting = async {
            let (mut wire, features, target) = dial.reach().await?;
            let wish = login::Wish {
                jid,
                password: &account.password,
                resource: &resource,
                listen: self.xmpp.listen,
                store: &self.xmpp.store,
                trusting: self.xmpp.trust.is_some(),
                agent: self.agent.as_ref().map(|a| a.id.as_str()),
                previous,
            };
            let (full, start) = login::enter(&mut wire, &features, &wish).await?;
            Ok::<_, Failure>((wire, full, start, target))
        };
        let mut connecting = Box::pin(connecting);
        let result = loop {
            tokio::select! {
                result = &mut connecting => break result,
                command = self.inner.commands.recv() => match command {
                    None | Some(Command::Quit { .. }) => return Ended::Asked,
                    Some(Command::Finish) => self.finishing = true,
                    Some(Command::Send { id, to, text }) => {
                        keep(&self.xmpp, &self.inner.events, id, to, text).await;
                    }
                    Some(_) => {
                        let words = "not connected yet; try again in a moment".to_owned();
                        let _ = self.inner.events.send(Event::Notice(words)).await;
                    }
                },
            }
        };
        drop(connecting);
        let (wire, full, start, target) = match result {
            Ok(connected) => connected,
            Err(failure) => {
                self.carried = carried;
                return match failure {
                    Failure::Network(why) => Ended::Lost(why),
                    failure => Ended::Failed(failure),
                };
            }
        };
        let mut carried = carried.unwrap_or_default();
        if let Some(full) = full {
            carried.full = full;
        }
        tracing::debug!(%target, jid = %carried.full, resumed = start.resumed.is_some(), "online");
        self.tell(Event::Online {
            me: carried.full.clone(),
        })
        .await;
        session::Session::new(self, wire, jid.clone(), carried)
            .run(start)
            .await
    }
}

async fn keep(
    xmpp: &Xmpp,
    events: &mpsc::Sender<Event>,
    id: String,
    peer: Peer,
    text: String,
) -> Option<Message> {
    let message = Message {
        peer,
        outgoing: true,
        id,
        text,
        time_ms: now_ms(),
        delayed: false,
    };
    let kept = xmpp.store.queue(&xmpp.account.jid, &message);
    let state = match &kept {
        Ok(()) => State::Queued,
        Err(error) => State::Failed {
            why: format!("it could not be kept: {error}"),
        },
    };
    let id = message.id.clone();
    let _ = events.send(Event::State { id, state }).await;
    kept.ok().map(|()| message)
}

/// Whether a target is reached over WebSocket.
fn is_websocket(target: &Target) -> bool {
    matches!(target, Target::WebSocket { .. })
}
