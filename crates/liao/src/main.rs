//! The roof: the command line.

mod admin;
mod cli;
mod os;
mod serve;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        cli::Command::Serve(args) => serve::run(args),
        cli::Command::Admin(args) => admin::run(args),
        cli::Command::Config {
            what: cli::ConfigVerb::Example,
        } => {
            print!("{}", liao_server::config::EXAMPLE);
            ExitCode::SUCCESS
        }
    }
}
