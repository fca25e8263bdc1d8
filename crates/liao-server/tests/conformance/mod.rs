//! Random operations on a store and on a simple model of it, side by side: what is answered, what is read, by every
//! form of query, after commits one by one and many at once, after a good end and after a crash.

mod model;

use liao_server::store::{
    At, Commit, Committed, NewMessage, Op, Page, PageError, PageQuery, Store,
};
use model::Model;
use std::collections::BTreeSet;
use std::sync::mpsc;

/// What the suite needs of an engine.
pub trait Engine {
    /// Opens what is there.
    fn open(&mut self) -> Store;
    /// What a crash at this moment leaves, opened.
    fn crash(&mut self, store: Store) -> Store;
}

/// Owners of archives and values; the last has none of its own here.
const PEOPLE: [&str; 5] = ["a@x", "b@x", "c@x", "d@x", "e@far"];
const COLLECTIONS: [&str; 2] = ["one", "two"];
const KEYS: [&str; 3] = ["k", "键", ""];

/// SplitMix64.
pub struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|s| s.parse().ok())
}

/// The suite.
pub async fn agrees_with_the_model(engine: &mut impl Engine) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = now.unwrap().as_millis() as i64;
    let seed = number("LIAO_SEED").unwrap_or(now_ms as u64 % 1_000_000_007);
    println!("the store against its model: LIAO_SEED={seed}");
    let mut suite = Suite {
        random: Random(seed),
        model: Model::default(),
        begin_ms: now_ms,
        clock_ms: now_ms,
        counter: 0,
    };
    let mut store = engine.open();
    for step in 0..number("LIAO_STEPS").unwrap_or(600) {
        suite.change(&store).await;
        match suite.random.below(60) {
            0 => {
                store.close();
                drop(store);
                suite.model.written();
                store = engine.open();
                suite.look_at_all(&store).await;
            }
            1 => {
                store = engine.crash(store);
                suite.model.crashed(&store).await;
                suite.look_at_all(&store).await;
            }
            2 => suite.look_at_all(&store).await,
            _ => {}
        }
        for _ in 0..3 {
            suite.page(&store, step).await;
        }
    }
    suite.look_at_all(&store).await;
    store.close();
    println!("{} messages, seed {seed}", suite.counter);
}

struct Suite {
    random: Random,
    model: Model,
    begin_ms: i64,
    clock_ms: i64,
    counter: u64,
}

impl Suite {
    /// Some commits, at once; each must be answered as the model answers.
    async fn change(&mut self, store: &Store) {
        let many = if self.random.once_in(10) { 200 } else { 4 };
        let commits: Vec<Vec<Op>> = (0..self.random.below(many) + 1)
            .map(|_| (0..self.random.below(3) + 1).map(|_| self.op()).collect())
            .collect();
        let (sender, answers) = mpsc::channel();
        for ops in &commits {
            let sender = sender.clone();
            let commit = Commit {
                ops: ops.clone(),
                marks: Vec::new(),
                then: Box::new(move |result| drop(sender.send(result))),
            };
            assert!(store.commit(commit).is_ok(), "there is room");
        }
        for ops in commits {
            let answer: Committed = answers.recv().unwrap().unwrap();
            self.model.commit(&ops, &answer);
        }
    }

    fn op(&mut self) -> Op {
        let owner = (*self.random.pick(&PEOPLE[..4])).to_owned();
        let collection = *self.random.pick(&COLLECTIONS);
        let key = (*self.random.pick(&KEYS)).to_owned();
        let value = format!("{}", self.random.below(1_000)).into_bytes();
        let head = self.model.head(&owner);
        let seq = self.random.below(head + 3);
        match self.random.below(100) {
            0..8 => Op::Put {
                collection,
                owner,
                key,
                value,
            },
            8..16 => Op::Lazy {
                collection,
                owner,
                key,
                value,
            },
            16..20 => Op::Delete {
                collection,
                owner,
                key,
            },
            20 => Op::DeleteOwner { owner },
            21..27 => Op::Forget { owner, seq },
            27..30 => Op::Floor {
                owner,
                seq: seq / 2,
            },
            _ => Op::Archive(self.message()),
        }
    }

    fn message(&mut self) -> NewMessage {
        self.counter += 1;
        self.clock_ms += self.random.below(50) as i64;
        let (from, to) = (*self.random.pick(&PEOPLE), *self.random.pick(&PEOPLE));
        let own = |name: &str| (name != PEOPLE[4]).then(|| name.to_owned());
        let resource = self.random.below(2);
        // Small keys, so that some come again.
        let dedup = self.random.once_in(3).then(|| {
            let mut key = [0u8; 16];
            key[0] = self.random.below(200) as u8;
            key[1] = (self.counter / 500) as u8;
            key
        });
        let filler = "x".repeat(self.random.below(200) as usize);
        NewMessage {
            from_owner: own(from).filter(|f| *f != to && !self.random.once_in(6)),
            to_owner: own(to).filter(|_| !self.random.once_in(6)),
            from_peer: to.to_owned(),
            to_peer: from.to_owned(),
            time_ms: self.clock_ms,
            dedup,
            stanza: format!(
                "<message from='{from}/{resource}' to='{to}/{resource}' id='{}'><body>{filler}</body></message>",
                self.counter
            )
            .into(),
            kept: self.random.once_in(5),
        }
    }

    /// One page by a query of any form.
    async fn page(&mut self, store: &Store, step: u64) {
        let owner = *self.random.pick(&PEOPLE);
        let query = self.query(owner);
        let mut wanted = self.model.page(owner, &query);
        let got = match store.page(owner, query.clone()).await {
            Ok(page) => Some(page),
            Err(PageError::Unknown) => None,
            Err(error) => panic!("step {step}: {error}"),
        };
        // Behind a full page, and with a full address, a store need not look whether one more matches.
        if let (Some(got), Some(wanted)) = (&got, &mut wanted)
            && query.with.as_ref().is_some_and(|w| w.contains('/'))
            && got.rows.len() == query.limit
        {
            wanted.complete &= got.complete;
        }
        assert_eq!(got, wanted, "step {step}: {owner} asks {query:?}");
    }

    fn query(&mut self, owner: &str) -> PageQuery {
        let head = self.model.head(owner);
        let ids = self.random.once_in(6).then(|| {
            let count = self.random.below(4);
            (0..count).filter_map(|_| self.id(owner)).collect()
        });
        let mut ends = Vec::new();
        for _ in 0..2 {
            let mut list = Vec::new();
            while self.random.once_in(3) {
                let seq = self.random.below(head + 2);
                list.push(match self.id(owner).filter(|_| self.random.once_in(2)) {
                    Some(id) => At::Id(id),
                    None => At::Seq(seq),
                });
            }
            ends.push(list);
        }
        let times = (self.clock_ms - self.begin_ms).max(1) as u64;
        let mut time = || {
            let at = self.begin_ms + self.random.below(times) as i64;
            self.random.once_in(4).then_some(at)
        };
        let (start_ms, end_ms) = (time(), time());
        let with = self.random.once_in(3).then(|| {
            let bare = *self.random.pick(&PEOPLE);
            match self.random.below(4) {
                0 => "nobody@x".to_owned(),
                1 => format!("{bare}/{}", self.random.below(3)),
                _ => bare.to_owned(),
            }
        });
        PageQuery {
            before: ends.pop().unwrap(),
            after: ends.pop().unwrap(),
            start_ms,
            end_ms,
            with,
            ids,
            undelivered: self.random.once_in(4),
            limit: self.random.below(30) as usize,
            limit_bytes: match self.random.once_in(3) {
                true => self.random.below(1_500) as usize,
                false => usize::MAX,
            },
            backwards: self.random.once_in(2),
            count: self.random.once_in(3),
        }
    }

    /// An id: of this archive mostly, and now and then of another or of none.
    fn id(&mut self, owner: &str) -> Option<String> {
        match self.random.below(30) {
            0 => Some("no such id".to_owned()),
            1 => {
                let other = *self.random.pick(&PEOPLE);
                let seq = self.random.below(self.model.head(other)) + 1;
                self.model.id(other, seq)
            }
            _ => {
                let seq = self.random.below(self.model.head(owner)) + 1;
                self.model.id(owner, seq)
            }
        }
    }

    /// All values, all archives, all ends.
    async fn look_at_all(&mut self, store: &Store) {
        for collection in COLLECTIONS {
            let all = store.list(collection).await.unwrap();
            self.model.check_values(collection, &all);
        }
        for owner in PEOPLE {
            assert_eq!(
                store.last_seq(owner).await.unwrap(),
                self.model.head(owner),
                "{owner}"
            );
            assert_eq!(
                store.span(owner).await.unwrap(),
                self.model.span(owner),
                "{owner}"
            );
            for undelivered in [false, true] {
                let query = PageQuery {
                    undelivered,
                    limit: usize::MAX / 2,
                    limit_bytes: usize::MAX,
                    count: true,
                    ..PageQuery::default()
                };
                let page = store.page(owner, query.clone()).await.unwrap();
                let wanted = self.model.page(owner, &query).unwrap();
                let seqs = |p: &Page| p.rows.iter().map(|r| r.seq).collect::<BTreeSet<_>>();
                let (got, all) = (seqs(&page), seqs(&wanted));
                let (missing, extra) = (&all - &got, &got - &all);
                let none = missing.is_empty() && extra.is_empty();
                assert!(
                    none,
                    "{owner}: {missing:?} are missing, {extra:?} should not be there"
                );
                assert!(
                    page == wanted,
                    "{owner}: as many, not the same; count {:?} {:?}",
                    page.count,
                    wanted.count
                );
            }
        }
    }
}
