//! Files on their way to us: fetched beside everything else, with or without a connection to the chat server (XEP-0447
//! section 3.2).

use super::Xmpp;
use super::connect::Dial;
use super::files::{Files, Pace, STILL, TOLD};
use crate::backend::{Event, Failure, FileLink};
use crate::features::files::split;
use crate::store::Store;
use liao_net::https::{self, Answer};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Bytes of a file that is fetched, at most: nobody may fill the disk of who asked for a picture.
const MOST: u64 = 8 * 1024 * 1024 * 1024;
/// Names that are tried: `name (2).png` and so on.
const NAMES: usize = 1_000;

/// A file on the disk that is taken away again unless it is whole.
struct Place {
    path: PathBuf,
    file: File,
    whole: bool,
}

impl Place {
    /// A new file by this name, or with a number if there is one.
    fn new(folder: &Path, name: &str) -> std::io::Result<Place> {
        std::fs::create_dir_all(folder)?;
        let (stem, ending) = match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
            _ => (name, String::new()),
        };
        for n in 1..=NAMES {
            let path = folder.join(match n {
                1 => name.to_owned(),
                n => format!("{stem} ({n}){ending}"),
            });
            match File::create_new(&path) {
                Ok(file) => {
                    return Ok(Place {
                        path,
                        file,
                        whole: false,
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.whole {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Files {
    /// Fetches a file.
    pub(super) fn save(
        &mut self,
        xmpp: &Xmpp,
        events: &mpsc::Sender<Event>,
        id: String,
        file: FileLink,
        folder: PathBuf,
    ) {
        self.saving.retain(|_, task| !task.is_finished());
        if self.saving.contains_key(&id) {
            return;
        }
        let (store, events, name) = (xmpp.store.clone(), events.clone(), id.clone());
        let task = tokio::spawn(async move {
            let saved = fetch(&id, &file, &folder, &store, &events).await;
            let _ = events.send(Event::Saved { id, saved }).await;
        });
        self.saving.insert(name, task.abort_handle());
    }
}

async fn fetch(
    id: &str,
    link: &FileLink,
    folder: &Path,
    store: &Store,
    events: &mpsc::Sender<Event>,
) -> Result<PathBuf, String> {
    let (host, port, path) = split(&link.url).ok_or("its address is not one of https")?;
    let dial = Dial {
        domain: &host,
        server: None,
        store,
        trust: None,
        events,
    };
    let words = |failure: Failure| failure.to_string();
    let trusting = dial.trusting(&host, &["http/1.1"]).map_err(words)?;
    let asked = https::ask(&host, port, &path, trusting.config.clone()).await;
    let mut answer = asked.map_err(|e| words(dial.refused(&host, &e)))?;
    dial.trusted(&host, &trusting).await.map_err(words)?;
    if answer.status != 200 {
        return Err(format!(
            "the server does not give it (HTTP {})",
            answer.status
        ));
    }
    let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut place = Place::new(folder, &link.name).map_err(wrong)?;
    let of = answer.length.or(link.size).unwrap_or(0);
    let done = receive(&mut answer, &mut place.file, Pace::new(id, of), events).await?;
    place.file.sync_all().map_err(wrong)?;
    let (id, speed) = (id.to_owned(), 0);
    let of = done;
    let _ = events
        .send(Event::Progress {
            id,
            done,
            of,
            speed,
        })
        .await;
    place.whole = true;
    Ok(place.path.clone())
}

/// The bytes, as they come; how many.
async fn receive(
    answer: &mut Answer,
    file: &mut File,
    mut pace: Pace,
    events: &mpsc::Sender<Event>,
) -> Result<u64, String> {
    let (mut done, mut told) = (0, Instant::now());
    loop {
        let piece = match timeout(STILL, answer.next()).await {
            Err(_) => return Err("the server gives nothing of it any more".into()),
            Ok(None) => break,
            Ok(Some(piece)) => piece.map_err(|e| e.to_string())?,
        };
        done += piece.len() as u64;
        if done > MOST {
            return Err("it is too large".into());
        }
        file.write_all(&piece).map_err(|e| e.to_string())?;
        if told.elapsed() >= TOLD {
            pace.step(done, events);
            told = Instant::now();
        }
    }
    match answer.length {
        Some(length) if length != done => Err("the connection broke; try again".into()),
        _ => Ok(done),
    }
}
