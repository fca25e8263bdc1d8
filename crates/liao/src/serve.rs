//! `liao serve`, and what looks at its configuration: `liao check`, `liao config show`.

use crate::cli::{Check, Part, Serve, Sources};
use crate::os;
use liao_server::check::{self, Finding};
use liao_server::{Config, ConfigError, Ended};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn load(args: &Sources) -> Result<Config, ConfigError> {
    let lan = args.lan.then(|| "true".to_owned());
    let flags: Vec<(&str, String)> = [
        ("data", &args.data),
        ("domain", &args.domain),
        ("lan", &lan),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.clone().map(|v| (key, v)))
    .collect();
    Config::load(args.config.as_deref(), &flags)
}

pub fn run(args: Serve) -> ExitCode {
    let config = match load(&args.sources) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("liao: {error}");
            return ExitCode::from(2);
        }
    };
    if args.check {
        println!(
            "the configuration is fine{}",
            config
                .file
                .map_or(String::new(), |f| format!(" ({})", f.display()))
        );
        return ExitCode::SUCCESS;
    }
    logs(&config);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("liao: no threads could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        let hangups = os::hangups();
        liao_server::serve(
            config,
            Box::new(move || load(&args.sources)),
            os::terminated(),
            hangups,
        )
        .await
    });
    // Whatever still runs is ended before the next one begins.
    drop(runtime);
    match result {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        Ok(Ended::Restart) => {
            let error = os::restart();
            eprintln!("liao: the server stopped and could not be started again: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("liao: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// `liao config show`.
pub fn show(args: &Sources) -> ExitCode {
    match load(args) {
        Ok(config) => {
            print!("{}", config.show());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("liao: {error}");
            ExitCode::from(2)
        }
    }
}

/// `liao check`: a line for each thing; 2 if one is wrong.
pub fn check(args: Check) -> ExitCode {
    let part = match args.part {
        Part::Config => check::Part::All,
        Part::Disk => check::Part::Disk,
        Part::Ports => check::Part::Ports,
        Part::Certs => check::Part::Certs,
        // The roof opens that room before it comes here.
        #[cfg(feature = "direct")]
        Part::Direct => return ExitCode::from(2),
    };
    let found = match load(&args.sources) {
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else {
                return ExitCode::FAILURE;
            };
            runtime.block_on(check::check(&config, part))
        }
        Err(error) => vec![Finding::wrong(error.to_string(), "mend it")],
    };
    for one in &found {
        println!("{one}");
    }
    if found.iter().all(|f| f.fine) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}

/// Logs go to standard error; `RUST_LOG` overrides the level.
fn logs(config: &Config) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(config.get("log.level")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    if config.get("log.format") == "json" {
        builder.json().init();
    } else {
        builder.init();
    }
}
