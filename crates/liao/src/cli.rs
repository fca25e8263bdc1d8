//! The one definition of the command line: help and exit codes come from it.

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// liao 聊: a chat system that you run yourself.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "First steps: `liao serve` in one terminal, `liao chat` in another: paste the invite that the first shows."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the server: accounts, history, any XMPP app, and plain sockets.
    Serve(Serve),
    /// Chat with your account: friends, offline messages, any XMPP server.
    Chat(Chat),
    /// Say one thing and end: `liao msg NAME TEXT`, or text from standard input with `-`.
    Msg(Msg),
    /// Show what comes in, until Ctrl-C.
    Tail(Tail),
    /// Talk with no server: people on the local network, or at any address, straight to each other by UDP.
    #[cfg(feature = "direct")]
    Direct(Direct),
    /// Take TCP callers, all at once: the tutorial's clients, `nc`, ourselves.
    TcpServer(Sockets),
    /// Call a TCP server and speak at any time.
    TcpClient(Sockets),
    /// Answer anyone by UDP, and speak first to whom you know.
    UdpServer(Sockets),
    /// Talk by UDP, to one or to everyone in the address book.
    UdpClient(Sockets),
    /// Measure a server, ours or any other: messages, latency, CPU, memory.
    Bench {
        #[command(subcommand)]
        scenario: Bench,
    },
    /// Accounts and invites of a server on this machine, running or not.
    Admin(Admin),
    /// Look at what a start of the server needs, without starting it; exit code 2 if something is wrong.
    Check(Check),
    /// Print the manual page of liao or of one command: `liao man chat | man -l -`.
    Man {
        /// Which command.
        command: Option<String>,
    },
    /// Print what makes a shell complete liao's commands: `liao completion bash > …/bash-completion/completions/liao`.
    Completion {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// What can be configured.
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
}

/// The server to measure.
#[derive(Args, Clone)]
pub struct BenchTarget {
    /// A running server; without it liao starts its own, in a folder that goes away.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// What stands behind the @ of its accounts.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub domain: String,
    /// The running server's process, so that its CPU time and memory can be read.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Use STARTTLS, and take any certificate.
    #[arg(long)]
    pub tls: bool,
    /// What the accounts' names begin with; they are made in-band, or exist with LIAO_BENCH_PASSWORD.
    #[arg(long, value_name = "PREFIX", default_value = "bench")]
    pub users_prefix: String,
    /// JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Bench {
    /// Pairs that chat, with a window of messages under way in each.
    Chat {
        #[command(flatten)]
        target: BenchTarget,
        /// Pairs at once.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000).map(|n| n as usize))]
        pairs: usize,
        /// Messages of each pair.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        messages: u32,
        /// Messages under way in a pair.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=100_000).map(|n| n as usize))]
        window: usize,
        /// Bytes of a message's text.
        #[arg(long, default_value_t = 230, value_parser = clap::value_parser!(u64).range(1..=262_144).map(|n| n as usize))]
        bytes: usize,
        /// Times that all of it is done.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100).map(|n| n as usize))]
        rounds: usize,
    },
    /// Connections that are silent.
    Idle {
        #[command(flatten)]
        target: BenchTarget,
        /// Connections at once.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000).map(|n| n as usize))]
        connections: usize,
        /// Seconds of silence.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// The bare relay's own process.
    #[command(hide = true)]
    Relay,
}

#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Print an example that names every option and why it is there.
    Example,
    /// Print the options in force and where each comes from: the file, a variable, a flag, or the default.
    Show(Sources),
}

/// Where a server's configuration comes from.
#[derive(Args, Clone)]
pub struct Sources {
    /// The configuration file [default: ./liao.toml if it is here].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder [default: ./liao-data].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<String>,
    /// What stands behind the @ of the addresses; the first account fixes it [default: localhost].
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Serve everyone on the local network, as HOSTNAME.local (see the example configuration).
    #[arg(long)]
    pub lan: bool,
}

/// What `liao check` looks at.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: the configuration, the data folder, the ports, the certificate, the accounts' domain.
    Config,
    /// Whether the data folder can be written.
    Disk,
    /// Whether the ports are free.
    Ports,
    /// Whether the certificate is good.
    Certs,
    /// What direct mode needs on this machine; not the server's.
    #[cfg(feature = "direct")]
    Direct,
}

#[derive(Args)]
pub struct Check {
    /// What to look at.
    #[arg(value_enum, default_value = "config")]
    pub part: Part,
    #[command(flatten)]
    pub sources: Sources,
}

#[cfg(feature = "direct")]
#[derive(Args, Clone)]
#[command(
    after_help = "People on the local network appear by themselves. /add HOST:PORT NAME or /add TICKET NAME adds somebody, \
                        /accept NAME lets in who asks, /to NAME chooses, /help lists the rest, q ends."
)]
pub struct Direct {
    /// Whom to talk to: a name of the address book, HOST:PORT, or a ticket.
    #[arg(value_name = "PEER")]
    pub peer: Option<String>,
    /// What others see as your name [default: your name on this machine].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The UDP port [default: 5297, or the next free one].
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Neither announce yourself on the local network nor look for others there.
    #[arg(long)]
    pub hidden: bool,
    /// Lines in place of the screen; it is always so when input or output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// JSON lines, for programs.
    #[arg(long)]
    pub json: bool,
    /// Only show what comes in, until Ctrl-C.
    #[arg(long)]
    pub tail: bool,
    /// Print your ticket, as text and as a QR code, and end.
    #[arg(long)]
    pub ticket: bool,
    /// Where key, address book and messages are kept [default: the user's data folder].
    #[arg(long, value_name = "FOLDER")]
    pub client_data: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct Serve {
    #[command(flatten)]
    pub sources: Sources,
    /// Check the configuration and end.
    #[arg(long)]
    pub check: bool,
}

/// Which account, where it is kept.
#[derive(Args, Clone)]
pub struct Account {
    /// The account [default: the one used last].
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
    /// Its server, if the address alone does not lead there: HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Where accounts, messages and unsent messages are kept [default: the user's data folder].
    #[arg(long, value_name = "FOLDER")]
    pub client_data: Option<PathBuf>,
    /// Trust this certificate (SHA-256, as the server shows it) in place of the one known so far.
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Option<String>,
    /// Read the password from the first line of standard input (or set LIAO_PASSWORD).
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Args, Clone)]
#[command(
    after_help = "At a terminal F1 shows all keys and commands. In lines (--plain, or a pipe) a line goes to the one \
                        you talk to: /to NAME chooses, @NAME TEXT says one thing, /help lists the rest, q ends."
)]
pub struct Chat {
    /// Your address (name@server), or an invite link.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Lines in place of the screen; it is always so when input or output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// JSON lines, for programs.
    #[arg(long)]
    pub json: bool,
    /// Talk to this contact from the start.
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    #[command(flatten)]
    pub account: Account,
}

#[derive(Args, Clone)]
pub struct Msg {
    /// To whom: an address, or a contact's name.
    pub name: String,
    /// The text; `-` or nothing: standard input, as one message.
    pub text: Vec<String>,
    #[command(flatten)]
    pub account: Account,
}

#[derive(Args, Clone)]
pub struct Tail {
    /// JSON lines, for programs.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub account: Account,
}

#[derive(Args, Clone)]
#[command(
    after_help = "A line from standard input goes to the one who spoke last, `@NAME text` to NAME; `q` says goodbye.\n\
                  /help lists more. Peers that talk in turn get one piece of 1024 bytes a turn, nothing is cut."
)]
pub struct Sockets {
    /// Where to listen, or whom to call: HOST:PORT, or a name from the address book.
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub address: String,
    /// Who you are: stands before each of your messages, as `NAME: text`.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Peers talk in turn, without newlines (found out by itself otherwise).
    #[arg(long, conflicts_with = "free")]
    pub lockstep: bool,
    /// Peers send lines at any time (found out by itself otherwise).
    #[arg(long)]
    pub free: bool,
    /// Lines in place of the screen; it is always so when input or output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// JSON lines, for programs.
    #[arg(long)]
    pub json: bool,
    /// Where the address book is kept [default: the user's data folder].
    #[arg(long, value_name = "FOLDER")]
    pub client_data: Option<PathBuf>,
}

#[derive(Args)]
pub struct Admin {
    /// The server's data folder.
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "./liao-data",
        global = true
    )]
    pub data: PathBuf,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: AdminVerb,
}

#[derive(Subcommand)]
pub enum AdminVerb {
    /// Add, remove and list accounts, set passwords.
    User {
        #[command(subcommand)]
        verb: UserVerb,
    },
    /// Make an invite: a link for one new account, good for 24 hours.
    Invite {
        /// The new account will be an admin.
        #[arg(long)]
        admin: bool,
        /// Who invites; the two are friends at once.
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
    },
    /// End an account's sessions: all, or the one whose resource is in the address.
    End {
        /// NAME or NAME@DOMAIN/RESOURCE.
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
    /// Tell everyone who is online something.
    Announce {
        /// The words; `-`: standard input.
        text: String,
    },
    /// The message of the day: everyone is told once, at the latest at the next login.
    Motd {
        /// The words; `-`: standard input. Without them the present message is printed.
        text: Option<String>,
        /// Delete it.
        #[arg(long, conflicts_with = "text")]
        delete: bool,
    },
    /// What new people are told at their first login.
    Welcome {
        /// The words; `-`: standard input. Without them the present welcome is printed.
        text: Option<String>,
        /// Delete it.
        #[arg(long, conflicts_with = "text")]
        delete: bool,
    },
    /// What people reported when they blocked somebody: spam, abuse.
    Reports {
        /// Forget them, after they are printed.
        #[arg(long)]
        clear: bool,
    },
    /// Who is connected.
    Sessions,
    /// Figures of the running server.
    Stats,
    /// What the files of each account take.
    Uploads,
    /// Read the configuration and the certificate again.
    Reload,
}

#[derive(Subcommand)]
pub enum UserVerb {
    /// Make an account; the password is asked for, or taken from LIAO_PASSWORD.
    Add {
        /// The name before the @.
        name: String,
        /// The account is an admin.
        #[arg(long)]
        admin: bool,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove an account and all that it owns.
    Del {
        /// The name before the @.
        name: String,
    },
    /// Set a password.
    Passwd {
        /// The name before the @.
        name: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Log an account out and let it log in no more; nothing of it is lost.
    Disable {
        /// The name before the @.
        name: String,
    },
    /// Let a disabled account log in again.
    Enable {
        /// The name before the @.
        name: String,
    },
    /// Make an account an admin.
    Promote {
        /// The name before the @.
        name: String,
    },
    /// Make an admin an ordinary account; one admin must remain.
    Demote {
        /// The name before the @.
        name: String,
    },
    /// Say how much of an account's messages is kept: so many days, so many megabytes of the newest; 0 is without end.
    /// Without both: as the configuration says.
    Keep {
        /// The name before the @.
        name: String,
        /// Days.
        #[arg(long)]
        days: Option<u32>,
        /// Megabytes.
        #[arg(long)]
        mb: Option<u32>,
    },
    /// List the accounts.
    List,
}
