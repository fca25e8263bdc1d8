//! `liao bench idle`: connections that are logged in, present and silent; what each of them costs in memory, and all of
//! them in CPU time, with the bare relay beside it.

use crate::accounts::Accounts;
use crate::relay::Relay;
use crate::report::{Column, Figure, Report};
use crate::target::{Options, Target};
use crate::{BenchError, Progress, os};
use std::time::Duration;
use tokio::time::sleep;

/// The settings.
#[derive(Debug, Clone)]
pub struct Idle {
    /// The server under load.
    pub target: Options,
    /// Connections at once.
    pub connections: usize,
    /// How long they are silent.
    pub seconds: u64,
    /// What the accounts' names begin with.
    pub prefix: String,
    /// Of accounts that exist or are to stay.
    pub password: Option<String>,
}

struct Cost {
    empty_bytes: Option<f64>,
    connection_bytes: Option<f64>,
    cpu_ms_per_s: Option<f64>,
}

fn cost(
    before: Option<os::Usage>,
    open: Option<os::Usage>,
    later: Option<os::Usage>,
    idle: &Idle,
) -> Cost {
    let both = before.zip(open);
    Cost {
        empty_bytes: before.map(|b| b.rss_bytes as f64),
        connection_bytes: both
            .map(|(b, o)| (o.rss_bytes as f64 - b.rss_bytes as f64) / idle.connections as f64),
        cpu_ms_per_s: open
            .zip(later)
            .map(|(o, l)| (l.cpu_us - o.cpu_us) / 1000.0 / idle.seconds.max(1) as f64),
    }
}

fn column(name: String, cost: &Cost) -> Column {
    let of = |name, value: Option<f64>| Figure {
        name,
        rounds: value.into_iter().collect(),
    };
    Column {
        name,
        figures: vec![
            of(
                "memory without connections, MiB",
                cost.empty_bytes.map(|b| b / (1u64 << 20) as f64),
            ),
            of(
                "memory a connection, KiB",
                cost.connection_bytes.map(|b| b / 1024.0),
            ),
            of("CPU while silent, ms/s", cost.cpu_ms_per_s),
        ],
    }
}

/// Runs it.
pub async fn run(idle: &Idle, progress: Progress<'_>) -> Result<Report, BenchError> {
    os::allow_open_files(idle.connections as u64 * 2 + 100).map_err(BenchError::Usage)?;
    let machine = os::machine();
    let mut target = Target::open(&idle.target).await?;
    let accounts = Accounts::new(&idle.prefix, idle.password.clone())?;
    accounts
        .make(&target.door, idle.connections, progress)
        .await?;
    // Making the accounts left its traces; ours begins anew, another's is measured as it is.
    target.restart().await?;
    let result = hold(idle, &target, &accounts, progress).await;
    if !target.is_own() {
        accounts
            .remove(&target.door, idle.connections, progress)
            .await;
    }
    let own = target.is_own();
    target.close().await;
    let (name, server, bare) = result?;
    let mut notes =
        vec!["Memory is resident memory (RSS) of the server and its children.".to_owned()];
    if !own {
        notes.push(
            "This server was not started anew: making the accounts may be in its first figure."
                .to_owned(),
        );
    }
    Ok(Report {
        title: format!(
            "idle: {} connections, silent for {} s",
            idle.connections, idle.seconds
        ),
        machine,
        columns: vec![
            column(name, &server),
            column("bare TCP relay".into(), &bare),
        ],
        notes,
    })
}

async fn hold(
    idle: &Idle,
    target: &Target,
    accounts: &Accounts,
    progress: Progress<'_>,
) -> Result<(String, Cost, Cost), BenchError> {
    let silence = Duration::from_secs(idle.seconds);
    let before = target.usage();
    let mut clients = accounts
        .login(&target.door, idle.connections, progress)
        .await?;
    let version = match clients.first_mut() {
        Some(first) => first.version(&target.door).await?,
        None => None,
    };
    // Let it come to rest: what the log-ins needed is given back, or is not.
    sleep(Duration::from_secs(1)).await;
    let open = target.usage();
    progress(&format!(
        "{} connections are silent for {} s",
        idle.connections, idle.seconds
    ));
    sleep(silence).await;
    let later = target.usage();
    let server = cost(before, open, later, idle);
    for client in &mut clients {
        client.ping(&target.door).await?;
    }
    drop(clients);
    let relay = Relay::start(&idle.target.program).await?;
    let before = relay.usage();
    let mut pairs = Vec::with_capacity(idle.connections);
    for number in 0..idle.connections {
        pairs.push(relay.connect(&format!("{}", number / 2)).await?);
    }
    let open = relay.usage();
    sleep(silence).await;
    let bare = cost(before, open, relay.usage(), idle);
    Ok((version.unwrap_or_else(|| "server".into()), server, bare))
}
