//! The server process: started on a data folder again and again, killed without a warning.

use super::power::Power;
use crate::world;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

/// Which program serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The real one.
    Liao,
    /// This test program, which serves without waiting for the disk (see `careless_server`).
    Careless,
}

/// What a server wrote to its log.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    /// Waits for a line that contains `words`.
    pub fn wait_for(&self, words: &str) {
        let lines = self.lines.lock().unwrap();
        let missing = |l: &mut Vec<String>| !l.iter().any(|line| line.contains(words));
        let (lines, late) = self
            .more
            .wait_timeout_while(lines, world::PATIENCE, missing)
            .unwrap();
        assert!(
            !late.timed_out(),
            "no line with {words:?} in the log: {lines:?}"
        );
    }

    /// What was said so far is of no more interest.
    pub fn forget(&self) {
        self.lines.lock().unwrap().clear();
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

/// A running server.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub log: Arc<Log>,
}

/// Where a server of these tests lives: `liao-data` in a folder of its own.
pub struct Home {
    pub folder: PathBuf,
    pub program: Program,
    pub power: Option<Power>,
}

impl Home {
    pub fn new(folder: &Path, program: Program) -> Home {
        Home {
            folder: folder.to_owned(),
            program,
            power: None,
        }
    }

    /// From the next start on the server runs with the library of `power.rs`.
    pub fn with_power(mut self) -> Home {
        self.power = Some(Power::new(&self.data(), &self.folder));
        self
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("liao-data")
    }

    /// What the server says when its administrator asks; `Err`: it does not answer.
    pub fn stats(&self) -> Result<String, String> {
        let out = world::liao(&self.folder, &["admin", "stats"])
            .output()
            .unwrap();
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match out.status.success() {
            true => Ok(words(&out.stdout)),
            false => Err(words(&out.stderr)),
        }
    }

    /// An account whose password is `pw-NAME`, made while no server runs or by the one that does.
    pub fn add(&self, name: &str) {
        let mut child = world::liao(&self.folder, &["admin", "user", "add", name])
            .arg("--password-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let password = format!("pw-{name}");
        let mut input = child.stdin.take().unwrap();
        input.write_all(password.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{name} gets an account");
    }

    /// Starts the server; `Err` is what it said when it did not start.
    pub fn start(&mut self) -> Result<Process, String> {
        let addresses = self.data().join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let mut command = world::liao(&self.folder, &["serve"]);
        if self.program == Program::Careless {
            let own = std::env::current_exe().unwrap();
            let mut other = Command::new(own);
            other.args(["--exact", "careless_server", "--nocapture"]);
            other.current_dir(&self.folder).env("SERVE_CARELESSLY", "1");
            let set = command.get_envs().filter_map(|(k, v)| Some((k, v?)));
            other.envs(set);
            command = other;
        }
        command.env("RUST_LOG", "warn");
        if let Some(power) = &mut self.power {
            power.prepare(&mut command);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let (errors, kept) = (child.stderr.take().unwrap(), log.clone());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                kept.lines.lock().unwrap().push(line);
                kept.more.notify_all();
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("certificate ("));
        if !ready {
            let _ = child.wait();
            let _ = reader.join();
            return Err(format!("the server does not start: {}", log.text()));
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let text = std::fs::read_to_string(&addresses).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        Ok(Process {
            child,
            address: all["c2s"].as_str().unwrap().parse().unwrap(),
            log,
        })
    }
}

impl Process {
    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
