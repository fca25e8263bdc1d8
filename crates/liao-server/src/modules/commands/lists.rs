//! How many accounts there are, and which: registered, disabled, online, active, idle (XEP-0133 sections 4.13 to 4.22).

use super::table::{Done, Lang, Outcome, Run, Words};
use super::users::refused;
use crate::limits;
use crate::server::{Server, now_ms};
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::Field;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

type Accounts = Result<BTreeSet<String>, ErrorKind>;

async fn all_accounts(run: &Run) -> Accounts {
    let all = run.server.accounts.list().await.map_err(|e| refused(&e))?;
    Ok(all.into_iter().map(|a| a.jid).collect())
}

async fn disabled_accounts(run: &Run) -> Accounts {
    let all = run.server.accounts.disabled().await;
    all.map_err(|e| refused(&e))
}

fn online_accounts(server: &Server) -> BTreeSet<String> {
    server.online().iter().map(ToString::to_string).collect()
}

/// Who is online and sent something in the last minutes.
fn active_accounts(server: &Server) -> BTreeSet<String> {
    let since = now_ms() - 1000 * limits::IDLE_USER_S as i64;
    let Ok(sessions) = server.sessions.lock() else {
        return BTreeSet::new();
    };
    let active = sessions.values().filter(|s| {
        let last = s.sent.last_ms.load(Ordering::Relaxed);
        last.max(s.since_ms) > since
    });
    active
        .filter_map(|s| s.full.split_once('/'))
        .map(|(bare, _)| bare.to_owned())
        .collect()
}

fn idle_accounts(server: &Server) -> BTreeSet<String> {
    let active = active_accounts(server);
    let online = online_accounts(server).into_iter();
    online.filter(|jid| !active.contains(jid)).collect()
}

fn number(run: &Run, var: &str, words: Words, count: usize) -> Outcome {
    let label = run.lang.pick(words);
    Ok(Done {
        fields: vec![Field::new(var, "text-single", label).values([count.to_string()])],
        ..Done::default()
    })
}

/// Section 4.13.
pub(super) async fn registered_number(run: Run) -> Outcome {
    let count = all_accounts(&run).await?.len();
    number(&run, "registeredusersnum", ("Accounts", "账号总数"), count)
}

/// Section 4.14.
pub(super) async fn disabled_number(run: Run) -> Outcome {
    let count = disabled_accounts(&run).await?.len();
    number(
        &run,
        "disabledusersnum",
        ("Disabled accounts", "停用账号数"),
        count,
    )
}

/// Section 4.15.
pub(super) async fn online_number(run: Run) -> Outcome {
    let count = online_accounts(&run.server).len();
    number(
        &run,
        "onlineusersnum",
        ("Accounts online", "在线人数"),
        count,
    )
}

/// Section 4.16.
pub(super) async fn active_number(run: Run) -> Outcome {
    let count = active_accounts(&run.server).len();
    number(
        &run,
        "activeusersnum",
        ("Active accounts", "活跃人数"),
        count,
    )
}

/// Section 4.17.
pub(super) async fn idle_number(run: Run) -> Outcome {
    let count = idle_accounts(&run.server).len();
    number(&run, "idleusersnum", ("Idle accounts", "空闲人数"), count)
}

/// The choices of section 4.18.
pub(super) fn ask(_: &Server, lang: Lang) -> Vec<Field> {
    let mut field = Field::new(
        "max_items",
        "list-single",
        lang.pick(("At most", "最多显示")),
    );
    let numbers = ["25", "50", "75", "100", "150", "200"];
    field.options = numbers.map(|n| (n.to_owned(), n.to_owned())).into();
    let all = lang.pick(("All", "全部")).to_owned();
    field.options.push((all, "none".to_owned()));
    vec![field]
}

fn list(run: &Run, var: &str, words: Words, all: BTreeSet<String>) -> Outcome {
    let most = run.answers.first("max_items").and_then(|n| n.parse().ok());
    let most = most.unwrap_or(usize::MAX).min(limits::COMMAND_LIST);
    let cut = all.len() > most;
    let label = run.lang.pick(words);
    Ok(Done {
        fields: vec![Field::new(var, "jid-multi", label).values(all.into_iter().take(most))],
        note: cut.then_some(("There are more.", "还有更多，没有全部列出。")),
        ..Done::default()
    })
}

/// Section 4.18.
pub(super) async fn registered(run: Run) -> Outcome {
    let all = all_accounts(&run).await?;
    list(&run, "registereduserjids", ("Accounts", "账号"), all)
}

/// Section 4.19.
pub(super) async fn disabled(run: Run) -> Outcome {
    let all = disabled_accounts(&run).await?;
    list(
        &run,
        "disableduserjids",
        ("Disabled accounts", "停用的账号"),
        all,
    )
}

/// Section 4.20.
pub(super) async fn online(run: Run) -> Outcome {
    let all = online_accounts(&run.server);
    list(
        &run,
        "onlineuserjids",
        ("Accounts online", "在线的账号"),
        all,
    )
}

/// Section 4.21.
pub(super) async fn active(run: Run) -> Outcome {
    let all = active_accounts(&run.server);
    list(
        &run,
        "activeuserjids",
        ("Active accounts", "活跃的账号"),
        all,
    )
}

/// Section 4.22, whose field is the one of section 4.21.
pub(super) async fn idle(run: Run) -> Outcome {
    let all = idle_accounts(&run.server);
    list(&run, "activeuserjids", ("Idle accounts", "空闲的账号"), all)
}
