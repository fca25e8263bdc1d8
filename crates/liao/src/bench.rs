//! `liao bench`.

use crate::cli;
use liao_bench::chat::Chat;
use liao_bench::idle::Idle;
use liao_bench::load::Work;
use liao_bench::report::Report;
use liao_bench::target::Options;
use liao_bench::{BenchError, chat, idle, relay};
use std::io::IsTerminal;
use std::process::ExitCode;

fn target(args: &cli::BenchTarget) -> Result<Options, BenchError> {
    let program = std::env::current_exe()
        .map_err(|e| BenchError::Usage(format!("this program cannot find itself: {e}")))?;
    Ok(Options {
        server: args.server.clone(),
        domain: args.domain.clone(),
        pid: args.pid,
        tls: args.tls,
        program,
    })
}

fn password() -> Option<String> {
    std::env::var("LIAO_BENCH_PASSWORD").ok()
}

async fn measure(scenario: cli::Bench) -> Result<Option<(Report, bool)>, BenchError> {
    let tell = |words: &str| {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{words}");
        }
    };
    let result = match scenario {
        cli::Bench::Relay => {
            let end = relay::run().await;
            return end
                .map(|()| None)
                .map_err(|e| BenchError::Network(e.to_string()));
        }
        cli::Bench::Chat {
            target: to,
            pairs,
            messages,
            window,
            bytes,
            rounds,
        } => {
            let chat = Chat {
                target: target(&to)?,
                pairs,
                work: Work {
                    messages,
                    window,
                    bytes,
                },
                rounds,
                prefix: to.users_prefix,
                password: password(),
            };
            chat::run(&chat, &tell).await.map(|r| (r, to.json))
        }
        cli::Bench::Idle {
            target: to,
            connections,
            seconds,
        } => {
            let idle = Idle {
                target: target(&to)?,
                connections,
                seconds,
                prefix: to.users_prefix,
                password: password(),
            };
            idle::run(&idle, &tell).await.map(|r| (r, to.json))
        }
    };
    tell("");
    result.map(Some)
}

pub fn run(scenario: cli::Bench) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        eprintln!("liao: the system gives no threads");
        return ExitCode::FAILURE;
    };
    match runtime.block_on(measure(scenario)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some((report, json))) => {
            if json {
                println!("{}", report.json());
            } else {
                println!("{}", report.table());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("liao: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
