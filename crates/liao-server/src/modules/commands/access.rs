//! Who is kept out, who is let in, who administers (XEP-0133 sections 4.11, 4.12 and 4.29).

use super::bad;
use super::table::{Done, Lang, Outcome, Run};
use super::users::{own, refused};
use crate::limits;
use crate::rules::Decided;
use crate::server::Server;
use liao_proto::jid::Jid;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::Field;
use std::collections::BTreeSet;

fn ask(var: &str, label: &str, now: impl IntoIterator<Item = String>) -> Vec<Field> {
    vec![Field::new(var, "jid-multi", label).values(now)]
}

pub(super) fn ask_blocked(server: &Server, lang: Lang) -> Vec<Field> {
    let label = lang.pick(("Kept out", "屏蔽的地址和域名"));
    let now = server.accounts.rules.now();
    ask("blacklistjids", label, now.blocked.iter().cloned())
}

pub(super) fn ask_allowed(server: &Server, lang: Lang) -> Vec<Field> {
    let label = lang.pick(("Let in", "允许的地址和域名"));
    let now = server.accounts.rules.now();
    ask("whitelistjids", label, now.allowed.iter().cloned())
}

pub(super) fn ask_admins(server: &Server, lang: Lang) -> Vec<Field> {
    let label = lang.pick(("Administrators", "管理员"));
    let now = server.accounts.admins();
    ask("adminjids", label, now.iter().map(ToString::to_string))
}

/// The entries of a form. One that leaves the field out does not mean to empty the list.
fn entries(run: &Run, var: &str) -> Result<BTreeSet<String>, ErrorKind> {
    if !run.answers.has(var) {
        return Err(bad("bad-payload"));
    }
    let given = run.answers.all(var);
    if given.len() > limits::COMMAND_ADDRESSES {
        return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("too many addresses"));
    }
    let jids = given.iter().map(|text| Jid::new(text));
    jids.map(|jid| {
        jid.map(|j| j.to_string())
            .map_err(|_| ErrorKind::JID_MALFORMED)
    })
    .collect()
}

async fn change(run: &Run, change: impl FnOnce(&mut Decided)) -> Outcome {
    let changed = run.server.accounts.rules.change(change).await;
    changed.map_err(|_| ErrorKind::INTERNAL_SERVER_ERROR)?;
    Ok(Done::default())
}

/// Section 4.11.
pub(super) async fn blocked(run: Run) -> Outcome {
    let blocked = entries(&run, "blacklistjids")?;
    let new = Decided {
        blocked: blocked.clone(),
        ..Decided::default()
    };
    let domain = run.server.domain.as_str();
    let out = |jid: Jid| new.refuses(&jid, domain);
    let admins = run.server.accounts.admins();
    if out(run.server.domain.clone().into()) || admins.into_iter().any(|a| out(a.into())) {
        return Err(bad("bad-payload").with_text("this would keep out an administrator"));
    }
    change(&run, |rules| rules.blocked = blocked).await
}

/// Section 4.12.
pub(super) async fn allowed(run: Run) -> Outcome {
    let allowed = entries(&run, "whitelistjids")?;
    change(&run, |rules| rules.allowed = allowed).await
}

/// Section 4.29.
pub(super) async fn admins(run: Run) -> Outcome {
    let mut all = BTreeSet::new();
    for text in entries(&run, "adminjids")? {
        all.insert(own(&run.server, &text)?);
    }
    let set = run.server.accounts.set_admins(&all).await;
    set.map_err(|e| refused(&e))?;
    Ok(Done::default())
}
