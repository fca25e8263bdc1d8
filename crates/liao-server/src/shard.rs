//! One shard: a task that owns the entities of its share of the addresses; nothing in them is locked. Runs their items,
//! commits and releases what comes of it, in order, and hands out what was kept for those who were away.

use crate::catching_up;
use crate::engines;
use crate::entity::{Behind, Entity, Item, Pending, State};
use crate::hooks::{Effects, Later, Release};
use crate::limits;
use crate::mailbox::Credit;
use crate::modules;

use crate::server::{Server, ToShard};
use crate::store::{At, Commit, CommitError, Committed, Op, PageQuery};
use liao_proto::jid::BareJid;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forward;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// One shard: all that happens to its entities, in order.
pub async fn run(server: Arc<Server>, mut inbox: mpsc::UnboundedReceiver<ToShard>) {
    let mut entities: HashMap<BareJid, Entity> = HashMap::new();
    let mut many = limits::ENTITIES_PER_SHARD;
    while let Some(message) = inbox.recv().await {
        match message {
            ToShard::Item(bare, item) => {
                on_item(&server, &mut entities, bare.clone(), item);
                forget_nobody(&mut entities, &bare);
            }
            ToShard::Loaded(bare, state) => on_loaded(&server, &mut entities, bare, state),
            ToShard::Committed(bare, ticket, result) => {
                if let Some(entity) = entities.get_mut(&bare) {
                    on_committed(&server, entity, ticket, result);
                    after(&server, &bare, entity);
                }
                forget_nobody(&mut entities, &bare);
            }
            ToShard::Page(bare, span, page) => {
                if let Some(entity) = entities.get_mut(&bare) {
                    entity.reading = false;
                    catching_up::on_page(&server, entity, span, page.map(|p| p.rows));
                    after(&server, &bare, entity);
                }
            }
            ToShard::Reread(bare, ticket, state) => {
                if let Some(entity) = entities.get_mut(&bare)
                    && on_reread(entity, ticket, state)
                {
                    after(&server, &bare, entity);
                }
            }
        }
        if entities.len() > many {
            entities.retain(|_, e| !e.is_idle());
            // Those that stay are busy: they are looked through again when there are half as many more.
            many = limits::ENTITIES_PER_SHARD.max(entities.len() * 3 / 2);
        }
    }
}

impl Entity {
    fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.parked.is_empty()
            && !self.reading
            && !self.rereading
            && self.state.as_ref().is_some_and(|s| s.sessions.is_empty())
    }
}

fn on_item(
    server: &Arc<Server>,
    entities: &mut HashMap<BareJid, Entity>,
    bare: BareJid,
    item: Item,
) {
    if let Some(entity) = entities.get_mut(&bare) {
        if entity.state.is_some() {
            step(server, entity, item);
            after(server, &bare, entity);
        } else if entity.parked.len() < limits::PARKED_PER_ENTITY {
            entity.parked.push_back(item);
        } else if let Item::Receive(stanza, credit) = item
            && !stanza.is_answer()
        {
            server.route(stanza.error(&ErrorKind::RESOURCE_CONSTRAINT), credit);
        }
        return;
    }
    let entity = Entity {
        state: None,
        parked: VecDeque::from([item]),
        queue: VecDeque::new(),
        ticket: 0,
        reading: false,
        stale: false,
        rereading: false,
    };
    entities.insert(bare.clone(), entity);
    let server = server.clone();
    tokio::spawn(async move {
        let state = load(&server, &bare).await;
        server.tell(bare.clone(), ToShard::Loaded(bare, state.map(Box::new)));
    });
}

/// Reads an entity's state: the collections that modules need, in one go.
async fn load(server: &Server, bare: &BareJid) -> Option<State> {
    let mut state = State {
        bare: bare.clone(),
        behind: Behind::Nobody,
        sessions: Vec::new(),
        roster: Default::default(),
        offline: Default::default(),
        copies: Default::default(),
        rows: Default::default(),
    };
    if *bare == server.domain {
        state.behind = Behind::Domain;
        return Some(state);
    }
    let Some(node) = bare.node() else {
        return Some(state);
    };
    let owner = bare.to_string();
    let read = async {
        if !server
            .accounts
            .exists(node.as_str())
            .await
            .map_err(|e| e.to_string())?
        {
            return Ok(None);
        }
        let rows = server
            .store
            .load(&owner, modules::needs())
            .await
            .map_err(|e| e.to_string())?;
        let head = server
            .store
            .last_seq(&owner)
            .await
            .map_err(|e| e.to_string())?;
        let cursor = rows
            .iter()
            .find(|r| r.0 == engines::offline::COLLECTION)
            .and_then(|r| std::str::from_utf8(&r.2).ok()?.parse().ok())
            .unwrap_or(0);
        Ok::<_, String>(Some((
            rows,
            head,
            first_waiting(server, &owner, cursor, head).await,
        )))
    };
    match read.await {
        Ok(None) => {}
        Ok(Some((rows, head, first))) => {
            state.behind = Behind::Account;
            for (collection, key, value) in rows {
                match collection.as_str() {
                    engines::roster::COLLECTION => state.roster.load(&key, &value),
                    engines::offline::COLLECTION => state.offline.load(&value),
                    _ => drop(state.rows.entry(collection).or_default().insert(key, value)),
                }
            }
            state.offline.set_head(head);
            if let Some(first) = first {
                state.offline.begin_at(first);
            }
        }
        Err(error) => {
            tracing::error!(%bare, error, "an account cannot be read; its stanzas are refused");
            return None;
        }
    }
    Some(state)
}

/// The first message that nobody has been given; behind all of them if there is none.
async fn first_waiting(server: &Server, owner: &str, cursor: u64, head: u64) -> Option<u64> {
    if cursor >= head {
        return None;
    }
    let query = PageQuery {
        after: vec![At::Seq(cursor)],
        undelivered: true,
        limit: 1,
        ..PageQuery::default()
    };
    let page = server.store.page(owner, query).await.ok()?;
    Some(page.rows.first().map_or(head + 1, |row| row.seq))
}

fn on_loaded(
    server: &Arc<Server>,
    entities: &mut HashMap<BareJid, Entity>,
    bare: BareJid,
    state: Option<Box<State>>,
) {
    let Some(entity) = entities.get_mut(&bare) else {
        return;
    };
    let parked = std::mem::take(&mut entity.parked);
    let Some(state) = state else {
        entities.remove(&bare);
        for item in parked {
            if let Item::Receive(stanza, credit) = item
                && !stanza.is_answer()
            {
                server.route(stanza.error(&ErrorKind::INTERNAL_SERVER_ERROR), credit);
            }
        }
        return;
    };
    entity.state = Some(*state);
    for item in parked {
        step(server, entity, item);
    }
    after(server, &bare, entity);
    forget_nobody(entities, &bare);
}

/// An account of this name may be made at any time: nothing is remembered of an address with nobody behind it.
fn forget_nobody(entities: &mut HashMap<BareJid, Entity>, bare: &BareJid) {
    let nobody = |e: &Entity| e.state.as_ref().is_some_and(|s| s.behind == Behind::Nobody);
    if entities.get(bare).is_some_and(|e| nobody(e) && e.is_idle()) {
        entities.remove(bare);
    }
}

/// Runs one item and sends its effects on their way.
fn step(server: &Arc<Server>, entity: &mut Entity, item: Item) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    let effects = crate::entity::run(server, state, item);
    apply(server, entity, effects);
}

fn apply(server: &Arc<Server>, entity: &mut Entity, effects: Effects) {
    let Effects {
        ops,
        releases,
        refusals,
        later,
        credits,
    } = effects;
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    let mut pending = Pending {
        ticket: 0,
        done: true,
        releases,
        refusals,
        later,
        credits,
        changes: ops
            .iter()
            .any(|op| matches!(op, Op::Put { .. } | Op::Delete { .. })),
    };
    if ops.is_empty() {
        if entity.queue.is_empty() {
            release(server, state, pending);
        } else {
            entity.queue.push_back(pending);
        }
        return;
    }
    entity.ticket += 1;
    let ticket = entity.ticket;
    let (bare, back) = (state.bare.clone(), server.me.clone());
    let then = Box::new(move |result| {
        if let Some(server) = back.upgrade() {
            server.tell(bare.clone(), ToShard::Committed(bare, ticket, result));
        }
    });
    // What is routed on has more to be done elsewhere.
    let routed = |r: &Release| matches!(r, Release::Route(_));
    let done = pending.later.is_empty() && !pending.releases.iter().any(routed);
    let marks = pending
        .credits
        .iter()
        .filter_map(|c| c.mark(done))
        .collect();
    (pending.ticket, pending.done) = (ticket, false);
    entity.queue.push_back(pending);
    let commit = Commit { ops, marks, then };
    if server.store.commit(commit).is_err() {
        on_committed(server, entity, ticket, Err(CommitError::Overloaded));
    }
}

/// Marks a commit as done and releases all at the front of the queue that waits no more.
fn on_committed(
    server: &Arc<Server>,
    entity: &mut Entity,
    ticket: u64,
    result: Result<Committed, CommitError>,
) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    let Some(at) = entity.queue.iter().position(|p| p.ticket == ticket) else {
        return;
    };
    let pending = &mut entity.queue[at];
    pending.done = true;
    match result {
        Ok(committed) => number(server, state, &mut pending.releases, &committed),
        Err(error) => {
            tracing::error!(bare = %state.bare, %error, "a commit failed; the senders are told");
            let kind = match error {
                CommitError::Full | CommitError::Overloaded => ErrorKind::RESOURCE_CONSTRAINT,
                _ => ErrorKind::INTERNAL_SERVER_ERROR,
            };
            pending.releases = pending
                .refusals
                .drain(..)
                .filter(|s| !s.is_answer())
                .map(|s| Release::Route(s.error(&kind)))
                .collect();
            pending.later.clear();
            entity.stale |= pending.changes;
        }
    }
    while entity.queue.front().is_some_and(|p| p.done) {
        if let Some(front) = entity.queue.pop_front() {
            release(server, state, front);
        }
    }
}

/// Gives archived messages their numbers; turns them into what is written to each session.
fn number(server: &Server, state: &mut State, releases: &mut Vec<Release>, committed: &Committed) {
    for entry in std::mem::take(releases) {
        match entry {
            Release::Archived {
                sessions,
                copies,
                bytes,
                type_,
                row,
                kept,
            } => {
                let stored = committed.seqs.get(row).filter(|s| !s.duplicate);
                let Some(place) = stored.and_then(|s| s.to.as_ref()) else {
                    continue;
                };
                let by = state.bare.to_string();
                let bytes = match kept {
                    true => bytes,
                    false => forward::with_stanza_id(&bytes, &by, &place.id),
                };
                // Who gets its messages by pages gets this, too, in its turn; so does who reads slowly, from now on.
                for id in sessions.iter().chain(&copies) {
                    catching_up::fall_behind(state, *id, place.seq);
                }
                let copies = copies
                    .into_iter()
                    .filter(|s| !state.offline.is_catching_up(*s))
                    .filter(|s| !state.offline.has(place.seq, *s));
                let copies: Vec<u64> = copies.collect();
                // Where nobody gets the message itself, copies of it do not count: it waits (RFC 6121 section 8.5.2.2).
                let counts = !sessions.is_empty();
                let given = if counts { &copies[..] } else { &[] };
                let sessions = now(server, state, sessions, place.seq, kept, given);
                for session in copies {
                    let Some(s) = state.session(session) else {
                        continue;
                    };
                    let bytes = forward::carbon("received", &by, s.full.as_str(), type_, &bytes);
                    let (seq, lazy) = (place.seq, None);
                    releases.push(match counts {
                        true => Release::Numbered {
                            session,
                            bytes,
                            seq,
                        },
                        false => Release::Session {
                            session,
                            bytes,
                            lazy,
                        },
                    });
                }
                releases.extend(sessions.into_iter().map(|session| Release::Numbered {
                    session,
                    bytes: bytes.clone(),
                    seq: place.seq,
                }));
            }
            Release::Copied {
                sender,
                session,
                bytes,
                type_,
                row: Some(row),
                ..
            } => {
                let stored = committed.seqs.get(row).filter(|s| !s.duplicate);
                releases.extend(stored.map(|stored| Release::Copied {
                    sender,
                    session,
                    bytes,
                    type_,
                    row: None,
                    id: stored.from.as_ref().map(|p| p.id.clone()),
                }));
            }
            other => releases.push(other),
        }
    }
}

/// The sessions that get a message now. Who is being handed what was kept gets it, too, in its turn; who came while it
/// was committed must not miss it.
fn now(
    server: &Server,
    state: &mut State,
    sessions: Vec<u64>,
    seq: u64,
    kept: bool,
    copies: &[u64],
) -> Vec<u64> {
    let known: Vec<u64> = sessions
        .into_iter()
        .filter(|id| state.sessions.iter().any(|s| s.id == *id))
        .collect();
    let sessions: Vec<u64> = known
        .iter()
        .copied()
        .filter(|id| !state.offline.is_catching_up(*id) && !state.offline.has(seq, *id))
        .collect();
    let all: Vec<u64> = sessions.iter().chain(copies).copied().collect();
    if state.offline.stored(seq, &all, kept) {
        // A page was faster than this report.
        server.post(state.bare.clone(), Item::Written(Vec::new()));
    }
    if known.is_empty() {
        let reachable = state.sessions.iter().filter(|s| s.is_reachable());
        for id in reachable.map(|s| s.id).collect::<Vec<_>>() {
            state.offline.catch_up(id);
        }
    }
    sessions
}

fn release(server: &Arc<Server>, state: &mut State, pending: Pending) {
    let Pending {
        releases,
        later,
        mut credits,
        ..
    } = pending;
    // The first stanza takes the credit along; for more of them there is more in work.
    let routes = releases.iter().filter(|r| matches!(r, Release::Route(_)));
    let more = match routes.count() {
        0 | 1 => None,
        _ => credits.last().map(Credit::another),
    };
    for entry in releases {
        match entry {
            Release::Route(stanza) => {
                let credit = credits.pop();
                let another = || more.as_ref().map(Credit::another);
                server.route(stanza, credit.or_else(another));
            }
            Release::Session {
                session,
                bytes,
                lazy,
            } => {
                let Some(s) = state.sessions.iter().find(|s| s.id == session) else {
                    continue;
                };
                let bound = s.mailbox.bound();
                let is_message = lazy.is_none() && bytes.starts_with(b"<message");
                if is_message && state.offline.hold(session, &bytes, bound) {
                    continue;
                }
                match lazy {
                    Some(key) => s.mailbox.push_lazy(bytes, key),
                    None => s.mailbox.push(bytes, None),
                };
            }
            Release::Numbered {
                session,
                bytes,
                seq,
            } => {
                if let Some(s) = state.session(session) {
                    s.mailbox.push(bytes, Some(seq));
                }
            }
            Release::Copied {
                sender,
                session,
                bytes,
                type_,
                id,
                ..
            } => {
                let item = Item::Copied {
                    session,
                    bytes,
                    type_,
                    id,
                };
                server.post(sender, item);
            }
            Release::Archived { .. } => {}
        }
    }
    for Later { work, holds } in later {
        // What only reads counts as handled; it may wait for room in the mailbox of who asked.
        let (server, credit) = (server.clone(), credits.pop().filter(|_| holds));
        tokio::spawn(async move {
            if let Some(answer) = work.await {
                server.route(answer, credit);
            }
        });
    }
}

/// Hooks change the state before the disk has agreed. If it did not, the store is asked again, between commits.
fn reread(server: &Arc<Server>, bare: &BareJid, entity: &mut Entity) {
    if !entity.stale || entity.rereading || !entity.queue.is_empty() {
        return;
    }
    entity.rereading = true;
    let (server, bare, ticket) = (server.clone(), bare.clone(), entity.ticket);
    tokio::spawn(async move {
        let state = load(&server, &bare).await.map(Box::new);
        server.tell(bare.clone(), ToShard::Reread(bare, ticket, state));
    });
}

/// `false`: the store cannot be read; with the next item that comes it is tried again.
fn on_reread(entity: &mut Entity, ticket: u64, read: Option<Box<State>>) -> bool {
    entity.rereading = false;
    let (Some(state), Some(read)) = (entity.state.as_mut(), read) else {
        return false;
    };
    if entity.ticket == ticket {
        (state.roster, state.rows) = (read.roster, read.rows);
        entity.stale = false;
    }
    true
}

/// After anything: asks the store again if it must, and goes on handing out kept messages.
fn after(server: &Arc<Server>, bare: &BareJid, entity: &mut Entity) {
    reread(server, bare, entity);
    catching_up::go_on(server, bare, entity);
}
