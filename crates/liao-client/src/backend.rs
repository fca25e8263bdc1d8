//! What every way to talk offers: commands in, events out (DESIGN section 1: one `Backend` trait).
//!
//! A backend is started once and then lives in tasks of its own; the caller holds a [`Link`].
//! Nothing here knows a screen; bots, the bench and the views use the same link.

use tokio::sync::mpsc;

/// Names a contact within one backend: a bare JID, or `NAME`/`HOST:PORT` for plain sockets.
pub type Peer = String;

/// What a person or a program asks of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say `text` to `to`. `id` is the sender's own id of the message (the XMPP origin-id); later
    /// [`Event::State`]s name it.
    Send { id: String, to: Peer, text: String },
    /// Ask `to` to be a friend, with an optional remark name.
    Befriend { to: Peer, name: Option<String> },
    /// Answer a friend request.
    Answer { to: Peer, accept: bool },
    /// Forget a contact.
    Remove { to: Peer },
    /// Set the own availability (`None` = online) and status line.
    Presence { show: Option<Show>, status: Option<String> },
    /// Add a name to the address book (plain sockets).
    Book { name: String, address: String },
    /// Leave politely; the backend ends with [`Event::Closed`].
    Quit,
}

/// Availability other than plain online (RFC 6121 section 4.7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show { Away, Chat, Dnd, Xa }

/// How far a message that we sent has come. Order is progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// On disk here, not yet taken by the other side of the connection.
    Queued,
    /// Waits for the peer's turn (lockstep): piece `piece` of `of` goes next.
    Waiting { piece: usize, of: usize },
    /// Handed to the server (XMPP: acknowledged or, without 0198, written) or to the socket.
    Sent,
    /// The peer's program has it (0184).
    Delivered,
    /// Refused for good; `why` says what and what to do.
    Failed { why: String },
}

/// A message as it is shown and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The conversation it belongs to.
    pub peer: Peer,
    /// Sent by this account.
    pub outgoing: bool,
    /// The sender's id; unique with `peer` and `outgoing`.
    pub id: String,
    /// The text, any length.
    pub text: String,
    /// UTC, `YYYY-MM-DDTHH:MM:SSZ` (0082).
    pub time: String,
    /// Came late: kept by the server while we were away (0203).
    pub delayed: bool,
}

/// A contact as the roster or the address book has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    pub peer: Peer,
    /// Remark name.
    pub name: Option<String>,
    pub groups: Vec<String>,
    /// `none`, `to`, `from`, `both`; empty where there is no such notion.
    pub subscription: String,
    /// We asked and wait for an answer.
    pub asked: bool,
}

/// What a backend tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line about the connection for the person (certificate pinned, raw UDP promises nothing …).
    Notice(String),
    /// Connected as `me`.
    Online { me: String },
    /// The connection is gone; a new try follows in `retry_s` seconds if that is given.
    Offline { why: String, retry_s: Option<u64> },
    Contact(Contact),
    Gone(Peer),
    /// `available = false`: offline.
    Presence { peer: Peer, available: bool, show: Option<Show>, status: Option<String> },
    /// Somebody asks to be a friend.
    Request { peer: Peer, greeting: Option<String> },
    Message(Message),
    State { id: String, state: State },
    /// A command could not be carried out.
    Refused { what: String, why: String },
    /// The last event.
    Closed { code: u8, why: Option<String> },
}

/// The two ends of a running backend.
pub struct Link {
    pub commands: mpsc::Sender<Command>,
    pub events: mpsc::Receiver<Event>,
}

/// A way to talk.
pub trait Backend: Send {
    /// Starts tasks on the current tokio runtime.
    fn start(self: Box<Self>) -> Link;
}
