//! What the store promises, against a real file.

use super::*;
use std::sync::atomic::AtomicU32;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Folder(std::env::temp_dir().join(format!("liao-store-{}-{n}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn message(from: &str, to: &str, n: u32) -> Op {
    Op::Archive(NewMessage {
        from_owner: Some(from.into()),
        to_owner: Some(to.into()),
        from_peer: to.into(),
        to_peer: from.into(),
        time_ms: i64::from(n),
        dedup: None,
        stanza: format!("<message>{n}</message>").into(),
    })
}

#[tokio::test]
async fn values_are_put_read_deleted_and_survive() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    let put = |key: &str, value: &str| Op::Put {
        collection: "c",
        owner: "a@x".into(),
        key: key.into(),
        value: value.into(),
    };
    store
        .committed(vec![put("1", "one"), put("2", "two"), put("1", "uno")])
        .await
        .unwrap();
    store
        .committed(vec![Op::Delete {
            collection: "c",
            owner: "a@x".into(),
            key: "2".into(),
        }])
        .await
        .unwrap();
    store.close();
    drop(store);
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    assert_eq!(store.get("c", "a@x", "1").await.unwrap().unwrap(), b"uno");
    assert_eq!(store.load("a@x", &["c"]).await.unwrap().len(), 1);
    store
        .committed(vec![Op::DeleteOwner {
            owner: "a@x".into(),
        }])
        .await
        .unwrap();
    assert!(store.list("c").await.unwrap().is_empty());
    assert!(matches!(
        Store::open(&folder.0, Sync::Full),
        Err(StoreError::InUse(_))
    ));
}

#[tokio::test]
async fn archives_agree_with_a_model_through_flushes_and_reopening() {
    let folder = Folder::new();
    let mut store = Store::open(&folder.0, Sync::Off).unwrap();
    let people = ["a@x", "b@x", "c@x"];
    let mut model: std::collections::HashMap<&str, Vec<(u32, bool)>> =
        std::collections::HashMap::new();
    let mut state = 7u64;
    let mut random = |n: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    for n in 0..12_000u32 {
        let (from, to) = (random(3) as usize, random(3) as usize);
        if from == to {
            continue;
        }
        let stored = store
            .committed(vec![message(people[from], people[to], n)])
            .await
            .unwrap()
            .seqs[0];
        for (person, seq, incoming) in [(from, stored.from_seq, false), (to, stored.to_seq, true)] {
            let list = model.entry(people[person]).or_default();
            list.push((n, incoming));
            assert_eq!(seq, Some(list.len() as u64), "numbers are dense");
        }
        if n % 4_000 == 3_999 {
            // Without close: the index in memory is lost and made again.
            store.close();
            drop(store);
            store = Store::open(&folder.0, Sync::Off).unwrap();
        }
    }
    for person in people {
        let list = &model[person];
        assert_eq!(store.last_seq(person).await.unwrap(), list.len() as u64);
        for _ in 0..50 {
            let after = random(list.len() as u64 + 1);
            let limit = 1 + random(40) as usize;
            let incoming_only = random(2) == 0;
            let query = PageQuery {
                after: Some(after),
                limit,
                incoming_only,
                ..PageQuery::default()
            };
            let page = store.page(person, query).await.unwrap();
            let wanted: Vec<_> = list
                .iter()
                .enumerate()
                .skip(after as usize)
                .filter(|(_, (_, i))| *i || !incoming_only)
                .take(limit)
                .map(|(at, (n, _))| {
                    (
                        at as u64 + 1,
                        format!("<message>{n}</message>").into_bytes(),
                    )
                })
                .collect();
            let got: Vec<_> = page.iter().map(|a| (a.seq, a.stanza.to_vec())).collect();
            assert_eq!(got, wanted);
        }
        let newest = store
            .page(
                person,
                PageQuery {
                    limit: 3,
                    backwards: true,
                    ..PageQuery::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(newest.last().unwrap().seq, list.len() as u64);
    }
    store
        .committed(vec![Op::DeleteOwner {
            owner: "a@x".into(),
        }])
        .await
        .unwrap();
    assert!(
        store
            .page(
                "a@x",
                PageQuery {
                    limit: 9,
                    ..PageQuery::default()
                }
            )
            .await
            .unwrap()
            .is_empty()
    );
    let next = store
        .committed(vec![message("a@x", "b@x", 1)])
        .await
        .unwrap()
        .seqs[0];
    assert_eq!(
        next.from_seq,
        Some(model["a@x"].len() as u64 + 1),
        "numbers are not used again"
    );
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    let waits: Vec<_> = (0..2_000)
        .map(|n| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let then: Then = Box::new(move |r| drop(sender.send(r)));
            assert!(
                store
                    .commit(Commit {
                        ops: vec![message("a@x", "b@x", n)],
                        then
                    })
                    .is_ok()
            );
            receiver
        })
        .collect();
    for (n, wait) in waits.into_iter().enumerate() {
        assert_eq!(
            wait.await.unwrap().unwrap().seqs[0].to_seq,
            Some(n as u64 + 1)
        );
    }
    let transactions = store.stats().transactions.load(Ordering::Relaxed);
    assert!(
        transactions < 400,
        "{transactions} transactions for 2000 commits"
    );
}

#[tokio::test]
async fn a_message_sent_again_is_known_also_after_reopening() {
    let folder = Folder::new();
    let again = || match message("a@x", "b@x", 5) {
        Op::Archive(m) => Op::Archive(NewMessage {
            dedup: Some([9; 16]),
            time_ms: crate::server::now_ms(),
            ..m
        }),
        other => other,
    };
    for round in 0..3 {
        let store = Store::open(&folder.0, Sync::Full).unwrap();
        let both = store.committed(vec![again(), again()]).await.unwrap();
        assert_eq!(
            both.seqs.iter().filter(|s| s.duplicate).count(),
            if round == 0 { 1 } else { 2 }
        );
        store.close();
    }
}

#[tokio::test]
async fn a_newer_file_is_refused_and_an_older_one_is_backed_up() {
    let folder = Folder::new();
    drop(Store::open(&folder.0, Sync::Full).unwrap());
    let path = folder.0.join("liao.sqlite3");
    let connection = Connection::open(&path).unwrap();
    connection
        .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
        .unwrap();
    drop(connection);
    assert!(matches!(
        Store::open(&folder.0, Sync::Full),
        Err(StoreError::Newer { .. })
    ));
}
