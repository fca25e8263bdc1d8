//! The server's shared parts and the router: entities spread over shards by hash, each shard one task.

use crate::accounts::{Accounts, Invite};
use crate::backoff::Backoff;
use crate::config::Config;
use crate::ending::Ending;
use crate::entity::{Behind, Entity, Item, Pending, Session, State};
use crate::hooks::{Effects, Release};
use crate::limits::{self, Bounds};
use crate::mailbox::Credit;
use crate::registration::Throttle;
use crate::services::Service;
use crate::session::Resume;
use crate::store::{Archived, Commit, CommitError, Committed, PageQuery, Store};
use crate::{engines, modules};
use liao_proto::jid::{BareJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::{Edit, ErrorKind, Stanza};
use liao_proto::xep::{delay, invite};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// What lists of sessions say of one.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// The full address.
    pub full: String,
    /// Where it comes from.
    pub peer: String,
    /// `tcp`, `tls` or `websocket`.
    pub carrier: &'static str,
    /// When it was bound, in ms since 1970, UTC.
    pub since_ms: i64,
    /// What it sent, and when.
    pub sent: Arc<crate::mailbox::Sent>,
}

/// Sessions that can be resumed, and how far those that no longer can had come (XEP-0198 section 5).
#[derive(Default)]
pub struct Streams {
    open: HashMap<String, (BareJid, mpsc::Sender<Box<Resume>>)>,
    ended: VecDeque<(String, BareJid, u32)>,
}

impl Streams {
    /// A session can be resumed by this SM-ID.
    pub fn begun(&mut self, sm_id: &str, bare: BareJid, resume: mpsc::Sender<Box<Resume>>) {
        self.open.insert(sm_id.to_owned(), (bare, resume));
    }

    /// It no longer can; it had handled `h` stanzas.
    pub fn ended(&mut self, sm_id: &str, h: u32) {
        if let Some((bare, _)) = self.open.remove(sm_id) {
            self.ended.push_back((sm_id.to_owned(), bare, h));
            if self.ended.len() > limits::ENDED_STREAMS {
                self.ended.pop_front();
            }
        }
    }

    /// The way to a session of this account, or what is still known of it.
    pub fn find(
        &self,
        sm_id: &str,
        bare: &BareJid,
    ) -> Result<mpsc::Sender<Box<Resume>>, Option<u32>> {
        match self.open.get(sm_id) {
            Some((owner, resume)) if owner == bare => Ok(resume.clone()),
            Some(_) => Err(None),
            None => Err(self
                .ended
                .iter()
                .find(|(id, owner, _)| id == sm_id && owner == bare)
                .map(|(_, _, h)| *h)),
        }
    }
}

/// A message to a shard. Stanzas are by far the most of them; boxing them would cost an allocation each.
#[allow(clippy::large_enum_variant)]
pub enum ToShard {
    /// For an entity.
    Item(BareJid, Item),
    /// An entity's state has been read.
    Loaded(BareJid, Option<Box<State>>),
    /// A commit ended.
    Committed(BareJid, u64, Result<Committed, CommitError>),
    /// A page of kept messages has been read; with the archive's end as known when it was asked for.
    Page(BareJid, u64, Option<Vec<Archived>>),
}

/// The shared parts of a running server.
pub struct Server {
    /// The configuration in force.
    pub config: RwLock<Arc<Config>>,
    /// The server's address.
    pub domain: BareJid,
    /// The store.
    pub store: Store,
    /// Accounts and invites.
    pub accounts: Accounts,
    /// When it started.
    pub started: Instant,
    /// Live sessions by id.
    pub sessions: Mutex<HashMap<u64, SessionInfo>>,
    /// Stanzas routed since the start.
    pub routed: AtomicU64,
    /// Services at their own addresses.
    pub services: OnceLock<Vec<Arc<dyn Service>>>,
    /// New accounts by address.
    pub registrations: Throttle,
    /// Failed logins.
    pub logins: Backoff,
    /// The bounds in force.
    pub bounds: Bounds,
    /// `HOST:PORT` of the HTTPS listener, for invite links.
    pub link: OnceLock<String>,
    /// Sessions that can be resumed, by SM-ID (XEP-0198 section 5).
    pub streams: Mutex<Streams>,
    /// Who is in the middle of which command (XEP-0050).
    pub commands: engines::commands::Sessions,
    /// The planned end.
    pub ending: Arc<Ending>,
    me: Weak<Server>,
    shards: Vec<mpsc::UnboundedSender<ToShard>>,
    next_session: AtomicU64,
}

/// 128 random bits as text, for ids and resources.
pub fn random_id() -> String {
    let mut bytes = [0u8; 16];
    // Without a source of randomness nothing safe can be done; ids then differ by time.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos())
            .to_be_bytes();
    }
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Now, in ms since 1970, UTC.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

impl Server {
    /// Starts the shards.
    pub fn start(
        config: Arc<Config>,
        domain: BareJid,
        store: Store,
        accounts: Accounts,
        shards: usize,
    ) -> Arc<Server> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards.max(1))
            .map(|_| mpsc::unbounded_channel())
            .unzip();
        let bounds = config.bounds();
        let server = Arc::new_cyclic(|me| Server {
            config: RwLock::new(config),
            domain,
            store,
            accounts,
            started: Instant::now(),
            sessions: Mutex::default(),
            routed: AtomicU64::new(0),
            services: OnceLock::new(),
            registrations: Throttle::default(),
            logins: Backoff::new(bounds.auth_failures),
            bounds,
            link: OnceLock::new(),
            streams: Mutex::default(),
            commands: engines::commands::Sessions::default(),
            ending: Arc::default(),
            me: me.clone(),
            shards: senders,
            next_session: AtomicU64::new(1),
        });
        for receiver in receivers {
            tokio::spawn(shard(server.clone(), receiver));
        }
        server
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// The sessions that can be resumed.
    pub fn streams_lock(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A new session's id.
    pub fn session_id(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives an item to an entity's inbox.
    pub fn post(&self, bare: BareJid, item: Item) {
        self.tell(bare.clone(), ToShard::Item(bare, item));
    }

    fn tell(&self, bare: BareJid, what: ToShard) {
        let mut hasher = DefaultHasher::new();
        bare.as_str().hash(&mut hasher);
        let index = hasher.finish() as usize % self.shards.len();
        // The shards end only with the process.
        let _ = self.shards[index].send(what);
    }

    /// Sends a stanza to its `to` (RFC 6120 section 10.4 and 10.5, RFC 6121 section 8.1).
    pub fn route(&self, stanza: Stanza, credit: Option<Credit>) {
        let Some(to) = &stanza.to else { return };
        self.routed.fetch_add(1, Ordering::Relaxed);
        let domain = to.domain().as_str();
        if domain == self.domain.as_str() {
            let bare = to.to_bare();
            return self.post(bare, Item::Receive(stanza, credit));
        }
        let services = self.services.get().map(Vec::as_slice).unwrap_or_default();
        if let Some(service) = services.iter().find(|s| s.addresses(domain)) {
            for answer in service.handle(self, stanza) {
                self.route(answer, None);
            }
            return;
        }
        if !stanza.is_answer() && stanza.kind != liao_proto::stanza::Kind::Presence {
            self.route(stanza.error(&ErrorKind::REMOTE_SERVER_NOT_FOUND), credit);
        }
    }

    /// Does something in the order of an entity and waits for its value.
    pub async fn within<T: Send + 'static>(
        &self,
        bare: &BareJid,
        work: impl FnOnce(&mut crate::hooks::Cx<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.post(
            bare.clone(),
            Item::Do(Box::new(move |cx| drop(sender.send(work(cx))))),
        );
        receiver.await.ok()
    }

    /// Itself, for work that outlives a call.
    pub fn arc(&self) -> Option<Arc<Server>> {
        self.me.upgrade()
    }

    /// The link and the URI of an invite: `https://HOST:PORT/invite/TOKEN` and XEP-0445 section 3.
    pub fn invite_uris(&self, invite: &Invite) -> Vec<String> {
        let link = self
            .link
            .get()
            .map(|host| format!("https://{host}/invite/{}", invite.token));
        link.into_iter()
            .chain([invite::register_uri(self.domain.as_str(), &invite.token)])
            .collect()
    }

    /// Ends an account's sessions: all, or the one with this resource.
    pub fn end_sessions(&self, bare: &BareJid, resource: Option<&str>, end: crate::mailbox::End) {
        let resource = resource.map(str::to_owned);
        self.post(
            bare.clone(),
            Item::Do(Box::new(move |cx| {
                let meant = |s: &&Session| {
                    let own = s.full.resource().as_str();
                    resource.as_deref().is_none_or(|r| r == own)
                };
                for session in cx.entity.sessions.iter().filter(meant) {
                    session.mailbox.end(end);
                }
            })),
        );
    }

    /// An account may no longer log in, or may again: its state knows, and its sessions end.
    pub fn account_disabled(&self, bare: &BareJid, disabled: bool) {
        self.post(
            bare.clone(),
            Item::Do(Box::new(move |cx| {
                let rows = &mut cx.entity.rows;
                if disabled {
                    let row = rows.entry(crate::accounts::DISABLED.to_owned());
                    row.or_default().insert(String::new(), Vec::new());
                } else {
                    rows.remove(crate::accounts::DISABLED);
                }
            })),
        );
        if disabled {
            let end = crate::mailbox::End {
                condition: "not-authorized",
                text: "this account is disabled",
            };
            self.end_sessions(bare, None, end);
        }
    }

    /// The accounts that are connected.
    pub fn online(&self) -> std::collections::BTreeSet<BareJid> {
        let Ok(sessions) = self.sessions.lock() else {
            return Default::default();
        };
        // Components are listed, too; they are nobody's account.
        let full = sessions.values().filter_map(|s| Jid::new(&s.full).ok());
        full.filter(|j| j.node().is_some())
            .map(Jid::into_bare)
            .collect()
    }

    /// An account is gone: its sessions end, and those who saw it are told.
    pub fn account_removed(&self, bare: &BareJid) {
        for service in self.services.get().into_iter().flatten() {
            service.account_removed(bare);
        }
        self.post(
            bare.clone(),
            Item::Do(Box::new(|cx| {
                let gone = crate::mailbox::End {
                    condition: "not-authorized",
                    text: "the account was removed",
                };
                let all: Vec<u64> = cx.entity.sessions.iter().map(|s| s.id).collect();
                for id in all {
                    engines::presence::leave(cx, id, None);
                }
                for session in &cx.entity.sessions {
                    session.mailbox.end(gone);
                }
                let me = cx.entity.bare.clone();
                let contacts: Vec<_> = cx
                    .entity
                    .roster
                    .iter()
                    .map(|(j, c)| (j.clone(), c.clone()))
                    .collect();
                for (jid, contact) in contacts {
                    if contact.to || contact.ask {
                        cx.route(
                            Stanza::presence("unsubscribe")
                                .from(me.clone())
                                .to(jid.clone()),
                        );
                    }
                    if contact.from {
                        cx.route(Stanza::presence("unsubscribed").from(me.clone()).to(jid));
                    }
                }
                cx.entity.behind = Behind::Nobody;
                cx.entity.roster = Default::default();
                cx.entity.offline = Default::default();
                cx.entity.rows.clear();
            })),
        );
    }

    /// Makes two accounts friends (XEP-0401 section 3.4: the inviter and the invited).
    pub fn befriend(&self, a: &BareJid, b: &BareJid) {
        for (mine, theirs) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
            self.post(
                mine,
                Item::Do(Box::new(move |cx| {
                    engines::roster::befriend(cx, &theirs, None, None);
                    engines::presence::tell(cx, &theirs.into());
                })),
            );
        }
    }
}

/// One shard: all that happens to its entities, in order.
async fn shard(server: Arc<Server>, mut inbox: mpsc::UnboundedReceiver<ToShard>) {
    let mut entities: HashMap<BareJid, Entity> = HashMap::new();
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
            ToShard::Page(bare, head, rows) => {
                if let Some(entity) = entities.get_mut(&bare) {
                    entity.reading = false;
                    on_page(entity, head, rows);
                    after(&server, &bare, entity);
                }
            }
        }
        if entities.len() > limits::ENTITIES_PER_SHARD {
            entities.retain(|_, e| !e.is_idle());
        }
    }
}

impl Entity {
    fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.parked.is_empty()
            && !self.reading
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
        Ok::<_, String>(Some((rows, head)))
    };
    match read.await {
        Ok(None) => {}
        Ok(Some((rows, head))) => {
            state.behind = Behind::Account;
            for (collection, key, value) in rows {
                match collection.as_str() {
                    engines::roster::COLLECTION => state.roster.load(&key, &value),
                    engines::offline::COLLECTION => state.offline.load(&value),
                    _ => drop(state.rows.entry(collection).or_default().insert(key, value)),
                }
            }
            state.offline.set_head(head);
        }
        Err(error) => {
            tracing::error!(%bare, error, "an account cannot be read; its stanzas are refused");
            return None;
        }
    }
    Some(state)
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
    for work in later {
        let server = server.clone();
        tokio::spawn(async move { server.route(work.await, None) });
    }
    if ops.is_empty() {
        if entity.queue.is_empty() {
            release(server, state, releases, credits);
        } else {
            entity.queue.push_back(Pending {
                ticket: 0,
                done: true,
                releases,
                refusals: Vec::new(),
                credits,
            });
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
    entity.queue.push_back(Pending {
        ticket,
        done: false,
        releases,
        refusals,
        credits,
    });
    if server.store.commit(Commit { ops, then }).is_err() {
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
        Ok(committed) => number(state, &mut pending.releases, &committed),
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
        }
    }
    while entity.queue.front().is_some_and(|p| p.done) {
        if let Some(front) = entity.queue.pop_front() {
            release(server, state, front.releases, front.credits);
        }
    }
}

/// Gives archived messages their numbers; turns them into what is written to each session.
fn number(state: &mut State, releases: &mut Vec<Release>, committed: &Committed) {
    for entry in std::mem::take(releases) {
        let Release::Archived {
            sessions,
            bytes,
            row,
        } = entry
        else {
            releases.push(entry);
            continue;
        };
        let Some(stored) = committed.seqs.get(row) else {
            continue;
        };
        let Some(seq) = stored.to_seq.filter(|_| !stored.duplicate) else {
            continue;
        };
        // Who is being handed what was kept gets this, too, in its turn; who came while it was committed must not
        // miss it.
        let known: Vec<u64> = sessions
            .into_iter()
            .filter(|id| state.sessions.iter().any(|s| s.id == *id))
            .collect();
        let sessions: Vec<u64> = known
            .iter()
            .copied()
            .filter(|id| !state.offline.is_catching_up(*id))
            .collect();
        state.offline.stored(seq, &sessions);
        if known.is_empty() {
            let reachable = state.sessions.iter().filter(|s| s.is_reachable());
            for id in reachable.map(|s| s.id).collect::<Vec<_>>() {
                state.offline.catch_up(id);
            }
        }
        releases.extend(sessions.into_iter().map(|session| Release::Numbered {
            session,
            bytes: bytes.clone(),
            seq,
        }));
    }
}

fn release(server: &Server, state: &mut State, releases: Vec<Release>, mut credits: Vec<Credit>) {
    for entry in releases {
        match entry {
            Release::Route(stanza) => server.route(stanza, credits.pop()),
            Release::Session { session, bytes } => {
                if let Some(s) = state.session(session) {
                    s.mailbox.push(bytes, None);
                }
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
            Release::Archived { .. } => {}
        }
    }
}

/// The sessions that are being handed what was kept. Who can no longer get it drops out.
fn catching(state: &mut State) -> impl Iterator<Item = &Session> {
    for id in state.offline.catching() {
        if !state
            .sessions
            .iter()
            .any(|s| s.id == id && s.is_reachable())
        {
            state.offline.caught_up(id);
        }
    }
    let offline = &state.offline;
    state
        .sessions
        .iter()
        .filter(|s| offline.is_catching_up(s.id))
}

/// After anything: goes on handing out kept messages if there is room.
fn after(server: &Arc<Server>, bare: &BareJid, entity: &mut Entity) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    if entity.reading || !catching(state).any(|_| true) {
        return;
    }
    if catching(state).any(|s| s.mailbox.is_busy()) {
        // The next report of written messages comes here again.
        return;
    }
    entity.reading = true;
    state.offline.restarted = false;
    let head = state.offline.head();
    let query = PageQuery {
        after: Some(state.offline.page_after),
        incoming_only: true,
        limit: limits::OFFLINE_PAGE,
        ..PageQuery::default()
    };
    let (server, bare) = (server.clone(), bare.clone());
    tokio::spawn(async move {
        let rows = server.store.page(bare.as_str(), query).await;
        if let Err(error) = &rows {
            tracing::error!(%bare, %error, "kept messages cannot be read");
        }
        server.tell(bare.clone(), ToShard::Page(bare, head, rows.ok()));
    });
}

/// Hands out a page of kept messages (XEP-0160 section 3, step 4; XEP-0203).
fn on_page(entity: &mut Entity, head: u64, rows: Option<Vec<Archived>>) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    if state.offline.restarted {
        return;
    }
    let ids: Vec<u64> = catching(state).map(|s| s.id).collect();
    let Some(rows) = rows else {
        ids.iter().for_each(|id| state.offline.caught_up(*id));
        return;
    };
    if rows.is_empty() {
        state.offline.passed(head);
        state.offline.page_after = state.offline.page_after.max(head);
        if state.offline.head() <= head {
            ids.iter().for_each(|id| state.offline.caught_up(*id));
        }
        return;
    }
    for row in rows {
        if catching(state).any(|s| s.mailbox.is_busy()) {
            return;
        }
        state.offline.passed(row.seq.saturating_sub(1));
        state.offline.page_after = row.seq;
        let new: Vec<u64> = ids
            .iter()
            .copied()
            .filter(|id| state.offline.give(row.seq, *id))
            .collect();
        if new.is_empty() {
            continue;
        }
        let Some(stanza) = Stanza::parse_bytes(&row.stanza) else {
            continue;
        };
        let stamp = delay::utc_from_ms(row.time_ms);
        let by = state.bare.domain().as_str();
        let element = format!("<delay xmlns='{}' from='{by}' stamp='{stamp}'/>", ns::DELAY);
        let mut bytes = Vec::new();
        stanza.write_edited(
            None,
            &Edit {
                drop: Vec::new(),
                append: vec![element.into()],
            },
            &mut bytes,
        );
        let bytes = bytes::Bytes::from(bytes);
        for session in state.sessions.iter().filter(|s| new.contains(&s.id)) {
            session.mailbox.push(bytes.clone(), Some(row.seq));
        }
    }
}

/// Whether an address is one of this server's users or the server.
pub fn is_local(server: &Server, jid: &Jid) -> bool {
    jid.domain().as_str() == server.domain.as_str()
}
