//! Which rows of RFC 6120, RFC 6121 and the XEPs (`xep_errors`) have a test. A row is covered by a comment of a talk (or a line of documentation of
//! a Rust test) that begins with its section and its words, if something is received or seen after it. What cannot be met
//! is listed with its reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod xep_errors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use xep_errors::{ROWS, Shown};

/// RFC 6121 section 8, by address, by who is there, by type; the rows of table 1 (8.5.4) are among them.
#[rustfmt::skip]
const DELIVERY: &[&str] = &[
    "8.2 message without to", "8.2 presence without to", "8.2 IQ without to",
    "8.3 another domain",
    "8.4 message to the server", "8.4 presence to the server", "8.4 IQ to the server", "8.4 the server with a resource",
    "8.5.1 message to nobody", "8.5.1 groupchat to nobody", "8.5.1 headline and error to nobody",
    "8.5.1 IQ to nobody", "8.5.1 presence to nobody", "8.5.1 probe to nobody",
    "8.5.2.1.1 only connected",
    "8.5.2.1.1 normal, chat, only negative", "8.5.2.1.1 groupchat, only negative",
    "8.5.2.1.1 headline, error, only negative",
    "8.5.2.1.1 normal, chat, one non-negative", "8.5.2.1.1 groupchat, one non-negative",
    "8.5.2.1.1 headline, one non-negative", "8.5.2.1.1 error, one non-negative",
    "8.5.2.1.1 normal, chat, several", "8.5.2.1.1 groupchat, several",
    "8.5.2.1.1 headline, several", "8.5.2.1.1 error, several",
    "8.5.2.1.2 availability", "8.5.2.1.2 subscription", "8.5.2.1.2 probe",
    "8.5.2.1.3 IQ",
    "8.5.2.2.1 normal, chat, nobody there", "8.5.2.2.1 groupchat, nobody there",
    "8.5.2.2.1 headline, error, nobody there",
    "8.5.2.2.2 availability, nobody there", "8.5.2.2.2 subscription, nobody there", "8.5.2.2.2 probe, nobody there",
    "8.5.2.2.3 IQ, nobody there",
    "8.5.3.1 message, resource matches", "8.5.3.1 message, negative resource matches",
    "8.5.3.1 presence, resource matches", "8.5.3.1 message and presence, only connected",
    "8.5.3.1 IQ request from a stranger, resource matches", "8.5.3.1 IQ request from a subscriber, resource matches",
    "8.5.3.1 IQ request with directed presence, resource matches", "8.5.3.1 IQ answer, resource matches",
    "8.5.3.1 subscription, resource matches", "8.5.3.1 probe, resource matches",
    "8.5.3.2.1 normal, groupchat, no match", "8.5.3.2.1 headline, error, no match",
    "8.5.3.2.1 chat, no match, nobody there", "8.5.3.2.1 chat, no match, only negative",
    "8.5.3.2.1 chat, no match, one non-negative", "8.5.3.2.1 chat, no match, several",
    "8.5.3.2.2 availability, no match", "8.5.3.2.2 subscribe, no match",
    "8.5.3.2.2 subscribed, unsubscribe, unsubscribed, no match", "8.5.3.2.2 probe, no match",
    "8.5.3.2.3 IQ, no match",
];

/// RFC 6121 appendix A: its own test goes through every row.
const APPENDIX_A: &[&str] = &["fn rfc_6121_appendix_a_every_row_of_every_table"];

/// RFC 6120 section 4.9.3: a row, or why this server cannot have it.
#[rustfmt::skip]
const STREAM_ERRORS: &[(&str, Option<&str>)] = &[
    ("4.9.3.1 bad-format", None),
    ("4.9.3.2 bad-namespace-prefix", None),
    ("4.9.3.3 conflict", None),
    ("4.9.3.4 connection-timeout", None),
    ("4.9.3.5 host-gone", Some("it has had one domain since its first account")),
    ("4.9.3.6 host-unknown", None),
    ("4.9.3.7 improper-addressing", None),
    ("4.9.3.8 internal-server-error", None),
    ("4.9.3.9 invalid-from", None),
    ("4.9.3.10 invalid-namespace", None),
    ("4.9.3.11 invalid-xml", Some("it does not validate (section 11.4); an IQ of no known type gets bad-request")),
    ("4.9.3.12 not-authorized", None),
    ("4.9.3.13 not-well-formed", None),
    ("4.9.3.14 policy-violation", None),
    ("4.9.3.15 remote-connection-failed", Some("no login depends on another server")),
    ("4.9.3.16 reset", Some("new certificates hold for new streams; else only if a session ends between being found and being resumed")),
    ("4.9.3.17 resource-constraint", None),
    ("4.9.3.18 restricted-xml", None),
    ("4.9.3.19 see-other-host", Some("it is one server")),
    ("4.9.3.20 system-shutdown", None),
    ("4.9.3.21 undefined-condition", None),
    ("4.9.3.22 unsupported-encoding", None),
    ("4.9.3.23 unsupported-feature", Some("a client says it; the server cannot know what a client lacks")),
    ("4.9.3.24 unsupported-stanza-type", None),
    ("4.9.3.25 unsupported-version", None),
];

/// RFC 6120 section 6.5.
#[rustfmt::skip]
const LOGIN_ERRORS: &[(&str, Option<&str>)] = &[
    ("6.5.1 aborted", None),
    ("6.5.2 account-disabled", None),
    ("6.5.3 credentials-expired", Some("passwords do not expire")),
    ("6.5.4 encryption-required", None),
    ("6.5.5 incorrect-encoding", None),
    ("6.5.6 invalid-authzid", None),
    ("6.5.7 invalid-mechanism", None),
    ("6.5.8 malformed-request", None),
    ("6.5.9 mechanism-too-weak", Some("what is too weak is not offered: invalid-mechanism")),
    ("6.5.10 not-authorized", None),
    ("6.5.11 temporary-auth-failure", None),
];

/// RFC 6120 section 8.3.3.
#[rustfmt::skip]
const STANZA_ERRORS: &[(&str, Option<&str>)] = &[
    ("8.3.3.1 bad-request", None),
    ("8.3.3.2 conflict", None),
    ("8.3.3.3 feature-not-implemented", None),
    ("8.3.3.4 forbidden", None),
    ("8.3.3.5 gone", Some("accounts do not move")),
    ("8.3.3.6 internal-server-error", None),
    ("8.3.3.7 item-not-found", None),
    ("8.3.3.8 jid-malformed", None),
    ("8.3.3.9 not-acceptable", None),
    ("8.3.3.10 not-allowed", None),
    ("8.3.3.11 not-authorized", Some("who is not logged in has no stanzas; the stream ends with not-authorized")),
    ("8.3.3.12 policy-violation", Some("what a rule of the administrator forbids is not-allowed, too much is resource-constraint, too large ends the stream")),
    ("8.3.3.13 recipient-unavailable", Some("whoever is not there is service-unavailable, also to friends (RFC 6121 section 8.5)")),
    ("8.3.3.14 redirect", Some("accounts do not move")),
    ("8.3.3.15 registration-required", None),
    ("8.3.3.16 remote-server-not-found", None),
    ("8.3.3.17 remote-server-timeout", None),
    ("8.3.3.18 resource-constraint", None),
    ("8.3.3.19 service-unavailable", None),
    ("8.3.3.20 subscription-required", Some("no service here has subscribers yet")),
    ("8.3.3.21 undefined-condition", Some("every error here has a name")),
    ("8.3.3.22 unexpected-request", None),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, out);
        } else if path.extension().is_some_and(|e| e == ending) {
            out.push(path);
        }
    }
}

/// A talk's comments, those that stand together as one, with what is received, seen or refused before the next ones.
fn passages(talk: &str) -> Vec<(Vec<&str>, String)> {
    let mut out: Vec<(Vec<&str>, String)> = vec![Default::default()];
    let (mut spoken, mut shows) = (false, false);
    for line in talk.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            if std::mem::take(&mut spoken) {
                out.push(Default::default());
            }
            out.last_mut().unwrap().0.push(words);
            continue;
        }
        if !line.starts_with(' ') {
            spoken = true;
            let all = [" receives", " sees ", " is refused with "];
            shows = all.iter().any(|s| line.contains(s));
        }
        if shows {
            out.last_mut().unwrap().1 += &format!("{line}\n");
        }
    }
    out
}

/// The comments after which something is shown.
fn covered(talk: &str) -> Vec<&str> {
    let all = passages(talk).into_iter();
    all.filter(|(_, shown)| !shown.is_empty())
        .flat_map(|(comments, _)| comments)
        .collect()
}

/// The lines that cover: those of the talks, and the documentation and names of Rust tests.
fn lines() -> Vec<String> {
    let (mut talks, mut sources) = (Vec::new(), Vec::new());
    files(&root().join("tests/talks"), "talk", &mut talks);
    files(&root().join("crates"), "rs", &mut sources);
    let mut out = Vec::new();
    for talk in talks {
        let text = std::fs::read_to_string(talk).unwrap();
        out.extend(covered(&text).into_iter().map(str::to_owned));
    }
    for source in sources.iter().filter(|s| !s.ends_with("sections.rs")) {
        let text = std::fs::read_to_string(source).unwrap();
        let mut docs = Vec::new();
        for line in text.lines().map(str::trim) {
            let name = line.trim_start_matches("async ");
            match line.strip_prefix("/// ") {
                Some(words) => docs.push(words.to_owned()),
                None if line.contains("test]") => out.append(&mut docs),
                None if name.starts_with("fn ") => out.push(name.to_owned()),
                None => docs.clear(),
            }
        }
    }
    out
}

/// Whether a line is about a row: it begins with it, and does not go on to another one's words.
fn begins(line: &str, row: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | ',');
    line.strip_prefix(row)
        .is_some_and(|rest| !rest.starts_with(goes_on))
}

/// The rows that no line begins with.
fn missing<'a>(rows: impl IntoIterator<Item = &'a str>, lines: &[String]) -> Vec<&'a str> {
    let mut rows = rows.into_iter().collect::<Vec<_>>();
    rows.retain(|row| !lines.iter().any(|l| begins(l, row)));
    rows
}

/// Whether a text has a word that is not a part of another one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// The condition of an XEP's row: `XEP-0030 7 forbidden, words`.
fn condition(row: &str) -> &str {
    row.split([' ', ',']).nth(2).unwrap()
}

/// Whether a talk has the row and receives its condition.
fn talk_shows(talk: &str, row: &str) -> bool {
    passages(talk).iter().any(|(comments, shown)| {
        comments.iter().any(|c| begins(c, row)) && has_word(shown, condition(row))
    })
}

/// The bodies of all Rust tests, by name.
fn tests() -> BTreeMap<String, String> {
    let mut sources = Vec::new();
    files(&root().join("crates"), "rs", &mut sources);
    let mut out = BTreeMap::new();
    for source in sources {
        let text = std::fs::read_to_string(source).unwrap();
        for test in text.split("test]").skip(1) {
            if let Some((_, rest)) = test.split_once("fn ")
                && let Some((name, body)) = rest.split_once('(')
            {
                out.insert(name.to_owned(), body.to_owned());
            }
        }
    }
    out
}

#[test]
fn every_row_of_rfc_6121_section_8_and_appendix_a_has_a_test() {
    let rows = DELIVERY.iter().chain(APPENDIX_A).copied();
    let missing = missing(rows, &lines());
    assert!(missing.is_empty(), "no test has:\n{}", missing.join("\n"));
}

#[test]
fn every_error_of_rfc_6120_has_a_test_or_a_reason() {
    let all = STREAM_ERRORS
        .iter()
        .chain(LOGIN_ERRORS)
        .chain(STANZA_ERRORS);
    let rows = all.clone().filter(|(_, why)| why.is_none());
    let lines = lines();
    let missing = missing(rows.map(|(row, _)| *row), &lines);
    assert!(missing.is_empty(), "no test has:\n{}", missing.join("\n"));
    // A reason that is not true any more.
    let excused = all.filter(|(_, why)| why.is_some());
    for (row, _) in excused {
        assert!(
            !lines.iter().any(|l| l.starts_with(row)),
            "{row} has a test, so it needs no reason"
        );
    }
}

#[test]
fn every_error_of_the_xeps_has_a_test_or_a_reason() {
    let tests = tests();
    let lines = lines();
    let talk = |name: &str| {
        let path = root().join(format!("tests/talks/{name}.talk"));
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let mut wrong = Vec::new();
    for (row, shown) in ROWS {
        match shown {
            Shown::In(name) if !talk_shows(&talk(name), row) => {
                wrong.push(format!("{row}: {name}.talk does not show it"));
            }
            Shown::By(name)
                if !tests
                    .get(*name)
                    .is_some_and(|t| has_word(t, condition(row))) =>
            {
                wrong.push(format!("{row}: no test {name} that names it"));
            }
            Shown::Not(why) if why.is_empty() || lines.iter().any(|l| begins(l, row)) => {
                wrong.push(format!("{row}: it has a test, or no reason"));
            }
            _ => {}
        }
    }
    // What a talk calls a row is one.
    for line in lines.iter().filter(|l| l.starts_with("XEP-")) {
        let mut words = line.split([' ', ',', ':']);
        let section = words.nth(1).unwrap_or_default();
        let is_row = section.starts_with(|c: char| c.is_ascii_digit());
        if is_row && !ROWS.iter().any(|(row, _)| begins(line, row)) {
            wrong.push(format!("{line}: no such row"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_row_is_listed_twice_and_what_shows_nothing_covers_nothing() {
    let errors = STREAM_ERRORS
        .iter()
        .chain(LOGIN_ERRORS)
        .chain(STANZA_ERRORS);
    let all: Vec<&str> = errors
        .map(|(row, _)| *row)
        .chain(DELIVERY.iter().copied())
        .chain(ROWS.iter().map(|(row, _)| *row))
        .collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    let talk = "# 1 a: words\nA sends:\n  <x/>\n# 2 b\n# 3 c\nA receives:\n  <y/>\n# 4 d\nA receives nothing more\n# 5 e\n";
    let lines: Vec<String> = covered(talk).into_iter().map(str::to_owned).collect();
    assert_eq!(
        missing(["1 a", "2 b", "3 c", "4 d", "4", "5 e"], &lines),
        ["1 a", "5 e"]
    );
    assert_eq!(
        missing(["3", "1"], &["3 c-d".into(), "1.2 x".into()]),
        ["1"]
    );
    let talk = "# XEP-1 2 gone: x\nA sends:\n  <not-allowed/>\nA receives:\n  <gone/>\n# XEP-1 3 gone\nA receives:\n  <is-gone/>\n";
    assert!(talk_shows(talk, "XEP-1 2 gone"));
    for wrong in ["XEP-1 2 not-allowed", "XEP-1 3 gone", "XEP-1 4 gone"] {
        assert!(!talk_shows(talk, wrong), "{wrong}");
    }
}
