//! `liao bench chat`: pairs of clients, a window of messages under way in each; throughput, latency, the server's CPU
//! time a message, with the bare relay beside it.

use crate::accounts::Accounts;
use crate::load::{self, Work};
use crate::relay::Relay;
use crate::report::{Column, Figure, Report, percentile};
use crate::target::{Options, Target};
use crate::{BenchError, Progress, os};
use std::time::Instant;
use tokio::task::JoinSet;

/// The settings.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The server under load.
    pub target: Options,
    /// Pairs at once.
    pub pairs: usize,
    /// What each pair does.
    pub work: Work,
    /// Times the whole is done.
    pub rounds: usize,
    /// What the accounts' names begin with.
    pub prefix: String,
    /// Of accounts that exist or are to stay.
    pub password: Option<String>,
}

/// One round's figures.
struct Round {
    seconds: f64,
    latencies_ns: Vec<u64>,
    cpu_us: Option<f64>,
    rss_bytes: Option<u64>,
}

fn column(name: String, rounds: &[Round], messages: f64) -> Column {
    let of = |name: &'static str, value: &dyn Fn(&Round) -> Option<f64>| Figure {
        name,
        rounds: rounds.iter().filter_map(value).collect(),
    };
    let latency = |share: f64| move |r: &Round| Some(percentile(&r.latencies_ns, share) / 1e6);
    Column {
        name,
        figures: vec![
            of("messages/s", &|r| Some(messages / r.seconds)),
            of("latency p50, ms", &latency(0.5)),
            of("latency p99, ms", &latency(0.99)),
            of("latency max, ms", &latency(1.0)),
            of("CPU a message, µs", &|r| r.cpu_us.map(|c| c / messages)),
            of("memory (RSS), MiB", &|r| {
                r.rss_bytes.map(|b| b as f64 / (1u64 << 20) as f64)
            }),
        ],
    }
}

/// Runs it.
pub async fn run(chat: &Chat, progress: Progress<'_>) -> Result<Report, BenchError> {
    os::allow_open_files(chat.pairs as u64 * 4 + 100).map_err(BenchError::Usage)?;
    let machine = os::machine();
    let target = Target::open(&chat.target).await?;
    let accounts = Accounts::new(&chat.prefix, chat.password.clone())?;
    let people = chat.pairs * 2;
    accounts.make(&target.door, people, progress).await?;
    let result = rounds(chat, &target, &accounts, progress).await;
    if !target.is_own() {
        accounts.remove(&target.door, people, progress).await;
    }
    let files = target.data().and_then(os::file_system);
    target.close().await;
    let (name, server, bare) = result?;
    let messages = chat.pairs as f64 * f64::from(chat.work.messages);
    let mut notes = vec![
        "Every message arrived once and in order. The relay only copies bytes: it is the machine's floor.".to_owned(),
    ];
    if let Some(kind) = files {
        notes.push(format!("The server's data is on {kind}."));
    }
    if chat.target.tls {
        notes.push(
            "Clients use STARTTLS and take any certificate; the relay has no TLS.".to_owned(),
        );
    }
    Ok(Report {
        title: format!(
            "chat: {} pairs, {} messages each, {} under way in a pair, {} bytes a body, {} rounds",
            chat.pairs, chat.work.messages, chat.work.window, chat.work.bytes, chat.rounds
        ),
        machine,
        columns: vec![
            column(name, &server, messages),
            column("bare TCP relay".into(), &bare, messages),
        ],
        notes,
    })
}

async fn rounds(
    chat: &Chat,
    target: &Target,
    accounts: &Accounts,
    progress: Progress<'_>,
) -> Result<(String, Vec<Round>, Vec<Round>), BenchError> {
    let mut clients = accounts
        .login(&target.door, chat.pairs * 2, progress)
        .await?;
    let version = match clients.first_mut() {
        Some(first) => first.version(&target.door).await?,
        None => None,
    };
    let relay = Relay::start(&chat.target.program).await?;
    let (mut server, mut bare) = (Vec::new(), Vec::new());
    for number in 1..=chat.rounds {
        progress(&format!("round {number} of {}: the server", chat.rounds));
        let (round, back) = over_xmpp(chat, target, accounts, clients).await?;
        clients = back;
        server.push(round);
        progress(&format!(
            "round {number} of {}: the bare relay",
            chat.rounds
        ));
        bare.push(over_relay(chat, &relay, number).await?);
    }
    // What came too often would show now, before the answer.
    for client in &mut clients {
        client.ping(&target.door).await?;
    }
    Ok((version.unwrap_or_else(|| "server".into()), server, bare))
}

async fn over_xmpp(
    chat: &Chat,
    target: &Target,
    accounts: &Accounts,
    clients: Vec<crate::client::Client>,
) -> Result<(Round, Vec<crate::client::Client>), BenchError> {
    let before = target.usage();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let mut clients = clients.into_iter();
    let mut number = 0;
    while let (Some(from), Some(to)) = (clients.next(), clients.next()) {
        let address = format!("{}@{}", accounts.user(number + 1).name, target.door.domain);
        let work = chat.work;
        let at = number;
        tasks.spawn(async move {
            load::pair(from, to, address, work, start)
                .await
                .map(|r| (at, r))
        });
        number += 2;
    }
    let mut back = Vec::new();
    let mut latencies_ns = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (at, (from, to, latencies)) =
            done.map_err(|e| BenchError::Wrong(format!("a pair broke off: {e}")))??;
        latencies_ns.extend(latencies);
        back.push((at, from, to));
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = target.usage();
    latencies_ns.sort_unstable();
    back.sort_by_key(|(at, ..)| *at);
    let round = Round {
        seconds,
        latencies_ns,
        cpu_us: before.zip(after).map(|(b, a)| a.cpu_us - b.cpu_us),
        rss_bytes: after.map(|a| a.rss_bytes),
    };
    Ok((
        round,
        back.into_iter()
            .flat_map(|(_, from, to)| [from, to])
            .collect(),
    ))
}

async fn over_relay(chat: &Chat, relay: &Relay, round: usize) -> Result<Round, BenchError> {
    let mut pairs = Vec::new();
    for number in 0..chat.pairs {
        let name = format!("{round}-{number}");
        pairs.push((relay.connect(&name).await?, relay.connect(&name).await?));
    }
    let before = relay.usage();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (from, to) in pairs {
        tasks.spawn(load::bare(from, to, chat.work, start));
    }
    let mut latencies_ns = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies_ns
            .extend(done.map_err(|e| BenchError::Wrong(format!("a pair broke off: {e}")))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = relay.usage();
    latencies_ns.sort_unstable();
    Ok(Round {
        seconds,
        latencies_ns,
        cpu_us: before.zip(after).map(|(b, a)| a.cpu_us - b.cpu_us),
        rss_bytes: after.map(|a| a.rss_bytes),
    })
}
