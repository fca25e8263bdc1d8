//! Files on their way to the server: finding the place, the upload beside everything else, the message when it is there
//! (XEP-0363).

use super::connect::Dial;
use super::session::{Asked, Session};
use super::{Program, incoming};
use crate::backend::{Event, Failure, FileLink, More, Peer, State};
use crate::features::files::{self, Slot};
use crate::store::Store;
use liao_net::https;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::upload::clean_name;
use liao_proto::xml::escape;
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// One piece of a file in memory, in bytes.
const PIECE: usize = 64 * 1024;
/// How often progress is told.
pub(super) const TOLD: Duration = Duration::from_millis(500);
/// So long without any progress the way is dead.
pub(super) const STILL: Duration = Duration::from_secs(60);
/// Why a file that the person stopped was not sent or saved.
const STOPPED: &str = "stopped";
/// Things of a server that are asked whether they take files.
const ITEMS: usize = 16;

/// A file that somebody is given.
#[derive(Debug, Clone)]
pub(super) struct Gift {
    pub(super) id: String,
    pub(super) to: Peer,
    pub(super) path: PathBuf,
    size: u64,
    name: String,
}

/// Files under way; they outlive a connection.
pub(super) struct Files {
    running: HashMap<String, AbortHandle>,
    /// Files that are fetched.
    pub(super) saving: HashMap<String, AbortHandle>,
    /// Those that had no place yet when a connection broke.
    pub(super) again: Vec<Gift>,
    pub(super) done: mpsc::Receiver<(Gift, Result<String, String>)>,
    tell: mpsc::Sender<(Gift, Result<String, String>)>,
}

impl Default for Files {
    fn default() -> Files {
        let (tell, done) = mpsc::channel(16);
        Files {
            running: HashMap::new(),
            saving: HashMap::new(),
            again: Vec::new(),
            done,
            tell,
        }
    }
}

impl Files {
    /// Stops a file that needs no connection any more, or waits for one; what there is to tell.
    pub(super) fn stop(&mut self, id: String) -> Option<Event> {
        if let Some(task) = self.saving.remove(&id) {
            task.abort();
            let saved = Err(STOPPED.to_owned());
            return Some(Event::Saved { id, saved });
        }
        let waiting = self.again.len();
        self.again.retain(|g| g.id != id);
        let running = self.running.remove(&id);
        if let Some(task) = &running {
            task.abort();
        }
        let why = STOPPED.to_owned();
        let state = State::Failed { why };
        let known = running.is_some() || self.again.len() < waiting;
        known.then_some(Event::State { id, state })
    }
}

/// What takes files, as far as this connection knows.
#[derive(Default)]
pub(super) struct Service {
    /// Its address and the most bytes; the inner `None`: there is none.
    found: Option<Option<(String, Option<u64>)>>,
    /// Answers that are awaited.
    asking: usize,
    waiting: VecDeque<Gift>,
}

impl Service {
    /// Where files are taken.
    pub(super) fn address(&self) -> Option<&str> {
        let found = self.found.as_ref()?.as_ref();
        found.map(|(address, _)| address.as_str())
    }
}

fn look(id: String, to: Peer, path: PathBuf) -> Result<Gift, String> {
    let shown = path.display();
    let about = std::fs::metadata(&path).map_err(|e| format!("{shown}: {e}"))?;
    if !about.is_file() || about.len() == 0 {
        return Err(format!("{shown} is no file with something in it"));
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    Ok(Gift {
        id,
        to,
        size: about.len(),
        name: clean_name(&name.unwrap_or_default()),
        path,
    })
}

/// The file's pieces, read by a thread of its own.
fn pieces(path: &Path, size: u64) -> std::io::Result<mpsc::Receiver<bytes::Bytes>> {
    let mut file = std::fs::File::open(path)?.take(size);
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            match file.read(&mut piece) {
                Ok(n) if n > 0 => {
                    piece.truncate(n);
                    if sender.blocking_send(piece.into()).is_err() {
                        return;
                    }
                }
                // Too short a body is a failure for the server, so it is one for us.
                _ => return,
            }
        }
    });
    Ok(receiver)
}

/// How fast a file is, step by step.
pub(super) struct Pace {
    id: String,
    of: u64,
    before: u64,
    speed: u64,
    still: Duration,
}

impl Pace {
    pub(super) fn new(id: &str, of: u64) -> Pace {
        Pace {
            id: id.to_owned(),
            of,
            before: 0,
            speed: 0,
            still: Duration::ZERO,
        }
    }

    /// Tells how far it is after another [`TOLD`]; for how long it has stood still.
    pub(super) fn step(&mut self, done: u64, events: &mpsc::Sender<Event>) -> Duration {
        let moved = done.saturating_sub(self.before);
        self.still = if moved == 0 {
            self.still + TOLD
        } else {
            Duration::ZERO
        };
        let now = moved * 1000 / TOLD.as_millis() as u64;
        // What was before counts, too: the time that is left would jump.
        self.speed = if self.before == 0 {
            now
        } else {
            (self.speed * 3 + now) / 4
        };
        self.before = done;
        let (id, of, speed) = (self.id.clone(), self.of, self.speed);
        // A view that is busy misses a step, not the end.
        let _ = events.try_send(Event::Progress {
            id,
            done,
            of,
            speed,
        });
        self.still
    }
}

/// Puts a file into its slot; words if that fails.
async fn upload(
    gift: &Gift,
    slot: &Slot,
    store: &Store,
    events: &mpsc::Sender<Event>,
) -> Result<(), String> {
    let (host, port, path) = &slot.put;
    let dial = Dial {
        domain: host,
        server: None,
        store,
        trust: None,
        events,
    };
    let words = |failure: Failure| failure.to_string();
    let trusting = dial.trusting(host, &["http/1.1"]).map_err(words)?;
    let sent = Arc::new(AtomicU64::new(0));
    let put = https::Put {
        host,
        port: *port,
        path,
        headers: &slot.headers,
        length: gift.size,
        pieces: pieces(&gift.path, gift.size).map_err(|e| e.to_string())?,
        sent: sent.clone(),
    };
    let mut put = std::pin::pin!(https::put(put, trusting.config.clone()));
    let mut pace = Pace::new(&gift.id, gift.size);
    let status = loop {
        tokio::select! {
            status = &mut put => break status,
            () = tokio::time::sleep(TOLD) => {
                if pace.step(sent.load(Ordering::Relaxed), events) >= STILL {
                    return Err("the server takes nothing of it any more".into());
                }
            }
        }
    };
    let status = status.map_err(|e| words(dial.refused(host, &e)))?;
    dial.trusted(host, &trusting).await.map_err(words)?;
    match status {
        200..=299 => Ok(()),
        413 => Err("it is too large for the server".into()),
        status => Err(format!("the server does not take it (HTTP {status})")),
    }
}

impl Program {
    /// The upload of a file goes on by itself, whatever becomes of the connection.
    fn begin(&mut self, gift: Gift, slot: Slot) {
        let (store, events) = (self.xmpp.store.clone(), self.inner.events.clone());
        let tell = self.files.tell.clone();
        let id = gift.id.clone();
        let task = tokio::spawn(async move {
            let put = upload(&gift, &slot, &store, &events).await;
            let _ = tell.send((gift, put.map(|()| slot.get))).await;
        });
        self.files.running.insert(id, task.abort_handle());
    }

    /// A file is there, or will not be: it is said, or the person is told why not. The message is in the outbox then.
    pub(super) async fn uploaded(
        &mut self,
        gift: Gift,
        put: Result<String, String>,
    ) -> Option<crate::Message> {
        self.files.running.remove(&gift.id);
        let url = match put {
            Ok(url) => url,
            Err(why) => {
                self.not_given(gift.id, why).await;
                return None;
            }
        };
        let (done, of) = (gift.size, gift.size);
        let id = gift.id.clone();
        self.tell(Event::Progress {
            id,
            done,
            of,
            speed: 0,
        })
        .await;
        let file = FileLink {
            url: url.clone(),
            name: gift.name,
            size: Some(gift.size),
        };
        let more = More {
            file: Some(Box::new(file)),
            ..More::default()
        };
        let message = self.queue((gift.id, gift.to, url), more).await?;
        self.tell(Event::Message(message.clone())).await;
        Some(message)
    }

    pub(super) async fn not_given(&self, id: String, why: String) {
        let state = State::Failed { why };
        self.tell(Event::State { id, state }).await;
    }
}

impl Session<'_> {
    /// Gives somebody a file.
    pub(super) async fn give(&mut self, id: String, to: Peer, path: PathBuf) {
        if self.program.files.running.contains_key(&id) {
            return;
        }
        match look(id.clone(), to, path) {
            Ok(gift) => {
                self.uploads.waiting.push_back(gift);
                self.find_a_place().await;
            }
            Err(why) => self.program.not_given(id, why).await,
        }
    }

    /// Stops a file, wherever it is.
    pub(super) async fn cancel_file(&mut self, id: String) {
        let waiting = self.uploads.waiting.len();
        self.uploads.waiting.retain(|g| g.id != id);
        let asked = self.asked.len();
        self.asked
            .retain(|_, a| !matches!(a, Asked::Slot(gift) if gift.id == id));
        if self.uploads.waiting.len() < waiting || self.asked.len() < asked {
            return self.program.not_given(id, STOPPED.into()).await;
        }
        let stopped = self.program.files.stop(id);
        if let Some(event) = stopped {
            self.program.tell(event).await;
        }
    }

    /// Files without a place, when the connection ends.
    pub(super) fn gifts(&mut self) -> Vec<Gift> {
        let mut gifts: Vec<Gift> = std::mem::take(&mut self.uploads.waiting).into();
        gifts.extend(self.asked.drain().filter_map(|(_, asked)| match asked {
            Asked::Slot(gift) => Some(gift),
            _ => None,
        }));
        gifts
    }

    /// Those of the connection before.
    pub(super) async fn give_again(&mut self) {
        let gifts = std::mem::take(&mut self.program.files.again);
        self.uploads.waiting.extend(gifts);
        if !self.uploads.waiting.is_empty() {
            self.find_a_place().await;
        }
    }

    /// Whether a file is under way.
    pub(super) fn gives(&self) -> bool {
        let asks = self.asked.values().any(|a| matches!(a, Asked::Slot(_)));
        asks || !self.uploads.waiting.is_empty() || !self.program.files.running.is_empty()
    }

    async fn find_a_place(&mut self) {
        match self.uploads.found.clone() {
            Some(place) => {
                while let Some(gift) = self.uploads.waiting.pop_front() {
                    self.ask_for_a_slot(gift, place.as_ref()).await;
                }
            }
            None if self.uploads.asking > 0 => {}
            None => {
                self.uploads.asking = 1;
                let id = self.ask(Asked::Items);
                let to = escape(self.bare.domain().as_str());
                self.queue(&format!(
                    "<iq type='get' id='{id}' to='{to}'><query xmlns='{}'/></iq>",
                    ns::DISCO_ITEMS
                ));
            }
        }
    }

    async fn ask_for_a_slot(&mut self, gift: Gift, place: Option<&(String, Option<u64>)>) {
        let Some((service, most)) = place else {
            let why = "the server takes no files".to_owned();
            return self.program.not_given(gift.id, why).await;
        };
        if let Some(most) = most.filter(|most| gift.size > *most) {
            let why = format!("it is too large: the server takes {most} bytes at most");
            return self.program.not_given(gift.id, why).await;
        }
        let (name, size) = (gift.name.clone(), gift.size);
        let id = self.ask(Asked::Slot(gift));
        self.queue(&files::request(&id, service, &name, size));
    }

    /// The things of the server: each is asked whether it takes files.
    pub(super) async fn items(&mut self, iq: &Stanza) {
        self.uploads.asking -= 1;
        // The server itself may take them, too.
        let mut items = vec![self.bare.domain().to_string()];
        items.extend(files::items(iq).into_iter().take(ITEMS));
        for item in items {
            self.uploads.asking += 1;
            let id = self.ask(Asked::Takes(item.clone()));
            self.queue(&format!(
                "<iq type='get' id='{id}' to='{}'><query xmlns='{}'/></iq>",
                escape(&item),
                ns::DISCO_INFO
            ));
        }
        self.settle_the_place().await;
    }

    /// Whether one of them does.
    pub(super) async fn takes(&mut self, item: String, iq: &Stanza) {
        self.uploads.asking -= 1;
        if let Some(most) = files::takes(iq) {
            self.uploads.found = Some(Some((item, most)));
        }
        self.settle_the_place().await;
    }

    async fn settle_the_place(&mut self) {
        if self.uploads.asking == 0 && self.uploads.found.is_none() {
            self.uploads.found = Some(None);
        }
        if self.uploads.found.is_some() {
            self.find_a_place().await;
        }
    }

    pub(super) async fn slot(&mut self, gift: Gift, iq: &Stanza) {
        match files::slot(iq) {
            Some(slot) => self.program.begin(gift, slot),
            None => {
                let why = incoming::error_words(iq);
                self.program.not_given(gift.id, why).await;
            }
        }
    }
}
