//! The roof: the command line.

mod admin;
mod bench;
mod chat;
mod cli;
#[cfg(feature = "direct")]
mod direct;
mod man;
mod os;
mod serve;
mod sockets;

use clap::Parser;
use liao_client::sockets::Role;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        cli::Command::Serve(args) => serve::run(args),
        cli::Command::Chat(args) => chat::chat(args),
        cli::Command::Msg(args) => chat::msg(args),
        cli::Command::Tail(args) => chat::tail(args),
        #[cfg(feature = "direct")]
        cli::Command::Direct(args) => direct::run(args),
        cli::Command::TcpServer(args) => sockets::run(Role::TcpServer, args),
        cli::Command::TcpClient(args) => sockets::run(Role::TcpClient, args),
        cli::Command::UdpServer(args) => sockets::run(Role::UdpServer, args),
        cli::Command::UdpClient(args) => sockets::run(Role::UdpClient, args),
        cli::Command::Bench { scenario } => bench::run(scenario),
        cli::Command::Admin(args) => admin::run(args),
        #[cfg(feature = "direct")]
        cli::Command::Check(args) if args.part == cli::Part::Direct => direct::check(),
        cli::Command::Check(args) => serve::check(args),
        cli::Command::Man { command } => man::page(command.as_deref()),
        cli::Command::Completion { shell } => man::completion(shell),
        cli::Command::Config {
            what: cli::ConfigVerb::Show(args),
        } => serve::show(&args),
        cli::Command::Config {
            what: cli::ConfigVerb::Example,
        } => {
            print!("{}", liao_server::config::EXAMPLE);
            ExitCode::SUCCESS
        }
    }
}
