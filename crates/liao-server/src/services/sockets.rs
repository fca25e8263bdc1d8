//! The sockets gateway: programs that speak plain TCP or UDP appear to one account as contacts
//! `tcp-1@sockets.DOMAIN` (DESIGN section 5). Numbers are never reused.

use crate::config::Config;
use crate::engines::roster;
use crate::entity::Item;
use crate::hooks::Cx;
use crate::server::{Server, random_id};
use crate::services::Service;
use crate::store::Op;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sockets::{Carrier, Conversation, Incoming, Refusal};
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::Instant;

const COLLECTION: &str = "sockets";
/// A UDP caller is taken for gone after so long without a datagram.
const UDP_IDLE: Duration = Duration::from_secs(15 * 60);
/// Messages that may wait for one caller's task.
const WAITING: usize = 64;
/// Callers that hung up and stay contacts, so that what they said has a name; a script that calls every minute would
/// else fill the contact list.
const GONE: usize = 100;

struct Caller {
    /// The accounts to which it appears.
    audience: Vec<BareJid>,
    words: mpsc::Sender<Said>,
}

/// What an account says to a caller, and the message to refuse if it cannot be said.
struct Said {
    message: Stanza,
    words: String,
}

/// The service and its listeners' shared state.
pub struct Gateway {
    address: BareJid,
    callers: Mutex<HashMap<String, Caller>>,
    numbers: tokio::sync::Mutex<()>,
}

impl Service for Gateway {
    fn addresses(&self, domain: &str) -> bool {
        domain == self.address.as_str()
    }

    fn item(&self) -> (String, &'static str) {
        (self.address.to_string(), "Plain sockets")
    }

    fn handle(&self, _: &Server, stanza: Stanza) -> Vec<Stanza> {
        match stanza.kind {
            Kind::Message => self.message(&stanza).into_iter().collect(),
            Kind::Presence => self.presence(&stanza).into_iter().collect(),
            Kind::Iq => self.iq(&stanza).into_iter().collect(),
        }
    }
}

impl Gateway {
    /// At `sockets.DOMAIN`.
    pub fn new(domain: &BareJid) -> Option<Arc<Gateway>> {
        let address = BareJid::new(&format!("sockets.{domain}")).ok()?;
        Some(Arc::new(Gateway {
            address,
            callers: Mutex::default(),
            numbers: tokio::sync::Mutex::default(),
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Caller>> {
        self.callers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn caller_name(stanza: &Stanza) -> Option<String> {
        stanza.to.as_ref()?.node().map(|n| n.to_string())
    }

    fn message(&self, stanza: &Stanza) -> Option<Stanza> {
        if stanza.is_answer() {
            return None;
        }
        let body = stanza.text_of("body", ns::CLIENT)?;
        let callers = self.lock();
        let from = stanza.from.as_ref()?.to_bare();
        let caller = Gateway::caller_name(stanza)
            .and_then(|n| callers.get(&n))
            .filter(|c| c.audience.contains(&from));
        let Some(caller) = caller else {
            let gone = ErrorKind {
                type_: "wait",
                ..ErrorKind::SERVICE_UNAVAILABLE
            }
            .with_text("this caller has hung up");
            return Some(stanza.error(&gone));
        };
        match caller.words.try_send(Said {
            message: stanza.clone(),
            words: body,
        }) {
            // XEP-0184: the words are with the gateway's task for this peer.
            Ok(()) => None,
            Err(_) => Some(stanza.error(
                &ErrorKind::RESOURCE_CONSTRAINT.with_text("too much waits for this caller"),
            )),
        }
    }

    fn presence(&self, stanza: &Stanza) -> Option<Stanza> {
        let name = Gateway::caller_name(stanza)?;
        let me = stanza.to.clone()?;
        let from = stanza.from.clone()?;
        match stanza.type_.as_deref() {
            Some("probe") => {
                let here = self
                    .lock()
                    .get(&name)
                    .is_some_and(|c| c.audience.contains(&from.to_bare()));
                Some(
                    Stanza::presence(if here { "" } else { "unavailable" })
                        .from(me)
                        .to(from),
                )
            }
            Some("subscribe") => Some(Stanza::presence("subscribed").from(me).to(from)),
            Some("unsubscribe") => Some(Stanza::presence("unsubscribed").from(me).to(from)),
            _ => None,
        }
    }

    /// XEP-0030: an identity for the service and its callers; anything else is not offered.
    fn iq(&self, stanza: &Stanza) -> Option<Stanza> {
        if stanza.is_answer() {
            return None;
        }
        let Some(info) = stanza
            .get("query", ns::DISCO_INFO)
            .filter(|_| stanza.type_.as_deref() == Some("get"))
        else {
            return Some(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
        };
        let mut query = Element::bare("query", info.ns());
        let mut identity = Element::bare("identity", ns::DISCO_INFO);
        roster::set(&mut identity, "category", "gateway");
        roster::set(&mut identity, "type", "sockets");
        roster::set(&mut identity, "name", "Plain sockets");
        query.append_child(identity);
        let mut feature = Element::bare("feature", ns::DISCO_INFO);
        roster::set(&mut feature, "var", ns::DISCO_INFO);
        query.append_child(feature);
        Some(stanza.result().child(&query))
    }

    /// The accounts to which callers appear: the owner first, then `sockets.allow`.
    async fn audience(server: &Server) -> Vec<BareJid> {
        let config = server.config();
        let mut all = Vec::new();
        match config.get("sockets.owner") {
            "" => all.extend(server.accounts.first_admin().await.ok().flatten()),
            named => all.extend(BareJid::new(named).ok()),
        }
        all.extend(
            config
                .list("sockets.allow")
                .filter_map(|j| BareJid::new(j).ok()),
        );
        let mut found: Vec<BareJid> = Vec::new();
        for jid in all {
            let known = server.accounts.exists(jid.as_str()).await;
            if known.unwrap_or(false) && !found.contains(&jid) {
                found.push(jid);
            }
        }
        found
    }

    /// Why a caller finds nobody, in words for it.
    async fn nobody(server: &Server) -> &'static str {
        match server.accounts.list().await {
            Ok(all) if all.is_empty() => {
                "nobody has an account here yet; open the invite link that `liao serve` shows"
            }
            _ => "no account here takes calls; set sockets.owner in liao.toml to one that exists",
        }
    }

    /// A new number, kept before it is used.
    async fn number(&self, server: &Server) -> Option<u64> {
        let _order = self.numbers.lock().await;
        let owner = self.address.to_string();
        let last = server.store.get(COLLECTION, &owner, "last").await.ok()?;
        let last: u64 = last
            .and_then(|v| String::from_utf8(v).ok())
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
        let value = (last + 1).to_string().into_bytes();
        let put = Op::Put {
            collection: COLLECTION,
            owner,
            key: "last".into(),
            value,
        };
        server.store.committed(vec![put]).await.ok()?;
        Some(last + 1)
    }

    /// Takes a caller, gives it a name and lets it appear.
    async fn arrive(
        &self,
        server: &Arc<Server>,
        kind: &str,
        peer: SocketAddr,
    ) -> Result<(Contact, mpsc::Receiver<Said>), &'static str> {
        if self.lock().len() >= server.bounds.gateway_callers {
            return Err("too many callers, try again later");
        }
        let audience = Gateway::audience(server).await;
        if audience.is_empty() {
            return Err(Gateway::nobody(server).await);
        }
        let Some(number) = self.number(server).await else {
            return Err("the disk cannot be written, try again later");
        };
        let name = format!("{kind}-{number}");
        let Ok(jid) = BareJid::new(&format!("{name}@{}", self.address)) else {
            return Err("no name could be made");
        };
        let (words, receiver) = mpsc::channel(WAITING);
        let caller = Caller {
            audience: Vec::new(),
            words,
        };
        self.lock().insert(name.clone(), caller);
        let mut contact = Contact {
            server: server.clone(),
            config: server.config(),
            label: format!("{name} ({peer})"),
            name,
            jid,
            audience: Vec::new(),
            spoke: false,
            unsaid: VecDeque::new(),
            told: 0,
        };
        self.appear(&mut contact, audience).await;
        Ok((contact, receiver))
    }

    /// Shows a caller to exactly these accounts: a contact, available, with its address as the name.
    async fn appear(&self, contact: &mut Contact, audience: Vec<BareJid>) {
        let before = std::mem::replace(&mut contact.audience, audience.clone());
        for old in before.iter().filter(|b| !audience.contains(b)) {
            contact.presence("unavailable", old);
        }
        if let Some(caller) = self.lock().get_mut(&contact.name) {
            caller.audience.clone_from(&audience);
        }
        for new in audience.iter().filter(|a| !before.contains(a)) {
            let (jid, label) = (contact.jid.clone(), contact.label.clone());
            let live: HashSet<String> = self.lock().keys().cloned().collect();
            contact
                .server
                .within(new, move |cx| {
                    forget(cx, &jid, &live);
                    roster::befriend(cx, &jid, Some(label), Some("Sockets".into()));
                })
                .await;
            contact.presence("", new);
        }
    }

    /// Hands on what the caller said, after a reload to those whom the configuration names now; `true` if it said goodbye.
    async fn hear(&self, contact: &mut Contact, heard: Vec<Incoming>) -> bool {
        let config = contact.server.config();
        if !Arc::ptr_eq(&config, &contact.config) {
            contact.config = config;
            let audience = Gateway::audience(&contact.server).await;
            if !audience.is_empty() {
                self.appear(contact, audience).await;
            }
        }
        contact.hear(heard)
    }

    fn leave(&self, contact: &mut Contact, mut words: mpsc::Receiver<Said>) {
        self.lock().remove(&contact.name);
        contact.told = 0;
        let waiting = std::iter::from_fn(|| words.try_recv().ok()).map(|said| said.message);
        let unsaid: Vec<Stanza> = contact
            .unsaid
            .drain(..)
            .map(|(message, _)| message)
            .collect();
        for message in unsaid.into_iter().chain(waiting) {
            contact.refuse(
                &message,
                &ErrorKind::SERVICE_UNAVAILABLE.with_text("it hung up before its turn came"),
            );
        }
        for account in &contact.audience {
            contact.presence("unavailable", account);
            if !contact.spoke {
                // Nobody said anything: the contact would only be litter.
                let jid = contact.jid.clone();
                contact.server.post(
                    account.clone(),
                    Item::Do(Box::new(move |cx| drop(roster::remove(cx, &jid)))),
                );
            }
        }
    }

    /// Serves TCP callers, all at once.
    pub async fn tcp(self: Arc<Gateway>, server: Arc<Server>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => drop(tokio::spawn(self.clone().tcp_caller(
                    server.clone(),
                    stream,
                    peer,
                ))),
                Err(error) => {
                    tracing::warn!(%error, "a caller of the sockets gateway could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn tcp_caller(
        self: Arc<Gateway>,
        server: Arc<Server>,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) {
        let mut talk = Conversation::new(Carrier::Tcp, false, None);
        let (mut contact, mut words) = match self.arrive(&server, "tcp", peer).await {
            Ok(pair) => pair,
            Err(why) => return refuse(&mut stream, &mut talk, why).await,
        };
        let (mut reader, mut writer) = stream.split();
        let mut space = vec![0u8; 4096];
        'talk: loop {
            while let Some(bytes) = contact.outgoing(&mut talk) {
                if writer.write_all(&bytes).await.is_err() {
                    break 'talk;
                }
            }
            tokio::select! {
                read = reader.read(&mut space) => {
                    let (heard, over) = match read {
                        Ok(0) | Err(_) => (talk.eof(), true),
                        Ok(n) => (talk.received(&space[..n]), false),
                    };
                    if self.hear(&mut contact, heard).await || over {
                        break;
                    }
                }
                said = words.recv() => match said {
                    Some(said) => contact.say(&mut talk, said),
                    None => break,
                }
            }
        }
        self.leave(&mut contact, words);
    }

    /// Serves UDP callers from one socket.
    pub async fn udp(self: Arc<Gateway>, server: Arc<Server>, socket: Arc<UdpSocket>) {
        let mut callers: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
        let mut space = vec![0u8; 65_536];
        loop {
            // "Port unreachable" of an earlier answer surfaces here on some systems; it is nobody's end.
            let Ok((n, peer)) = socket.recv_from(&mut space).await else {
                continue;
            };
            callers.retain(|_, c| !c.is_closed());
            let bytes = space[..n].to_vec();
            if let Some(caller) = callers.get(&peer) {
                // Raw UDP promises nothing: what does not fit is lost as on the way.
                let _ = caller.try_send(bytes);
                continue;
            }
            if callers.len() >= server.bounds.gateway_callers {
                continue;
            }
            let (sender, receiver) = mpsc::channel(WAITING);
            let _ = sender.try_send(bytes);
            callers.insert(peer, sender);
            tokio::spawn(
                self.clone()
                    .udp_caller(server.clone(), socket.clone(), peer, receiver),
            );
        }
    }

    async fn udp_caller(
        self: Arc<Gateway>,
        server: Arc<Server>,
        socket: Arc<UdpSocket>,
        peer: SocketAddr,
        mut datagrams: mpsc::Receiver<Vec<u8>>,
    ) {
        let mut talk = Conversation::new(Carrier::Udp, false, None);
        let (mut contact, mut words) = match self.arrive(&server, "udp", peer).await {
            Ok(pair) => pair,
            Err(why) => {
                let _ = socket.send_to(why.as_bytes(), peer).await;
                return;
            }
        };
        let mut until = Instant::now() + UDP_IDLE;
        loop {
            while let Some(bytes) = contact.outgoing(&mut talk) {
                let _ = socket.send_to(&bytes, peer).await;
            }
            tokio::select! {
                datagram = datagrams.recv() => {
                    until = Instant::now() + UDP_IDLE;
                    let Some(datagram) = datagram else { break };
                    if self.hear(&mut contact, talk.received(&datagram)).await {
                        break;
                    }
                }
                said = words.recv() => match said {
                    Some(said) => contact.say(&mut talk, said),
                    None => break,
                },
                () = tokio::time::sleep_until(until) => break,
            }
        }
        self.leave(&mut contact, words);
    }
}

/// A program that talks in turn waits for an answer: it gets one, with the reason, after its first word.
async fn refuse(stream: &mut TcpStream, talk: &mut Conversation, why: &str) {
    let mut space = [0u8; 1024];
    let first = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut space)).await;
    if let Ok(Ok(n)) = first {
        talk.received(&space[..n]);
        let _ = talk.say(why);
        while let Some(bytes) = talk.outgoing() {
            let _ = stream.write_all(&bytes).await;
        }
    }
}

/// A caller as the accounts see it.
struct Contact {
    server: Arc<Server>,
    /// The configuration of which `audience` was read.
    config: Arc<Config>,
    name: String,
    label: String,
    jid: BareJid,
    audience: Vec<BareJid>,
    spoke: bool,
    /// Messages that are not wholly out, with the pieces that are left.
    unsaid: VecDeque<(Stanza, usize)>,
    /// How many pieces the accounts were told to wait for their turn.
    told: usize,
}

/// Pieces that wait for the peer's turn.
fn pieces(talk: &Conversation) -> usize {
    talk.waiting().map_or(0, |(_, _, all)| all)
}

/// Forgets the oldest callers of long ago beyond [`GONE`].
fn forget(cx: &mut Cx<'_>, new: &BareJid, live: &HashSet<String>) {
    let number = |jid: &BareJid| {
        let name = jid.node()?;
        let gone = jid.domain() == new.domain() && !live.contains(name.as_str());
        let (_, number) = name.as_str().rsplit_once('-').filter(|_| gone)?;
        number.parse::<u64>().ok()
    };
    let all = cx.entity.roster.iter();
    let mut gone: Vec<(u64, BareJid)> = all
        .filter_map(|(jid, _)| Some((number(jid)?, jid.clone())))
        .collect();
    gone.sort_unstable();
    for (_, jid) in gone.iter().rev().skip(GONE) {
        roster::remove(cx, jid);
    }
}

impl Contact {
    fn presence(&self, type_: &str, to: &BareJid) {
        let presence = Stanza::presence(type_)
            .from(self.jid.clone())
            .to(to.clone());
        let presence = match self.told {
            0 => presence,
            n => {
                let words = if n == 1 { "piece waits" } else { "pieces wait" };
                let status = format!(
                    "<status xmlns='{}'>{n} {words} for its turn</status>",
                    ns::CLIENT
                );
                presence.raw_child("status", ns::CLIENT, &status)
            }
        };
        self.server.route(presence, None);
    }

    /// The next bytes for the caller; what has to wait for its turn is shown as its status.
    fn outgoing(&mut self, talk: &mut Conversation) -> Option<Vec<u8>> {
        let before = pieces(talk);
        let bytes = talk.outgoing();
        let left = pieces(talk);
        if left < before
            && let Some((_, waits)) = self.unsaid.front_mut()
        {
            *waits -= 1;
            if *waits == 0 {
                self.unsaid.pop_front();
            }
        }
        if bytes.is_none() && self.told != left {
            self.told = left;
            for account in &self.audience {
                self.presence("", account);
            }
        }
        bytes
    }

    fn refuse(&self, message: &Stanza, why: &ErrorKind) {
        self.server.route(message.error(why), None);
    }

    /// Hands on what the caller said; `true` if it said goodbye.
    fn hear(&mut self, heard: Vec<Incoming>) -> bool {
        for one in heard {
            let Incoming::Text(words) = one else {
                return true;
            };
            self.spoke = true;
            for account in &self.audience {
                self.write(account, &words);
            }
        }
        false
    }

    fn write(&self, to: &BareJid, words: &str) {
        let words = liao_proto::xml::escape(words);
        let body = format!("<body xmlns='{}'>{words}</body>", ns::CLIENT);
        let message = Stanza::message("chat")
            .id(Some(&random_id()))
            .from(self.jid.clone())
            .to(to.clone())
            .raw_child("body", ns::CLIENT, &body);
        self.server.route(message, None);
    }

    /// Queues words for the caller; what cannot be queued is refused.
    fn say(&mut self, talk: &mut Conversation, said: Said) {
        self.spoke = true;
        let before = pieces(talk);
        match talk.say(&said.words) {
            Ok(()) => {
                let waits = pieces(talk) - before;
                self.unsaid.push_back((said.message, waits));
            }
            Err(Refusal::Empty) => self.refuse(
                &said.message,
                &ErrorKind::NOT_ACCEPTABLE.with_text("an empty line is not sent"),
            ),
            Err(Refusal::Full) => self.refuse(
                &said.message,
                &ErrorKind::RESOURCE_CONSTRAINT.with_text("too much waits for this caller"),
            ),
        }
    }
}
