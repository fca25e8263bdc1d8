//! The first run: a form in lines, never an error.

use crate::i18n::{Lang, Words};
use liao_proto::jid::BareJid;
use liao_proto::xep::invite::{self, Invite};
use std::io::{self, BufRead, IsTerminal, Write};

/// What the person brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An invitation to an account.
    Invite(Invite),
    /// An account that exists.
    Login(String),
}

fn words() -> &'static Words {
    Lang::detect(|name| std::env::var(name).ok()).words()
}

fn ask(question: &str) -> io::Result<String> {
    eprint!("{question}");
    io::stderr().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the input ended before the question was answered",
        ));
    }
    Ok(line.trim().to_owned())
}

/// Reads what was pasted.
fn read(text: &str) -> Option<Answer> {
    if let Some(invite) = invite::parse(text) {
        return Some(Answer::Invite(invite));
    }
    let jid = BareJid::new(text).ok()?;
    jid.node()?;
    Some(Answer::Login(jid.to_string()))
}

/// Asks for an invite link or an address, until it is one. `given`: what stood on the command line.
pub fn first_run(given: Option<&str>) -> io::Result<Answer> {
    if let Some(answer) = given.and_then(read) {
        return Ok(answer);
    }
    match given {
        None => eprintln!("{}\n{}", words().welcome, words().link_help),
        Some(text) => eprintln!("{text}: {}", words().no_link),
    }
    loop {
        let line = ask(&format!("{}: ", words().link_or_address))?;
        match read(&line) {
            Some(answer) => return Ok(answer),
            None if matches!(line.as_str(), "q" | "/quit") => {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    "nothing was done",
                ));
            }
            None => eprintln!("{}", words().no_link),
        }
    }
}

/// A password without echo; from a pipe it is a line.
pub fn password(question: &str) -> io::Result<String> {
    if io::stdin().is_terminal() {
        rpassword::prompt_password(question)
    } else {
        ask(question)
    }
}

/// A name and a password for a new account.
pub fn new_account(proposed: Option<&str>, given: Option<String>) -> io::Result<(String, String)> {
    let name = match proposed {
        Some(name) => name.to_owned(),
        None => loop {
            let name = ask(&format!("{}: ", words().choose_name))?;
            if !name.is_empty() {
                break name;
            }
        },
    };
    if let Some(password) = given {
        return Ok((name, password));
    }
    loop {
        let one = password(&format!("{}: ", words().choose_password))?;
        if one.is_empty() {
            eprintln!("{}", words().empty_password);
        } else if !io::stdin().is_terminal()
            || one == password(&format!("{}: ", words().once_more))?
        {
            return Ok((name, one));
        } else {
            eprintln!("{}", words().were_different);
        }
    }
}
