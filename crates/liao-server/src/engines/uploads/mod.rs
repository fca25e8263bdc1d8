//! Files that accounts send over HTTP (XEP-0363): slots, files, and who owns them.
//!
//! A file has three rows: the owner's (`upload`, all that is known of it), one that names the owner of an id
//! (`upload-of`), and, if its time ends, one in the order of time (`upload-until`). Erasing an account takes the first
//! away, and from that commit on the file is not given out.

mod ledger;
mod sweep;

pub use ledger::{Denied, Slot};

use crate::config::Config;
use crate::limits;
use crate::places::Places;
use crate::server::now_ms;
use crate::store::{CommitError, Op, Store, StoreError, Writing};
use ledger::{Ledger, same};
use liao_proto::jid::BareJid;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::upload::{Purpose, Refusal, Request};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;

const FILE: &str = "upload";
const OWNER: &str = "upload-of";
const UNTIL: &str = "upload-until";
const MB: u64 = 1024 * 1024;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What the configuration says of files.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Bytes of one file.
    pub max_file: u64,
    /// Bytes of one account.
    pub quota: u64,
    /// Bytes of the disk that files leave to the messages.
    pub leave_free: u64,
    /// For how long files of messages stay, in ms.
    pub keep_ms: Option<i64>,
}

impl Policy {
    /// As it is now.
    pub fn of(config: &Config) -> Policy {
        let number = |key| config.get(key).parse::<u64>().unwrap_or(0);
        let days = number("upload.keep_days") as i64;
        Policy {
            max_file: number("upload.max_file_mb") * MB,
            quota: number("upload.quota_mb") * MB,
            leave_free: number("upload.leave_free_mb") * MB,
            keep_ms: (days > 0).then_some(days * DAY_MS),
        }
    }

    /// When a file of this purpose is over, in ms since 1970, UTC.
    fn until(&self, purpose: Purpose, now_ms: i64) -> Option<i64> {
        let kept = self.keep_ms.map(|ms| now_ms + ms);
        match purpose {
            Purpose::Message => kept,
            Purpose::Ephemeral(before) => Some(kept.unwrap_or(i64::MAX).min(before)),
            Purpose::Profile | Purpose::Permanent => None,
        }
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its content type, if it was said.
    pub content_type: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// When it was whole, in ms since 1970, UTC.
    pub created_ms: i64,
    /// When it is over.
    pub until_ms: Option<i64>,
    /// What its owner shows to delete it.
    token: String,
}

/// A file that is here.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Whose.
    pub owner: BareJid,
    /// Which.
    pub id: String,
    /// What is known of it.
    pub meta: Meta,
}

/// A slot as its owner is told of it.
pub struct Issued {
    /// The unguessable part of its address.
    pub id: String,
    /// The name in its address.
    pub name: String,
    /// What the upload must show.
    pub token: String,
}

/// Why a file that arrived is not here.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The store.
    #[error("{0}")]
    Commit(#[from] CommitError),
    /// The account went meanwhile.
    #[error("the account is gone")]
    Gone,
}

/// Files and slots of a server.
pub struct Uploads {
    store: Store,
    ledger: Mutex<Ledger>,
    /// What comes, goes or is looked through does so one after the other.
    order: tokio::sync::Mutex<()>,
    wake: Notify,
    /// Files on their way.
    pub transfers: Arc<Semaphore>,
    /// How many of them with whom.
    pub places: Places,
}

/// 192 random bits as text; without a source of randomness there is no slot.
fn secret_id() -> Result<String, ErrorKind> {
    use base64::Engine;
    let mut bytes = [0u8; 24];
    getrandom::fill(&mut bytes).map_err(|_| ErrorKind::INTERNAL_SERVER_ERROR)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// Work on the disk, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn until_key(until_ms: i64, id: &str) -> String {
    format!("{until_ms:015}-{id}")
}

fn delete(collection: &'static str, owner: &str, key: &str) -> Op {
    Op::Delete {
        collection,
        owner: owner.to_owned(),
        key: key.to_owned(),
    }
}

impl Uploads {
    /// The files of a store.
    pub fn new(store: Store) -> Arc<Uploads> {
        Arc::new(Uploads {
            store,
            ledger: Mutex::default(),
            order: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            transfers: Arc::new(Semaphore::new(limits::UPLOAD_TRANSFERS)),
            places: Places::new(limits::UPLOAD_TRANSFERS_PER_ADDRESS),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account's files.
    pub async fn of_owner(&self, owner: &BareJid) -> Result<Vec<Kept>, StoreError> {
        let rows = self.store.load(owner.as_str(), &[FILE]).await?;
        let kept = |(_, id, value): (String, String, Vec<u8>)| {
            let meta = serde_json::from_slice(&value).ok()?;
            let owner = owner.clone();
            Some(Kept { owner, id, meta })
        };
        Ok(rows.into_iter().filter_map(kept).collect())
    }

    /// Files and bytes by account.
    pub async fn usage(store: &Store) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let mut all: Vec<(String, u64, u64)> = Vec::new();
        for (owner, _, value) in store.list(FILE).await? {
            let size = serde_json::from_slice::<Meta>(&value).map_or(0, |m| m.size);
            match all.last_mut().filter(|(last, ..)| *last == owner) {
                Some((_, files, bytes)) => (*files, *bytes) = (*files + 1, *bytes + size),
                None => all.push((owner, 1, size)),
            }
        }
        Ok(all)
    }

    async fn learn(&self, owner: &BareJid) -> Result<(), StoreError> {
        if self.ledger().knows(owner) {
            return Ok(());
        }
        let _order = self.order.lock().await;
        let files = self.of_owner(owner).await?;
        let bytes = |k: &Kept| ledger::counted(&k.meta.purpose, k.meta.size);
        let sum = files.iter().map(bytes).sum();
        let count = u32::try_from(files.len()).unwrap_or(u32::MAX);
        self.ledger().learn(owner, sum, count);
        Ok(())
    }

    /// Promises a place for a file (section "Requesting a slot").
    pub async fn slot(
        &self,
        owner: &BareJid,
        request: Request,
        policy: Policy,
    ) -> Result<Issued, Refusal> {
        let now = now_ms();
        let most = match request.purpose {
            Purpose::Profile => policy.max_file.min(limits::UPLOAD_PROFILE_FILE_BYTES),
            _ => policy.max_file,
        };
        if request.size > most {
            return Err(Refusal::TooLarge(most));
        }
        if matches!(request.purpose, Purpose::Ephemeral(before) if before <= now) {
            return Err(ErrorKind::NOT_ACCEPTABLE
                .with_text("expire-before is over")
                .into());
        }
        let unread = |error| {
            tracing::error!(%owner, %error, "the files of an account cannot be read");
            Refusal::Other(ErrorKind::INTERNAL_SERVER_ERROR)
        };
        self.learn(owner).await.map_err(unread)?;
        self.ledger().ask(Instant::now(), now, owner)?;
        let blobs = self.store.blobs().clone();
        let free = blocking(move || Ok(blobs.free_bytes())).await.unwrap_or(0);
        let promised = self.ledger().reserved() + request.size;
        if free < promised.saturating_add(policy.leave_free) {
            tracing::warn!(free, "the disk is nearly full: a file was refused");
            let text = "The server's disk is nearly full".to_owned();
            return Err(Refusal::Wait(text, None));
        }
        let issued = Issued {
            id: secret_id()?,
            name: request.name.clone(),
            token: secret_id()?,
        };
        let slot = Slot::new(owner.clone(), request, issued.token.clone());
        let given = self
            .ledger()
            .issue(Instant::now(), now, &issued.id, slot, policy.quota);
        match given {
            Ok(()) => Ok(issued),
            Err(Refusal::Wait(text, None)) => {
                // Again when the first of the files goes.
                let files = self.of_owner(owner).await.map_err(unread)?;
                let first = files.iter().filter_map(|k| k.meta.until_ms).min();
                Err(Refusal::Wait(text, first))
            }
            Err(refused) => Err(refused),
        }
    }

    /// Takes a slot for the file that comes now.
    pub fn take(
        self: &Arc<Self>,
        id: &str,
        name: &str,
        token: Option<&str>,
        length: u64,
        content_type: Option<&str>,
    ) -> Result<Taken, Denied> {
        let mut ledger = self.ledger();
        let mut slot = ledger.take(Instant::now(), id, name, token, length, content_type)?;
        slot.content_type = slot.content_type.or(content_type.map(str::to_owned));
        Ok(Taken {
            uploads: self.clone(),
            id: id.to_owned(),
            slot,
        })
    }

    /// The file of an address, if its time is not over.
    pub async fn find(&self, id: &str, name: &str) -> Result<Option<Kept>, StoreError> {
        let found = self.kept(id).await?;
        let now = now_ms();
        let good = |k: &Kept| k.meta.name == name && k.meta.until_ms.is_none_or(|u| u > now);
        Ok(found.filter(good))
    }

    async fn kept(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        let Some(owner) = self.owner(id).await? else {
            return Ok(None);
        };
        let row = self.store.get(FILE, owner.as_str(), id).await?;
        let meta = row.and_then(|v| serde_json::from_slice(&v).ok());
        let id = id.to_owned();
        Ok(meta.map(|meta| Kept { owner, id, meta }))
    }

    async fn owner(&self, id: &str) -> Result<Option<BareJid>, StoreError> {
        let found = self.store.get(OWNER, id, "").await?;
        let text = found.and_then(|v| String::from_utf8(v).ok());
        Ok(text.and_then(|t| BareJid::new(&t).ok()))
    }

    /// Opens a file.
    pub async fn open(&self, kept: &Kept) -> io::Result<File> {
        let blobs = self.store.blobs().clone();
        let (owner, id) = (kept.owner.to_string(), kept.id.clone());
        blocking(move || blobs.open(&owner, &id)).await
    }

    /// Deletes a file for who has its token; `false`: it is the wrong one.
    pub async fn delete(&self, kept: &Kept, token: &str) -> Result<bool, KeepError> {
        if !same(token, &kept.meta.token) {
            return Ok(false);
        }
        let _order = self.order.lock().await;
        self.drop_file(kept).await?;
        Ok(true)
    }

    /// Within the order: rows first, so that nothing is given out whose bytes may be gone.
    async fn drop_file(&self, kept: &Kept) -> Result<(), KeepError> {
        let Kept { owner, id, meta } = kept;
        let mut ops = vec![delete(FILE, owner.as_str(), id), delete(OWNER, id, "")];
        ops.extend(meta.until_ms.map(|u| delete(UNTIL, "", &until_key(u, id))));
        self.store.committed(ops).await?;
        self.ledger().deleted(owner, &meta.purpose, meta.size);
        let blobs = self.store.blobs().clone();
        let (owner, id) = (owner.to_string(), id.clone());
        Ok(blocking(move || blobs.remove(&owner, &id)).await?)
    }

    /// An account is gone, and so are its files.
    pub async fn forget(&self, owner: &BareJid) -> Result<(), KeepError> {
        let _order = self.order.lock().await;
        self.ledger().forget(owner);
        let blobs = self.store.blobs().clone();
        let of = owner.to_string();
        let ids = blocking(move || Ok(blobs.of_owner(&of))).await?;
        for some in ids.chunks(limits::UPLOAD_SWEEP) {
            let row = |id: &String| {
                [
                    delete(FILE, owner.as_str(), id),
                    delete(OWNER, id.as_str(), ""),
                ]
            };
            self.store
                .committed(some.iter().flat_map(row).collect())
                .await?;
            let (blobs, of, some) = (self.store.blobs().clone(), owner.to_string(), some.to_vec());
            blocking(move || some.iter().try_for_each(|id| blobs.remove(&of, id))).await?;
        }
        Ok(())
    }
}

/// A slot in use; taken back when it is dropped.
pub struct Taken {
    uploads: Arc<Uploads>,
    id: String,
    /// What was announced.
    pub slot: Slot,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.uploads.ledger().settle(&self.id, false);
    }
}

impl Taken {
    /// Begins the file.
    pub async fn create(&self) -> io::Result<Writing> {
        let (blobs, id) = (self.uploads.store.blobs().clone(), self.id.clone());
        blocking(move || blobs.create(&id)).await
    }

    /// All bytes are here: the file is given out from its commit on.
    pub async fn keep(self, writing: Writing, policy: Policy) -> Result<(), KeepError> {
        let whole = blocking(move || writing.whole()).await?;
        let uploads = self.uploads.clone();
        let _order = uploads.order.lock().await;
        if !uploads.ledger().is_open(&self.id) {
            return Err(KeepError::Gone);
        }
        let Slot { owner, purpose, .. } = &self.slot;
        let (blobs, of, id) = (
            uploads.store.blobs().clone(),
            owner.to_string(),
            self.id.clone(),
        );
        blocking(move || whole.keep(&blobs, &of, &id)).await?;
        let created_ms = now_ms();
        let meta = Meta {
            name: self.slot.name.clone(),
            size: self.slot.size,
            content_type: self.slot.content_type.clone(),
            purpose: purpose.name().to_owned(),
            created_ms,
            until_ms: policy.until(*purpose, created_ms),
            token: self.slot.token.clone(),
        };
        let put = |collection, owner: &str, key: &str, value: Vec<u8>| Op::Put {
            collection,
            owner: owner.to_owned(),
            key: key.to_owned(),
            value,
        };
        let of = owner.to_string();
        let value = serde_json::to_vec(&meta).map_err(io::Error::other)?;
        let mut ops = vec![
            put(FILE, &of, &self.id, value),
            put(OWNER, &self.id, "", of.clone().into_bytes()),
        ];
        if let Some(until) = meta.until_ms {
            let key = until_key(until, &self.id);
            ops.push(put(UNTIL, "", &key, of.clone().into_bytes()));
        }
        if let Err(error) = uploads.store.committed(ops).await {
            let (blobs, id) = (uploads.store.blobs().clone(), self.id.clone());
            blocking(move || blobs.remove(&of, &id)).await?;
            return Err(error.into());
        }
        uploads.ledger().settle(&self.id, true);
        uploads.wake.notify_one();
        if *purpose == Purpose::Profile {
            uploads.trim_profile(owner).await;
        }
        Ok(())
    }
}

impl Uploads {
    /// The oldest profile pictures go when all of them are too many.
    async fn trim_profile(&self, owner: &BareJid) {
        let mut files = self.of_owner(owner).await.unwrap_or_default();
        files.retain(|k| k.meta.purpose == Purpose::Profile.name());
        files.sort_by_key(|k| k.meta.created_ms);
        let mut bytes: u64 = files.iter().map(|k| k.meta.size).sum();
        for kept in files {
            if bytes <= limits::UPLOAD_PROFILE_BYTES {
                return;
            }
            bytes -= kept.meta.size;
            if let Err(error) = self.drop_file(&kept).await {
                tracing::error!(%owner, %error, "an old picture cannot be deleted");
            }
        }
    }
}
