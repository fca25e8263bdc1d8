//! An account on an XMPP server as a way to talk (RFC 6120, RFC 6121): connects, stays connected, keeps the outbox.

mod archive;
mod asked;
mod catchup;
mod changes;
mod connect;
mod contacts;
mod files;
mod heard;
mod incoming;
mod login;
mod managed;
mod outbox;
mod register;
mod said;
mod saving;
mod session;

use crate::backend::{
    Backend, Command, Event, Failure, Inner, Link, Message, More, Older, Peer, State, link,
};
use crate::store::{Account, Agent, Before, Store};
use crate::{now_ms, random_id};
use archive::Held;
use liao_net::resolve::Target;
use liao_proto::jid::BareJid;
use said::Said;
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
                said: Said::default(),
                files: files::Files::default(),
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
    said: Said,
    files: files::Files,
}

impl Program {
    async fn tell(&self, event: Event) {
        let _ = self.inner.events.send(event).await;
    }

    fn me(&self) -> &str {
        &self.xmpp.account.jid
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let result = self.connections().await;
        self.let_go().await;
        result
    }

    /// One connection after the other, until one of the two sides wants no more.
    async fn connections(&mut self) -> Result<(), Failure> {
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
            if Duration::from_secs(retry_s) > archive::HOLD {
                self.let_go().await;
            }
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    command = self.inner.commands.recv() => match command {
                        None | Some(Command::Quit { .. }) => return Ok(()),
                        Some(Command::Finish) => return Err(self.unfinished(&why)),
                        Some(command) => aside(&self.xmpp, &self.inner.events, &mut self.said, &mut self.files, command).await,
                    }
                }
            }
        }
    }

    /// What waited for older messages is shown without them.
    async fn let_go(&mut self) {
        let held = self.carried.as_mut().and_then(|c| c.held.take());
        for event in held.into_iter().flat_map(Held::events) {
            self.tell(event).await;
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
    async fn queue(&mut self, said: (String, Peer, String), more: More) -> Option<Message> {
        keep(&self.xmpp, &self.inner.events, &mut self.said, said, more).await
    }

    /// Whether something in the outbox may have been said before: by a connection that broke, or by a program that
    /// died.
    fn is_in_doubt(&self) -> bool {
        let unsent = self.xmpp.store.unsent(self.me()).unwrap_or_default();
        unsent.iter().any(|m| !self.said.is_fresh(&m.id))
    }

    /// The person has seen a conversation.
    async fn saw(&self, peer: &str) {
        saw(&self.xmpp, &self.inner.events, peer).await;
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
                    None | Some(Command::Quit { .. }) => {
                        drop(connecting);
                        self.carried = carried;
                        return Ended::Asked;
                    }
                    Some(Command::Finish) => self.finishing = true,
                    Some(command) => {
                        aside(&self.xmpp, &self.inner.events, &mut self.said, &mut self.files, command).await;
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

/// What can be done of a command without a connection.
async fn aside(
    xmpp: &Xmpp,
    events: &mpsc::Sender<Event>,
    said: &mut Said,
    files: &mut files::Files,
    command: Command,
) {
    let event = match command {
        Command::Send { id, to, text } => {
            return drop(keep(xmpp, events, said, (id, to, text), More::default()).await);
        }
        Command::Reply { id, to, text, of } => {
            let more = changes::quoted(xmpp, &to, &of);
            return drop(keep(xmpp, events, said, (id, to, text), more).await);
        }
        Command::Edit { .. } | Command::Recall { .. } | Command::React { .. } => {
            changes::act(xmpp, said, command).map_or_else(Event::Notice, changes::Act::event)
        }
        Command::SendFile { id, .. } => {
            let why = "files need the connection; try again when it is back".to_owned();
            let state = State::Failed { why };
            Event::State { id, state }
        }
        Command::SaveFile { id, file, folder } => {
            return files.save(xmpp, events, id, file, folder);
        }
        Command::CancelFile { id } => match files.stop(id) {
            Some(event) => event,
            None => return,
        },
        // Nobody waits for it later.
        Command::Typing { .. } => return,
        Command::Read { peer } => return saw(xmpp, events, &peer).await,
        Command::History {
            peer,
            before,
            count,
        } => history(xmpp, peer, before, count),
        _ => Event::Notice("this needs the connection; try again when it is back".into()),
    };
    let _ = events.send(event).await;
}

/// Puts a message into the outbox; `None` and a word if the disk does not take it.
async fn keep(
    xmpp: &Xmpp,
    events: &mpsc::Sender<Event>,
    said: &mut Said,
    (id, peer, text): (String, Peer, String),
    more: More,
) -> Option<Message> {
    let message = Message {
        peer,
        outgoing: true,
        id,
        text,
        time_ms: now_ms(),
        delayed: false,
        more,
    };
    let kept = xmpp.store.queue(&xmpp.account.jid, &message);
    let state = match &kept {
        Ok(()) => State::Queued,
        Err(error) => State::Failed {
            why: format!("it could not be kept: {error}"),
        },
    };
    let id = message.id.clone();
    if kept.is_ok() {
        said.queued(&id);
    }
    let _ = events.send(Event::State { id, state }).await;
    kept.ok().map(|()| message)
}

/// The person has seen a conversation: whom to tell is noted until it is told.
async fn saw(xmpp: &Xmpp, events: &mpsc::Sender<Event>, peer: &str) {
    if let Err(error) = xmpp.store.saw(&xmpp.account.jid, peer) {
        let _ = events.send(Event::Notice(error.to_string())).await;
    }
}

/// A page of a conversation as it is here.
fn history(xmpp: &Xmpp, peer: Peer, before: Option<i64>, count: usize) -> Event {
    let me = &xmpp.account.jid;
    match xmpp.store.history(me, me, &peer, before, count) {
        Ok((messages, older)) => Event::History {
            peer,
            before,
            messages,
            older: match older {
                Before::Nothing => Older::Nothing,
                Before::Messages => Older::Here,
                Before::Gap(_) => Older::There,
            },
        },
        Err(error) => Event::Notice(error.to_string()),
    }
}

/// Whether a target is reached over WebSocket.
fn is_websocket(target: &Target) -> bool {
    matches!(target, Target::WebSocket { .. })
}
