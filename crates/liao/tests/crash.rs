//! It never forgets: a real server is killed, and loses its power, under load, again and again (ARCHITECTURE.md,
//! section 7). `LIAO_SEED` repeats a run, `LIAO_KILLS` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crashlab;
mod world;

use crashlab::archive;
use crashlab::ledger::Fault;
use crashlab::power::Fail;
use crashlab::process::{Home, Program};
use crashlab::random::seed;
use crashlab::trouble::{Trouble, When};
use crashlab::{Outcome, Script, Tear, play, play_troubles};

/// How many kills `make crash` wants.
fn wanted() -> Option<u32> {
    std::env::var("LIAO_KILLS")
        .ok()
        .and_then(|k| k.parse().ok())
}

fn is_long() -> bool {
    wanted().is_some()
}

fn script(name: &'static str, short: u32) -> Script {
    Script {
        name,
        seed: seed(name),
        kills: wanted().unwrap_or(short),
        program: Program::Liao,
        power: None,
        talk: if is_long() { 2_500 } else { 900 },
        crowd: if is_long() { 3 } else { 2 },
    }
}

fn is_clean(outcome: &Outcome) {
    assert!(outcome.faults.is_empty(), "{outcome}");
    assert!(
        outcome
            .counts
            .unacked
            .iter()
            .all(|n| *n >= crashlab::UNACKED)
    );
}

#[test]
fn a_server_that_is_killed_loses_doubles_and_reorders_nothing() {
    is_clean(&play(script("kills", 3)));
}

#[test]
fn a_server_that_loses_its_power_loses_doubles_and_reorders_nothing() {
    is_clean(&play(Script {
        power: Some(Tear::ByChance),
        ..script("power", 3)
    }));
}

/// The test of the test: without `synchronous=FULL` the very same run must find losses.
#[test]
fn a_server_that_does_not_wait_for_the_disk_is_found_out() {
    let outcome = play(Script {
        program: Program::Careless,
        power: Some(Tear::Clean),
        kills: 1,
        ..script("careless", 1)
    });
    let lost = |f: &&Fault| matches!(f, Fault::Lost(_));
    let lost = outcome.faults.iter().filter(lost).count();
    assert!(lost >= 50, "only {lost} losses were found: {outcome}");
    println!("careless: {lost} losses were found, as they must be");
}

const fn trouble(how: Fail, ending: &'static str, says: &'static str) -> Trouble {
    Trouble {
        how,
        ending,
        says,
        when: When::Talking,
    }
}

/// 8.3.3.6 internal-server-error (RFC 6120), and 8.3.3.18 when there is no space.
#[test]
fn a_disk_that_fails_under_load_loses_nothing_that_was_acknowledged() {
    let failed = "a commit failed";
    let all = [
        trouble(Fail::Growth, "", failed),
        trouble(Fail::Writes, "-wal", failed),
        trouble(Fail::Syncs, "-wal", failed),
        trouble(Fail::ReadOnly, "", failed),
    ];
    let outcome = play_troubles(
        Script {
            power: Some(Tear::Clean),
            ..script("disk", 0)
        },
        &all,
    );
    is_clean(&outcome);
    let refused = &outcome.counts.refused;
    assert!(refused.contains_key("resource-constraint"), "{refused:?}");
    assert!(refused.contains_key("internal-server-error"), "{refused:?}");
}

#[test]
fn checkpoints_and_index_flushes_that_fail_are_made_later() {
    let idle = |how, ending, says| Trouble {
        when: When::Idle,
        ..trouble(how, ending, says)
    };
    let all = [
        idle(Fail::Writes, "liao.sqlite3", "could not be checkpointed"),
        idle(Fail::Growth, "", "index could not be written"),
        idle(Fail::Syncs, "liao.sqlite3", "could not be checkpointed"),
    ];
    is_clean(&play_troubles(
        Script {
            power: Some(Tear::Clean),
            ..script("behind", 0)
        },
        &all,
    ));
}

#[tokio::test]
async fn a_change_that_the_disk_refused_is_not_what_the_server_goes_on_with() {
    let folder = world::Folder::new("refused");
    let mut home = Home::new(&folder.0, Program::Liao).with_power();
    home.add("anna");
    let server = home.start().unwrap();
    let name = |name: &str| {
        let item = format!("<item jid='one@far.example' name='{name}'/>");
        format!("<iq type='set' id='{name}'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    };
    let mut anna = archive::come(server.address, "anna").await.unwrap();
    anna.queue(&name("first"));
    assert_eq!(anna.answer("first").await, "result");
    let power = home.power.as_ref().unwrap();
    power.fail(Fail::Writes, "-wal", 0);
    anna.queue(&name("second"));
    assert_eq!(anna.answer("second").await, "error");
    power.fail(Fail::Nothing, "", 0);
    let deadline = std::time::Instant::now() + world::PATIENCE;
    while archive::roster_name(server.address, "anna", "one")
        .await
        .as_deref()
        != Ok("first")
    {
        assert!(
            std::time::Instant::now() < deadline,
            "it takes back what was refused"
        );
    }
}

/// Not a test: the server of the test above, which is this program. No option of the real one does this.
#[test]
fn careless_server() {
    if std::env::var_os("SERVE_CARELESSLY").is_none() {
        return;
    }
    let load = || liao_server::Config::load(None, &[]);
    let mut config = load().unwrap();
    config.sync = liao_server::store::Sync::Off;
    let (_hangups, none) = tokio::sync::mpsc::channel(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = liao_server::serve(config, Box::new(load), std::future::pending(), none);
    runtime.block_on(served).unwrap();
}
