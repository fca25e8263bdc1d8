//! UDP: one socket for everyone. Each program is server and client at once; nothing promises delivery.

use super::talk::{Talk, failed};
use super::{Role, Sockets, UDP_PEERS, not_bound, resolve};
use crate::backend::{Command, Contact, Event, Failure, Inner, Peer};
use liao_proto::sockets::Carrier;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

/// Silence after which an answer is taken for lost and the turn for ours again.
const ANSWER: Duration = Duration::from_secs(5);
/// Datagrams sent in one go, and the pause after them: a burst would only overflow the receiver.
const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);
/// One datagram's size at most.
const DATAGRAM_BYTES: usize = 65_536;

struct Remote {
    name: Peer,
    talk: Talk,
    /// When we last sent without having heard anything since.
    asked: Option<Instant>,
    warned: bool,
    heard: Instant,
}

struct Program {
    settings: Sockets,
    socket: UdpSocket,
    /// The socket is IPv6 and takes IPv4 peers as mapped addresses.
    mapped: bool,
    peers: HashMap<SocketAddr, Remote>,
    inner: Inner,
}

/// Opens a port of its own for both families, if the system can.
async fn any_port() -> std::io::Result<(UdpSocket, bool)> {
    if let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await
        && socket
            .send_to(&[], (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 9))
            .await
            .is_ok()
    {
        return Ok((socket, true));
    }
    Ok((UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?, false))
}

fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `liao udp-server` and `liao udp-client`.
pub async fn run(settings: Sockets, inner: Inner) -> Result<(), Failure> {
    let address = settings.address;
    let server = settings.role == Role::UdpServer;
    let (socket, mapped) = if server {
        let socket = UdpSocket::bind(address).await;
        (socket.map_err(|e| not_bound("UDP", address, &e))?, false)
    } else {
        let opened = any_port().await;
        opened.map_err(|e| Failure::Network(format!("no UDP port could be opened: {e}")))?
    };
    let me = socket.local_addr().map(|a| match unmapped(a) {
        a if a.ip().is_unspecified() && !server => format!("port {}", a.port()),
        a => a.to_string(),
    });
    let mut program = Program {
        settings,
        socket,
        mapped,
        peers: HashMap::new(),
        inner,
    };
    program
        .tell(Event::Online {
            me: me.unwrap_or_default(),
        })
        .await;
    program
        .tell(Event::Notice(
            "raw UDP promises no delivery: what is lost on the way stays lost".into(),
        ))
        .await;
    if !server {
        program.remote(address, true).await;
    }
    program.run().await
}

impl Program {
    async fn tell(&self, event: Event) {
        let _ = self.inner.events.send(event).await;
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let mut space = vec![0u8; DATAGRAM_BYTES];
        let mut finish = None;
        loop {
            let more = self.send().await;
            if let Some(until) = finish
                && !more
                && (self.peers.values().all(|p| p.talk.is_idle()) || Instant::now() >= until)
            {
                return Ok(());
            }
            let next = if more {
                Instant::now() + PAUSE
            } else {
                self.next_warning(finish)
            };
            tokio::select! {
                received = self.socket.recv_from(&mut space) => match received {
                    Ok((n, from)) => self.received(unmapped(from), &space[..n]).await,
                    // "Port unreachable" of an earlier datagram surfaces here on some systems; it is nobody's end.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                command = self.inner.commands.recv(), if !more => match command {
                    Some(Command::Send { id, to, text }) => self.say(id, &to, &text).await,
                    Some(Command::Book { name, address }) => self.book(name, &address).await,
                    Some(Command::Finish) => finish = Some(Instant::now() + ANSWER),
                    Some(Command::Quit { goodbye }) => {
                        self.quit(goodbye).await;
                        return Ok(());
                    }
                    None => return Ok(()),
                    Some(_) => {
                        let words = "plain sockets know no accounts, friends or presence; `liao chat` does";
                        self.tell(Event::Notice(words.into())).await;
                    }
                },
                () = sleep_until(next) => self.warn().await,
            }
        }
    }

    /// Sends a burst of what may be sent; `true` if there is more.
    async fn send(&mut self) -> bool {
        let mut sent = 0;
        let mut news = Vec::new();
        for (address, peer) in &mut self.peers {
            while sent < BURST {
                let Some(bytes) = peer.talk.outgoing() else {
                    break;
                };
                sent += 1;
                let to = match address.ip() {
                    IpAddr::V4(ip) if self.mapped => (ip.to_ipv6_mapped(), address.port()).into(),
                    _ => *address,
                };
                if let Err(error) = self.socket.send_to(&bytes, to).await {
                    news.push(Event::Notice(format!("{}: {error}", peer.name)));
                }
                peer.asked.get_or_insert_with(Instant::now);
            }
            news.append(&mut peer.talk.news);
        }
        for event in news {
            self.tell(event).await;
        }
        sent >= BURST
    }

    async fn received(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.remote(from, false).await;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        (peer.heard, peer.asked, peer.warned) = (Instant::now(), None, false);
        let goodbye = peer.talk.received(bytes);
        for event in std::mem::take(&mut peer.talk.news) {
            let _ = self.inner.events.send(event).await;
        }
        if goodbye {
            self.forget(from).await;
        }
    }

    async fn forget(&mut self, address: SocketAddr) {
        let Some(mut peer) = self.peers.remove(&address) else {
            return;
        };
        peer.talk.abandon("they said goodbye");
        for event in peer.talk.news {
            self.tell(event).await;
        }
        let (peer, available) = (peer.name, false);
        self.tell(Event::Presence {
            peer: peer.clone(),
            available,
            show: None,
            status: None,
        })
        .await;
        self.tell(Event::Gone(peer)).await;
    }

    /// Makes an address known, if it is not.
    async fn remote(&mut self, address: SocketAddr, caller: bool) {
        if self.peers.contains_key(&address) {
            return;
        }
        if self.peers.len() >= UDP_PEERS {
            let oldest = self
                .peers
                .iter()
                .min_by_key(|(_, p)| p.heard)
                .map(|(a, _)| *a);
            if let Some(oldest) = oldest {
                self.forget(oldest).await;
            }
        }
        let name = self.settings.known(address);
        let name = name.unwrap_or_else(|| address.to_string());
        let talk = Talk::new(name.clone(), Carrier::Udp, caller, self.settings.kind);
        let remote = Remote {
            name: name.clone(),
            talk,
            asked: None,
            warned: false,
            heard: Instant::now(),
        };
        self.peers.insert(address, remote);
        self.show(name, address).await;
    }

    async fn show(&self, peer: Peer, address: SocketAddr) {
        let groups = vec![address.to_string()];
        self.tell(Event::Contact(Contact {
            peer: peer.clone(),
            groups,
            ..Contact::default()
        }))
        .await;
        self.tell(Event::Presence {
            peer,
            available: true,
            show: None,
            status: None,
        })
        .await;
    }

    /// The address of a peer's name, the book's name, or `HOST:PORT`.
    async fn find(&self, to: &str) -> Result<SocketAddr, String> {
        if let Some((address, _)) = self.peers.iter().find(|(_, p)| p.name == to) {
            return Ok(*address);
        }
        let book = self
            .settings
            .store
            .as_ref()
            .and_then(|s| s.addresses().ok());
        let named = book
            .unwrap_or_default()
            .into_iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(to));
        match named {
            Some((_, address)) => resolve(&address).await,
            None if to.contains(':') => resolve(to).await,
            None => Err(format!(
                "nobody here is called {to}; add them with /book add {to} HOST:PORT"
            )),
        }
    }

    async fn say(&mut self, id: String, to: &str, text: &str) {
        let address = match self.find(to).await {
            Ok(address) => address,
            Err(why) => return self.tell(failed(id, &why)).await,
        };
        self.remote(address, true).await;
        let words = self.settings.words(text);
        let Some(peer) = self.peers.get_mut(&address) else {
            return;
        };
        let lost = peer.asked.is_some_and(|at| at.elapsed() > ANSWER);
        if lost {
            (peer.asked, peer.warned) = (None, false);
            peer.talk.take_turn();
        }
        peer.talk.say(id, &words);
        for event in std::mem::take(&mut peer.talk.news) {
            self.tell(event).await;
        }
    }

    async fn book(&mut self, name: String, address: &str) {
        let words = match resolve(address).await {
            Err(why) => why,
            Ok(found) => {
                let stored = match &self.settings.store {
                    Some(store) => store
                        .book(&name, &found.to_string())
                        .map_err(|e| e.to_string()),
                    None => Err("there is no folder for it here; see --client-data".to_owned()),
                };
                if stored.is_ok() {
                    if let Some(old) = self.peers.remove(&found) {
                        self.tell(Event::Gone(old.name)).await;
                    }
                    self.remote(found, true).await;
                }
                match stored {
                    Ok(()) => format!("{name} is {found} from now on"),
                    Err(why) => format!("the address book could not be written: {why}"),
                }
            }
        };
        self.tell(Event::Notice(words)).await;
    }

    fn next_warning(&self, finish: Option<Instant>) -> Instant {
        let asked = self
            .peers
            .values()
            .filter(|p| !p.warned)
            .filter_map(|p| p.asked);
        let warning = asked.min().map(|at| at + ANSWER);
        let far = Instant::now() + Duration::from_secs(3600);
        warning.into_iter().chain(finish).min().unwrap_or(far)
    }

    /// Says once which peers leave a datagram without an answer while words wait for their turn or were the first.
    async fn warn(&mut self) {
        let mut news = Vec::new();
        for peer in self.peers.values_mut().filter(|p| !p.warned) {
            if peer.asked.is_some_and(|at| at.elapsed() >= ANSWER) {
                peer.warned = true;
                if !peer.talk.is_idle() {
                    let more = if peer.talk.is_waiting() {
                        "; what waits goes with your next line"
                    } else {
                        ""
                    };
                    news.push(format!(
                        "no answer from {} for 5 s: it may be slow, lost on the way, or nobody there{more}",
                        peer.name
                    ));
                }
            }
        }
        for words in news {
            self.tell(Event::Notice(words)).await;
        }
    }

    /// Only a typed `q` travels: the tutorial's UDP server ends for everyone when it hears one.
    async fn quit(&mut self, goodbye: Option<Peer>) {
        let Some(peer) = goodbye else { return };
        if let Ok(address) = self.find(&peer).await
            && let Some(remote) = self.peers.get(&address)
        {
            let to = match address.ip() {
                IpAddr::V4(ip) if self.mapped => (ip.to_ipv6_mapped(), address.port()).into(),
                _ => address,
            };
            let _ = self.socket.send_to(remote.talk.goodbye(), to).await;
        }
    }
}
