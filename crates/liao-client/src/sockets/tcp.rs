//! TCP: one task per talk, which reads while it writes, so that two programs with much to say never block each other.

use super::talk::{Talk, failed};
use super::{CALLERS, Sockets, not_bound};
use crate::backend::{Command, Contact, Event, Failure, Inner, Peer};
use liao_proto::sockets::{Carrier, QUEUE_BYTES};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long the last words may take when we leave.
const LEAVING: Duration = Duration::from_secs(5);

/// What a talk's task is told.
enum Order {
    Say { id: String, words: String },
    Finish,
    Quit,
}

/// Whether anything is left to say on this side.
#[derive(PartialEq, Eq)]
enum Stage {
    Talking,
    Finishing,
    Leaving,
}

/// Drives one talk to its end; `Err` names what broke it.
async fn talk(
    mut stream: TcpStream,
    mut talk: Talk,
    mut orders: mpsc::UnboundedReceiver<Order>,
    waiting: Arc<AtomicUsize>,
    events: mpsc::Sender<Event>,
) -> Result<(), String> {
    let (mut reader, mut writer) = stream.split();
    let mut space = vec![0u8; 64 * 1024];
    let mut out: Vec<u8> = Vec::new();
    let mut stage = Stage::Talking;
    let mut last_words = None;
    let end = loop {
        while out.len() < 64 * 1024 && stage != Stage::Leaving {
            let Some(bytes) = talk.outgoing() else { break };
            out.extend(bytes);
        }
        for event in talk.news.drain(..) {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        if stage == Stage::Finishing && talk.is_idle() && out.is_empty() {
            stage = Stage::Leaving;
        }
        if stage == Stage::Leaving && last_words.is_none() {
            out.extend(talk.goodbye());
            last_words = Some(tokio::time::Instant::now() + LEAVING);
        }
        if stage == Stage::Leaving && out.is_empty() {
            break Ok(());
        }
        let until = last_words.unwrap_or_else(|| tokio::time::Instant::now() + LEAVING);
        tokio::select! {
            read = reader.read(&mut space) => match read {
                Ok(0) => {
                    talk.eof();
                    break Ok(());
                }
                Ok(n) => if talk.received(&space[..n]) {
                    break Ok(());
                },
                Err(error) => break Err(error.to_string()),
            },
            wrote = writer.write(&out), if !out.is_empty() => match wrote {
                Ok(n) => drop(out.drain(..n)),
                Err(error) => break Err(error.to_string()),
            },
            order = orders.recv(), if stage != Stage::Leaving => match order {
                Some(Order::Say { id, words }) => {
                    waiting.fetch_sub(words.len(), Ordering::Relaxed);
                    talk.say(id, &words);
                }
                Some(Order::Finish) => stage = Stage::Finishing,
                Some(Order::Quit) | None => stage = Stage::Leaving,
            },
            () = tokio::time::sleep_until(until), if last_words.is_some() => break Ok(()),
        }
    };
    let _ = tokio::time::timeout(LEAVING, writer.shutdown()).await;
    talk.abandon("the talk is over");
    while let Ok(order) = orders.try_recv() {
        if let Order::Say { id, .. } = order {
            talk.news.push(failed(id, "the talk is over"));
        }
    }
    for event in talk.news.drain(..) {
        let _ = events.send(event).await;
    }
    end
}

/// A way to give orders to a talk's task, bounded in bytes.
struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    waiting: Arc<AtomicUsize>,
}

impl Handle {
    fn new() -> (Handle, mpsc::UnboundedReceiver<Order>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::default();
        (Handle { orders, waiting }, receiver)
    }

    /// What there is to tell if it cannot be said.
    fn say(&self, id: String, words: String) -> Option<Event> {
        if self.waiting.load(Ordering::Relaxed) + words.len() > QUEUE_BYTES {
            return Some(failed(id, "too much waits for this peer already"));
        }
        self.waiting.fetch_add(words.len(), Ordering::Relaxed);
        let order = Order::Say { id, words };
        let lost = self.orders.send(order).err()?;
        Some(match lost.0 {
            Order::Say { id, .. } => failed(id, "the talk is over"),
            _ => Event::Notice("the talk is over".into()),
        })
    }
}

/// `liao tcp-client`.
pub async fn call(settings: Sockets, mut inner: Inner) -> Result<(), Failure> {
    let address = settings.address;
    let connect = tokio::time::timeout(liao_net::tcp::CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = match connect.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(Failure::Network(format!(
                "nobody listens at {address}; start `liao tcp-server {address}` there first"
            )));
        }
        Ok(Err(error)) => return Err(Failure::Network(format!("{address}: {error}"))),
        Err(_) => {
            return Err(Failure::Network(format!(
                "{address}: no answer within 10 s"
            )));
        }
    };
    let _ = stream.set_nodelay(true);
    let me = stream.local_addr().map(|a| a.to_string());
    let peer: Peer = address.to_string();
    let (handle, receiver) = Handle::new();
    let conversation = Talk::new(peer.clone(), Carrier::Tcp, true, settings.kind);
    let me = me.unwrap_or_default();
    let _ = inner.events.send(Event::Online { me }).await;
    arrived(&inner.events, &peer, None).await;
    let (waiting, events) = (handle.waiting.clone(), inner.events.clone());
    let mut task = tokio::spawn(talk(stream, conversation, receiver, waiting, events));
    let end = loop {
        tokio::select! {
            end = &mut task => break end,
            command = inner.commands.recv() => match command {
                Some(Command::Send { id, text, .. }) => {
                    if let Some(event) = handle.say(id, settings.words(&text)) {
                        let _ = inner.events.send(event).await;
                    }
                }
                Some(Command::Finish) => drop(handle.orders.send(Order::Finish)),
                Some(Command::Quit { .. }) | None => {
                    let _ = handle.orders.send(Order::Quit);
                    break (&mut task).await;
                }
                Some(other) => refuse(&inner.events, &other).await,
            }
        }
    };
    left(&inner.events, &peer).await;
    match end {
        Ok(Err(why)) => Err(Failure::Network(format!("{address}: {why}"))),
        _ => Ok(()),
    }
}

/// `liao tcp-server`.
pub async fn serve(settings: Sockets, mut inner: Inner) -> Result<(), Failure> {
    let listener = TcpListener::bind(settings.address)
        .await
        .map_err(|e| not_bound("TCP", settings.address, &e))?;
    let me = listener.local_addr().map(|a| a.to_string());
    let me = me.unwrap_or_default();
    let _ = inner.events.send(Event::Online { me }).await;
    let mut callers: BTreeMap<Peer, Handle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut number = 0u64;
    let (mut open, mut pause) = (true, Box::pin(tokio::time::sleep(Duration::ZERO)));
    loop {
        if !open && callers.is_empty() {
            return Ok(());
        }
        tokio::select! {
            accepted = listener.accept(), if open && callers.len() < CALLERS && pause.is_elapsed() => {
                let (stream, address) = match accepted {
                    Ok(pair) => pair,
                    Err(error) => {
                        // Out of file descriptors, most likely: others still talk, a new one is tried soon.
                        let words = format!("a caller could not be taken: {error}");
                        let _ = inner.events.send(Event::Notice(words)).await;
                        pause.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(1));
                        continue;
                    }
                };
                let _ = stream.set_nodelay(true);
                number += 1;
                let peer = format!("caller-{number}");
                let (handle, receiver) = Handle::new();
                arrived(&inner.events, &peer, Some(address.to_string())).await;
                let one = Talk::new(peer.clone(), Carrier::Tcp, false, settings.kind);
                let (waiting, events) = (handle.waiting.clone(), inner.events.clone());
                callers.insert(peer.clone(), handle);
                tasks.spawn(async move { (talk(stream, one, receiver, waiting, events).await, peer) });
            }
            () = &mut pause, if !pause.is_elapsed() => {}
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => if let Ok((end, peer)) = ended {
                if let Err(why) = end {
                    let _ = inner.events.send(Event::Notice(format!("{peer}: {why}"))).await;
                }
                callers.remove(&peer);
                left(&inner.events, &peer).await;
            },
            command = inner.commands.recv(), if open => match command {
                Some(Command::Send { id, to, text }) => {
                    let told = match callers.get(&to) {
                        Some(caller) => caller.say(id, settings.words(&text)),
                        None => Some(failed(id, &format!("{to} is not here"))),
                    };
                    if let Some(event) = told {
                        let _ = inner.events.send(event).await;
                    }
                }
                Some(Command::Finish) => {
                    open = false;
                    callers.values().for_each(|c| drop(c.orders.send(Order::Finish)));
                }
                Some(Command::Quit { .. }) | None => {
                    open = false;
                    callers.values().for_each(|c| drop(c.orders.send(Order::Quit)));
                }
                Some(other) => refuse(&inner.events, &other).await,
            }
        }
    }
}

async fn arrived(events: &mpsc::Sender<Event>, peer: &str, address: Option<String>) {
    let contact = Contact {
        peer: peer.to_owned(),
        groups: address.into_iter().collect(),
        ..Contact::default()
    };
    let _ = events.send(Event::Contact(contact)).await;
    let _ = events.send(presence(peer, true)).await;
}

async fn left(events: &mpsc::Sender<Event>, peer: &str) {
    let _ = events.send(presence(peer, false)).await;
    let _ = events.send(Event::Gone(peer.to_owned())).await;
}

fn presence(peer: &str, available: bool) -> Event {
    Event::Presence {
        peer: peer.to_owned(),
        available,
        show: None,
        status: None,
    }
}

async fn refuse(events: &mpsc::Sender<Event>, command: &Command) {
    let words = match command {
        Command::Book { .. } => {
            "TCP callers have no lasting address; the address book is for UDP, or dial with `liao tcp-client NAME`"
        }
        _ => "plain sockets know no accounts, friends or presence; `liao chat` does",
    };
    let _ = events.send(Event::Notice(words.into())).await;
}
