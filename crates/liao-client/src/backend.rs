//! What every way to talk offers: commands in, events out (DESIGN section 1: one `Backend` trait).
//!
//! A backend is started once and then lives in tasks of its own; the caller holds a [`Link`].
//! Nothing here knows a screen; bots, the bench and the views use the same link.

use crate::store::Kept;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Names a contact within one backend: a bare JID, or `NAME`/`HOST:PORT` for plain sockets.
pub type Peer = String;

/// What a person or a program asks of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say something.
    Send {
        /// The sender's own id of the message (the XMPP origin-id); later [`Event::State`]s name it.
        id: String,
        /// To whom.
        to: Peer,
        /// Any length.
        text: String,
    },
    /// Answer a message, which is quoted (XEP-0461).
    Reply {
        /// As in [`Command::Send`].
        id: String,
        /// To whom.
        to: Peer,
        /// The answer.
        text: String,
        /// [`Message::id`] of what is answered.
        of: String,
    },
    /// Give somebody a file (XEP-0363): it goes to the server first, with [`Event::Progress`], and is said when it is
    /// there. A failure is told by [`Event::State`]; the same command tries again.
    SendFile {
        /// As in [`Command::Send`].
        id: String,
        /// To whom.
        to: Peer,
        /// Which file.
        path: PathBuf,
    },
    /// Fetch a file and keep it, with [`Event::Progress`]; answered by [`Event::Saved`].
    SaveFile {
        /// A new one.
        id: String,
        /// Which.
        file: FileLink,
        /// Where to; a file that is there already is left alone.
        folder: PathBuf,
    },
    /// Stop a file that is under way, in either direction.
    CancelFile {
        /// Its id.
        id: String,
    },
    /// Put other words in the place of what we said (XEP-0308); answered by [`Event::Changed`].
    Edit {
        /// To whom it was said.
        to: Peer,
        /// [`Message::id`] of the first form.
        of: String,
        /// The new words.
        text: String,
    },
    /// Take back what we said (XEP-0424); answered by [`Event::Changed`].
    Recall {
        /// To whom it was said.
        to: Peer,
        /// [`Message::id`].
        of: String,
    },
    /// React to a message (XEP-0444); answered by [`Event::Changed`].
    React {
        /// In which conversation.
        to: Peer,
        /// Said by this account.
        outgoing: bool,
        /// [`Message::id`].
        of: String,
        /// All that are ours from now on, each one emoji; none takes them away.
        emojis: Vec<String>,
    },
    /// Shake somebody's window (XEP-0224); not more often than every five seconds.
    Nudge {
        /// Whose.
        to: Peer,
    },
    /// We began to type, or stopped without sending (XEP-0085). Sent only to who shows the same; the preference
    /// `tell_typing` = `no` turns it off.
    Typing {
        /// To whom.
        to: Peer,
        /// Typing.
        composing: bool,
    },
    /// Hear nothing of somebody any more (XEP-0191); answered by [`Event::Blocked`].
    Block {
        /// Whom: an address, or a domain.
        peer: Peer,
    },
    /// Hear of somebody again.
    Unblock {
        /// Whom.
        peer: Peer,
    },
    /// Ask to be a friend (RFC 6121 section 3.1.1).
    Befriend {
        /// Whom.
        to: Peer,
        /// A remark name.
        name: Option<String>,
        /// Words for them.
        greeting: Option<String>,
    },
    /// Answer a friend request (RFC 6121 section 3.1.4).
    Answer {
        /// Whose.
        to: Peer,
        /// Yes or no.
        accept: bool,
    },
    /// Call a contact otherwise, and put them into other groups (RFC 6121 section 2.4); both are as they shall be.
    Arrange {
        /// Whom.
        to: Peer,
        /// The remark name.
        name: Option<String>,
        /// Groups of friends.
        groups: Vec<String>,
    },
    /// Forget a contact (RFC 6121 section 2.5).
    Remove {
        /// Whom.
        to: Peer,
    },
    /// Set the own availability (`None` = online) and status line.
    Presence {
        /// Away, busy …
        show: Option<Show>,
        /// A line of words.
        status: Option<String>,
    },
    /// Messages with a peer from before a place, newest if there is none; answered by [`Event::History`]. What this
    /// device does not have is fetched from the server (XEP-0313).
    History {
        /// With whom.
        peer: Peer,
        /// [`Kept::n`] of the oldest message that is known to the one who asks.
        before: Option<i64>,
        /// How many at most.
        count: usize,
    },
    /// The person has seen all that is here of a conversation: who asked to know it is told (XEP-0333), unless the
    /// preference `tell_read` is `no`.
    Read {
        /// With whom.
        peer: Peer,
    },
    /// Add a name to the address book (plain sockets).
    Book {
        /// The name.
        name: String,
        /// `HOST:PORT`.
        address: String,
    },
    /// End when all that was given is sent and, where one talks in turn, answered.
    Finish,
    /// End now, politely; the last event is [`Event::Closed`].
    Quit {
        /// The person said `q` to this peer: over UDP only then it is told.
        goodbye: Option<Peer>,
    },
}

/// Availability other than plain online (RFC 6121 section 4.7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// `away`.
    Away,
    /// `chat`.
    Chat,
    /// `dnd`: do not disturb.
    Dnd,
    /// `xa`: away for long.
    Xa,
}

impl Show {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Show::Away => "away",
            Show::Chat => "chat",
            Show::Dnd => "dnd",
            Show::Xa => "xa",
        }
    }

    /// The meaning of a word on the wire.
    pub fn parse(word: &str) -> Option<Show> {
        [Show::Away, Show::Chat, Show::Dnd, Show::Xa]
            .into_iter()
            .find(|s| s.word() == word)
    }
}

/// How far a message that we sent has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// On disk here, not yet taken by the other side of the connection.
    Queued,
    /// Waits for the peer's turn (lockstep): `left` of `of` pieces.
    Waiting {
        /// Pieces that wait.
        left: usize,
        /// Pieces of the whole message.
        of: usize,
    },
    /// Handed to the server or, for plain sockets, to the system.
    Sent,
    /// The peer's program has it (XEP-0184).
    Delivered,
    /// The peer has seen it (XEP-0333).
    Read,
    /// Refused for good.
    Failed {
        /// What happened and what to do.
        why: String,
    },
}

/// What there is of a conversation before a page of its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// Nothing: the page begins where the conversation does.
    Nothing,
    /// More on this device.
    Here,
    /// Perhaps more on the server, which was not asked to its end; ask again when there is a connection.
    There,
}

/// The message that another one answers (XEP-0461).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reply {
    /// Its id.
    pub id: String,
    /// Who said it.
    pub to: Option<String>,
    /// What it said, as the one who answers quotes it.
    pub quote: String,
}

/// What somebody feels about a message (XEP-0444).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Who: a bare address, our own too; in a group the name there.
    pub who: String,
    /// Each one emoji.
    pub emojis: Vec<String>,
    /// When, milliseconds since 1970, UTC.
    pub time_ms: i64,
}

/// A file that a message brings (XEP-0066).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileLink {
    /// Where it is.
    pub url: String,
    /// Its name, safe to be shown and saved.
    pub name: String,
    /// Its bytes, if they are known.
    pub size: Option<u64>,
}

/// What a message has beside its words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct More {
    /// What it answers.
    pub reply: Option<Reply>,
    /// When it was edited last, milliseconds since 1970, UTC; the text is the newest one.
    pub edited_ms: Option<i64>,
    /// It was taken back: there are no words any more.
    pub recalled: bool,
    /// What people feel about it.
    pub reactions: Vec<Reaction>,
    /// The file that it brings; the text is its address.
    pub file: Option<Box<FileLink>>,
    /// It is encrypted for others, by this method (XEP-0380); the text says so.
    pub encrypted: Option<String>,
}

/// A message as it is shown and stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The conversation that it belongs to.
    pub peer: Peer,
    /// Sent by this account.
    pub outgoing: bool,
    /// The sender's id.
    pub id: String,
    /// The text, any length.
    pub text: String,
    /// When it was said, milliseconds since 1970, UTC.
    pub time_ms: i64,
    /// It came late: kept by the server while we were away (XEP-0203).
    pub delayed: bool,
    /// What it has beside its words.
    pub more: More,
}

/// A contact as the server's contact list or the address book has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// The address.
    pub peer: Peer,
    /// The remark name.
    pub name: Option<String>,
    /// Groups of friends.
    pub groups: Vec<String>,
    /// `none`, `to`, `from`, `both` (RFC 6121 section 2.1.2.5); empty where there is no such notion.
    pub subscription: String,
    /// We asked and wait for an answer.
    pub asked: bool,
}

/// What a backend tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line for the person (certificate pinned, raw UDP promises nothing …).
    Notice(String),
    /// Connected.
    Online {
        /// As whom or where.
        me: String,
    },
    /// The connection is gone.
    Offline {
        /// What happened.
        why: String,
        /// A new try follows in so many seconds.
        retry_s: u64,
    },
    /// All contacts are known now.
    Ready,
    /// A contact appeared or changed.
    Contact(Contact),
    /// A contact is no longer one.
    Gone(Peer),
    /// A contact's availability.
    Presence {
        /// Whose.
        peer: Peer,
        /// Online in any way.
        available: bool,
        /// Away, busy …
        show: Option<Show>,
        /// The status line.
        status: Option<String>,
    },
    /// Somebody asks to be a friend.
    Request {
        /// Who.
        peer: Peer,
        /// Their words.
        greeting: Option<String>,
    },
    /// Something was said. What the server's archive has from while we were away comes in the archive's order, before
    /// what is said now, unless that takes too long.
    Message(Message),
    /// A message that is here (the same peer, direction and id) was edited, recalled or reacted to: its new form.
    Changed(Message),
    /// How far a file is.
    Progress {
        /// Its id.
        id: String,
        /// Bytes that are there, nearly.
        done: u64,
        /// All bytes; 0: the server does not say.
        of: u64,
        /// Bytes in a second, lately.
        speed: u64,
    },
    /// A file was fetched.
    Saved {
        /// Its id.
        id: String,
        /// Where it is, or why it is not.
        saved: Result<PathBuf, String>,
    },
    /// Somebody types, or stopped (XEP-0085).
    Typing {
        /// Who.
        peer: Peer,
        /// Types now.
        composing: bool,
    },
    /// Somebody shakes our window (XEP-0224).
    Nudge {
        /// Who.
        peer: Peer,
    },
    /// All whom we hear nothing of (XEP-0191), at the beginning and when it changes; a server without that says nothing.
    Blocked(Vec<Peer>),
    /// All that was said while we were away is here now.
    CaughtUp {
        /// Messages that were new.
        messages: usize,
    },
    /// The answer to [`Command::History`]: a stretch without a hole, oldest first.
    History {
        /// With whom.
        peer: Peer,
        /// As it was asked for.
        before: Option<i64>,
        /// The messages with their places and states.
        messages: Vec<Kept>,
        /// What there is before them.
        older: Older,
    },
    /// The person has read a conversation on another device.
    ReadElsewhere {
        /// With whom.
        peer: Peer,
    },
    /// A message that we sent has come further.
    State {
        /// Its id.
        id: String,
        /// How far.
        state: State,
    },
    /// The last event.
    Closed {
        /// `None`: as asked.
        error: Option<Failure>,
    },
}

/// Why a backend ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A refusal.
    #[error("{0}")]
    Refused(String),
    /// The network.
    #[error("{0}")]
    Network(String),
    /// Name or password.
    #[error("{0}")]
    NotAuthorized(String),
}

/// The two ends of a running backend.
pub struct Link {
    /// Commands in.
    pub commands: mpsc::Sender<Command>,
    /// Events out. Whoever does not read them stops the backend, nothing is dropped.
    pub events: mpsc::Receiver<Event>,
}

/// The inner ends of a [`Link`].
pub struct Inner {
    /// Commands that come in.
    pub commands: mpsc::Receiver<Command>,
    /// Where events go out.
    pub events: mpsc::Sender<Event>,
}

/// A way to talk.
pub trait Backend: Send {
    /// Starts tasks on the current tokio runtime.
    fn start(self: Box<Self>) -> Link;
}

/// The two sides of a backend: for who holds it, and for its tasks.
pub fn link() -> (Link, Inner) {
    let (commands, command_receiver) = mpsc::channel(64);
    let (event_sender, events) = mpsc::channel(256);
    (
        Link { commands, events },
        Inner {
            commands: command_receiver,
            events: event_sender,
        },
    )
}
