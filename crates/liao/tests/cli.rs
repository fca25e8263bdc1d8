//! The command line's exit codes and errors, by the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Output};

fn liao(args: &[&str], folder: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liao"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let folder = std::env::temp_dir().join(format!("liao-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("liao.toml"), "domian = \"x.example\"\n").unwrap();
    let out = liao(&["serve", "--check"], &folder);
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2));
    assert!(
        words.contains("line 1") && words.contains("did you mean \"domain\""),
        "{words}"
    );
    std::fs::remove_file(folder.join("liao.toml")).unwrap();
    assert_eq!(liao(&["serve", "--check"], &folder).status.code(), Some(0));
    assert_eq!(liao(&["serve", "--chekc"], &folder).status.code(), Some(2));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let out = Command::new(env!("CARGO_BIN_EXE_liao"))
        .args(["serve", "--data", "d"])
        .env("LIAO_LISTEN_C2S", &address)
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(3));
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    // Who holds it is named: here it is this test.
    let me = format!("(process {})", std::process::id());
    assert!(words.contains(&address) && words.contains(&me), "{words}");
    // An address that this machine does not have: another remedy.
    let out = Command::new(env!("CARGO_BIN_EXE_liao"))
        .args(["serve", "--data", "d"])
        .env("LIAO_LISTEN_C2S", "192.0.2.1:5222")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(3));
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        words.contains("no such address") && !words.contains("stop what holds it"),
        "{words}"
    );
    let out = liao(&["admin", "--data", "d", "user", "del", "nobody"], &folder);
    assert_eq!(out.status.code(), Some(1));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn manual_pages_and_completions_come_from_the_same_tables() {
    let folder = std::env::temp_dir();
    let words = |args: &[&str]| {
        let out = liao(args, &folder);
        assert!(out.status.success(), "{args:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let page = words(&["man", "chat"]);
    for part in [
        ".TH liao-chat",
        "liao chat",
        "Ctrl+K",
        "/search",
        "client\\-data",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(words(&["man"]).contains("liao\\-serve"));
    assert_eq!(liao(&["man", "fly"], &folder).status.code(), Some(2));
    assert!(words(&["completion", "bash"]).contains("udp-server"));
    assert!(words(&["completion", "zsh"]).starts_with("#compdef liao"));
}
