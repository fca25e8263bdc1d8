//! The house's rules: who may import whom (ARCHITECTURE.md). A breach fails here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, out: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path
                .strip_prefix(root().join("crates"))
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            out.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(Result::unwrap)
    {
        sources(&entry.path().join("src"), &mut out);
    }
    let strip = |n: String| {
        n.rsplit_once("crates/")
            .map_or(n.clone(), |(_, r)| r.to_owned())
    };
    let out: Vec<_> = out.into_iter().map(|(n, t)| (strip(n), t)).collect();
    assert!(out.len() > 30, "the sources were found");
    out
}

/// Crates by floor; a crate may use lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("liao_proto", 0),
    ("liao_net", 1),
    ("liao_server", 2),
    ("liao_client", 2),
    ("liao_bench", 2),
    ("liao_direct", 3),
    ("liao_tui", 3),
];

#[test]
fn crates_import_only_floors_below() {
    for (name, text) in all() {
        let own = name.split('/').next().unwrap().replace('-', "_");
        let Some((_, floor)) = FLOORS.iter().find(|(c, _)| *c == own) else {
            continue;
        };
        for (other, level) in FLOORS.iter().filter(|(c, _)| *c != own) {
            assert!(
                level < floor || !text.contains(&format!("{other}::")),
                "{name} uses {other}"
            );
        }
    }
}

#[test]
fn modules_and_services_stand_on_engines_never_on_each_other_or_the_router() {
    for (name, text) in all() {
        let inside = |folder: &str| name.starts_with(&format!("liao-server/src/{folder}/"));
        let forbidden: &[&str] = if inside("modules") {
            &[
                "crate::services::",
                "crate::session",
                "crate::c2s",
                "crate::http",
            ]
        } else if inside("services") {
            &[
                "crate::modules::",
                "crate::session",
                "crate::c2s",
                "crate::http",
            ]
        } else if inside("engines") {
            &[
                "crate::modules::",
                "crate::services::",
                "crate::session",
                "crate::c2s",
            ]
        } else {
            continue;
        };
        for word in forbidden {
            assert!(!text.contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn sql_and_the_operating_system_stay_in_their_rooms() {
    for (name, text) in all() {
        assert!(
            !text.contains("rusqlite") || name.contains("/store/"),
            "{name} uses SQL"
        );
        let system = text.contains("std::os::unix") || text.contains("signal::unix");
        assert!(
            !system || name.ends_with("/os.rs"),
            "{name} uses the operating system"
        );
    }
}

#[test]
fn protocol_code_has_no_io() {
    for (name, text) in all()
        .into_iter()
        .filter(|(n, _)| n.starts_with("liao-proto/"))
    {
        for word in ["tokio::", "std::net", "std::fs"] {
            assert!(!text.contains(word), "{name} uses {word}");
        }
    }
}
