//! What is over is cleared away, a little at a time: files whose time has ended, and what a kill left behind.

use super::{Kept, OWNER, UNTIL, Uploads, blocking, delete};
use crate::limits;
use crate::server::now_ms;
use crate::store;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

impl Uploads {
    /// Runs as long as the server does.
    pub async fn sweep(self: Arc<Self>) {
        self.clear_after_a_kill().await;
        loop {
            let next = self.expire().await;
            let most = Duration::from_secs(limits::UPLOAD_SWEEP_S);
            let pause = next.map_or(most, |ms| {
                Duration::from_millis(u64::try_from(ms - now_ms()).unwrap_or(0))
            });
            tokio::select! {
                () = tokio::time::sleep(pause.clamp(Duration::from_secs(1), most)) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Deletes files whose time is over; when the next one's is.
    async fn expire(&self) -> Option<i64> {
        loop {
            let now = format!("{:015}", now_ms());
            let rows = self
                .store
                .first(UNTIL, "", &now, limits::UPLOAD_SWEEP)
                .await;
            let rows = match rows {
                Ok(rows) if rows.is_empty() => break,
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "files whose time is over cannot be found");
                    return None;
                }
            };
            for (key, _) in rows {
                let id = key.split_once('-').map_or("", |(_, id)| id);
                let _order = self.order.lock().await;
                let result = match self.kept(id).await {
                    Ok(Some(kept)) => self.drop_file(&kept).await,
                    // Its account went before it.
                    Ok(None) => {
                        let ops = vec![delete(UNTIL, "", &key), delete(OWNER, id, "")];
                        self.store
                            .committed(ops)
                            .await
                            .map(drop)
                            .map_err(Into::into)
                    }
                    Err(error) => {
                        tracing::error!(%error, "a file cannot be looked up");
                        return None;
                    }
                };
                if let Err(error) = result {
                    tracing::error!(id, %error, "a file whose time is over cannot be deleted");
                    return None;
                }
            }
        }
        let first = self.store.first(UNTIL, "", "~", 1).await.ok()?;
        first.first()?.0.split_once('-')?.0.parse().ok()
    }

    /// Half files, and whole ones that no row names: the process ended before their commit, or after the account's.
    pub(super) async fn clear_after_a_kill(&self) {
        let blobs = self.store.blobs().clone();
        let folders = blocking(move || {
            blobs.clear_incoming();
            Ok(blobs.folders())
        });
        for folder in folders.await.unwrap_or_default() {
            let path = folder.clone();
            let ids = blocking(move || Ok(store::names(&path))).await;
            for id in ids.unwrap_or_default() {
                self.clear_orphan(&folder, &id).await;
            }
        }
    }

    async fn clear_orphan(&self, folder: &Path, id: &str) {
        let _order = self.order.lock().await;
        let kept: Option<Kept> = match self.kept(id).await {
            Ok(kept) => kept,
            Err(_) => return,
        };
        if kept.is_some()
            || self
                .store
                .committed(vec![delete(OWNER, id, "")])
                .await
                .is_err()
        {
            return;
        }
        let file: PathBuf = folder.join(id);
        tracing::info!(file = %file.display(), "a file that belongs to nobody is deleted");
        let folder = folder.to_owned();
        let _ = blocking(move || {
            std::fs::remove_file(file)?;
            let _ = std::fs::remove_dir(folder);
            Ok(())
        })
        .await;
    }
}
