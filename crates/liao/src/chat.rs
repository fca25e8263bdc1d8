//! `liao chat`, `liao msg`, `liao tail`: finds the account (or makes one by an invite) and opens the room.

use crate::cli;
use crate::os;
use liao_client::xmpp::{Dial, Xmpp, invitation, register};
use liao_client::{
    Account, Backend, Command, Event, Failure, Link, Model, State, Store, random_id,
};
use liao_proto::jid::BareJid;
use liao_proto::xep::invite::Invite;
use liao_tui::{Answer, Options, Start, first_run, new_account, password};
use std::io::Read;
use std::process::ExitCode;
use tokio::sync::mpsc;

/// Why there is no account to work with, and the exit code.
struct Stop(u8, String);

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        let code = match failure {
            Failure::Refused(_) => 1,
            Failure::Network(_) => 3,
            Failure::NotAuthorized(_) => 4,
        };
        Stop(code, failure.to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop(1, error.to_string())
    }
}

impl From<liao_client::StoreError> for Stop {
    fn from(error: liao_client::StoreError) -> Stop {
        Stop(2, error.to_string())
    }
}

/// What the events of setting up say goes to the person.
fn speaker() -> mpsc::Sender<Event> {
    let (sender, mut receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            if let Event::Notice(words) = event {
                eprintln!("* {}", words.replace('\n', "\n  "));
            }
        }
    });
    sender
}

/// A password from the flag's source, the variable, or none.
fn given_password(args: &cli::Account) -> std::io::Result<Option<String>> {
    if !args.password_stdin {
        return Ok(std::env::var("LIAO_PASSWORD").ok());
    }
    // A byte at a time: what follows the first line is for the chat.
    let mut line = Vec::new();
    for byte in std::io::stdin().lock().bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches('\r').to_owned()))
}

/// The account to use: known, given with a password, or made now by an invite. The second value: the person asked
/// for a login, so the password is checked before it is kept.
async fn account(
    args: &cli::Account,
    address: Option<&str>,
    form: bool,
) -> Result<(Store, Account), Stop> {
    let store = Store::open(&args.client_data.clone().unwrap_or_else(os::client_folder))?;
    let wanted = args.account.as_deref().or(address);
    let jid = wanted
        .and_then(|w| BareJid::new(w).ok())
        .filter(|j| j.node().is_some());
    let given = given_password(args)?;
    // Known and nothing new about it.
    let known = match (wanted, &jid) {
        (None, _) => store.account(None)?,
        (Some(_), Some(jid)) => store.account(Some(jid.as_str()))?,
        (Some(_), None) => None,
    };
    if let Some(mut account) = known {
        if let Some(server) = &args.server {
            account.server = Some(server.clone());
        }
        if let Some(password) = given.clone() {
            account.password = password;
        }
        if !account.password.is_empty() {
            store.keep_account(&account)?;
            return Ok((store, account));
        }
    }
    if !form && jid.is_none() {
        return Err(Stop(
            4,
            "no account is known here yet; `liao chat` sets one up".into(),
        ));
    }
    match first_run(wanted)? {
        Answer::Invite(invite) => by_invite(args, &store, invite, given).await,
        Answer::Login(jid) => {
            let password = match given {
                Some(password) => password,
                None => password(&format!("password of {jid}: "))?,
            };
            let before = store.account(Some(&jid))?.and_then(|a| a.server);
            let server = args.server.clone().or(before);
            let account = Account {
                jid,
                password,
                server,
            };
            store.keep_account(&account)?;
            Ok((store, account))
        }
    }
}

async fn by_invite(
    args: &cli::Account,
    store: &Store,
    invite: Invite,
    given: Option<String>,
) -> Result<(Store, Account), Stop> {
    let events = speaker();
    let mut dial = Dial {
        domain: "",
        server: args.server.as_deref(),
        store,
        trust: args.trust.as_deref(),
        events: &events,
    };
    let invitation = invitation(invite, &dial).await?;
    // What there was to say about the certificate comes before the questions.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    eprintln!("You are invited to {}.", invitation.domain);
    dial.domain = &invitation.domain;
    dial.server = invitation.server.as_deref();
    loop {
        let (name, password) = new_account(invitation.name.as_deref(), given.clone())?;
        match register(&dial, &invitation.token, &name, &password).await {
            Ok(jid) => {
                eprintln!("* {jid} is yours; the password is kept on this machine");
                let server = invitation.server.clone();
                let jid = jid.to_string();
                let account = Account {
                    jid,
                    password,
                    server,
                };
                store.keep_account(&account)?;
                return Ok((store.clone(), account));
            }
            Err(Failure::Refused(why)) if invitation.name.is_none() => {
                eprintln!("{why}. Once again:")
            }
            Err(failure) => return Err(failure.into()),
        }
    }
}

fn run(work: impl Future<Output = Result<u8, Stop>>) -> ExitCode {
    let made = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = made else {
        eprintln!("liao: the system gives no event loop");
        return ExitCode::FAILURE;
    };
    let code = match runtime.block_on(work) {
        Ok(code) => code,
        Err(Stop(code, why)) => {
            eprintln!("liao: {why}");
            code
        }
    };
    // The thread that reads standard input cannot be stopped; the process ends without it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// A password that was refused is not kept.
fn ask_again(code: u8, store: &Store, jid: &str) -> Result<(), Stop> {
    if code == 4
        && let Some(mut account) = store.account(Some(jid))?
    {
        account.password.clear();
        store.keep_account(&account)?;
    }
    Ok(())
}

fn start(store: &Store, account: Account, listen: bool, trust: Option<String>) -> Link {
    let store = store.clone();
    Box::new(Xmpp {
        account,
        store,
        listen,
        trust,
    })
    .start()
}

/// `liao chat`: the screen at a terminal, else lines.
pub fn chat(args: cli::Chat) -> ExitCode {
    run(async {
        if !args.plain && !args.json && os::has_screen() {
            return on_screen(args).await;
        }
        let (store, account) = account(&args.account, args.address.as_deref(), true).await?;
        let jid = account.jid.clone();
        let link = start(&store, account, true, args.account.trust.clone());
        let options = Options {
            json: args.json,
            sockets: false,
            book: false,
            single: false,
            to: args.to,
            ends_with_input: true,
            listen_only: false,
            store: Some((store.clone(), jid.clone())),
        };
        let code = liao_tui::run(link, options, os::terminated()).await;
        ask_again(code, &store, &jid)?;
        Ok(code)
    })
}

/// The screen asks for what is missing itself.
async fn on_screen(args: cli::Chat) -> Result<u8, Stop> {
    let account = &args.account;
    let store = Store::open(
        &account
            .client_data
            .clone()
            .unwrap_or_else(os::client_folder),
    )?;
    let wanted = account.account.as_deref().or(args.address.as_deref());
    let jid = wanted.and_then(|w| BareJid::new(w).ok());
    let jid = jid.filter(|j| j.node().is_some()).map(|j| j.to_string());
    let given = given_password(account)?;
    let mut known = match (wanted, &jid) {
        (None, _) => store.account(None)?,
        (Some(_), Some(jid)) => store.account(Some(jid))?,
        (Some(_), None) => None,
    };
    if let (None, Some(jid)) = (&known, jid) {
        let (password, server) = (String::new(), None);
        known = Some(Account {
            jid,
            password,
            server,
        });
    }
    if let Some(known) = &mut known {
        known.password = given.unwrap_or(std::mem::take(&mut known.password));
        known.server = account.server.clone().or(known.server.take());
    }
    let start = Start {
        given: wanted.filter(|_| known.is_none()).map(str::to_owned),
        store,
        account: known,
        server: account.server.clone(),
        trust: account.trust.clone(),
        to: args.to,
        sockets: None,
        direct: None,
    };
    Ok(liao_tui::screen(start, os::terminated()).await)
}

/// `liao tail`.
pub fn tail(args: cli::Tail) -> ExitCode {
    run(async {
        let (store, account) = account(&args.account, None, false).await?;
        let jid = account.jid.clone();
        let link = start(&store, account, true, args.account.trust.clone());
        let options = Options {
            json: args.json,
            sockets: false,
            book: false,
            single: false,
            to: None,
            ends_with_input: false,
            listen_only: true,
            store: Some((store.clone(), jid.clone())),
        };
        let code = liao_tui::run(link, options, os::terminated()).await;
        ask_again(code, &store, &jid)?;
        Ok(code)
    })
}

/// `liao msg`.
pub fn msg(args: cli::Msg) -> ExitCode {
    run(async {
        let (store, account) = account(&args.account, None, false).await?;
        let text = match args.text.join(" ") {
            text if text.is_empty() || text == "-" => {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            text => text,
        };
        if text.trim().is_empty() {
            return Err(Stop(2, "there is nothing to say".into()));
        }
        let jid = account.jid.clone();
        let mut link = start(&store, account, false, args.account.trust.clone());
        tokio::select! {
            code = deliver(&mut link, &args.name, text) => {
                if let Err(Stop(4, _)) = &code {
                    ask_again(4, &store, &jid)?;
                }
                code
            }
            () = os::terminated() => Err(Stop(1, "interrupted; what was kept goes out when `liao chat` is online".into())),
        }
    })
}

/// Says one thing: to an address at once, to a name as soon as the contacts are known.
async fn deliver(link: &mut Link, name: &str, text: String) -> Result<u8, Stop> {
    let id = random_id();
    let mut model = Model::default();
    let mut said = false;
    if name.contains('@') {
        said = true;
        say(link, &id, name, &text).await;
    }
    while let Some(event) = link.events.recv().await {
        model.apply(&event);
        match event {
            Event::Notice(words) => eprintln!("* {}", words.replace('\n', "\n  ")),
            Event::Offline { why, .. } if !said => return Err(Stop(3, why)),
            Event::State {
                id: of,
                state: State::Failed { why },
            } if of == id => return Err(Stop(1, why)),
            Event::Ready if !said => match model.lookup(name) {
                Ok(to) => {
                    said = true;
                    say(link, &id, &to, &text).await;
                }
                Err(why) => {
                    let more = "give an address such as name@server, or see /who in `liao chat`";
                    return Err(Stop(1, format!("{why}; {more}")));
                }
            },
            Event::Closed { error: Some(error) } => return Err(error.into()),
            Event::Closed { error: None } => return Ok(0),
            _ => {}
        }
    }
    Err(Stop(3, "the connection ended".into()))
}

async fn say(link: &Link, id: &str, to: &str, text: &str) {
    let (id, to, text) = (id.to_owned(), to.to_owned(), text.to_owned());
    let _ = link.commands.send(Command::Send { id, to, text }).await;
    let _ = link.commands.send(Command::Finish).await;
}
