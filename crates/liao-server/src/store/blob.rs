//! The third shape, `blob`: uploaded files, as files of the data folder beside the database.
//!
//! `uploads/incoming/ID` while it comes; `uploads/AB/OWNER/ID` when it is whole, where OWNER is a hash of the owner's
//! address and AB its beginning. A file without its rows in `kv` is nobody's and is cleared away. All calls block.

use crate::os;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of one data folder.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
}

/// One file that is being received. What is not [kept](Whole::keep) goes when it is dropped.
pub struct Writing {
    file: File,
    half: Half,
}

/// All bytes are on the disk, under a name that nobody is given.
pub struct Whole(Half);

struct Half {
    path: PathBuf,
    kept: bool,
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Writing {
    /// Appends.
    pub fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        pieces.iter().try_for_each(|p| self.file.write_all(p))
    }

    /// Presses all bytes onto the disk.
    pub fn whole(self) -> io::Result<Whole> {
        self.file.sync_all()?;
        Ok(Whole(self.half))
    }
}

impl Whole {
    /// Gives it the name under which it stays; with its folder on the disk.
    pub fn keep(mut self, blobs: &Blobs, owner: &str, id: &str) -> io::Result<()> {
        let path = blobs.path(owner, id);
        let folder = path.parent().unwrap_or(&blobs.root);
        if !folder.exists() {
            os::private_folder(folder)?;
            let above = folder.parent().unwrap_or(&blobs.root);
            os::sync_folder(above)?;
            os::sync_folder(&blobs.root)?;
        }
        std::fs::rename(&self.0.path, &path)?;
        self.0.kept = true;
        os::sync_folder(folder)
    }
}

impl Blobs {
    pub(super) fn new(data: &Path) -> Blobs {
        Blobs {
            root: data.join("uploads"),
        }
    }

    fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    fn folder(&self, owner: &str) -> PathBuf {
        let hash: String = Sha256::digest(owner.as_bytes())[..20]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        self.root.join(&hash[..2]).join(hash)
    }

    fn path(&self, owner: &str, id: &str) -> PathBuf {
        self.folder(owner).join(id)
    }

    /// Begins a file.
    pub fn create(&self, id: &str) -> io::Result<Writing> {
        os::private_folder(&self.incoming())?;
        let path = self.incoming().join(id);
        let file = os::private_file(&path)?;
        Ok(Writing {
            file,
            half: Half { path, kept: false },
        })
    }

    /// Opens a whole file.
    pub fn open(&self, owner: &str, id: &str) -> io::Result<File> {
        File::open(self.path(owner, id))
    }

    /// Deletes a whole file; its owner's folder, too, when it was the last.
    pub fn remove(&self, owner: &str, id: &str) -> io::Result<()> {
        let path = self.path(owner, id);
        let removed = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        // It refuses to go while something is in it.
        let _ = std::fs::remove_dir(self.folder(owner));
        removed
    }

    /// The ids of an owner's whole files.
    pub fn of_owner(&self, owner: &str) -> Vec<String> {
        names(&self.folder(owner))
    }

    /// Deletes what was being received when the process ended.
    pub fn clear_incoming(&self) {
        for name in names(&self.incoming()) {
            let _ = std::fs::remove_file(self.incoming().join(name));
        }
    }

    /// The owners' folders.
    pub fn folders(&self) -> Vec<PathBuf> {
        let shards = names(&self.root).into_iter().filter(|n| n.len() == 2);
        let owners = |shard: String| {
            let shard = self.root.join(shard);
            names(&shard).into_iter().map(move |n| shard.join(n))
        };
        shards.flat_map(owners).collect()
    }

    /// Bytes that the disk still takes.
    pub fn free_bytes(&self) -> u64 {
        let data = self.root.parent().unwrap_or(&self.root);
        os::free_bytes(data).unwrap_or(u64::MAX)
    }
}

/// The names in a folder; none if it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let name = |e: io::Result<std::fs::DirEntry>| e.ok()?.file_name().into_string().ok();
    entries.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_file_goes_and_a_whole_one_stays() {
        let data = std::env::temp_dir().join(format!("liao-blobs-{}", std::process::id()));
        let blobs = Blobs::new(&data);
        let piece = [Bytes::from_static(b"half")];
        let mut half = blobs.create("a").unwrap();
        half.write(&piece).unwrap();
        drop(half);
        assert!(names(&blobs.incoming()).is_empty());
        let mut whole = blobs.create("b").unwrap();
        whole.write(&piece).unwrap();
        whole.whole().unwrap().keep(&blobs, "x@y", "b").unwrap();
        assert_eq!(blobs.of_owner("x@y"), ["b"]);
        assert_eq!(blobs.folders(), [blobs.folder("x@y")]);
        std::mem::forget(blobs.create("c").unwrap());
        blobs.clear_incoming();
        assert!(names(&blobs.incoming()).is_empty(), "after a kill");
        blobs.remove("x@y", "b").unwrap();
        blobs.remove("x@y", "b").unwrap();
        assert!(blobs.folders().is_empty());
        std::fs::remove_dir_all(&data).unwrap();
    }
}
