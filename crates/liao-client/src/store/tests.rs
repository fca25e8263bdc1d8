//! The client's store: what outlives the program, what is kept once, what older files become.

use super::*;
use crate::backend::{Message, State};

const ME: &str = "a@x";
const BOB: &str = "b@x";

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("liao-client-store-{}", crate::random_id());
        Folder(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(outgoing: bool, id: &str) -> Message {
    Message {
        peer: BOB.into(),
        outgoing,
        id: id.into(),
        text: format!("words {id} 汉字"),
        time_ms: 1,
        delayed: false,
        ..Message::default()
    }
}

fn coming(id: &str, archive_id: Option<&str>) -> Arriving {
    Arriving {
        message: said(false, id),
        archive_id: archive_id.map(str::to_owned),
        origin: Some(id.into()),
        markable: false,
        live: true,
    }
}

fn ids(store: &Store) -> Vec<String> {
    let (messages, _) = store.history(ME, ME, BOB, None, 100).unwrap();
    messages.into_iter().map(|k| k.message.id).collect()
}

#[test]
fn the_outbox_outlives_the_program_and_states_only_go_forward() {
    let folder = Folder::new();
    let store = Store::open(&folder.0).unwrap();
    store.queue(ME, &said(true, "1")).unwrap();
    store.queue(ME, &said(true, "1")).unwrap();
    store.queue(ME, &said(true, "2")).unwrap();
    drop(store);
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(
        store.unsent(ME).unwrap(),
        [said(true, "1"), said(true, "2")]
    );
    assert!(store.unsent("other@x").unwrap().is_empty());
    let advance = |peer, id, state: &State| store.advance(ME, peer, id, state).unwrap();
    let failed = State::Failed { why: "no".into() };
    assert!(
        !advance(Some("mallory@x"), "1", &State::Delivered),
        "it was not said to them"
    );
    assert!(advance(Some(BOB), "1", &State::Delivered));
    assert!(!advance(None, "1", &State::Sent));
    assert!(
        !advance(Some(BOB), "1", &failed),
        "what arrived is not refused"
    );
    assert_eq!(store.unsent(ME).unwrap(), [said(true, "2")]);
    assert!(advance(None, "2", &State::Sent));
    assert!(store.displayed(ME, "mallory@x", "2").unwrap().is_empty());
    assert!(store.displayed(ME, BOB, "unknown").unwrap().is_empty());
    assert_eq!(store.displayed(ME, BOB, "2").unwrap(), ["1", "2"]);
    assert!(store.displayed(ME, BOB, "2").unwrap().is_empty());
    store.book("Tom", "127.0.0.1:1").unwrap();
    store.book("tom", "127.0.0.1:2").unwrap();
    assert_eq!(
        store.addresses().unwrap(),
        [("Tom".to_owned(), "127.0.0.1:2".to_owned())]
    );
}

#[test]
fn a_message_is_kept_once_however_often_and_whichever_way_it_comes() {
    let store = Store::memory();
    let arrive = |new: &Arriving| store.arrive(ME, new, None).unwrap();
    let again = Arrival::Known {
        first_live: false,
        sent: false,
    };
    assert_eq!(arrive(&coming("1", Some("s1"))), Arrival::New);
    assert_eq!(arrive(&coming("1", Some("s1"))), again);
    assert_eq!(arrive(&coming("1", None)), again, "the sender's id");
    assert_eq!(arrive(&coming("1", Some("s2"))), again, "archived twice");
    let mut other = coming("1", Some("s3"));
    other.message.text = "other words".into();
    assert_eq!(arrive(&other), Arrival::New, "an id that was given twice");
    let mut copy = coming("2", Some("s4"));
    copy.live = false;
    assert_eq!(arrive(&copy), Arrival::New);
    let first_live = Arrival::Known {
        first_live: true,
        sent: false,
    };
    assert_eq!(arrive(&coming("2", Some("s4"))), first_live);
    assert_eq!(arrive(&coming("2", Some("s4"))), again);
    let mut bare = coming("3", None);
    bare.origin = None;
    assert_eq!(arrive(&bare), Arrival::New);
    assert_eq!(
        arrive(&bare),
        Arrival::New,
        "without ids nothing says that it is the same"
    );
    store.queue(ME, &said(true, "4")).unwrap();
    let mine = Arriving {
        message: said(true, "4"),
        live: false,
        ..coming("4", Some("s5"))
    };
    let sent = Arrival::Known {
        first_live: false,
        sent: true,
    };
    assert_eq!(arrive(&mine), sent, "the server has it");
    assert!(store.unsent(ME).unwrap().is_empty());
    assert_eq!(ids(&store), ["1", "1", "2", "3", "3", "4"]);
}

#[test]
fn what_was_seen_is_told_once_and_only_where_it_was_asked_for() {
    let store = Store::memory();
    store.saw(ME, BOB).unwrap();
    let mut asks = coming("1", None);
    asks.markable = true;
    store.arrive(ME, &asks, None).unwrap();
    store.arrive(ME, &coming("2", None), None).unwrap();
    assert!(store.untold(ME).unwrap().is_empty());
    store.saw(ME, BOB).unwrap();
    let bob = (BOB.to_owned(), "1".to_owned());
    assert_eq!(store.untold(ME).unwrap(), [bob]);
    store.told(ME, BOB, "1").unwrap();
    store.saw(ME, BOB).unwrap();
    assert!(store.untold(ME).unwrap().is_empty());
}

#[test]
fn an_older_file_is_brought_forward_after_a_copy_and_keeps_all_it_had() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("client.sqlite3");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(VERSIONS[0]).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    for (id, outgoing, state) in [("1", 0, 1), ("2", 1, 2), ("3", 1, 0), ("4", 0, 1)] {
        old.execute(
            "INSERT INTO message (account, peer, outgoing, id, stanza_id, body, time_ms, delayed, state)
             VALUES (?1, ?2, ?3, ?4, NULL, ?5, 1, 0, ?6)",
            rusqlite::params![ME, BOB, outgoing, id, format!("words {id} 汉字"), state],
        )
        .unwrap();
    }
    drop(old);
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(ids(&store), ["1", "2", "3", "4"]);
    assert_eq!(store.unsent(ME).unwrap(), [said(true, "3")]);
    let copy = folder.0.join("client.sqlite3.before-4");
    assert!(copy.exists(), "a copy of the old file");
    // What turns up between two old messages finds room; what was not said yet stands behind it.
    let found = |id: &str, outgoing| Arriving {
        message: said(outgoing, id),
        live: false,
        ..coming(id, Some(&format!("s{id}")))
    };
    let items = [
        found("1", false),
        found("2", true),
        found("new", false),
        found("4", false),
    ];
    let page = ArchivePage {
        items: &items,
        after: Err(store.make_a_hole(ME).unwrap()),
        loose: false,
        end: Some(("s4", 1)),
        hole: None,
    };
    store.archived(ME, ME, &page).unwrap();
    assert_eq!(ids(&store), ["1", "2", "new", "4", "3"]);
    store
        .lock()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(store);
    assert!(matches!(
        Store::open(&folder.0),
        Err(StoreError::Newer { found: 99, .. })
    ));
}

#[test]
fn places_between_two_messages_never_run_out() {
    let store = Store::memory();
    store
        .arrive(ME, &coming("first", Some("s1")), None)
        .unwrap();
    store.arrive(ME, &coming("last", Some("s2")), None).unwrap();
    let mut expected = vec!["first".to_owned()];
    let after = store.history(ME, ME, BOB, None, 9).unwrap().0[0].n;
    for i in 0..60 {
        // Always right after the first: the room is halved each time.
        let new = Arriving {
            live: false,
            ..coming(&i.to_string(), Some(&format!("t{i}")))
        };
        let page = ArchivePage {
            items: &[new],
            after: Ok(after),
            loose: false,
            end: None,
            hole: None,
        };
        store.archived(ME, ME, &page).unwrap();
        expected.insert(1, i.to_string());
    }
    expected.push("last".into());
    assert_eq!(ids(&store), expected);
}
