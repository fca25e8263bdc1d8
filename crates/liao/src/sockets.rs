//! `liao tcp-server`, `tcp-client`, `udp-server`, `udp-client`.

use crate::cli;
use crate::os;
use liao_client::sockets::{Role, Sockets, resolve};
use liao_client::{Backend, Store};
use liao_proto::sockets::Kind;
use liao_tui::{Options, Start};
use std::process::ExitCode;

pub fn run(role: Role, args: cli::Sockets) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        eprintln!("liao: the system gives no event loop");
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(talk(role, args));
    // The thread that reads standard input cannot be stopped; the process ends without it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn talk(role: Role, args: cli::Sockets) -> u8 {
    let store = match Store::open(&args.client_data.unwrap_or_else(os::client_folder)) {
        Ok(store) => Some(store),
        Err(error) => {
            eprintln!("* no address book: {error}");
            None
        }
    };
    let booked = store.as_ref().and_then(|s| s.addresses().ok());
    let booked = booked
        .unwrap_or_default()
        .into_iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(&args.address));
    let wanted = booked.map_or(args.address, |(_, address)| address);
    let address = match resolve(&wanted).await {
        Ok(address) => address,
        Err(why) => {
            eprintln!("liao: {why}");
            return if wanted.contains(':') { 3 } else { 2 };
        }
    };
    let client = matches!(role, Role::TcpClient | Role::UdpClient);
    let kind = match (args.lockstep, args.free) {
        (true, _) => Some(Kind::Lockstep),
        (_, true) => Some(Kind::Lines),
        _ => None,
    };
    let link = Box::new(Sockets {
        role,
        address,
        name: args.name,
        kind,
        store: store.clone(),
    })
    .start();
    if let Some(store) = store
        .clone()
        .filter(|_| !args.plain && !args.json && os::has_screen())
    {
        let start = Start {
            store,
            account: None,
            given: None,
            server: None,
            trust: None,
            to: client.then(|| address.to_string()),
            sockets: Some((link, role == Role::TcpClient)),
            direct: None,
        };
        return liao_tui::screen(start, os::terminated()).await;
    }
    let options = Options {
        json: args.json,
        sockets: true,
        book: matches!(role, Role::UdpServer | Role::UdpClient),
        single: role == Role::TcpClient,
        to: client.then(|| address.to_string()),
        ends_with_input: client,
        listen_only: false,
        store: store.map(|s| (s, String::new())),
    };
    liao_tui::run(link, options, os::terminated()).await
}
