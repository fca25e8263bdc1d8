//! The server's shared parts and the router: entities spread over shards by hash, each shard one task.

use crate::accounts::{Accounts, Invite};
use crate::backoff::Backoff;
use crate::config::Config;
use crate::ending::Ending;
use crate::engines;
use crate::entity::{Behind, Item, Session, State};
use crate::limits::Bounds;
use crate::mailbox::Credit;
use crate::registration::Throttle;
use crate::services::Service;
use crate::shard;
use crate::store::{CommitError, Committed, Page, Store};
use crate::streams::Streams;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::xep::invite;
use std::collections::HashMap;
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
    Page(BareJid, [u64; 2], Option<Page>),
    /// What the store says after it refused a change; with the last commit that had been made when it was asked.
    Reread(BareJid, u64, Option<Box<State>>),
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
    pub(crate) me: Weak<Server>,
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
            tokio::spawn(shard::run(server.clone(), receiver));
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

    pub(crate) fn tell(&self, bare: BareJid, what: ToShard) {
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
        // Nobody waits for an answer to a goodbye, and probes are the server's own.
        let silent = stanza.kind == Kind::Presence
            && matches!(stanza.type_str(), "unavailable" | "probe" | "unsubscribed");
        if !stanza.is_answer() && !silent {
            self.route(stanza.error(&ErrorKind::REMOTE_SERVER_NOT_FOUND), credit);
        }
    }

    /// Whether a service of ours answers for this domain.
    pub fn is_service(&self, domain: &str) -> bool {
        let services = self.services.get().map(Vec::as_slice).unwrap_or_default();
        services.iter().any(|s| s.addresses(domain))
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
                // What came between its removal and now.
                cx.out.ops.push(crate::store::Op::Floor {
                    owner: me.to_string(),
                    seq: u64::MAX >> 1,
                });
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

/// Whether an address is one of this server's users or the server.
pub fn is_local(server: &Server, jid: &Jid) -> bool {
    jid.domain().as_str() == server.domain.as_str()
}
