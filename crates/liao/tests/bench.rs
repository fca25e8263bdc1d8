//! `liao bench`: it measures, and it does not pretend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Output};

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liao"))
        .arg("bench")
        .args(args)
        .output()
        .unwrap()
}

fn figures(out: &Output, column: usize) -> serde_json::Value {
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    report["columns"][column]["figures"].clone()
}

#[test]
fn chat_measures_our_server_and_the_bare_relay_in_one_run() {
    let out = bench(&[
        "chat",
        "--pairs",
        "3",
        "--messages",
        "50",
        "--rounds",
        "2",
        "--json",
    ]);
    for column in [0, 1] {
        let all = figures(&out, column);
        assert_eq!(all["messages/s"]["rounds"].as_array().unwrap().len(), 2);
        assert!(all["messages/s"]["median"].as_f64().unwrap() > 1.0);
        assert!(
            all["latency p50, ms"]["median"].as_f64() <= all["latency max, ms"]["median"].as_f64()
        );
        if cfg!(target_os = "linux") {
            assert!(all["memory (RSS), MiB"]["median"].as_f64().unwrap() > 0.5);
        }
    }
}

#[test]
fn idle_measures_what_a_connection_costs() {
    for tls in [&[][..], &["--tls"]] {
        let short = &["idle", "--connections", "20", "--seconds", "0", "--json"];
        let all = figures(&bench(&[short, tls].concat()), 0);
        if cfg!(target_os = "linux") {
            assert!(all["memory a connection, KiB"]["median"].is_number());
        }
    }
}

#[test]
fn nobody_there_and_nonsense_are_said() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let out = bench(&["chat", "--server", &nobody]);
    assert_eq!(out.status.code(), Some(3));
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        words.contains(&nobody) && words.contains("leave out --server"),
        "{words}"
    );
    assert_eq!(bench(&["chat", "--pairs", "0"]).status.code(), Some(2));
}
