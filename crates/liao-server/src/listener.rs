//! The running server: listeners, the banner, reload, and a graceful end.

use crate::accounts::{AccountError, Accounts};
use crate::c2s;
use crate::config::{Config, ConfigError};
use crate::ending::Ended;
use crate::engines::uploads::Uploads;
use crate::limits;
use crate::mailbox::End;
use crate::peer::Peer;
use crate::places::Places;
use crate::server::Server;
use crate::services::components::{self, Component};
use crate::services::{Service, sockets::Gateway, upload::Upload};
use crate::store::{Store, StoreError};
use crate::{admin, banner, http, lan, retention};
use liao_net::Wire;
use liao_net::tls::{CertError, Identity};
use liao_proto::jid::BareJid;
use liao_proto::stream::Limits;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The accounts.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// The certificate.
    #[error("{0}")]
    Cert(#[from] CertError),
    /// The domain.
    #[error("{0:?} is no domain")]
    Domain(String),
    /// A port.
    #[error(
        "{what} cannot listen on {address}: {error}{why}, or set listen.{what} to another address"
    )]
    Port {
        /// The listener's name.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
        /// More about it and what to do, as the rest of a sentence.
        why: String,
    },
    /// A component's secret.
    #[error("{0}")]
    Component(String),
    /// The admin socket.
    #[error("the admin socket: {0}")]
    Admin(std::io::Error),
}

/// Who holds an address that is taken, as the rest of a sentence; empty if that is not known.
pub fn by(address: SocketAddr, error: &std::io::Error) -> String {
    match liao_net::os::holder(address) {
        Some(name) if error.kind() == std::io::ErrorKind::AddrInUse => format!(", by {name}"),
        _ => String::new(),
    }
}

impl ServeError {
    fn port(what: &'static str, address: SocketAddr, error: std::io::Error) -> ServeError {
        let why = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; ports under 1024 are root's: give the program the right to them".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "; this machine has no such address: give it one".to_owned()
            }
            _ => format!("{}; stop what holds it", by(address, &error)),
        };
        ServeError::Port {
            what,
            address,
            error,
            why,
        }
    }

    /// The process's exit code: 2 configuration, 3 network, 1 else.
    pub fn exit_code(&self) -> u8 {
        match self {
            ServeError::Port { .. } => 3,
            ServeError::Cert(_)
            | ServeError::Domain(_)
            | ServeError::Component(_)
            | ServeError::Account(AccountError::Domain { .. }) => 2,
            _ => 1,
        }
    }
}

/// Reads the configuration again.
pub type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + std::marker::Sync>;

/// Default ports of ours: a listener that has to move takes none of them.
pub const DEFAULT_PORTS: [u16; 7] = [5222, 5223, 5269, 5280, 5281, 5347, 8080];

/// Binds a listener; a default port that is taken moves to the next free one.
async fn bind(
    config: &Config,
    what: &'static str,
) -> Result<Option<(TcpListener, SocketAddr)>, ServeError> {
    let listen = config.listen(what);
    let Some(first) = listen.address else {
        return Ok(None);
    };
    let mut address = first;
    loop {
        let error = match TcpListener::bind(address).await {
            Ok(listener) => {
                let real = listener.local_addr().unwrap_or(address);
                return Ok(Some((listener, real)));
            }
            Err(error) => error,
        };
        let next = (address.port() + 1..first.port().saturating_add(200))
            .find(|p| !DEFAULT_PORTS.contains(p));
        match next {
            Some(port) if !listen.asked && error.kind() == std::io::ErrorKind::AddrInUse => {
                address.set_port(port)
            }
            _ => return Err(ServeError::port(what, address, error)),
        }
    }
}

/// The gateway's two sockets share one port and move together.
async fn bind_sockets(
    config: &Config,
) -> Result<Option<(TcpListener, UdpSocket, SocketAddr)>, ServeError> {
    let mut config = config.clone();
    loop {
        let Some((tcp, address)) = bind(&config, "sockets").await? else {
            return Ok(None);
        };
        match UdpSocket::bind(address).await {
            Ok(udp) => return Ok(Some((tcp, udp, address))),
            Err(error)
                if config.listen("sockets").asked
                    && config
                        .listen("sockets")
                        .address
                        .is_none_or(|a| a.port() != 0) =>
            {
                return Err(ServeError::port("sockets", address, error));
            }
            Err(_) => config.move_sockets(address),
        }
    }
}

/// The administrator's own certificate and key.
pub fn identity_files(config: &Config) -> Option<(&Path, &Path)> {
    let (certificate, key) = (config.get("tls.certificate"), config.get("tls.key"));
    let given = !certificate.is_empty() || !key.is_empty();
    given.then(|| (Path::new(certificate), Path::new(key)))
}

fn identity(config: &Config, data: &Path, domain: &str) -> Result<Identity, CertError> {
    if let Some((certificate, key)) = identity_files(config) {
        return Identity::from_files(certificate, key, "from your files");
    }
    if config.lan() {
        let mut names = vec![domain.to_owned(), "localhost".to_owned()];
        names.push(lan::announced(domain));
        names
            .extend(["conference", "upload", "pubsub", "sockets"].map(|s| format!("{s}.{domain}")));
        names.extend(lan::addresses().iter().map(ToString::to_string));
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
        let mut seen = std::collections::HashSet::new();
        names.retain(|n| seen.insert(n.clone()));
        return Identity::local_ca(&data.join("tls"), &names);
    }
    let mut names = vec![
        domain.to_owned(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(["conference", "upload", "pubsub", "sockets"].map(|s| format!("{s}.{domain}")));
    names.dedup();
    Identity::self_signed(&data.join("tls"), &names)
}

/// Takes connections, so many from one address.
async fn accept(server: Arc<Server>, listener: TcpListener, tls: c2s::Tls, direct: bool) {
    let places = Places::new(server.bounds.connections_per_address);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip()) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (server, tls) = (server.clone(), tls.clone());
        tokio::spawn(async move {
            let _place = place;
            let limits = Limits {
                element_bytes: limits::STANZA_BYTES_UNAUTHENTICATED,
                depth: limits::STANZA_DEPTH,
            };
            if !direct {
                let wire = Wire::stream(stream, false, limits);
                return c2s::serve(server, wire, Peer::direct(peer, false), Some(tls)).await;
            }
            let config = tls.borrow().clone();
            let limit = Duration::from_secs(server.bounds.unauthenticated_s);
            // Boxed: it is large and soon over.
            let handshake = Box::pin(async move {
                let accepted = tokio::time::timeout(limit, liao_net::tls::accept(stream, config));
                let (stream, bindings) = accepted.await.ok()?.ok()?;
                Some(Wire::bound(stream, bindings, limits))
            });
            if let Some(wire) = handshake.await {
                c2s::serve(server, wire, Peer::direct(peer, true), None).await;
            }
        });
    }
}

/// Runs the server until `shutdown`. Each message on `hangups` reads the configuration again.
pub async fn serve(
    config: Config,
    load: Load,
    shutdown: impl Future<Output = ()>,
    hangups: mpsc::Receiver<()>,
) -> Result<Ended, ServeError> {
    let domain = BareJid::new(config.domain())
        .map_err(|_| ServeError::Domain(config.domain().to_owned()))?;
    let data = config.data();
    let files = crate::os::raise_open_files();
    tracing::info!(files, "open files, connections among them");
    let store = Store::open(&data, config.sync)?;
    let accounts = Accounts::open(store.clone(), domain.as_str()).await?;
    let identity = identity(&config, &data, domain.as_str())?;
    let (c2s_tls, c2s_config) = watch::channel(identity.server_config(&["xmpp-client"])?);
    let (https_tls, https_config) = watch::channel(identity.server_config(&["http/1.1"])?);
    let shards = std::thread::available_parallelism().map_or(2, usize::from);
    let config = Arc::new(config);
    let server = Server::start(
        config.clone(),
        domain.clone(),
        store.clone(),
        accounts,
        shards,
    );
    let uploads = Uploads::new(store.clone());
    tokio::spawn(uploads.clone().sweep());
    if let Some(host) = config.public_host() {
        let _ = server.link.set(host.to_owned());
    }
    let (mut c2s_at, mut https_at, mut http_at) = (None, None, None);
    let mut lines = Vec::new();
    let mut addresses = serde_json::Map::new();
    let mut note = |what: &str, words: &str, address: SocketAddr| {
        let wanted = config.listen(what).address.unwrap_or(address);
        let moved = match wanted.port() {
            0 => String::new(),
            port if port == address.port() => String::new(),
            port => match liao_net::os::holder(wanted) {
                Some(name) => format!("   ({port} is taken by {name})"),
                None => format!("   ({port} is taken)"),
            },
        };
        lines.push(format!("  {words:<28} {address}{moved}"));
        addresses.insert(what.to_owned(), address.to_string().into());
    };
    if let Some((listener, address)) = bind(&config, "c2s").await? {
        note("c2s", "XMPP (STARTTLS)", address);
        c2s_at = Some(address);
        tokio::spawn(accept(server.clone(), listener, c2s_config.clone(), false));
    }
    if let Some((listener, address)) = bind(&config, "c2s_tls").await? {
        note("c2s_tls", "XMPP (TLS)", address);
        tokio::spawn(accept(server.clone(), listener, c2s_config, true));
    }
    if let Some((listener, address)) = bind(&config, "https").await? {
        note("https", "HTTPS, WebSocket, files", address);
        https_at = Some(address);
        let near = lan::addresses_of(address);
        let host = match near.first() {
            _ if address.ip().is_loopback() => "localhost".to_owned(),
            // Of others who read the link, each is its own localhost.
            Some(near) if domain.as_str() == "localhost" => banner::host(*near),
            _ => domain.to_string(),
        };
        let _ = server.link.set(format!("{host}:{}", address.port()));
        tokio::spawn(http::tls(
            server.clone(),
            uploads.clone(),
            listener,
            https_config,
        ));
    }
    if let Some((listener, address)) = bind(&config, "http").await? {
        note("http", "HTTP", address);
        http_at = Some(address);
        tokio::spawn(http::plain(server.clone(), uploads.clone(), listener));
    }
    let gateway = Gateway::new(&domain);
    let mut services: Vec<Arc<dyn Service>> = gateway
        .iter()
        .map(|g| g.clone() as Arc<dyn Service>)
        .collect();
    if server.link.get().is_some() {
        // Section "Requesting a slot": there must be TLS.
        services.extend(Upload::new(&domain, uploads).map(|u| Arc::new(u) as Arc<dyn Service>));
    }
    let components = config
        .components()
        .iter()
        .map(|c| Component::new(c).map(Arc::new))
        .collect::<Result<Vec<_>, String>>()
        .map_err(ServeError::Component)?;
    // A component of the name of one of our own services takes its place.
    services.retain(|s| !components.iter().any(|c| c.item().0 == s.item().0));
    services.extend(components.iter().map(|c| c.clone() as Arc<dyn Service>));
    let _ = server.services.set(services);
    if !components.is_empty()
        && let Some((listener, address)) = bind(&config, "components").await?
    {
        note("components", "components", address);
        tokio::spawn(components::listen(server.clone(), components, listener));
    }
    if let (Some(gateway), Some((tcp, udp, address))) = (gateway, bind_sockets(&config).await?) {
        note("sockets", "plain sockets (TCP, UDP)", address);
        tokio::spawn(gateway.clone().tcp(server.clone(), tcp));
        tokio::spawn(gateway.udp(server.clone(), Arc::new(udp)));
    }
    let reloader = Arc::new(Reloader {
        server: server.clone(),
        load,
        data: data.clone(),
        c2s_tls,
        https_tls,
    });
    let socket = admin::listen(&data).map_err(ServeError::Admin)?;
    tokio::spawn(retention::run(server.clone()));
    tokio::spawn(admin::serve(reloader.clone(), socket));
    tokio::spawn(reload_at(reloader, hangups));
    crate::os::write_public(
        &data.join("addresses.json"),
        &serde_json::Value::Object(addresses).to_string(),
    )
    .map_err(ServeError::Admin)?;
    let invite = banner::show(&server, &identity, &lines).await?;
    let announcement = config
        .lan()
        .then(|| lan::announce(&lan::announced(domain.as_str()), c2s_at, https_at));
    if config.lan() {
        let silent = announcement.as_ref().and_then(|a| a.as_ref().err());
        banner::show_lan(&server, https_at, http_at, silent, invite);
    }
    let ended = tokio::select! {
        () = shutdown => Ended::Stopped,
        ended = server.ending.wait() => ended,
    };
    drop(announcement);
    stop(&server, &store, &data).await;
    Ok(ended)
}

async fn reload_at(reloader: Arc<Reloader>, mut hangups: mpsc::Receiver<()>) {
    while hangups.recv().await.is_some() {
        match reloader.reload() {
            Ok(words) => tracing::info!("{words}"),
            Err(error) => tracing::error!(
                error,
                "the configuration was not reloaded; the old one stays"
            ),
        }
    }
}

/// What a reload changes.
pub struct Reloader {
    /// The server.
    pub server: Arc<Server>,
    load: Load,
    data: std::path::PathBuf,
    c2s_tls: watch::Sender<Arc<liao_net::rustls::ServerConfig>>,
    https_tls: watch::Sender<Arc<liao_net::rustls::ServerConfig>>,
}

impl Reloader {
    /// Reads the configuration and the certificate again; if either is bad, both stay as they were.
    pub fn reload(&self) -> Result<String, String> {
        let new = (self.load)().map_err(|e| e.to_string())?;
        let old = self.server.config();
        let identity =
            identity(&new, &self.data, self.server.domain.as_str()).map_err(|e| e.to_string())?;
        let c2s = identity
            .server_config(&["xmpp-client"])
            .map_err(|e| e.to_string())?;
        let https = identity
            .server_config(&["http/1.1"])
            .map_err(|e| e.to_string())?;
        let fixed = old.fixed_changes(&new);
        self.c2s_tls.send_replace(c2s);
        self.https_tls.send_replace(https);
        *self
            .server
            .config
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(new);
        Ok(match fixed.as_slice() {
            [] => "the configuration was reloaded".to_owned(),
            keys => format!(
                "the configuration was reloaded; these need a restart: {}",
                keys.join(", ")
            ),
        })
    }
}

/// Says goodbye to everyone (RFC 6120 section 4.9.3.20), then writes what waits.
async fn stop(server: &Arc<Server>, store: &Store, data: &Path) {
    let end = End {
        condition: "system-shutdown",
        text: "the server stops",
    };
    for service in server.services.get().into_iter().flatten() {
        service.stop(end);
    }
    let full: Vec<(u64, String)> = server
        .sessions
        .lock()
        .map(|all| all.iter().map(|(id, s)| (*id, s.full.clone())).collect())
        .unwrap_or_default();
    for (id, full) in full {
        let Ok(jid) = liao_proto::jid::Jid::new(&full) else {
            continue;
        };
        let tell = move |cx: &mut crate::hooks::Cx<'_>| {
            if let Some(session) = cx.entity.session(id) {
                session.mailbox.end(end);
            }
        };
        server.post(jid.into_bare(), crate::entity::Item::Do(Box::new(tell)));
    }
    let empty = || server.sessions.lock().map_or(true, |all| all.is_empty());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(limits::SHUTDOWN_S);
    while !empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = std::fs::remove_file(data.join("admin.sock"));
    let _ = std::fs::remove_file(data.join("addresses.json"));
    let store = store.clone();
    let _ = tokio::task::spawn_blocking(move || store.close()).await;
}
