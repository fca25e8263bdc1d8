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
        kept: false,
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
            .seqs
            .remove(0);
        for (person, place, incoming) in [(from, stored.from, false), (to, stored.to, true)] {
            let seq = place.map(|p| p.seq);
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
            let undelivered = random(2) == 0;
            let query = PageQuery {
                after: vec![At::Seq(after)],
                limit,
                undelivered,
                limit_bytes: usize::MAX,
                ..PageQuery::default()
            };
            let page = store.page(person, query).await.unwrap();
            let wanted: Vec<_> = list
                .iter()
                .enumerate()
                .skip(after as usize)
                .filter(|(_, (_, i))| *i || !undelivered)
                .take(limit)
                .map(|(at, (n, _))| {
                    (
                        at as u64 + 1,
                        format!("<message>{n}</message>").into_bytes(),
                    )
                })
                .collect();
            let got: Vec<_> = page
                .rows
                .iter()
                .map(|a| (a.seq, a.stanza.to_vec()))
                .collect();
            assert_eq!(got, wanted);
        }
        let newest = store
            .page(
                person,
                PageQuery {
                    limit: 3,
                    limit_bytes: usize::MAX,
                    backwards: true,
                    ..PageQuery::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(newest.rows.last().unwrap().seq, list.len() as u64);
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
            .rows
            .is_empty()
    );
    let next = store
        .committed(vec![message("a@x", "b@x", 1)])
        .await
        .unwrap()
        .seqs
        .remove(0);
    assert_eq!(
        next.from.map(|p| p.seq),
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
                        marks: Vec::new(),
                        then
                    })
                    .is_ok()
            );
            receiver
        })
        .collect();
    for (n, wait) in waits.into_iter().enumerate() {
        assert_eq!(
            wait.await.unwrap().unwrap().seqs[0]
                .to
                .as_ref()
                .map(|p| p.seq),
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

fn all(undelivered: bool) -> PageQuery {
    PageQuery {
        undelivered,
        limit: 10_000,
        limit_bytes: usize::MAX,
        ..PageQuery::default()
    }
}

/// Waits until nothing is left to be purged.
async fn purged(folder: &Folder) {
    for _ in 0..400 {
        let connection = schema::connect_to_read(&folder.0.join(FILE)).unwrap();
        let sql = "SELECT COUNT(*) FROM owner_head WHERE purged < seq";
        if connection
            .query_row(sql, [], |r| r.get::<_, i64>(0))
            .unwrap()
            == 0
        {
            return;
        }
        drop(connection);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("not purged");
}

#[tokio::test]
async fn what_is_erased_is_hidden_at_once_and_then_gone_from_the_file() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    let secret = |from: &str, to: &str, n: u32| match message(from, to, n) {
        Op::Archive(m) => Op::Archive(NewMessage {
            stanza: format!("<message>unspeakable {n}</message>").into(),
            ..m
        }),
        other => other,
    };
    for n in 0..600 {
        store
            .committed(vec![secret("a@x", "b@x", n)])
            .await
            .unwrap();
    }
    let erase = |owner: &str| Op::DeleteOwner {
        owner: owner.into(),
    };
    store.committed(vec![erase("a@x")]).await.unwrap();
    assert!(store.page("a@x", all(false)).await.unwrap().rows.is_empty());
    assert!(store.span("a@x").await.unwrap().is_none());
    purged(&folder).await;
    let b = store.page("b@x", all(false)).await.unwrap();
    assert_eq!(b.rows.len(), 600, "the other side keeps its own");
    store.committed(vec![erase("b@x")]).await.unwrap();
    purged(&folder).await;
    store.close();
    for file in std::fs::read_dir(&folder.0).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let there = bytes.windows(11).any(|w| w == b"unspeakable");
        assert!(!there, "{} still holds it", path.display());
    }
}

#[tokio::test]
async fn retention_takes_the_oldest_and_leaves_no_hole() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, Sync::Off).unwrap();
    for n in 1..=700 {
        store
            .committed(vec![message("a@x", "b@x", n)])
            .await
            .unwrap();
    }
    store.close();
    drop(store);
    let store = Store::open(&folder.0, Sync::Off).unwrap();
    assert_eq!(store.outdated("b@x", Some(301), None).await.unwrap(), 300);
    let bytes = store.page("b@x", all(false)).await.unwrap().rows;
    let newest: usize = bytes.iter().rev().take(100).map(|r| r.stanza.len()).sum();
    assert_eq!(
        store
            .outdated("b@x", None, Some(newest as u64))
            .await
            .unwrap(),
        600
    );
    let first = bytes[0].id.clone();
    let floor = |seq| Op::Floor {
        owner: "b@x".into(),
        seq,
    };
    store.committed(vec![floor(300)]).await.unwrap();
    let rest = store.page("b@x", all(false)).await.unwrap();
    assert_eq!((rest.rows.len(), rest.rows[0].seq), (400, 301));
    purged(&folder).await;
    assert_eq!(store.page("b@x", all(false)).await.unwrap(), rest);
    assert_eq!(store.page("a@x", all(false)).await.unwrap().rows.len(), 700);
    let by_gone_id = PageQuery {
        after: vec![At::Id(first)],
        ..all(false)
    };
    let error = store.page("b@x", by_gone_id).await;
    assert!(matches!(error, Err(PageError::Unknown)));
    // The floor of everything: numbers go on.
    store.committed(vec![floor(u64::MAX >> 1)]).await.unwrap();
    let next = store
        .committed(vec![message("a@x", "b@x", 1)])
        .await
        .unwrap();
    assert_eq!(next.seqs[0].to.as_ref().map(|p| p.seq), Some(701));
}

#[tokio::test]
async fn what_is_only_kept_is_in_no_page_and_goes_when_it_is_delivered() {
    let folder = Folder::new();
    let store = Store::open(&folder.0, Sync::Off).unwrap();
    let keep = |n: u32| match message("a@x", "b@x", n) {
        Op::Archive(m) => Op::Archive(NewMessage {
            from_owner: None,
            kept: true,
            ..m
        }),
        other => other,
    };
    store
        .committed(vec![message("a@x", "b@x", 1), keep(2)])
        .await
        .unwrap();
    assert_eq!(store.page("b@x", all(false)).await.unwrap().rows.len(), 1);
    let waiting = store.page("b@x", all(true)).await.unwrap().rows;
    assert_eq!(
        waiting.iter().map(|r| r.kept).collect::<Vec<_>>(),
        [false, true]
    );
    let forget = |seq| Op::Forget {
        owner: "b@x".into(),
        seq,
    };
    store.committed(vec![forget(1), forget(2)]).await.unwrap();
    let rows = store.page("b@x", all(true)).await.unwrap().rows;
    assert_eq!(rows.len(), 1, "what is archived stays");
    store.close();
    drop(store);
    let store = Store::open(&folder.0, Sync::Off).unwrap();
    assert_eq!(store.page("b@x", all(true)).await.unwrap().rows, rows);
    let next = store.committed(vec![keep(3)]).await.unwrap();
    assert_eq!(next.seqs[0].to.as_ref().map(|p| p.seq), Some(3));
}

struct Stream(i64, Mutex<Vec<u64>>);

impl Counted for Stream {
    fn stream(&self) -> i64 {
        self.0
    }
    fn h_with(&self, done: &[u64]) -> u64 {
        (1..)
            .take_while(|n| done.contains(n) || lock(&self.1).contains(n))
            .count() as u64
    }
    fn committed(&self, touched: &[u64], _: &[u64], _: u64) {
        lock(&self.1).extend(touched);
    }
}

#[tokio::test]
async fn how_far_a_stream_has_come_is_committed_with_what_its_stanzas_changed() {
    let folder = Folder::new();
    let stream = Arc::new(Stream(-5, Mutex::default()));
    let commit = |store: &Store, ops: Vec<Op>, number: u64| {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mark = Mark {
            stream: stream.clone(),
            number,
            done: true,
        };
        let commit = Commit {
            ops,
            marks: vec![mark],
            then: Box::new(move |r| drop(sender.send(r))),
        };
        assert!(store.commit(commit).is_ok());
        receiver
    };
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    assert_eq!(store.stream_h(-5).await.unwrap(), None);
    commit(&store, vec![message("a@x", "b@x", 1)], 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.stream_h(-5).await.unwrap(), Some(0), "1 is not done");
    let put = Op::Put {
        collection: "c",
        owner: "a@x".into(),
        key: "k".into(),
        value: Vec::new(),
    };
    commit(&store, vec![put], 1).await.unwrap().unwrap();
    assert_eq!(store.stream_h(-5).await.unwrap(), Some(2));
    commit(&store, vec![message("a@x", "b@x", 2)], 3)
        .await
        .unwrap()
        .unwrap();
    store.close();
    drop(store);
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    assert_eq!(store.stream_h(-5).await.unwrap(), Some(3));
}

#[tokio::test]
async fn version_1_is_brought_forward_after_a_backup() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join(FILE);
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema-1.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO names VALUES (1, 'a@x'), (2, 'b@x');
         INSERT INTO messages VALUES (1, 1, 1, 2, 1, 2, 1, 5, NULL, CAST('<message>1</message>' AS BLOB));
         INSERT INTO owner_index VALUES (2, 1, 1, 1, 1, 5);
         INSERT INTO meta VALUES ('indexed', 0);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let store = Store::open(&folder.0, Sync::Full).unwrap();
    assert!(path.with_extension("sqlite3.before-2").exists());
    for (owner, incoming) in [("a@x", false), ("b@x", true)] {
        let rows = store.page(owner, all(false)).await.unwrap().rows;
        assert_eq!((rows.len(), rows[0].incoming), (1, incoming));
    }
}
