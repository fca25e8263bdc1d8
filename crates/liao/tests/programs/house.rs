//! A real server and its people, and a network between them that can be cut.

use super::Program;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server in a folder of its own; its ports are free ones, and stay the same over a restart.
pub struct House {
    pub folder: PathBuf,
    ports: Vec<(&'static str, String)>,
    server: Option<Program>,
    pub invite: String,
}

const LISTENERS: [&str; 5] = ["C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS"];

/// A free port that no outgoing connection of another test takes while the server is restarted: below those that
/// systems give out by themselves.
fn lasting_port() -> std::net::TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = |n| 10_000 + ((std::process::id().wrapping_mul(97)).wrapping_add(n) % 22_000) as u16;
    (0..22_000)
        .find_map(|_| {
            let port = port(NEXT.fetch_add(1, Ordering::Relaxed));
            std::net::TcpListener::bind(("127.0.0.1", port)).ok()
        })
        .expect("a free port")
}

impl House {
    pub fn new(name: &str) -> House {
        let folder = std::env::temp_dir().join(format!("liao-chat-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let held: Vec<_> = LISTENERS.iter().map(|_| lasting_port()).collect();
        let address = |l: &std::net::TcpListener| l.local_addr().unwrap().to_string();
        let ports = LISTENERS
            .iter()
            .zip(&held)
            .map(|(n, l)| (*n, address(l)))
            .collect();
        drop(held);
        let mut house = House {
            folder,
            ports,
            server: None,
            invite: String::new(),
        };
        house.open();
        house
    }

    pub fn open(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(["serve", "--data"])
            .arg(self.folder.join("server"));
        command.current_dir(&self.folder);
        for (name, address) in &self.ports {
            command.env(format!("LIAO_LISTEN_{name}"), address);
        }
        let server = Program::start(&mut command);
        server.hears("certificate");
        if self.invite.is_empty() {
            self.invite = server.hears("https://").trim().to_owned();
        }
        self.server = Some(server);
    }

    pub fn port(&self, name: &str) -> &str {
        &self.ports.iter().find(|(n, _)| *n == name).unwrap().1
    }

    pub fn close(&mut self) {
        // Dropping a program kills it with SIGKILL.
        self.server = None;
    }

    /// A client with data of its own.
    pub fn liao(&self, who: &str, args: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(args)
            .env("XDG_DATA_HOME", self.folder.join(who))
            .env("XDG_DOWNLOAD_DIR", self.folder.join(who).join("downloads"));
        Program::start(&mut command)
    }

    pub fn admin(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command.env("LC_ALL", "C.UTF-8");
        command
            .args(["admin", "--data"])
            .arg(self.folder.join("server"));
        let out = command
            .args(args)
            .env("LIAO_PASSWORD", "a password")
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    /// A new account by an invite link, online in the plain client.
    pub fn joins(&self, who: &str, invite: &str) -> Program {
        let mut program = self.liao(who, &["chat", invite, "--plain"]);
        program.say(who);
        program.say("a password");
        program.notes(&format!("online: {who}@localhost"));
        program
    }

    /// Another device of somebody whose password is "a password"; it has caught up.
    pub fn device(&self, name: &str, who: &str, server: &str) -> Program {
        let address = format!("{who}@localhost");
        let args = [
            "chat",
            &address,
            "--json",
            "--server",
            server,
            "--password-stdin",
        ];
        let mut program = self.liao(name, &args);
        program.say("a password");
        // In either order: the contacts and the archive are asked for at once.
        let mut wanted = vec!["\"event\":\"ready\"", "\"event\":\"caught_up\""];
        while !wanted.is_empty() {
            let line = program.hears("\"event\":");
            wanted.retain(|event| !line.contains(event));
        }
        program
    }

    /// Alice by the first invite, Bob by hers: friends at once.
    pub fn friends(&self) -> (Program, Program) {
        let alice = self.joins("alice", &self.invite);
        let invite = self.admin(&["invite", "--from", "alice@localhost"]);
        let link = invite
            .split_whitespace()
            .find(|w| w.starts_with("https://"))
            .unwrap();
        let bob = self.joins("bob", link);
        alice.notes("bob is here");
        (alice, bob)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.close();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A network that can be cut: passes bytes on between a client and the server.
pub struct Network {
    pub address: String,
    gone: std::sync::Arc<std::sync::atomic::AtomicBool>,
    open: std::sync::Arc<std::sync::Mutex<Vec<std::net::TcpStream>>>,
}

impl Network {
    pub fn to(server: &str) -> Network {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open: std::sync::Arc<std::sync::Mutex<Vec<std::net::TcpStream>>> = Default::default();
        let gone = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let (server, streams, closed) = (server.to_owned(), open.clone(), gone.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let gone = closed.load(std::sync::atomic::Ordering::SeqCst);
                let there = std::net::TcpStream::connect(&server);
                let Some(there) = there.ok().filter(|_| !gone) else {
                    continue;
                };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), there.try_clone().unwrap()),
                    (there.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([client, there]);
            }
        });
        Network {
            address,
            gone,
            open,
        }
    }

    /// Away: what is connected is cut, and nothing connects until it is back.
    pub fn away(&self, away: bool) {
        self.gone.store(away, std::sync::atomic::Ordering::SeqCst);
        if away {
            self.cut();
        }
    }

    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
