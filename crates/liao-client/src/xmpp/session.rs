//! A bound session: the loop over stanzas, commands and time; what it does with them is in the files beside it.

use super::archive::{Archive, Held};
use super::changes::{self, Signs};
use super::files::{Gift, Service};
use super::managed::Managed;
use super::outbox::Pings;
use super::{Ended, Program, connect};
use crate::backend::{Command, Event, More, State};
use crate::features::{block, carbons};
use crate::random_id;
use liao_net::{Progress, Wire};
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::{Kind, Stanza};
use liao_proto::stream::Event as StreamEvent;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Silence after which the server is asked for a sign of life, and until when it must come.
const SILENCE: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);
/// How long the end of the stream may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes that may wait for the socket before more commands are taken.
const QUEUED_BYTES: usize = 1024 * 1024;

/// What a connection leaves to the next one, which may resume its stream.
#[derive(Default)]
pub struct Carried {
    /// The bound address.
    pub full: String,
    /// Stream management, if the server has it.
    pub managed: Option<Managed>,
    /// The server copies to us what our other devices say and hear (XEP-0280).
    pub(super) carbons: bool,
    /// The server has an archive; `None`: not known yet.
    pub(super) archived: Option<bool>,
    /// Nothing of the archive is missing, and what comes by itself follows.
    pub(super) whole: bool,
    /// What came by itself and is shown behind what is still to be fetched.
    pub(super) held: Option<Held>,
    /// How far friendship goes: subscription and whether we asked.
    pub(super) friends: HashMap<String, (String, bool)>,
    /// Resources by which a contact is online.
    pub(super) online: HashMap<String, HashSet<String>>,
    /// The last availability of who is online.
    pub(super) seen: HashMap<String, Event>,
}

/// Where stream management stands on a new stream.
pub enum Managing {
    /// The server has none.
    No,
    /// It is to be enabled.
    Offered,
    /// It was enabled while binding (XEP-0198 section 9.1); by this SM-ID it can be resumed.
    Enabled(Option<String>),
}

/// How a connection begins.
pub struct Start {
    /// Stream management.
    pub managed: Managing,
    /// Copies of what other devices say and hear were enabled while binding (XEP-0280).
    pub carbons: bool,
    /// The archive's ends came with the binding: there is one (XEP-0386 section 3.2).
    pub archive: bool,
    /// The stream goes on; the server has handled so many stanzas.
    pub resumed: Option<u32>,
    /// It does not, but the server has handled so many.
    pub had: Option<u32>,
}

/// What an IQ of ours asked.
pub(super) enum Asked {
    /// A ping after these messages.
    Ping(Vec<String>),
    /// For copies of what our other devices say and hear.
    Carbons,
    /// What the account's own address offers.
    Features,
    /// For a page of the archive.
    Page,
    /// Whom we hear nothing of.
    Blocked,
    /// To hear nothing of somebody, or to hear of them again.
    Block,
    /// What else there is on the server.
    Items,
    /// Whether this takes files.
    Takes(String),
    /// For a place for a file.
    Slot(Gift),
}

pub struct Session<'a> {
    pub(super) program: &'a mut Program,
    pub(super) wire: Wire,
    pub(super) bare: BareJid,
    pub(super) carried: Carried,
    pub(super) pings: Pings,
    pub(super) archive: Archive,
    pub(super) signs: Signs,
    pub(super) uploads: Service,
    /// Questions under way, by the id of the IQ.
    pub(super) asked: HashMap<String, Asked>,
    /// Ids of IQs begin with it, so that nobody else can guess them.
    tag: String,
    number: u64,
}

impl<'a> Session<'a> {
    /// `bare`: the account's own address, as which the wire is bound.
    pub fn new(
        program: &'a mut Program,
        wire: Wire,
        bare: BareJid,
        carried: Carried,
    ) -> Session<'a> {
        Session {
            program,
            wire,
            bare,
            carried,
            pings: Pings::default(),
            archive: Archive::default(),
            signs: Signs::default(),
            uploads: Service::default(),
            asked: HashMap::new(),
            tag: random_id(),
            number: 0,
        }
    }

    /// Runs until the connection ends; what a broken one leaves goes to the program.
    pub async fn run(mut self, start: Start) -> Ended {
        let ended = match start.resumed {
            Some(h) => self.resumed(h).await,
            None => self.begin(&start).await,
        };
        self.give_again().await;
        let ended = match ended {
            Some(ended) => ended,
            None => self.talk().await,
        };
        self.program.files.again = self.gifts();
        match ended {
            Ended::Lost(_) => self.program.carried = Some(self.carried),
            _ => self.let_go().await,
        }
        ended
    }

    /// A new session: contacts, presence, what was missed, the outbox.
    async fn begin(&mut self, start: &Start) -> Option<Ended> {
        let old = std::mem::take(&mut self.carried);
        if let (Some(h), Some(mut managed)) = (start.had, old.managed) {
            for id in managed.acked(h) {
                self.state(None, &id, State::Sent).await;
            }
        }
        self.carried.full = old.full;
        self.carried.carbons = start.carbons;
        self.carried.archived = start.archive.then_some(true);
        self.carried.held = old.held;
        let listen = self.program.xmpp.listen;
        if let Managing::Enabled(sm_id) = &start.managed {
            self.carried.managed = Some(Managed::enabled(sm_id.clone()));
        }
        if let Managing::Offered = start.managed {
            // A client that only sends wants the acknowledgements, not a session that outlives it.
            let resume = if listen { " resume='true'" } else { "" };
            self.wire
                .queue(format!("<enable xmlns='{}'{resume}/>", ns::SM).as_bytes());
            self.carried.managed = Some(Managed::default());
        }
        self.queue(&format!(
            "<iq type='get' id='roster'><query xmlns='{}'/></iq>",
            ns::ROSTER
        ));
        // What may have been said before is looked for in the archive before it is said again.
        if listen || self.program.is_in_doubt() {
            self.open_the_archive();
        } else {
            self.carried.archived = Some(false);
            self.let_go().await;
        }
        if listen {
            if !self.carried.carbons {
                let id = self.ask(Asked::Carbons);
                self.queue(&carbons::enable(&id));
            }
            let id = self.ask(Asked::Blocked);
            self.queue(&block::list(&id));
            self.queue("<presence/>");
            self.tell_what_was_seen().await;
        }
        self.empty_the_outbox().await;
        None
    }

    /// The stream goes on: what the server has not is sent again; who was online is shown again.
    async fn resumed(&mut self, h: u32) -> Option<Ended> {
        let (ids, again) = match &mut self.carried.managed {
            Some(managed) => (managed.acked(h), managed.again()),
            None => Default::default(),
        };
        for id in ids {
            self.state(None, &id, State::Sent).await;
        }
        for xml in again {
            self.wire.queue(xml.as_bytes());
        }
        for event in self.carried.seen.values().cloned().collect::<Vec<_>>() {
            self.program.tell(event).await;
        }
        self.program.tell(Event::Ready).await;
        // Pages that were under way are asked for again.
        if self.program.xmpp.listen && !self.carried.whole && self.carried.archived != Some(false) {
            self.open_the_archive();
        } else {
            self.let_go().await;
        }
        self.tell_what_was_seen().await;
        self.empty_the_outbox().await;
        None
    }

    async fn talk(&mut self) -> Ended {
        let mut heard = Instant::now();
        loop {
            if self.program.finishing && self.is_settled() && !self.awaits_refusals() {
                return self.goodbye().await;
            }
            self.ping_if_due(false);
            let waiting = heard
                + if heard.elapsed() >= SILENCE {
                    SILENCE + ANSWER
                } else {
                    SILENCE
                };
            let held = self.carried.held.as_ref().map(Held::until);
            let due = [self.archive.due(), held].into_iter().flatten();
            let waiting = due.fold(waiting, Instant::min);
            let room = self.wire.queued_bytes() < QUEUED_BYTES;
            tokio::select! {
                progress = self.wire.next() => match progress {
                    Ok(Progress::Flushed) => {}
                    Ok(Progress::Event(event)) => {
                        heard = Instant::now();
                        if let Some(ended) = self.event(event).await {
                            return ended;
                        }
                    }
                    Err(error) => return Ended::Lost(error.to_string()),
                },
                command = self.program.inner.commands.recv(), if room && !self.program.finishing => match command {
                    None | Some(Command::Quit { .. }) => return self.goodbye().await,
                    Some(command) => self.command(command).await,
                },
                Some((gift, put)) = self.program.files.done.recv() => {
                    if let Some(message) = self.program.uploaded(gift, put).await
                        && !self.archive.holds_the_outbox()
                    {
                        self.write(&message);
                    }
                }
                () = sleep_until(waiting) => {
                    if heard.elapsed() >= SILENCE + ANSWER {
                        return Ended::Lost("the server does not answer any more".into());
                    }
                    if heard.elapsed() >= SILENCE {
                        self.ping_if_due(true);
                    }
                    self.archive_time().await;
                }
            }
        }
    }

    /// Queues a stanza that is no message of ours.
    pub(super) fn queue(&mut self, text: &str) {
        self.wire.queue(text.as_bytes());
        if let Some(managed) = &mut self.carried.managed {
            managed.sent(text, None);
        }
    }

    /// An id for an IQ whose answer is awaited.
    pub(super) fn ask(&mut self, what: Asked) -> String {
        let id = self.id();
        self.asked.insert(id.clone(), what);
        id
    }

    /// An id for an IQ.
    pub(super) fn id(&mut self) -> String {
        self.number += 1;
        format!("{}-{}", self.tag, self.number)
    }

    async fn goodbye(&mut self) -> Ended {
        if let Some(managed) = &self.carried.managed {
            // Section 4: what was received is not to be sent again.
            let a = format!("<a xmlns='{}' h='{}'/>", ns::SM, managed.handled());
            self.wire.queue(a.as_bytes());
        }
        self.wire.queue_close();
        let end = async {
            while let Ok(event) = self.wire.recv().await {
                if matches!(event, StreamEvent::Close) {
                    break;
                }
            }
            self.wire.shutdown().await;
        };
        let _ = tokio::time::timeout(GOODBYE, end).await;
        Ended::Asked
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Send { id, to, text } => self.say((id, to, text), More::default()).await,
            Command::Reply { id, to, text, of } => {
                let more = changes::quoted(&self.program.xmpp, &to, &of);
                self.say((id, to, text), more).await;
            }
            Command::Edit { .. } | Command::Recall { .. } | Command::React { .. } => {
                self.change(command).await;
            }
            Command::SendFile { id, to, path } => self.give(id, to, path).await,
            Command::CancelFile { id } => self.cancel_file(id).await,
            Command::SaveFile { id, file, folder } => {
                let program = &mut *self.program;
                let events = &program.inner.events;
                program.files.save(&program.xmpp, events, id, file, folder);
            }
            Command::Nudge { to } => self.nudge(&to).await,
            Command::Typing { to, composing } => self.type_to(&to, composing),
            Command::Block { peer } => self.block(&peer, true),
            Command::Unblock { peer } => self.block(&peer, false),
            Command::Befriend { to, name, greeting } => {
                self.befriend(&to, name.as_deref(), greeting.as_deref())
                    .await;
            }
            Command::Answer { to, accept } => self.answer_request(&to, accept),
            Command::Arrange { to, name, groups } => self.arrange(&to, name.as_deref(), &groups),
            Command::Remove { to } => self.remove_contact(&to),
            Command::Presence { show, status } => self.be(show, status.as_deref()),
            Command::History {
                peer,
                before,
                count,
            } => self.history(peer, before, count).await,
            Command::Read { peer } => {
                self.program.saw(&peer).await;
                self.tell_what_was_seen().await;
            }
            Command::Book { .. } => {
                let words =
                    "the address book is for plain sockets; /add ADDRESS NAME names a friend";
                self.program.tell(Event::Notice(words.into())).await;
            }
            Command::Finish => self.program.finishing = true,
            Command::Quit { .. } => {}
        }
    }

    async fn event(&mut self, event: StreamEvent) -> Option<Ended> {
        let frame = match event {
            StreamEvent::Element(frame) => frame,
            StreamEvent::Close => {
                self.wire.queue_close();
                let _ = tokio::time::timeout(GOODBYE, self.wire.flush()).await;
                return Some(Ended::Lost("the server closed the connection".into()));
            }
            StreamEvent::Open(_) => return None,
        };
        if frame.is("error", ns::STREAM) {
            let failure = frame.to_dom().map(|e| connect::stream_error(&e));
            return Some(match failure {
                Some(crate::Failure::Network(why)) => Ended::Lost(why),
                Some(failure) => Ended::Failed(failure),
                None => Ended::Lost("the server ended the connection".into()),
            });
        }
        if frame.ns() == ns::SM {
            self.management(&frame).await;
            return None;
        }
        let Ok(stanza) = Stanza::from_frame(frame) else {
            return None;
        };
        match stanza.kind {
            Kind::Message => self.message(&stanza).await,
            Kind::Presence => self.presence(&stanza).await,
            Kind::Iq => self.iq(&stanza).await,
        }
        // Handled: a message is on the disk now, and the view was told.
        if let Some(managed) = &mut self.carried.managed {
            managed.handle();
        }
        None
    }
}
