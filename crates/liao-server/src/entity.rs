//! All behind one bare address: its state, its sessions, its inbox in order, and the queue in which what it
//! sends waits for commits. One shard owns it, so nothing here is locked.

use crate::accounts::DISABLED;
use crate::engines::copies::{self, Copies};
use crate::engines::offline::Offline;
use crate::engines::roster::Roster;
use crate::hooks::{At, Cx, Effects, Flow, Inline, Later, Release, SessionChange};
use crate::mailbox::{Credit, Mailbox, Origin};
use crate::modules;
use crate::server::Server;
use bytes::Bytes;
use liao_proto::jid::{BareJid, FullJid, Jid};
use liao_proto::minidom::Element;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What stands behind an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The server itself.
    Domain,
    /// A user.
    Account,
    /// Nobody.
    Nobody,
}

/// One bound resource.
pub struct Session {
    /// Unique in this process.
    pub id: u64,
    /// The full address.
    pub full: FullJid,
    /// The program behind it, the same at each of its logins, if it said so (XEP-0388 section 2.3).
    pub client: Option<String>,
    /// What waits to be written to it.
    pub mailbox: Arc<Mailbox>,
    /// The last availability it sent, if it is available.
    pub presence: Option<Stanza>,
    /// Priority of that presence (RFC 6121 section 4.7.2.3).
    pub priority: i8,
    /// It asked for the roster and so gets roster pushes (RFC 6121 section 2.1.6).
    pub interested: bool,
    /// Where it sent directed presence (RFC 6121 section 4.6).
    pub directed: HashSet<Jid>,
    /// It wants copies of what the account's other sessions send and get (XEP-0280).
    pub carbons: bool,
    /// The archive's end when it was bound, if it was told that then (XEP-0386 section 3.2).
    pub archive_at_bind: Option<u64>,
    /// It reads by itself what was archived up to this number: that is not handed out to it.
    pub reads_archive: u64,
    /// One more of these for each query of the archive under way.
    pub queries: Arc<()>,
    /// Resolves when the last query of the archive is answered: one at a time, in order.
    pub last_query: Option<oneshot::Receiver<()>>,
    /// Of which lists it is told every change, by namespace, beside the roster (XEP-0191 section 3.3).
    pub told_of: BTreeSet<&'static str>,
}

impl Session {
    /// Available with a priority of 0 or more: may get messages for the bare address.
    pub fn is_reachable(&self) -> bool {
        self.presence.is_some() && self.priority >= 0
    }
}

/// The state that hooks see.
pub struct State {
    /// The address.
    pub bare: BareJid,
    /// What stands behind it.
    pub behind: Behind,
    /// Bound resources, oldest first.
    pub sessions: Vec<Session>,
    /// Contacts.
    pub roster: Roster,
    /// Which archived messages nobody has been given yet.
    pub offline: Offline,
    /// What was sent of which others got copies.
    pub copies: Copies,
    /// Every other collection that modules need, as it is in the store.
    pub rows: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl State {
    /// The rows of a collection that a module named in `Spec.needs`, by key.
    pub fn rows(&self, collection: &str) -> &BTreeMap<String, Vec<u8>> {
        static NONE: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        self.rows.get(collection).unwrap_or(&NONE)
    }

    /// The session of this id.
    pub fn session(&mut self, id: u64) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|s| s.id == id)
    }

    /// The session of this resource.
    pub fn by_resource(&self, full: &Jid) -> Option<&Session> {
        self.sessions
            .iter()
            .find(|s| s.full.as_str() == full.as_str())
    }
}

/// What a client wants when it binds.
#[derive(Default)]
pub struct Wanted {
    /// The resource; `None`: any.
    pub resource: Option<String>,
    /// Itself: earlier sessions of the same program end (XEP-0386 section 3.2).
    pub client: Option<String>,
    /// XEP-0386's `<bind/>`: what is to be in force from the first moment.
    pub inline: Option<Element>,
}

/// A resource that was bound.
pub struct Bound {
    /// The full address.
    pub full: FullJid,
    /// What modules answer to what was wanted inline.
    pub answers: Vec<Inline>,
}

/// What an entity is asked to do.
pub enum Item {
    /// Bind a resource.
    Bind {
        /// The session's id.
        id: u64,
        /// What the client wants.
        wanted: Wanted,
        /// Its mailbox.
        mailbox: Arc<Mailbox>,
        /// Gets the full address, or why not.
        reply: oneshot::Sender<Result<Bound, ErrorKind>>,
    },
    /// A connection is gone.
    Unbind(u64),
    /// A session sends a stanza.
    Send(u64, Stanza, Credit),
    /// A stanza for this entity.
    Receive(Stanza, Option<Credit>),
    /// Archived messages have been written to a session's socket.
    Written(Vec<u64>),
    /// What one of the account's sessions sent goes its way: the others get a copy (XEP-0280 section 8).
    Copied {
        /// The session that sent it.
        session: u64,
        /// The message.
        bytes: Bytes,
        /// Its type.
        type_: &'static str,
        /// Its id in the account's archive.
        id: Option<String>,
    },
    /// Something to be done in the entity's order.
    Do(Box<dyn FnOnce(&mut Cx<'_>) + Send>),
}

/// Effects that wait for their commit, or behind one.
pub struct Pending {
    /// The commit they wait for; 0: none of their own.
    pub ticket: u64,
    /// The commit has come.
    pub done: bool,
    /// What leaves then.
    pub releases: Vec<Release>,
    /// What leaves if it failed.
    pub refusals: Vec<Stanza>,
    /// Work that begins then.
    pub later: Vec<Later>,
    /// Held until then.
    pub credits: Vec<Credit>,
    /// The commit changes values that the state holds, too.
    pub changes: bool,
}

/// An entity in its shard.
pub struct Entity {
    /// The state; `None` while it is being read.
    pub state: Option<State>,
    /// What waits for the state.
    pub parked: VecDeque<Item>,
    /// What waits for commits, in order.
    pub queue: VecDeque<Pending>,
    /// The last ticket given.
    pub ticket: u64,
    /// A page of kept messages is being read.
    pub reading: bool,
    /// A change was refused by the disk: the state says more than the store.
    pub stale: bool,
    /// The store is being asked what it says.
    pub rereading: bool,
}

/// Runs one item against a state.
pub fn run(server: &Server, state: &mut State, item: Item) -> Effects {
    let mut cx = Cx {
        server,
        entity: state,
        origin: Origin::default(),
        out: Effects::default(),
    };
    match item {
        Item::Bind {
            id,
            wanted,
            mailbox,
            reply,
        } => {
            let _ = reply.send(bind(&mut cx, id, wanted, mailbox));
        }
        Item::Unbind(id) => {
            for module in modules::ALL {
                module.on_session(&mut cx, SessionChange::Ending(id));
            }
            cx.entity.sessions.retain(|s| s.id != id);
        }
        Item::Send(session, stanza, credit) => {
            cx.origin = credit.origin;
            cx.out.credits.push(credit);
            send(&mut cx, session, stanza);
            for credit in &mut cx.out.credits {
                credit.origin = cx.origin;
            }
        }
        Item::Receive(stanza, credit) => {
            cx.origin = credit.as_ref().map(|c| c.origin).unwrap_or_default();
            cx.out.credits.extend(credit);
            receive(&mut cx, stanza);
        }
        Item::Written(seqs) => {
            if let Some(moved) = cx.entity.offline.written(&seqs) {
                cx.out.ops.extend(moved.into_ops(&cx.entity.bare));
            }
        }
        Item::Copied {
            session,
            bytes,
            type_,
            id,
        } => copies::sent(&mut cx, session, &bytes, type_, id.as_deref()),
        Item::Do(work) => work(&mut cx),
    }
    cx.out
}

/// RFC 6120 section 7: binds a resource. A wanted one that is in use is taken over, and so is what the same program
/// left behind: the older connection is told `conflict` (section 7.7.2.2, XEP-0386 section 3.2).
fn bind(
    cx: &mut Cx<'_>,
    id: u64,
    wanted: Wanted,
    mailbox: Arc<Mailbox>,
) -> Result<Bound, ErrorKind> {
    let Wanted {
        resource,
        client,
        inline,
    } = wanted;
    // One that was disabled since it logged in is no account to bind to.
    if cx.entity.behind != Behind::Account || !cx.entity.rows(DISABLED).is_empty() {
        return Err(ErrorKind::NOT_ALLOWED);
    }
    let resource = resource
        .filter(|r| !r.is_empty())
        .unwrap_or_else(crate::server::random_id);
    let full = cx.entity.bare.with_resource_str(&resource);
    let full = full.map_err(|_| ErrorKind::BAD_REQUEST)?;
    let older = cx.entity.sessions.iter();
    let older: Vec<u64> = older
        .filter(|s| s.full == full || (client.is_some() && s.client == client))
        .map(|s| s.id)
        .collect();
    for id in older {
        replace(cx, id);
    }
    if cx.entity.sessions.len() >= cx.server.bounds.resources_per_account {
        return Err(ErrorKind::RESOURCE_CONSTRAINT);
    }
    let other = cx.entity.sessions.first();
    mailbox.share(other.and_then(|s| s.mailbox.work()).unwrap_or_default());
    // Most accounts have one device; a vector would take room for four.
    cx.entity.sessions.reserve_exact(1);
    cx.entity.sessions.push(Session {
        id,
        full: full.clone(),
        client,
        mailbox,
        presence: None,
        priority: 0,
        interested: false,
        directed: HashSet::new(),
        carbons: false,
        archive_at_bind: None,
        reads_archive: 0,
        queries: Arc::default(),
        last_query: None,
        told_of: BTreeSet::new(),
    });
    for module in modules::ALL {
        module.on_session(cx, SessionChange::Bound(id));
    }
    let mut answers = Vec::new();
    if let Some(request) = inline {
        for (module, request) in modules::inline(&request) {
            match module.on_inline(cx, id, request) {
                Inline::Nothing => {}
                answer => answers.push(answer),
            }
        }
    }
    Ok(Bound { full, answers })
}

/// Ends a session for a newer one.
fn replace(cx: &mut Cx<'_>, old: u64) {
    if let Some(session) = cx.entity.session(old) {
        session.mailbox.end(crate::mailbox::End {
            condition: "conflict",
            text: "the same resource was bound elsewhere",
        });
    }
    for module in modules::ALL {
        module.on_session(cx, SessionChange::Ending(old));
    }
    cx.entity.sessions.retain(|s| s.id != old);
}

/// A stanza from one of the entity's own sessions (RFC 6120 section 8.1.2.1, RFC 6121 section 8.2 and 8.3).
fn send(cx: &mut Cx<'_>, session: u64, mut stanza: Stanza) {
    let Some(full) = cx.entity.session(session).map(|s| s.full.clone()) else {
        // The session was replaced while this was on its way: nobody is told that it was handled.
        cx.out.credits.drain(..).for_each(Credit::abandon);
        return;
    };
    stanza.from = Some(full.into());
    if let Err(error) = check_iq(&stanza) {
        // Section 8.3.1, rule 8: what is an answer itself is dropped.
        if !stanza.is_answer() {
            let answer = stanza.error(&error);
            cx.deliver(session, answer.to_bytes());
        }
        return;
    }
    for module in modules::ALL {
        if module.on_send(cx, session, &mut stanza) == Flow::Done {
            return;
        }
    }
    if stanza.to.is_none() {
        // RFC 6120 section 10.3: handled on behalf of the account.
        stanza.to = Some(cx.entity.bare.clone().into());
    }
    cx.route(stanza);
}

/// RFC 6120 section 8.2.3.
pub fn check_iq(stanza: &Stanza) -> Result<(), ErrorKind> {
    if stanza.kind != Kind::Iq {
        return Ok(());
    }
    let children = stanza.children().len();
    match stanza.type_.as_deref() {
        _ if stanza.id.is_none() => Err(ErrorKind::BAD_REQUEST),
        Some("get" | "set") if children == 1 => Ok(()),
        Some("result") if children <= 1 => Ok(()),
        Some("error") => Ok(()),
        _ => Err(ErrorKind::BAD_REQUEST),
    }
}

/// A stanza for this entity.
fn receive(cx: &mut Cx<'_>, mut stanza: Stanza) {
    for module in modules::ALL {
        if module.on_deliver(cx, &mut stanza) == Flow::Done {
            return;
        }
    }
    if stanza.kind == Kind::Iq {
        return receive_iq(cx, stanza);
    }
    // Nobody took it: RFC 6121 section 8.5.1 and 8.4.
    let headline = stanza.type_str() == "headline";
    if stanza.kind == Kind::Message && !stanza.is_answer() && !headline {
        cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
    }
}

/// RFC 6121 section 8.5.3.1: requests reach a client only from those who see it: the account itself, contacts that are
/// subscribed to it, those to whom it sent directed presence; and from this server and its services, which know anyway.
fn may_ask(cx: &Cx<'_>, session: u64, from: Option<&Jid>) -> bool {
    let Some(from) = from else { return true };
    let bare = from.to_bare();
    let domain = from.domain().as_str();
    let ours = domain == cx.server.domain.as_str() && from.node().is_none();
    let sees =
        |s: &Session| s.directed.contains(from) || s.directed.contains(&Jid::from(bare.clone()));
    ours || cx.server.is_service(domain)
        || bare == cx.entity.bare
        || cx.entity.roster.get(&bare).is_some_and(|c| c.from)
        || cx
            .entity
            .sessions
            .iter()
            .any(|s| s.id == session && sees(s))
}

/// RFC 6121 section 8.5.2.1.3, 8.5.3.2.3 and 8.4: IQs to the bare address are answered for the user.
fn receive_iq(cx: &mut Cx<'_>, iq: Stanza) {
    let to_full = iq.to.as_ref().is_some_and(Jid::is_full);
    if to_full && cx.entity.behind == Behind::Account {
        let found = iq
            .to
            .as_ref()
            .and_then(|to| cx.entity.by_resource(to))
            .map(|s| s.id);
        match found {
            Some(session) if iq.is_answer() || may_ask(cx, session, iq.from.as_ref()) => {
                cx.deliver(session, iq.to_bytes());
            }
            // Section 8.5.3.1: as if nobody were there.
            Some(_) => cx.route(iq.error(&ErrorKind::SERVICE_UNAVAILABLE)),
            None if !iq.is_answer() => cx.route(iq.error(&ErrorKind::SERVICE_UNAVAILABLE)),
            None => {}
        }
        return;
    }
    if iq.is_answer() {
        return;
    }
    let at = match cx.entity.behind {
        Behind::Domain => At::Domain,
        Behind::Account => At::Account,
        Behind::Nobody => return cx.route(iq.error(&ErrorKind::SERVICE_UNAVAILABLE)),
    };
    let Some(child) = iq.children().first() else {
        return cx.route(iq.error(&ErrorKind::BAD_REQUEST));
    };
    let Some(module) = modules::for_iq(&child.name, &child.ns, at) else {
        return cx.route(iq.error(&ErrorKind::SERVICE_UNAVAILABLE));
    };
    let Some(payload) = iq.parse(child) else {
        return cx.route(iq.error(&ErrorKind::BAD_REQUEST));
    };
    match module.on_iq(cx, &iq, &payload, at) {
        crate::hooks::Answer::Result(None) => cx.route(iq.result()),
        crate::hooks::Answer::Result(Some(element)) => cx.route(iq.result().child(&element)),
        crate::hooks::Answer::Error(error) => cx.route(iq.error(&error)),
        crate::hooks::Answer::Later => {}
    }
    if !cx.out.ops.is_empty() {
        cx.out.refusals.push(iq);
    }
}
