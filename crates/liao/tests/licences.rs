//! What deny.toml demands of the dependencies, checked without cargo-deny: licences and banned crates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines of one table of deny.toml, without comments.
fn table(name: &str) -> String {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|l| l.trim() != format!("[{name}]"))
        .skip(1)
        .take_while(|l| !l.starts_with('['))
        .filter(|l| !l.trim_start().starts_with('#'))
        .collect();
    assert!(!lines.is_empty(), "deny.toml has no [{name}]");
    lines.join("\n")
}

/// The array that stands behind `key =` in a table.
fn array(table: &str, key: &str) -> String {
    let start = format!("{key} = [");
    let (_, rest) = table.split_once(&start).unwrap();
    rest.split_once("\n]").unwrap().0.to_owned()
}

/// Everything in double quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The packages of the build on this machine, as cargo knows them without a network.
fn packages() -> Vec<serde_json::Value> {
    let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let version = cargo().arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|l| l.strip_prefix("host: "));
    // why the platform: crates of other systems need not be on this machine
    let out = cargo()
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", host.unwrap()])
        .current_dir(root())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "cargo metadata: {words}");
    let all: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    all["packages"].as_array().unwrap().clone()
}

/// Whether an SPDX expression (annex D: WITH binds closest, then AND, then OR; `/` is the old OR) is satisfied.
fn is_satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = any(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "{expression:?} is no licence expression");
    verdict
}

fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut verdict = every(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= every(words, at, allowed);
    }
    verdict
}

fn every(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut verdict = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(words, at, allowed);
    }
    verdict
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let first = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if first == "(" {
        let verdict = any(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"), "a bracket is open");
        *at += 1;
        return verdict;
    }
    let mut name = first.to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{first} WITH {}", words[*at + 1]);
        *at += 2;
    }
    allowed.contains(&name)
}

#[test]
fn licences_are_allowed() {
    let allowed = quoted(&array(&table("licenses"), "allow"));
    let packages = packages();
    assert!(packages.len() > 50, "the dependencies were found");
    let refused: Vec<String> = packages
        .iter()
        .filter(|p| {
            let licence = p["license"].as_str();
            !licence.is_some_and(|l| is_satisfied(l, &allowed))
        })
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(
        refused.is_empty(),
        "these licences are not on deny.toml's list; take another crate, or add the licence with its reason:\n{}",
        refused.join("\n")
    );
}

#[test]
fn banned_crates_stay_out() {
    let bans = array(&table("bans"), "deny");
    let names: Vec<String> = bans
        .lines()
        .filter_map(|l| l.split_once("crate = "))
        .filter_map(|(_, rest)| quoted(rest).into_iter().next())
        .collect();
    assert!(names.len() > 3, "the bans were found");
    // why the lock file: it also lists what only other systems build
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in names {
        let line = format!("name = \"{name}\"");
        assert!(
            !lock.lines().any(|l| l == line),
            "deny.toml bans {name}, and Cargo.lock has it"
        );
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "A WITH E".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only/MIT", true),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("MIT AND ISC", true),
        ("GPL-3.0-only AND X OR MIT", true),
        ("GPL-3.0-only AND (X OR MIT)", false),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("A WITH E", true),
        ("A", false),
        ("MIT WITH E", false),
    ] {
        assert_eq!(is_satisfied(expression, &allowed), expected, "{expression}");
    }
}
