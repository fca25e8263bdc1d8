//! What a power loss leaves of a folder: the journal of `tests/powerloss/powerloss.c`, read on a model of a disk on
//! which only what was synced is sure.

use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Failures that the library can be told to play; the numbers are those of powerloss.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fail {
    Nothing = 0,
    /// No space: what is there can be written over.
    Growth = 1,
    ReadOnly = 2,
    Writes = 3,
    Syncs = 4,
}

const CREATE: u32 = 1;
const WRITE: u32 = 2;
const TRUNCATE: u32 = 3;
const SYNC: u32 = 4;
const UNLINK: u32 = 5;
const RENAME: u32 = 6;
const MKDIR: u32 = 7;
const RMDIR: u32 = 8;

/// The library, built once for a test program.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/powerloss/powerloss.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let new = folder.join(format!("powerloss-{}.so", std::process::id()));
        let out = Command::new("cc")
            .args([
                "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
            ])
            .args([&new, &source])
            .arg("-lpthread")
            .output()
            .expect("a C compiler");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        // Another test program may be using the one that is there.
        let built = folder.join("powerloss.so");
        std::fs::rename(new, &built).unwrap();
        built
    })
}

/// The files of a folder by their paths in it; sockets and what SQLite maps (-shm) are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    pub files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

impl Contents {
    pub fn read(folder: &Path) -> Contents {
        let mut all = Contents::default();
        all.add(folder, "");
        all
    }

    fn add(&mut self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.add(&entry.path(), &format!("{name}/"));
                self.folders.insert(name);
            } else if kind.is_file() && !name.ends_with("-shm") {
                self.files
                    .insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// Makes the folder hold this and nothing else.
    fn write(&self, folder: &Path) {
        std::fs::remove_dir_all(folder).unwrap();
        std::fs::create_dir(folder).unwrap();
        // A folder's name sorts before the names in it.
        for name in &self.folders {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(at, bytes) => {
                let end = *at as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at as usize..end].copy_from_slice(bytes);
            }
            Change::Truncate(len) => to.resize(*len as usize, 0),
        }
    }

    /// Part of a write, as a disk may have finished it: some of its sectors.
    fn torn(&self, random: &mut Random) -> Option<Change> {
        match self {
            _ if random.once_in(2) => None,
            Change::Write(at, bytes) if bytes.len() > 512 && random.once_in(3) => {
                let kept = random.between(1, (bytes.len() / 512) as u64) as usize * 512;
                Some(Change::Write(*at, bytes[..kept.min(bytes.len())].to_vec()))
            }
            Change::Write(at, bytes) => Some(Change::Write(*at, bytes.clone())),
            Change::Truncate(len) => Some(Change::Truncate(*len)),
        }
    }
}

#[derive(Default)]
struct Inode {
    now: Vec<u8>,
    /// As of the last sync.
    safe: Vec<u8>,
    /// Changes since then, with their records' numbers.
    since: Vec<(u64, Change)>,
}

impl Inode {
    fn sync(&mut self, before: u64) {
        let done = self.since.partition_point(|(n, _)| *n < before);
        for (_, change) in self.since.drain(..done) {
            change.apply(&mut self.safe);
        }
    }
}

type Names = BTreeMap<String, usize>;

/// A change of names: in which folder, what goes, what comes.
struct Naming {
    number: u64,
    folder: String,
    gone: Option<String>,
    come: Option<(String, usize)>,
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, inode)) = &self.come {
            names.insert(name.clone(), *inode);
        }
    }
}

/// The model of the disk.
struct Disk {
    inodes: Vec<Inode>,
    names: Names,
    safe_names: Names,
    namings: Vec<Naming>,
    folders: BTreeSet<String>,
    /// What the last record was about: it may be half done.
    last: String,
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(f, _)| f).to_owned()
}

struct Record<'a> {
    kind: u32,
    path: &'a str,
    path2: &'a str,
    at: u64,
    data: &'a [u8],
}

/// The next record and the rest; `None` at the end, or if the last one is cut off.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (path_len, path2_len) = (word(4)? as usize, word(8)? as usize);
    let data_len = long(24)? as usize;
    let mut rest = bytes.get(32..)?;
    let mut part = |len: usize| {
        let (part, more) = (rest.get(..len)?, rest.get(len..)?);
        rest = more;
        Some(part)
    };
    let path = std::str::from_utf8(part(path_len)?).ok()?;
    let path2 = std::str::from_utf8(part(path2_len)?).ok()?;
    let data = part(data_len)?;
    Some((
        Record {
            kind: word(0)?,
            path,
            path2,
            at: long(16)?,
            data,
        },
        rest,
    ))
}

impl Disk {
    fn new(base: &Contents) -> Disk {
        let mut disk = Disk {
            inodes: Vec::new(),
            names: Names::new(),
            safe_names: Names::new(),
            namings: Vec::new(),
            folders: base.folders.clone(),
            last: String::new(),
        };
        for (name, bytes) in &base.files {
            disk.names.insert(name.clone(), disk.inodes.len());
            disk.inodes.push(Inode {
                now: bytes.clone(),
                safe: bytes.clone(),
                since: Vec::new(),
            });
        }
        disk.safe_names = disk.names.clone();
        disk
    }

    fn replay(&mut self, mut journal: &[u8]) {
        let mut number = 0;
        while let Some((record, rest)) = record(journal) {
            self.one(number, &record);
            journal = rest;
            number += 1;
        }
    }

    fn one(&mut self, number: u64, r: &Record<'_>) {
        self.last = r.path.to_owned();
        match r.kind {
            CREATE => {
                self.inodes.push(Inode::default());
                let come = Some((r.path.to_owned(), self.inodes.len() - 1));
                self.name(number, folder_of(r.path), None, come);
            }
            WRITE => self.change(number, r.path, Change::Write(r.at, r.data.to_vec())),
            TRUNCATE => self.change(number, r.path, Change::Truncate(r.at)),
            SYNC => self.sync(r.path, r.at),
            UNLINK => self.name(number, folder_of(r.path), Some(r.path.to_owned()), None),
            RENAME => {
                let come = self.names.get(r.path).map(|i| (r.path2.to_owned(), *i));
                self.name(number, folder_of(r.path2), Some(r.path.to_owned()), come);
            }
            MKDIR => drop(self.folders.insert(r.path.to_owned())),
            RMDIR => drop(self.folders.remove(r.path)),
            other => panic!("the journal has a record of kind {other}"),
        }
    }

    fn name(
        &mut self,
        number: u64,
        folder: String,
        gone: Option<String>,
        come: Option<(String, usize)>,
    ) {
        let naming = Naming {
            number,
            folder,
            gone,
            come,
        };
        naming.apply(&mut self.names);
        self.namings.push(naming);
    }

    fn change(&mut self, number: u64, path: &str, change: Change) {
        let inode = *self
            .names
            .get(path)
            .unwrap_or_else(|| panic!("{path} was never opened as far as the journal knows"));
        change.apply(&mut self.inodes[inode].now);
        self.inodes[inode].since.push((number, change));
    }

    fn sync(&mut self, path: &str, before: u64) {
        if let Some(inode) = self.names.get(path) {
            return self.inodes[*inode].sync(before);
        }
        let safe = &mut self.safe_names;
        self.namings.retain(|n| {
            let done = n.folder == path && n.number < before;
            if done {
                n.apply(safe);
            }
            !done
        });
    }

    fn contents(&self, names: &Names, of: impl Fn(&Inode) -> Vec<u8>) -> Contents {
        let files = names.iter().map(|(n, i)| (n.clone(), of(&self.inodes[*i])));
        Contents {
            files: files.collect(),
            folders: self.folders.clone(),
        }
    }

    /// Nothing that was not synced.
    fn dropped(&self) -> Contents {
        self.contents(&self.safe_names, |inode| inode.safe.clone())
    }

    /// What was synced, and of the rest what chance kept, in any order.
    fn torn(&self, random: &mut Random) -> Contents {
        let mut names = self.safe_names.clone();
        // A journal of the file system keeps the order of names.
        let kept = random.below(self.namings.len() as u64 + 1) as usize;
        for naming in &self.namings[..kept] {
            naming.apply(&mut names);
        }
        let random = std::cell::RefCell::new(random);
        self.contents(&names, |inode| {
            let mut bytes = inode.safe.clone();
            for (_, change) in &inode.since {
                if let Some(part) = change.torn(&mut random.borrow_mut()) {
                    part.apply(&mut bytes);
                }
            }
            bytes
        })
    }
}

/// A data folder whose server runs with the library.
pub struct Power {
    folder: PathBuf,
    aside: PathBuf,
    base: Contents,
}

impl Power {
    /// `aside` is a folder outside of the data folder.
    pub fn new(folder: &Path, aside: &Path) -> Power {
        std::fs::create_dir_all(folder).unwrap();
        let power = Power {
            folder: folder.canonicalize().unwrap(),
            aside: aside.canonicalize().unwrap(),
            base: Contents::default(),
        };
        std::fs::write(power.faults(), [0u8; 64]).unwrap();
        power
    }

    fn journal(&self) -> PathBuf {
        self.aside.join("journal")
    }

    fn faults(&self) -> PathBuf {
        self.aside.join("faults")
    }

    /// Prepares a start: what is in the folder now is taken as safe.
    pub fn prepare(&mut self, command: &mut Command) {
        self.base = Contents::read(&self.folder);
        std::fs::write(self.journal(), "").unwrap();
        command
            .env("LD_PRELOAD", library())
            .env("POWERLOSS_FOLDER", &self.folder)
            .env("POWERLOSS_JOURNAL", self.journal())
            .env("POWERLOSS_FAULTS", self.faults())
            .env("POWERLOSS_SYNC_US", "300");
    }

    /// From now on calls on files with this ending fail so, after `let_pass` of them that do not.
    pub fn fail(&self, how: Fail, ending: &str, let_pass: u32) {
        let file = std::fs::File::options()
            .write(true)
            .open(self.faults())
            .unwrap();
        let mut name = [0u8; 48];
        name[..ending.len()].copy_from_slice(ending.as_bytes());
        file.write_all_at(&name, 16).unwrap();
        file.write_all_at(&let_pass.to_le_bytes(), 4).unwrap();
        file.write_all_at(&(how as u32).to_le_bytes(), 0).unwrap();
    }

    /// How many calls have failed.
    pub fn failed(&self) -> u64 {
        let bytes = std::fs::read(self.faults()).unwrap();
        u64::from_le_bytes(bytes[8..16].try_into().unwrap())
    }

    /// The server is dead, and so is the power: the folder becomes what is left. With `torn`, chance keeps some of
    /// what was not synced. `Err`: something went around the library, so this says nothing.
    pub fn lose(&mut self, torn: Option<&mut Random>) -> Result<(), String> {
        let mut disk = Disk::new(&self.base);
        disk.replay(&std::fs::read(self.journal()).unwrap());
        let real = Contents::read(&self.folder);
        let told = disk.contents(&disk.names, |inode| inode.now.clone());
        for (name, bytes) in &real.files {
            let half_done = *name == disk.last || bytes.is_empty();
            if told.files.get(name) != Some(bytes) && !half_done {
                return Err(format!("{name} is not as the journal tells"));
            }
        }
        let left = match torn {
            Some(random) => disk.torn(random),
            None => disk.dropped(),
        };
        left.write(&self.folder);
        Ok(())
    }
}
