//! `liao admin`: requests for the running server, or for its store when none runs.

use crate::cli::{Admin, AdminVerb, UserVerb};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// From standard input, `LIAO_PASSWORD` or a prompt; never from the arguments, which everyone on the machine can read.
fn password(stdin: bool, name: &str) -> Result<String, String> {
    if stdin {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| e.to_string())?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Ok(password) = std::env::var("LIAO_PASSWORD") {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            "give the password on standard input with --password-stdin, or in LIAO_PASSWORD"
                .to_owned(),
        );
    }
    loop {
        let ask = |question: &str| liao_tui::password(question).map_err(|e| e.to_string());
        let one = ask(&format!("password of {name} (it is not shown): "))?;
        if one.is_empty() {
            eprintln!("An empty password is no password.");
        } else if one == ask("once more: ")? {
            return Ok(one);
        } else {
            eprintln!("These were different. Once again:");
        }
    }
}

/// An argument, or standard input for `-`.
fn words(text: &str) -> Result<String, String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut all = String::new();
    let read = std::io::stdin().read_to_string(&mut all);
    read.map_err(|e| e.to_string())?;
    Ok(all.trim_end().to_owned())
}

fn notice(what: &str, text: Option<&str>, delete: bool) -> Result<Value, String> {
    let text = text.map(words).transpose()?;
    Ok(json!({"do": what, "text": text, "delete": delete}))
}

fn request(verb: &AdminVerb) -> Result<Value, String> {
    Ok(match verb {
        AdminVerb::User {
            verb:
                UserVerb::Add {
                    name,
                    admin,
                    password_stdin,
                },
        } => {
            json!({"do": "user-add", "name": name, "admin": admin, "password": password(*password_stdin, name)?})
        }
        AdminVerb::User {
            verb: UserVerb::Del { name },
        } => json!({"do": "user-del", "name": name}),
        AdminVerb::User {
            verb:
                UserVerb::Passwd {
                    name,
                    password_stdin,
                },
        } => {
            json!({"do": "user-passwd", "name": name, "password": password(*password_stdin, name)?})
        }
        AdminVerb::User {
            verb: UserVerb::Disable { name },
        } => json!({"do": "user-disable", "name": name}),
        AdminVerb::User {
            verb: UserVerb::Enable { name },
        } => json!({"do": "user-enable", "name": name}),
        AdminVerb::User {
            verb: UserVerb::Promote { name },
        } => json!({"do": "user-promote", "name": name}),
        AdminVerb::User {
            verb: UserVerb::Demote { name },
        } => json!({"do": "user-demote", "name": name}),
        AdminVerb::User {
            verb: UserVerb::Keep { name, days, mb },
        } => json!({"do": "user-keep", "name": name, "days": days, "mb": mb}),
        AdminVerb::User {
            verb: UserVerb::List,
        } => json!({"do": "user-list"}),
        AdminVerb::Invite { admin, from } => json!({"do": "invite", "admin": admin, "from": from}),
        AdminVerb::End { address } => json!({"do": "end", "address": address}),
        AdminVerb::Announce { text } => json!({"do": "announce", "text": words(text)?}),
        AdminVerb::Motd { text, delete } => notice("motd", text.as_deref(), *delete)?,
        AdminVerb::Welcome { text, delete } => notice("welcome", text.as_deref(), *delete)?,
        AdminVerb::Reports { clear } => json!({"do": "reports", "clear": clear}),
        AdminVerb::Sessions => json!({"do": "sessions"}),
        AdminVerb::Stats => json!({"do": "stats"}),
        AdminVerb::Uploads => json!({"do": "uploads"}),
        AdminVerb::Reload => json!({"do": "reload"}),
    })
}

pub fn run(args: Admin) -> ExitCode {
    let request = match request(&args.verb) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("liao: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    let answer = runtime.block_on(liao_server::admin::request(&args.data, None, request));
    if answer["ok"] != true {
        eprintln!(
            "liao: {}",
            answer["error"].as_str().unwrap_or("the request failed")
        );
        return ExitCode::FAILURE;
    }
    if args.json {
        println!("{answer}");
    } else {
        show(&answer);
    }
    ExitCode::SUCCESS
}

fn show(answer: &Value) {
    let Some(fields) = answer.as_object() else {
        return;
    };
    for (key, value) in fields.iter().filter(|(k, v)| *k != "ok" && !v.is_null()) {
        match value {
            Value::Array(rows) => rows.iter().for_each(row),
            Value::String(text) => println!("{key}: {text}"),
            other => println!("{key}: {other}"),
        }
    }
}

/// What is shown of the rows of lists, in this order.
const COLUMNS: [&str; 14] = [
    "jid", "admin", "disabled", "created", "peer", "carrier", "since", "time", "by", "reason",
    "text", "messages", "files", "bytes",
];

fn row(row: &Value) {
    match row {
        Value::Object(fields) => {
            let words: Vec<String> = COLUMNS
                .iter()
                .filter_map(|k| Some((*k, fields.get(*k)?)))
                .map(|(k, v)| match v {
                    Value::String(s) => s.clone(),
                    Value::Bool(true) => k.to_owned(),
                    Value::Number(n) => format!("{n} {k}"),
                    Value::Array(all) => all
                        .iter()
                        .filter_map(Value::as_str)
                        .collect::<Vec<_>>()
                        .join(" "),
                    _ => String::new(),
                })
                .collect();
            println!("{}", words.join("  "));
        }
        Value::String(text) => println!("{text}"),
        other => println!("{other}"),
    }
}
