//! The shape of a feature: a module is one file, one trait, one row in [`crate::modules::ALL`].
//!
//! Hooks are synchronous, do no I/O and answer with [`Effects`]; the entity commits and releases them.

use crate::entity::State;
use crate::mailbox::{Credit, Origin};
use crate::modules;
use crate::server::Server;
use crate::store::{NewMessage, Op};
use bytes::Bytes;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::stanza::{ErrorKind, Stanza};
use std::future::Future;
use std::pin::Pin;

/// Which entity an IQ name is answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The server's own address.
    Domain,
    /// A user's bare address.
    Account,
}

/// What a module declares of itself; disco and the generated documents are derived from it.
pub struct Spec {
    /// The module's name: its file's name.
    pub name: &'static str,
    /// Specifications that it implements.
    pub xeps: &'static [&'static str],
    /// disco#info features of the server.
    pub features: &'static [&'static str],
    /// disco#info features of accounts.
    pub account_features: &'static [&'static str],
    /// IQ payloads that it answers: local name, namespace, place.
    pub iqs: &'static [(&'static str, &'static str, At)],
    /// Collections of the store that its hooks read.
    pub needs: &'static [&'static str],
    /// Namespaces of what a client may ask for while its resource is bound; stream features name them (XEP-0386
    /// section 3.1). Who names `urn:xmpp:bind:0` itself is asked at each such binding and is not named.
    pub inline: &'static [&'static str],
    /// One line for people.
    pub doc: &'static str,
}

impl Spec {
    /// A spec with nothing declared.
    pub const EMPTY: Spec = Spec {
        name: "",
        xeps: &[],
        features: &[],
        account_features: &[],
        iqs: &[],
        needs: &[],
        inline: &[],
        doc: "",
    };
}

/// The answer to an IQ of type get or set.
pub enum Answer {
    /// `result`, with a payload or empty.
    Result(Option<Element>),
    /// `error`.
    Error(ErrorKind),
    /// The answer comes from a task that the module gave to [`Cx::answer_later`].
    Later,
}

/// The answer to what was asked for while a resource was bound; it is put into `<bound/>` (XEP-0386 section 3.2).
pub enum Inline {
    /// Done, and nothing is to be said of it.
    Nothing,
    /// This.
    Answer(Element),
    /// What this work outside of the entity gives; the client waits for it.
    Later(Pin<Box<dyn Future<Output = Option<Element>> + Send>>),
}

/// Whether a stanza goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// To the next module.
    Continue,
    /// It is dealt with.
    Done,
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionChange {
    /// A resource was bound.
    Bound(u64),
    /// The connection is gone; the session is still listed.
    Ending(u64),
    /// It became available, with whatever priority (RFC 6121 section 4.2).
    Available(u64),
    /// It became able to get messages: available, with a priority of 0 or more.
    Reachable(u64),
}

/// A stanza's way out of an entity, after the commit.
pub enum Release {
    /// To its `to`, through the router.
    Route(Stanza),
    /// To one session.
    Session {
        /// Which.
        session: u64,
        /// The element.
        bytes: Bytes,
        /// It can wait while the client is inactive, and a later one of the same key makes it pointless.
        lazy: Option<u64>,
    },
    /// An archived message to one session, numbered by its commit.
    Numbered {
        /// Which.
        session: u64,
        /// The element.
        bytes: Bytes,
        /// The owner's seq of it.
        seq: u64,
    },
    /// An archived message to sessions, as row `row` of the same commit; its number is known only then.
    Archived {
        /// Which sessions; empty: it waits for the next one that is reachable.
        sessions: Vec<u64>,
        /// Which sessions get a copy of what others get (XEP-0280 section 7).
        copies: Vec<u64>,
        /// The message.
        bytes: Bytes,
        /// Its type.
        type_: &'static str,
        /// Index among the commit's archive operations.
        row: usize,
        /// It is only kept until it is delivered.
        kept: bool,
    },
    /// What one of an account's sessions sent, to be copied to its others by their entity (XEP-0280 section 8).
    Copied {
        /// The account.
        sender: BareJid,
        /// The session that sent it.
        session: u64,
        /// The message.
        bytes: Bytes,
        /// Its type.
        type_: &'static str,
        /// Index among the commit's archive operations, if it is archived.
        row: Option<usize>,
        /// Its id in the sender's archive, once it is known.
        id: Option<String>,
    },
}

/// Asynchronous work, and the answer to an IQ, if the work has not given it itself.
pub struct Later {
    /// The work.
    pub work: Pin<Box<dyn Future<Output = Option<Stanza>> + Send>>,
    /// Its stanza counts as handled only when it is done; not so if it only reads.
    pub holds: bool,
}

/// What a hook wants done: committed first, then released in order.
#[derive(Default)]
pub struct Effects {
    /// Operations of one commit.
    pub ops: Vec<Op>,
    /// What leaves after it.
    pub releases: Vec<Release>,
    /// What leaves in their stead when the commit fails: error answers. The reason picks the condition.
    pub refusals: Vec<Stanza>,
    /// Work outside of the entity.
    pub later: Vec<Later>,
    /// The senders' allowances.
    pub credits: Vec<Credit>,
}

/// What a hook sees.
pub struct Cx<'a> {
    /// The server's shared parts.
    pub server: &'a Server,
    /// The entity's state.
    pub entity: &'a mut State,
    /// Where the stanza comes from.
    pub origin: Origin,
    /// What the hook wants done.
    pub out: Effects,
}

impl Cx<'_> {
    /// Sends a stanza to its `to`.
    pub fn route(&mut self, stanza: Stanza) {
        self.out.releases.push(Release::Route(stanza));
    }

    /// Gives a stanza to one of the entity's own sessions.
    pub fn deliver(&mut self, session: u64, bytes: Bytes) {
        self.give(session, bytes, None);
    }

    /// The same for what can wait while the client is inactive: it takes the place of what has the same key.
    pub fn deliver_lazily(&mut self, session: u64, bytes: Bytes, key: u64) {
        self.give(session, bytes, Some(key));
    }

    fn give(&mut self, session: u64, bytes: Bytes, lazy: Option<u64>) {
        self.out.releases.push(Release::Session {
            session,
            bytes,
            lazy,
        });
    }

    /// Archives a message with the commit; gives its index among the commit's archive operations.
    pub fn archive(&mut self, message: NewMessage) -> usize {
        let is_archive = |op: &&Op| matches!(op, Op::Archive(_));
        let row = self.out.ops.iter().filter(is_archive).count();
        self.out.ops.push(Op::Archive(message));
        row
    }

    /// Writes a value of the entity in the store, and in the state if hooks read this collection.
    pub fn put(&mut self, collection: &'static str, key: &str, value: Vec<u8>) {
        let owner = self.entity.bare.to_string();
        if modules::is_row(collection) {
            let rows = self.entity.rows.entry(collection.to_owned()).or_default();
            rows.insert(key.to_owned(), value.clone());
        }
        self.out.ops.push(Op::Put {
            collection,
            owner,
            key: key.to_owned(),
            value,
        });
    }

    /// Deletes a value of the entity in the store, and in the state.
    pub fn delete(&mut self, collection: &'static str, key: &str) {
        let owner = self.entity.bare.to_string();
        if let Some(rows) = self.entity.rows.get_mut(collection) {
            rows.remove(key);
        }
        self.out.ops.push(Op::Delete {
            collection,
            owner,
            key: key.to_owned(),
        });
    }

    /// Runs `work` outside of the entity, after all that is being committed before it; the stanza that it gives is
    /// routed.
    pub fn answer_later<A: Into<Option<Stanza>>>(
        &mut self,
        work: impl Future<Output = A> + Send + 'static,
    ) -> Answer {
        self.later(work, true)
    }

    /// The same for work that only reads, and may wait: its stanza counts as handled already (XEP-0198).
    pub fn read_later<A: Into<Option<Stanza>>>(
        &mut self,
        work: impl Future<Output = A> + Send + 'static,
    ) -> Answer {
        self.later(work, false)
    }

    fn later<A: Into<Option<Stanza>>>(
        &mut self,
        work: impl Future<Output = A> + Send + 'static,
        holds: bool,
    ) -> Answer {
        let work = Box::pin(async { work.await.into() });
        self.out.later.push(Later { work, holds });
        Answer::Later
    }
}

/// A feature. Every hook has a default that does nothing.
pub trait Module: Sync {
    /// What it declares.
    fn spec(&self) -> &'static Spec;
    /// An IQ of type get or set with one of the declared payloads arrived.
    fn on_iq(&self, _cx: &mut Cx<'_>, _iq: &Stanza, _payload: &Element, _at: At) -> Answer {
        Answer::Error(ErrorKind::SERVICE_UNAVAILABLE)
    }
    /// One of the entity's own sessions sends a stanza; `from` is set.
    fn on_send(&self, _cx: &mut Cx<'_>, _session: u64, _stanza: &mut Stanza) -> Flow {
        Flow::Continue
    }
    /// A stanza for the entity arrived; an IQ before it goes to the session that it is for, or is answered.
    fn on_deliver(&self, _cx: &mut Cx<'_>, _stanza: &mut Stanza) -> Flow {
        Flow::Continue
    }
    /// A resource is being bound, and the client asks for this at the same time: an element in one of the namespaces
    /// of `Spec.inline`, or for `urn:xmpp:bind:0` the whole `<bind/>`. The session is listed; nothing has reached it.
    fn on_inline(&self, _cx: &mut Cx<'_>, _session: u64, _request: &Element) -> Inline {
        Inline::Nothing
    }
    /// A session changed.
    fn on_session(&self, _cx: &mut Cx<'_>, _change: SessionChange) {}
    /// Appends stream features, before or after the login (RFC 6120 section 4.3.2).
    fn stream_features(&self, _server: &Server, _logged_in: bool, _out: &mut String) {}
    /// A form of disco#info about the server (XEP-0128 section 2).
    fn server_form(&self, _server: &Server) -> Option<Element> {
        None
    }
}
