//! `liao direct` on a network of its own: people appear by themselves, chat, are killed, are cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

use std::process::Command;

/// Three hosts on a bridge; everything happens inside of a user namespace of its own and ends with it.
const SCRIPT: &str = include_str!("direct/hosts.py");

#[test]
fn hosts_find_each_other_chat_and_lose_nothing_when_killed_or_cut_off() {
    let may = Command::new("unshare")
        .args(["-Urnm", "ip", "netns", "list"])
        .output();
    let python = Command::new("python3").arg("-V").output();
    if !may.is_ok_and(|o| o.status.success()) || python.is_err() {
        eprintln!("skipped: no network namespaces or no python3 here");
        return;
    }
    let out = Command::new("unshare")
        .args(["-Urnm", "--kill-child", "--fork", "--pid", "--mount-proc"])
        .args(["python3", "-c", SCRIPT, env!("CARGO_BIN_EXE_liao")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let wrong = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{wrong}");
    println!("{said}");
}
