//! Programs with their lines: how the tests run liao and the programs of tests/tutorial.
#![allow(dead_code)] // Each test file uses its part.

pub mod house;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program with its lines.
pub struct Program {
    pub child: Child,
    stdin: Option<ChildStdin>,
    pub out: Receiver<String>,
    pub err: Receiver<String>,
}

pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn until(receiver: &Receiver<String>, other: &Receiver<String>, wanted: &str) -> String {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Ok(line) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if line.contains(wanted) {
            return line;
        }
        seen.push(line);
    }
    let other: Vec<String> = other.try_iter().collect();
    panic!("no line with {wanted:?}, but {seen:?}; beside it {other:?}");
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Program {
            stdin: child.stdin.take(),
            out: lines(child.stdout.take().unwrap()),
            err: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    pub fn hears(&self, wanted: &str) -> String {
        until(&self.out, &self.err, wanted)
    }

    pub fn notes(&self, wanted: &str) -> String {
        until(&self.err, &self.out, wanted)
    }

    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    pub fn code(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn data() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("liao-sockets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn liao_in(folder: &Path, args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    command.env("LC_ALL", "C.UTF-8");
    Program::start(command.args(args).env("XDG_DATA_HOME", folder))
}

pub fn liao(args: &[&str]) -> Program {
    liao_in(&data(), args)
}

pub fn tutorial(name: &str, port: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/tutorial")
        .join(name);
    Program::start(Command::new("python3").arg(path).args(["127.0.0.1", port]))
}
