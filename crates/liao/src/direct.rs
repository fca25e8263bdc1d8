//! `liao direct`, `liao check direct`: opens the key, the address book and the room.

use crate::cli;
use crate::os;
use liao_client::{Backend, Store};
use liao_direct::{ACCOUNT, Book, Direct, Identity, Key, Ticket, find};
use liao_tui::{Options, Start};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The person's name on this machine.
fn own_name() -> String {
    let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    let name = set("USER").or_else(|| set("USERNAME"));
    name.unwrap_or_else(|| "liao".to_owned())
}

/// What is shown on one line and announced to everyone.
fn one_line(name: &str) -> String {
    let clean = name.chars().filter(|c| !c.is_control());
    clean.take(64).collect()
}

pub fn run(args: cli::Direct) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    else {
        eprintln!("liao: the system gives no event loop");
        return ExitCode::FAILURE;
    };
    let code = match runtime.block_on(talk(args)) {
        Ok(code) => code,
        Err((code, why)) => {
            eprintln!("liao: {why}");
            code
        }
    };
    // The thread that reads standard input cannot be stopped; the process ends without it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn identity(folder: &Path, name: Option<&str>) -> Result<Identity, (u8, String)> {
    let name = one_line(name.unwrap_or(&own_name()));
    Identity::open(folder, &name).map_err(|e| (2, e.to_string()))
}

/// Whom a word on the command line means: somebody in the book, or whoever answers there.
async fn whom(book: &Book, word: &str) -> Result<(Key, Option<Ticket>), (u8, String)> {
    let all = book.all().map_err(|e| (2, e.to_string()))?;
    let named: Vec<_> = all
        .iter()
        .filter(|f| f.name.eq_ignore_ascii_case(word))
        .collect();
    match named[..] {
        [one] => return Ok((one.key, None)),
        [] => {}
        _ => return Err((1, format!("several are called {word}; give HOST:PORT"))),
    }
    if !word.contains(':') && !Ticket::looks_like(word) {
        let why =
            format!("nobody in the address book is called {word}; give HOST:PORT or a ticket");
        return Err((1, why));
    }
    let ticket = find(word).await.map_err(|why| (3, why))?;
    Ok((ticket.key, Some(ticket)))
}

async fn talk(args: cli::Direct) -> Result<u8, (u8, String)> {
    let folder = args.client_data.clone().unwrap_or_else(os::client_folder);
    let identity = identity(&folder, args.name.as_deref())?;
    if args.ticket {
        let ticket = liao_direct::own_ticket(&identity, args.port).to_string();
        let qr = liao_server::qr(&ticket.to_uppercase()).unwrap_or_default();
        // Who reads only the first line has what they wanted.
        let _ = writeln!(std::io::stdout(), "{ticket}\n{qr}");
        return Ok(0);
    }
    let store = Store::open(&folder).map_err(|e| (2, e.to_string()))?;
    let book = Book::open(&folder).map_err(|e| (2, e.to_string()))?;
    let mut dial = None;
    let mut to = None;
    if let Some(word) = &args.peer {
        let (key, ticket) = whom(&book, word).await?;
        (to, dial) = (Some(key.to_z32()), ticket);
    }
    let link = Box::new(Direct {
        store: store.clone(),
        book,
        identity,
        port: args.port,
        lan: !args.hidden,
        dial,
    })
    .start();
    if !args.plain && !args.json && !args.tail && os::has_screen() {
        let start = Start {
            store,
            account: None,
            given: None,
            server: None,
            trust: None,
            to,
            sockets: None,
            direct: Some((link, ACCOUNT.to_owned())),
        };
        return Ok(liao_tui::screen(start, os::terminated()).await);
    }
    let options = Options {
        json: args.json,
        sockets: false,
        book: false,
        single: false,
        to,
        ends_with_input: true,
        listen_only: args.tail,
        store: Some((store, ACCOUNT.to_owned())),
    };
    Ok(liao_tui::run(link, options, os::terminated()).await)
}

/// `liao check direct`.
pub fn check() -> ExitCode {
    let identity = match identity(&os::client_folder(), None) {
        Ok(identity) => identity,
        Err((code, why)) => {
            eprintln!("liao: {why}");
            return ExitCode::from(code);
        }
    };
    let (lines, well) = liao_direct::check(&identity, None);
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
    ExitCode::from(if well { 0 } else { 2 })
}
