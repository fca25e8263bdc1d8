//! The crash lab: many clients on a real server that dies again and again, and what must be true in the end.

pub mod archive;
pub mod device;
pub mod ledger;
pub mod line;
pub mod power;
pub mod process;
pub mod random;
pub mod trouble;

use crate::world::Folder;
use device::{Again, Device, Habits, There};
use ledger::{Fault, Ledger};
use process::{Home, Process, Program};
use random::Random;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use trouble::Trouble;

/// Stanzas that nobody has counted when the server is killed, at least.
pub const UNACKED: usize = 100;

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// Nothing has come for so long: nothing will.
const STILL: Duration = Duration::from_secs(20);
/// The same where something must be missing.
const STILL_CARELESS: Duration = Duration::from_secs(4);

/// What the devices know of the server.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Where it listens; `None`: it is being killed.
    pub at: Option<SocketAddr>,
    /// The how many-th server it is.
    pub round: u32,
    /// Nothing new is sent; what was sent is brought to its end.
    pub draining: bool,
    /// The devices leave.
    pub over: bool,
}

/// Figures of a run.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub counted: u64,
    pub resumed: u64,
    pub failed_with_h: u64,
    pub failed_without_h: u64,
    /// Messages and requests refused, by condition.
    pub refused: BTreeMap<String, u64>,
    pub kills: u32,
    pub unacked: Vec<usize>,
}

/// By account and contact.
type Rosters = BTreeMap<(String, &'static str), [BTreeSet<u64>; 2]>;

/// What all devices share.
pub struct Lab {
    pub server: watch::Receiver<World>,
    pub ledger: RefCell<Ledger>,
    pub counts: RefCell<Counts>,
    /// Devices lose their connections now and then while the server lives.
    pub cuts: bool,
    /// Errors are answers.
    pub may_refuse: bool,
    /// Of each contact that a device renames again and again: names counted, and names refused.
    rosters: RefCell<Rosters>,
    /// Accounts whose devices say what they have (XEP-0198): a kept message can be followed to them.
    managed: Vec<String>,
    unacked: RefCell<Vec<usize>>,
    talking: Cell<i64>,
    moved: Notify,
}

impl Lab {
    pub fn moved(&self) {
        self.moved.notify_waiters();
    }

    pub fn is_managed(&self, account: &str) -> bool {
        self.managed.iter().any(|a| a == account)
    }

    pub fn talking(&self, change: i64) {
        self.talking.set(self.talking.get() + change);
        self.moved();
    }

    pub fn sent_now(&self, device: usize, unacked: usize) {
        self.unacked.borrow_mut()[device] = unacked;
        self.moved();
    }

    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.borrow_mut());
    }

    pub fn refused(&self, condition: &str) {
        self.count(|c| *c.refused.entry(condition.to_owned()).or_default() += 1);
    }

    /// A contact's new name was counted, or refused.
    pub fn roster(&self, account: &str, resource: &'static str, version: u64, refused: bool) {
        let mut rosters = self.rosters.borrow_mut();
        let names = rosters.entry((account.to_owned(), resource)).or_default();
        names[usize::from(refused)].insert(version);
    }

    /// Stanzas that are sent and not counted.
    pub fn unacked(&self) -> usize {
        self.unacked.borrow().iter().sum()
    }

    /// Waits until something is true, or for a while nothing has come any more.
    async fn while_it_moves(&self, still: Duration, true_now: impl Fn() -> bool) {
        loop {
            let moved = self.moved.notified();
            if true_now() || timeout(still, moved).await.is_err() {
                return;
            }
        }
    }

    /// Waits until something is true; it is looked at whenever a device moves.
    pub async fn until(&self, what: &str, true_now: impl Fn() -> bool) -> Result<(), String> {
        let wait = async {
            loop {
                let moved = self.moved.notified();
                if true_now() {
                    return;
                }
                moved.await;
            }
        };
        let late = |_| format!("{what}: not within {} s", PATIENCE.as_secs());
        timeout(PATIENCE, wait).await.map_err(late)
    }
}

/// What a run is to be.
pub struct Script {
    pub name: &'static str,
    pub seed: u64,
    pub kills: u32,
    pub program: Program,
    /// With power losses: whether chance keeps some of what was not synced.
    pub power: Option<Tear>,
    /// Stanzas that are counted before a kill, at most.
    pub talk: u64,
    /// How many of each kind of people there are.
    pub crowd: usize,
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// It is gone.
    Clean,
    /// One time it is gone, another time some of it is there, in any order.
    ByChance,
}

/// How a run ended.
pub struct Outcome {
    pub faults: Vec<Fault>,
    pub report: String,
    pub counts: Counts,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)
    }
}

/// Who takes part: some of each kind.
pub fn people(crowd: usize) -> Vec<Habits> {
    let mut all = Vec::new();
    let base = Habits {
        account: String::new(),
        resource: "one",
        managed: true,
        there: There::Always,
        carbons: false,
        again: Again::Beyond,
        to: Vec::new(),
    };
    let mut add = |name: &str, n: usize, habits: Habits| {
        all.push(Habits {
            account: format!("{name}{n}"),
            ..habits
        });
    };
    for n in 0..crowd {
        add("writer", n, base.clone());
        add(
            "again",
            n,
            Habits {
                again: Again::All,
                ..base.clone()
            },
        );
        add(
            "bare",
            n,
            Habits {
                again: Again::Bare,
                ..base.clone()
            },
        );
        for resource in ["one", "two"] {
            let habits = Habits {
                resource,
                carbons: true,
                ..base.clone()
            };
            add("pair", n, habits);
        }
        add(
            "visitor",
            n,
            Habits {
                there: There::Visits,
                ..base.clone()
            },
        );
        add(
            "plain",
            n,
            Habits {
                managed: false,
                ..base.clone()
            },
        );
        add(
            "late",
            n,
            Habits {
                there: There::Late,
                ..base.clone()
            },
        );
        add(
            "later",
            n,
            Habits {
                there: There::Late,
                managed: false,
                ..base.clone()
            },
        );
    }
    let accounts: Vec<String> = all.iter().map(|h: &Habits| h.account.clone()).collect();
    for habits in &mut all {
        if habits.managed && habits.there != There::Late {
            habits.to = accounts.clone();
            habits.to.retain(|to| *to != habits.account);
            if habits.again == Again::Bare {
                // One recipient: commits for several are made in any order, and `h` covers a whole beginning only.
                habits.to.rotate_left(5);
                habits.to.truncate(1);
            }
        }
    }
    all
}

/// A run in the making.
struct Run {
    script: Script,
    lab: Rc<Lab>,
    world: watch::Sender<World>,
    random: Random,
    home: Home,
    server: Process,
    people: Vec<Habits>,
    _folder: Folder,
}

/// Plays a script on a runtime of its own: kill after kill.
pub fn play(script: Script) -> Outcome {
    perform(script, false, async |run| run.kills().await)
}

/// Plays a script in which the disk fails: errors are answers then.
pub fn play_troubles(script: Script, troubles: &[Trouble]) -> Outcome {
    perform(script, true, async |run| run.troubles(troubles).await)
}

fn perform(
    script: Script,
    may_refuse: bool,
    what: impl AsyncFnOnce(&mut Run) -> Result<(), String>,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let begun = Instant::now();
        let mut run = Run::begin(script, may_refuse);
        if let Err(why) = what(&mut run).await {
            run.lab.ledger.borrow_mut().fault(Fault::Other(why));
        }
        run.over(begun)
    })
}

impl Run {
    fn begin(script: Script, may_refuse: bool) -> Run {
        let folder = Folder::new(&format!("crash-{}", script.name));
        let people = people(script.crowd);
        let mut home = Home::new(&folder.0, script.program);
        let mut names: Vec<&str> = people.iter().map(|h| h.account.as_str()).collect();
        names.dedup();
        for name in names {
            home.add(name);
        }
        if script.power.is_some() {
            home = home.with_power();
        }
        let server = home.start().unwrap();
        let (world, receiver) = watch::channel(World::default());
        let lab = Rc::new(Lab {
            server: receiver,
            ledger: RefCell::default(),
            counts: RefCell::default(),
            cuts: !may_refuse,
            may_refuse,
            rosters: RefCell::default(),
            managed: people
                .iter()
                .filter(|h| h.managed)
                .map(|h| h.account.clone())
                .collect(),
            unacked: RefCell::new(vec![0; people.len()]),
            talking: Cell::default(),
            moved: Notify::new(),
        });
        let random = Random::new(script.seed);
        for (index, habits) in people.iter().enumerate() {
            let part = random.of(index as u64 + 1);
            let device = Device::new(lab.clone(), index, habits.clone(), part);
            tokio::task::spawn_local(device.live());
        }
        Run {
            script,
            lab,
            world,
            random,
            home,
            server,
            people,
            _folder: folder,
        }
    }

    async fn kills(&mut self) -> Result<(), String> {
        for round in 1..=self.script.kills {
            self.world
                .send_modify(|w| (w.at, w.round) = (Some(self.server.address), round));
            self.crash(round).await?;
        }
        self.drain().await?;
        self.check().await
    }

    /// Nothing new is said, and everybody comes.
    async fn drain(&mut self) -> Result<(), String> {
        self.world.send_modify(|w| {
            (w.at, w.draining) = (Some(self.server.address), true);
            w.round += 1;
        });
        self.settle().await
    }

    /// Lets them talk for a while, kills the server in the middle of it, and starts it again.
    async fn crash(&mut self, round: u32) -> Result<(), String> {
        // Now and then before all of them are back; of losses there must be something to lose.
        let more = match self.script.program {
            Program::Careless => self.script.talk,
            Program::Liao if self.random.once_in(4) => self.random.below(60),
            Program::Liao => self.random.between(60, self.script.talk),
        };
        let lab = self.lab.clone();
        let until = lab.counts.borrow().counted + more;
        let due = || lab.counts.borrow().counted >= until && lab.unacked() >= UNACKED + UNACKED / 2;
        if let Err(why) = lab.until("100 stanzas on their way", due).await {
            let state = if self.server.is_running() {
                "runs"
            } else {
                "has ended"
            };
            return Err(format!(
                "round {round}: {why}; the server {state}: {}",
                self.server.log.text()
            ));
        }
        self.world.send_modify(|w| w.at = None);
        self.server.kill();
        lab.until("all connections break", || lab.talking.get() == 0)
            .await?;
        let unacked = lab.unacked();
        if unacked < UNACKED {
            return Err(format!(
                "round {round}: only {unacked} stanzas were on their way"
            ));
        }
        lab.count(|c| (c.kills, c.unacked) = (c.kills + 1, [&c.unacked[..], &[unacked]].concat()));
        if let (Some(power), Some(tear)) = (&mut self.home.power, self.script.power) {
            let torn = tear == Tear::ByChance && self.random.once_in(2);
            power.lose(torn.then_some(&mut self.random))?;
        }
        self.server = self
            .home
            .start()
            .map_err(|why| format!("round {round}: {why}"))?;
        Ok(())
    }

    /// Everything that is on its way arrives.
    async fn settle(&mut self) -> Result<(), String> {
        let lab = self.lab.clone();
        let done = || lab.unacked() == 0;
        lab.until("all that was sent is counted", done).await?;
        // What is missing is named by the checks.
        let all_seen = || {
            let ledger = lab.ledger.borrow();
            self.accounts().iter().all(|a| ledger.unseen(a) == 0)
        };
        let still = match self.script.program {
            Program::Liao => STILL,
            Program::Careless => STILL_CARELESS,
        };
        lab.while_it_moves(still, all_seen).await;
        Ok(())
    }

    fn accounts(&self) -> Vec<String> {
        let mut all: Vec<String> = self.people.iter().map(|h| h.account.clone()).collect();
        all.dedup();
        all
    }

    async fn check(&mut self) -> Result<(), String> {
        let lab = self.lab.clone();
        self.world.send_modify(|w| w.over = true);
        lab.until("the devices leave", || lab.talking.get() == 0)
            .await?;
        for account in self.accounts() {
            let rows = archive::read(self.server.address, &account).await?;
            let mut ledger = lab.ledger.borrow_mut();
            ledger.check_seen(&account);
            ledger.check_archive(&account, &rows);
            for (index, _) in self
                .people
                .iter()
                .enumerate()
                .filter(|(_, h)| h.account == account)
            {
                let alone = self.people.iter().filter(|h| h.account == account).count() == 1;
                ledger.check_order(index, alone);
            }
        }
        self.check_rosters().await
    }

    /// The last name that was not refused is the contact's name.
    async fn check_rosters(&self) -> Result<(), String> {
        let rosters = self.lab.rosters.borrow().clone();
        for ((account, resource), [counted, refused]) in rosters {
            let last = counted.difference(&refused).max();
            let wanted = last.map_or("nothing".to_owned(), u64::to_string);
            let name = archive::roster_name(self.server.address, &account, resource).await?;
            if name != wanted {
                let words =
                    format!("{account} renamed {resource} to {wanted}, the server says {name}");
                self.lab.ledger.borrow_mut().fault(Fault::Lost(words));
            }
        }
        Ok(())
    }

    fn over(self, begun: Instant) -> Outcome {
        let ledger = self.lab.ledger.borrow();
        let counts = self.lab.counts.borrow().clone();
        let (least, most) = (counts.unacked.iter().min(), counts.unacked.iter().max());
        let figures = format!(
            "{}: {} kills with {}–{} stanzas unacked, {} messages of {} devices, {} stanzas counted, \
             {} resumed, {} failed with h, {} without, {} redelivered, refused {:?}, {:.1} s",
            self.script.name,
            counts.kills,
            least.copied().unwrap_or(0),
            most.copied().unwrap_or(0),
            ledger.messages.len(),
            self.people.len(),
            counts.counted,
            counts.resumed,
            counts.failed_with_h,
            counts.failed_without_h,
            ledger.repeated,
            counts.refused,
            begun.elapsed().as_secs_f64(),
        );
        println!("{figures}");
        Outcome {
            faults: ledger.faults.iter().cloned().collect(),
            report: format!(
                "LIAO_SEED={}\n{figures}\n{}\nthe server's log: {}",
                self.script.seed,
                ledger.report(),
                self.server.log.text()
            ),
            counts,
        }
    }
}
