//! Administration: a unix socket in the data folder, one JSON object a line each way; or, when no server runs,
//! the same on the store itself.

use crate::accounts::{AccountError, Accounts, INVITE_TTL, REPORTED};
use crate::engines::uploads::Uploads;
use crate::limits;
use crate::listener::Reloader;
use crate::retention::{self, Rule};
use crate::rules::{Decided, Notice};
use crate::server::{now_ms, random_id};
use crate::store::{Store, Sync};
use liao_proto::jid::BareJid;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The longest request, in bytes.
const REQUEST_BYTES: u64 = 64 * 1024;

/// Listens in the data folder.
pub fn listen(data: &Path) -> std::io::Result<UnixListener> {
    crate::os::listen_local(&data.join("admin.sock"))
}

/// Answers requests.
pub async fn serve(at: Arc<Reloader>, listener: UnixListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(at.clone(), stream));
        }
    }
}

async fn talk(at: Arc<Reloader>, stream: UnixStream) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader.take(REQUEST_BYTES)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match serde_json::from_str::<Value>(&line) {
            Ok(request) => running(&at, &request).await,
            Err(error) => refuse(&error.to_string()),
        };
        if writer
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

fn refuse(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

async fn running(at: &Reloader, request: &Value) -> Value {
    let server = &at.server;
    match request["do"].as_str().unwrap_or_default() {
        "sessions" => {
            let all = server
                .sessions
                .lock()
                .map(|s| s.values().cloned().collect::<Vec<_>>())
                .unwrap_or_default();
            let mut rows: Vec<Value> = all
                .iter()
                .map(|s| {
                    let since = liao_proto::xep::delay::utc_from_ms(s.since_ms);
                    json!({"jid": s.full, "peer": s.peer, "carrier": s.carrier, "since": since})
                })
                .collect();
            rows.sort_by_key(|r| r["jid"].to_string());
            json!({"ok": true, "sessions": rows})
        }
        "stats" => {
            let stats = server.store.stats();
            json!({
                "ok": true,
                "uptime_s": server.started.elapsed().as_secs(),
                "sessions": server.sessions.lock().map_or(0, |s| s.len()),
                "accounts": server.accounts.list().await.map_or(0, |a| a.len()),
                "stanzas_routed": server.routed.load(Ordering::Relaxed),
                "transactions": stats.transactions.load(Ordering::Relaxed),
                "commits": stats.commits.load(Ordering::Relaxed),
            })
        }
        "uploads" => usage(&server.store).await,
        "reload" => match at.reload() {
            Ok(words) => json!({"ok": true, "message": words}),
            Err(error) => refuse(&format!("{error}; the old configuration stays")),
        },
        "end" | "announce" => match on_people(server, request).await {
            Ok(answer) => answer,
            Err(error) => refuse(&error),
        },
        what => match on_accounts(&server.accounts, what, request).await {
            Ok(mut answer) => {
                if what == "motd" {
                    crate::engines::notices::greet_all(server);
                }
                let disables = what == "user-disable";
                if (disables || what == "user-enable")
                    && let Some(jid) = answer["jid"].as_str().and_then(|j| BareJid::new(j).ok())
                {
                    server.account_disabled(&jid, disables);
                }
                if what == "user-del"
                    && let Some(jid) = answer["jid"].as_str().and_then(|j| BareJid::new(j).ok())
                {
                    server.account_removed(&jid);
                }
                if what == "user-keep"
                    && let Some(jid) = answer["jid"].as_str().and_then(|j| BareJid::new(j).ok())
                {
                    let rule = Rule::of(&server.config());
                    if let Err(error) = retention::look(&server.store, &jid, rule, now_ms()).await {
                        return refuse(&format!(
                            "the rule is set; old messages are still there: {error}"
                        ));
                    }
                }
                if what == "reports" && request["clear"] == true {
                    forget_reported(server, &answer);
                }
                if what == "invite"
                    && let Ok(invite) = serde_json::from_value(answer["invite"].take())
                {
                    answer["uris"] = server.invite_uris(&invite).into();
                }
                answer
            }
            Err(error) => refuse(&error.to_string()),
        },
    }
}

/// The message of the day, or the welcome: set, deleted or shown.
async fn notice(accounts: &Accounts, what: &str, request: &Value) -> Result<Value, AccountError> {
    let text = request["text"].as_str().map(str::to_owned);
    if text
        .as_ref()
        .is_some_and(|t| t.trim().is_empty() || t.len() > limits::NOTICE_BYTES)
    {
        return Ok(refuse("this is empty, or too long"));
    }
    let delete = request["delete"] == true;
    if text.is_none() && !delete {
        let now = accounts.rules.now();
        let motd = now.motd.as_ref().map(|m| m.text.clone());
        let text = if what == "motd" {
            motd
        } else {
            now.welcome.clone()
        };
        return Ok(json!({"ok": true, what: text.unwrap_or_else(|| "none is set".into())}));
    }
    let change = |rules: &mut Decided| match what {
        "motd" => {
            rules.motd = text.map(|text| Notice {
                id: random_id(),
                text,
            })
        }
        _ => rules.welcome = text,
    };
    accounts.rules.change(change).await?;
    Ok(json!({"ok": true}))
}

/// What concerns those who are online.
async fn on_people(server: &crate::server::Server, request: &Value) -> Result<Value, String> {
    if request["do"] == "announce" {
        let text = request["text"].as_str().unwrap_or_default();
        if text.trim().is_empty() || text.len() > limits::NOTICE_BYTES {
            return Err("this is empty, or too long".to_owned());
        }
        crate::engines::notices::announce(server, text);
        return Ok(json!({"ok": true, "told": server.online().len()}));
    }
    let address = request["address"].as_str().unwrap_or_default();
    let (name, resource) = match address.split_once('/') {
        Some((name, resource)) => (name, Some(resource)),
        None => (address, None),
    };
    let jid = server
        .accounts
        .known(name)
        .await
        .map_err(|e| e.to_string())?;
    let end = crate::mailbox::End {
        condition: "not-authorized",
        text: "an administrator ended this session",
    };
    server.end_sessions(&jid, resource, end);
    Ok(json!({"ok": true}))
}

/// Files by account.
async fn usage(store: &Store) -> Value {
    match Uploads::usage(store).await {
        Ok(all) => {
            let row = |(jid, files, bytes): &(String, u64, u64)| json!({"jid": jid, "files": files, "bytes": bytes});
            let bytes: u64 = all.iter().map(|(.., bytes)| bytes).sum();
            let rows: Vec<Value> = all.iter().map(row).collect();
            json!({"ok": true, "uploads": rows, "bytes": bytes})
        }
        Err(error) => refuse(&error.to_string()),
    }
}

/// Who reported may report again.
fn forget_reported(server: &crate::server::Server, answer: &Value) {
    let reports = answer["reports"].as_array().into_iter().flatten();
    let by = reports.filter_map(|r| BareJid::new(r["by"].as_str()?).ok());
    for by in by.collect::<std::collections::BTreeSet<_>>() {
        let forget = |cx: &mut crate::hooks::Cx<'_>| drop(cx.entity.rows.remove(REPORTED));
        server.post(by, crate::entity::Item::Do(Box::new(forget)));
    }
}

async fn on_accounts(
    accounts: &Accounts,
    what: &str,
    request: &Value,
) -> Result<Value, AccountError> {
    let text = |key: &str| request[key].as_str().unwrap_or_default();
    let is_admin = request["admin"].as_bool().unwrap_or(false);
    Ok(match what {
        "user-add" => {
            json!({"ok": true, "jid": accounts.create(text("name"), text("password"), is_admin).await?.as_str()})
        }
        "user-del" => json!({"ok": true, "jid": accounts.delete(text("name")).await?.as_str()}),
        "user-passwd" => {
            accounts
                .set_password(text("name"), text("password"))
                .await?;
            json!({"ok": true})
        }
        "user-disable" | "user-enable" => {
            let disables = what == "user-disable";
            json!({"ok": true, "jid": accounts.set_disabled(text("name"), disables).await?.as_str()})
        }
        "user-promote" | "user-demote" => {
            let admin = what == "user-promote";
            json!({"ok": true, "jid": accounts.set_admin(text("name"), admin).await?.as_str()})
        }
        "user-keep" => {
            let jid = accounts.known(text("name")).await?;
            let number = |key: &str| request[key].as_u64();
            let rule = (number("days").is_some() || number("mb").is_some()).then(|| Rule {
                days: number("days").unwrap_or(0),
                mb: number("mb").unwrap_or(0),
            });
            accounts.keep(&jid, rule).await?;
            json!({"ok": true, "jid": jid.as_str()})
        }
        "motd" | "welcome" => notice(accounts, what, request).await?,
        "user-list" => json!({"ok": true, "users": accounts.list().await?}),
        "reports" => {
            let clear = request["clear"].as_bool().unwrap_or(false);
            json!({"ok": true, "reports": accounts.reports(clear).await?})
        }
        "invite" => {
            let from = match text("from") {
                "" => None,
                jid => Some(BareJid::new(jid).map_err(|_| AccountError::Unknown {
                    name: jid.to_owned(),
                })?),
            };
            let invite = accounts.create_invite(from, is_admin, INVITE_TTL).await?;
            json!({"ok": true, "expires": invite.expires_text(), "invite": invite})
        }
        other => refuse(&format!("there is no request {other:?}")),
    })
}

/// Sends a request to the running server of a data folder, or does it on the store if none runs.
pub async fn request(data: &Path, domain: Option<&str>, request: Value) -> Value {
    match crate::os::connect_local(&data.join("admin.sock")).await {
        Ok(stream) => ask(stream, &request)
            .await
            .unwrap_or_else(|e| refuse(&format!("the server did not answer: {e}"))),
        Err(_) => {
            let what = request["do"].as_str().unwrap_or_default();
            let shown = data.display();
            if matches!(what, "sessions" | "stats" | "reload" | "end" | "announce") {
                return refuse(&format!(
                    "no server runs on the data in {shown}; --data names another folder"
                ));
            }
            // A slip in the folder's name makes no new, empty server.
            if !matches!(what, "user-add" | "invite") && !crate::store::is_there(data) {
                return refuse(&format!(
                    "there is no server's data in {shown}; --data names another folder"
                ));
            }
            offline(data, domain, &request)
                .await
                .unwrap_or_else(|e| refuse(&e.to_string()))
        }
    }
}

async fn ask(mut stream: UnixStream, request: &Value) -> std::io::Result<Value> {
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}

async fn offline(
    data: &Path,
    domain: Option<&str>,
    request: &Value,
) -> Result<Value, AccountError> {
    let store = Store::open(data, Sync::Full)?;
    let known = Accounts::domain_of(&store).await?;
    let domain = domain
        .map(str::to_owned)
        .or(known)
        .unwrap_or_else(|| "localhost".to_owned());
    let accounts = Accounts::open(store.clone(), &domain).await?;
    let what = request["do"].as_str().unwrap_or_default();
    let mut answer = match what {
        "uploads" => usage(&store).await,
        _ => on_accounts(&accounts, what, request).await?,
    };
    if what == "user-del"
        && let Some(jid) = answer["jid"].as_str().and_then(|j| BareJid::new(j).ok())
        && let Err(error) = Uploads::new(store.clone()).forget(&jid).await
    {
        // The next start clears what is left.
        tracing::warn!(%jid, %error, "the files of a removed account are still here");
    }
    if let Ok(invite) = serde_json::from_value::<crate::accounts::Invite>(answer["invite"].take()) {
        answer["uris"] = json!([liao_proto::xep::invite::register_uri(
            &domain,
            &invite.token
        )]);
    }
    let _ = tokio::task::spawn_blocking(move || store.close()).await;
    Ok(answer)
}
