//! Every engine of the store does what the model does (`conformance/`). `LIAO_SEED` repeats a run, `LIAO_STEPS` makes it
//! longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;

use conformance::{Engine, agrees_with_the_model};
use liao_server::store::{Store, Sync};
use std::path::{Path, PathBuf};

/// SQLite in a folder that goes away.
struct Sqlite {
    root: PathBuf,
    life: u32,
}

impl Sqlite {
    fn folder(&self) -> PathBuf {
        self.root.join(self.life.to_string())
    }
}

impl Engine for Sqlite {
    fn open(&mut self) -> Store {
        Store::open(&self.folder(), Sync::Off).unwrap()
    }

    fn crash(&mut self, store: Store) -> Store {
        let old = self.folder();
        self.life += 1;
        let new = self.folder();
        std::fs::create_dir_all(&new).unwrap();
        // As the files lie at this moment; again, if the store moved on meanwhile. Its end is none of theirs.
        let state = |path: &Path| {
            let meta = std::fs::metadata(path);
            meta.map(|m| (m.len(), m.modified().unwrap())).ok()
        };
        let names = ["liao.sqlite3-wal", "liao.sqlite3"];
        let all = || names.map(|n| state(&old.join(n)));
        loop {
            let before = all();
            for name in names {
                let _ = std::fs::copy(old.join(name), new.join(name));
            }
            if all() == before {
                break;
            }
        }
        store.close();
        drop(store);
        let _ = std::fs::remove_dir_all(old);
        self.open()
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[tokio::test]
async fn sqlite_agrees_with_the_model() {
    let root = std::env::temp_dir().join(format!("liao-model-{}", std::process::id()));
    let mut engine = Sqlite { root, life: 0 };
    agrees_with_the_model(&mut engine).await;
}
