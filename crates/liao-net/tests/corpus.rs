//! The kept inputs of the fuzz targets (CONTRIBUTING.md), replayed through the targets' own checks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
mod checks;

/// Feeds each kept input of a target; the name of the one that fails is printed.
fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&data)));
        assert!(outcome.is_ok(), "it fails: {}", path.display());
        inputs += 1;
    }
    assert!(inputs > 5, "{target}: the inputs were found");
}

#[test]
fn stream() {
    replay("stream", checks::stream::check);
}

#[test]
fn address() {
    replay("address", checks::address::check);
}

#[test]
fn sasl() {
    replay("sasl", checks::sasl::check);
}

#[test]
fn websocket() {
    replay("websocket", checks::websocket::check);
}

#[test]
fn differential() {
    replay("differential", checks::differential::check);
}

#[test]
fn stanza() {
    replay("stanza", checks::stanza::check);
}
