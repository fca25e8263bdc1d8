//! XEPS.md is written by this test: from what the server's modules declare, and the tables below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use Known::{Partly, Passed, Whole};
use liao_server::modules::ALL;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is to be said of a XEP beside what the modules declare.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Known {
    /// All that concerns a server, once a module declares it.
    Whole,
    /// This much, once a module declares it.
    Partly(&'static str),
    /// It travels between clients; the server has nothing to do.
    Passed,
}

/// Every XEP that liao has or means to have: number, title, what is said of it.
const XEPS: &[(&str, &str, Known)] = &[
    ("0004", "Data Forms", Whole),
    ("0012", "Last Activity", Whole),
    ("0030", "Service Discovery", Whole),
    ("0045", "Multi-User Chat", Whole),
    ("0048", "Bookmarks", Whole),
    ("0049", "Private XML Storage", Whole),
    ("0050", "Ad-Hoc Commands", Whole),
    ("0054", "vcard-temp", Whole),
    ("0059", "Result Set Management", Whole),
    ("0066", "Out of Band Data", Passed),
    ("0077", "In-Band Registration", Whole),
    ("0082", "XMPP Date and Time Profiles", Whole),
    ("0084", "User Avatar", Whole),
    ("0085", "Chat State Notifications", Passed),
    ("0092", "Software Version", Whole),
    ("0114", "Jabber Component Protocol", Whole),
    ("0115", "Entity Capabilities", Whole),
    (
        "0124",
        "Bidirectional-streams Over Synchronous HTTP (BOSH)",
        Partly(
            "without key sequencing and without several streams in one session, which are optional",
        ),
    ),
    ("0128", "Service Discovery Extensions", Whole),
    ("0133", "Service Administration", Whole),
    ("0153", "vCard-Based Avatars", Whole),
    (
        "0156",
        "Discovering Alternative XMPP Connection Methods",
        Partly("WebSocket and BOSH, in both forms of host-meta"),
    ),
    ("0157", "Contact Addresses for XMPP Services", Whole),
    (
        "0160",
        "Best Practices for Handling Offline Messages",
        Whole,
    ),
    ("0163", "Personal Eventing Protocol", Whole),
    ("0172", "User Nickname", Whole),
    (
        "0178",
        "Best Practices for Use of SASL EXTERNAL with Certificates",
        Whole,
    ),
    ("0184", "Message Delivery Receipts", Passed),
    ("0191", "Blocking Command", Whole),
    ("0198", "Stream Management", Whole),
    ("0199", "XMPP Ping", Whole),
    ("0202", "Entity Time", Whole),
    ("0203", "Delayed Delivery", Whole),
    ("0206", "XMPP Over BOSH", Whole),
    ("0215", "External Service Discovery", Whole),
    ("0220", "Server Dialback", Whole),
    (
        "0223",
        "Persistent Storage of Private Data via PubSub",
        Whole,
    ),
    ("0224", "Attention", Passed),
    (
        "0227",
        "Portable Import/Export Format for XMPP-IM Servers",
        Whole,
    ),
    ("0245", "The /me Command", Passed),
    ("0249", "Direct MUC Invitations", Passed),
    ("0280", "Message Carbons", Whole),
    ("0308", "Last Message Correction", Passed),
    ("0313", "Message Archive Management", Whole),
    ("0317", "Hats", Whole),
    ("0333", "Displayed Markers", Passed),
    ("0334", "Message Processing Hints", Whole),
    ("0352", "Client State Indication", Whole),
    ("0357", "Push Notifications", Whole),
    ("0359", "Unique and Stable Stanza IDs", Whole),
    ("0363", "HTTP File Upload", Whole),
    ("0368", "SRV records for XMPP over TLS", Whole),
    ("0372", "References", Passed),
    ("0377", "Blocking Command Reports", Whole),
    ("0380", "Explicit Message Encryption", Passed),
    ("0384", "OMEMO Encryption", Whole),
    ("0385", "Stateless Inline Media Sharing (SIMS)", Whole),
    ("0386", "Bind 2", Whole),
    ("0388", "Extensible SASL Profile", Whole),
    ("0393", "Message Styling", Passed),
    (
        "0398",
        "User Avatar to vCard-Based Avatars Conversion",
        Whole,
    ),
    (
        "0401",
        "Ad-hoc Account Invitation Generation",
        Partly("users invite; accounts are not made by command"),
    ),
    ("0402", "PEP Native Bookmarks", Whole),
    ("0410", "MUC Self-Ping (Schrödinger's Chat)", Whole),
    (
        "0421",
        "Occupant identifiers for semi-anonymous MUCs",
        Whole,
    ),
    ("0424", "Message Retraction", Whole),
    ("0425", "Moderated Message Retraction", Whole),
    ("0431", "Full Text Search in MAM", Whole),
    ("0433", "Extended Channel Search", Whole),
    ("0440", "SASL Channel-Binding Type Capability", Whole),
    ("0441", "Message Archive Management Preferences", Whole),
    ("0444", "Message Reactions", Passed),
    ("0445", "Pre-Authenticated In-Band Registration", Whole),
    ("0447", "Stateless file sharing", Passed),
    ("0449", "Stickers", Whole),
    ("0461", "Message Replies", Passed),
    ("0467", "XMPP over QUIC", Whole),
    ("0469", "Bookmark Pinning", Whole),
    ("0474", "SASL SCRAM Downgrade Protection", Whole),
    ("0478", "Stream Limits Advertisement", Whole),
    ("0484", "Fast Authentication Streamlining Tokens", Whole),
    ("0486", "MUC Avatars", Whole),
    ("0490", "Message Displayed Synchronization", Whole),
    ("0492", "Chat notification settings", Whole),
    ("0500", "MUC Slow Mode", Whole),
];

/// XEPs that live outside of the modules: number, file under `crates/`, words that this file must have.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("0082", "liao-proto/src/xep/delay.rs", "XEP-0082"),
    (
        "0114",
        "liao-server/src/services/components/mod.rs",
        "XEP-0114",
    ),
    ("0124", "liao-proto/src/xep/bosh.rs", "XEP-0124"),
    ("0156", "liao-server/src/http/host_meta.rs", "XEP-0156"),
    ("0198", "liao-server/src/acks.rs", "XEP-0198"),
    ("0206", "liao-server/src/http/bosh.rs", "XEP-0206"),
    ("0363", "liao-server/src/services/upload.rs", "XEP-0363"),
    ("0368", "liao-server/src/listener.rs", "xmpp-client"),
    ("0386", "liao-server/src/c2s/bind.rs", "XEP-0386"),
    ("0388", "liao-server/src/c2s/sasl2.rs", "XEP-0388"),
    ("0440", "liao-server/src/c2s/features.rs", "XEP-0440"),
];

/// RFCs: number, title, state, file under `crates/`, words that this file must have.
#[rustfmt::skip]
const RFCS: &[(&str, &str, &str, &str, &str)] = &[
    ("4013", "SASLprep", "yes", "liao-proto/src/sasl/scram.rs", "RFC 4013"),
    ("4616", "SASL PLAIN", "yes, under TLS only", "liao-proto/src/sasl/server.rs", "RFC 4616"),
    ("5802", "SCRAM-SHA-1", "yes, and -PLUS", "liao-proto/src/sasl/scram.rs", "RFC 5802"),
    ("5929", "Channel Bindings for TLS", "tls-server-end-point, not through a WebSocket", "liao-net/src/binding.rs", "RFC 5929"),
    ("6120", "XMPP: Core", "in part: client to server; servers do not talk to each other yet", "liao-server/src/c2s/mod.rs", "RFC 6120"),
    ("6121", "XMPP: Instant Messaging and Presence", "in part: servers do not talk to each other yet", "liao-server/src/modules/subscription.rs", "RFC 6121"),
    ("7301", "TLS ALPN", "yes", "liao-net/src/tls.rs", "RFC 7301"),
    ("7395", "XMPP over WebSocket", "yes", "liao-server/src/http/websocket.rs", "RFC 7395"),
    ("7590", "Use of TLS in XMPP", "yes", "liao-net/src/tls.rs", "RFC 7590"),
    ("7677", "SCRAM-SHA-256", "yes, and -PLUS", "liao-proto/src/sasl/scram.rs", "RFC 7677"),
    ("9266", "Channel Bindings for TLS 1.3", "yes; not through a WebSocket", "liao-net/src/binding.rs", "RFC 9266"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files that implement a XEP.
fn places(number: &str) -> Vec<String> {
    let modules = ALL
        .iter()
        .map(|m| m.spec())
        .filter(|s| s.xeps.contains(&number))
        .map(|s| format!("liao-server/src/modules/{}.rs", s.name));
    let others = ELSEWHERE.iter().filter(|(n, ..)| *n == number);
    modules
        .chain(others.map(|(_, file, _)| (*file).to_owned()))
        .collect()
}

fn render() -> String {
    let mut out = String::from(
        "# What liao speaks\n\n\
         Written by `LIAO_BLESS=1 cargo test -p liao --test xeps` from what the server's modules declare. \
         Files are under `crates/`.\n\n\
         *yes*: all that a server has to do. *in part*: what is named. *passed on*: it travels between clients, and \
         the server needs nothing for it. *coming*: not built yet.\n\n\
         ## RFCs\n\n| RFC | title | state | where |\n| --- | --- | --- | --- |\n",
    );
    for (number, title, state, file, _) in RFCS {
        writeln!(out, "| {number} | {title} | {state} | `{file}` |").unwrap();
    }
    out.push_str("\n## XEPs\n\n| XEP | title | state | where |\n| --- | --- | --- | --- |\n");
    for (number, title, known) in XEPS {
        let places = places(number);
        let state = match known {
            Passed => "passed on".to_owned(),
            _ if places.is_empty() => "coming".to_owned(),
            Whole => "yes".to_owned(),
            Partly(what) => format!("in part: {what}"),
        };
        let places: Vec<String> = places.iter().map(|p| format!("`{p}`")).collect();
        let places = places.join(", ");
        writeln!(out, "| {number} | {title} | {state} | {places} |").unwrap();
    }
    out.push_str("\n## The server's modules\n\nIn the order of their priority.\n\n");
    out.push_str("| module | what it does | XEPs |\n| --- | --- | --- |\n");
    for spec in ALL.iter().map(|m| m.spec()) {
        let xeps = spec.xeps.join(", ");
        writeln!(out, "| {} | {} | {xeps} |", spec.name, spec.doc).unwrap();
    }
    out
}

#[test]
fn the_list_of_xeps_is_what_the_modules_declare() {
    let path = root().join("XEPS.md");
    let wanted = render();
    if std::env::var_os("LIAO_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "XEPS.md is not what the modules declare: run LIAO_BLESS=1 cargo test -p liao --test xeps"
    );
}

#[test]
fn every_declared_xep_has_a_title_and_a_file() {
    for spec in ALL.iter().map(|m| m.spec()) {
        let file = root().join(format!("crates/liao-server/src/modules/{}.rs", spec.name));
        let folder = file.with_extension("").join("mod.rs");
        assert!(
            file.exists() || folder.exists(),
            "module {:?} is not named like its file",
            spec.name
        );
        for number in spec.xeps {
            let known = XEPS.iter().find(|(n, ..)| n == number);
            let known = known.map(|(.., k)| *k);
            assert!(
                known.is_some(),
                "{number} has no row in the table of this test"
            );
            assert_ne!(known, Some(Passed), "{number} is no longer only passed on");
        }
    }
    assert!(XEPS.is_sorted_by_key(|(n, ..)| *n), "the table is in order");
    let files = ELSEWHERE.iter().map(|(_, f, w)| (f, w));
    for (file, words) in files.chain(RFCS.iter().map(|(_, _, _, f, w)| (f, w))) {
        let text = std::fs::read_to_string(root().join("crates").join(file)).unwrap_or_default();
        assert!(text.contains(words), "{file} does not mention {words}");
    }
}
