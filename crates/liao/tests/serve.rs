//! `liao serve` as its administrator sees it: reload, logs, taken ports, the admin command with and without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;

use programs::Program;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("liao-serve-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.join("liao.toml"), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PORTS: &str = "[listen]\nc2s = \"127.0.0.1:0\"\nc2s_tls = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nhttps = \"127.0.0.1:0\"\nsockets = \"127.0.0.1:0\"\n";

fn serve(folder: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    let server = Program::start(command.arg("serve").current_dir(folder));
    server.hears("certificate");
    server
}

fn admin(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    command
        .arg("admin")
        .args(args)
        .current_dir(folder)
        .env("LIAO_PASSWORD", "a password");
    command.output().unwrap()
}

fn words(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

#[test]
fn a_reload_takes_the_new_file_and_keeps_the_old_one_if_the_new_is_bad() {
    let folder = Folder::new("reload");
    folder.write(&format!("[log]\nformat = \"json\"\n{PORTS}"));
    let mut server = serve(&folder.0);
    folder.write(&format!(
        "[log]\nformat = \"json\"\n{PORTS}[registration]\nmode = \"oepn\"\n"
    ));
    server.signal("-HUP");
    let line = server.notes("not reloaded");
    let log: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(log.to_string().contains("invite, open, closed"), "{line}");
    let out = admin(&folder.0, &["reload"]);
    assert!(
        !out.status.success() && words(&out).contains("the old configuration stays"),
        "{}",
        words(&out)
    );
    folder.write(&format!(
        "[log]\nformat = \"text\"\n{PORTS}[registration]\nmode = \"open\"\n"
    ));
    server.signal("-HUP");
    let line = server.notes("was reloaded");
    assert!(
        line.contains("log.format"),
        "what needs a restart is named: {line}"
    );
    server.signal("-TERM");
    assert_eq!(server.code(), 0);
}

#[test]
fn administration_works_with_and_without_a_running_server() {
    let folder = Folder::new("admin");
    folder.write(PORTS);
    for what in [
        &["stats"][..],
        &["sessions"],
        &["reload"],
        &["user", "list"],
        &["user", "del", "x"],
    ] {
        let out = admin(&folder.0, what);
        assert_eq!(out.status.code(), Some(1), "{what:?}");
        assert!(words(&out).contains("liao-data"), "{}", words(&out));
    }
    assert!(
        !folder.0.join("liao-data").exists(),
        "looking makes nothing"
    );
    assert!(
        admin(&folder.0, &["user", "add", "alice", "--admin"])
            .status
            .success()
    );
    let mut server = serve(&folder.0);
    assert!(words(&admin(&folder.0, &["user", "list"])).contains("alice@localhost  admin"));
    assert!(admin(&folder.0, &["user", "add", "bob"]).status.success());
    let again = admin(&folder.0, &["user", "add", "Bob"]);
    assert!(
        !again.status.success() && words(&again).contains("bob@localhost"),
        "{}",
        words(&again)
    );
    assert!(
        admin(&folder.0, &["user", "passwd", "bob"])
            .status
            .success()
    );
    assert!(words(&admin(&folder.0, &["stats"])).contains("accounts: 2"));
    assert!(words(&admin(&folder.0, &["invite", "--from", "bob@localhost"])).contains("https://"));
    assert!(admin(&folder.0, &["user", "del", "bob"]).status.success());
    server.signal("-KILL");
    server.code();
    let listed = words(&admin(&folder.0, &["user", "list"]));
    assert!(
        listed.contains("alice@localhost") && !listed.contains("bob"),
        "{listed}"
    );
    // The domain is fixed by the first account: another one is refused with the remedy.
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    let other = command
        .args(["serve", "--domain", "else.example"])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(words(&other).contains("localhost"), "{}", words(&other));
}

#[test]
fn one_folder_has_one_server_and_default_ports_move() {
    let one = Folder::new("one");
    let server = serve(&one.0);
    let second = Command::new(env!("CARGO_BIN_EXE_liao"))
        .arg("serve")
        .current_dir(&one.0)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(words(&second).contains("liao-data"), "{}", words(&second));
    // Another folder: the ports that the first has are taken now, so each moves and the banner says where to.
    let two = Folder::new("two");
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    let other = Program::start(command.arg("serve").current_dir(&two.0));
    other.hears("is taken by liao (process ");
    other.hears("certificate");
    let places = |folder: &Folder| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.0.join("liao-data/addresses.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (a, b) = (places(&one), places(&two));
    for what in ["c2s", "c2s_tls", "http", "https", "sockets"] {
        assert_ne!(a[what], b[what], "{what}");
        let port: u16 = b[what]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            ![5222, 5223, 5269, 5280, 5281, 8080].contains(&port),
            "{what} took another's place"
        );
    }
    drop((server, other));
}
