//! Accounts made, deleted, disabled, given a password; sessions ended (XEP-0133 sections 4.1 to 4.5 and 4.7).

use super::table::{Done, Lang, Outcome, Run};
use crate::accounts::AccountError;
use crate::engines::vcard;
use crate::limits;
use crate::mailbox::End;
use crate::registration::kind;
use crate::server::Server;
use crate::store::Op;
use liao_proto::jid::BareJid;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::Field;
use std::collections::BTreeSet;

/// The stanza error of what cannot be done to an account.
pub(super) fn refused(error: &AccountError) -> ErrorKind {
    match error {
        AccountError::Unknown { .. } => {
            ErrorKind::ITEM_NOT_FOUND.with_text("there is no such account")
        }
        AccountError::LastAdmin => ErrorKind::CONFLICT.with_text("one administrator must remain"),
        other => kind(other),
    }
}

pub(super) fn ask_accounts(_: &Server, lang: Lang) -> Vec<Field> {
    let label = lang.pick(("Addresses, one a line", "地址，每行一个"));
    vec![Field::new("accountjids", "jid-multi", label).required()]
}

pub(super) fn ask_sessions(server: &Server, lang: Lang) -> Vec<Field> {
    ask_accounts(server, lang)
}

pub(super) fn ask_account(_: &Server, lang: Lang) -> Vec<Field> {
    let label = lang.pick(("Address", "地址"));
    vec![Field::new("accountjid", "jid-single", label).required()]
}

fn secret(lang: Lang) -> Field {
    Field::new("password", "text-private", lang.pick(("Password", "密码"))).required()
}

pub(super) fn ask_password(server: &Server, lang: Lang) -> Vec<Field> {
    let mut fields = ask_account(server, lang);
    fields.push(secret(lang));
    fields
}

pub(super) fn ask_add(server: &Server, lang: Lang) -> Vec<Field> {
    let mut fields = ask_password(server, lang);
    for (var, type_, words) in [
        (
            "password-verify",
            "text-private",
            ("Password again", "再输一次密码"),
        ),
        ("email", "text-single", ("Email address", "电子邮箱")),
        ("given_name", "text-single", ("Given name", "名")),
        ("surname", "text-single", ("Family name", "姓")),
    ] {
        fields.push(Field::new(var, type_, lang.pick(words)));
    }
    fields
}

/// An address of this server, without its resource.
pub(super) fn own(server: &Server, text: &str) -> Result<BareJid, ErrorKind> {
    let jid = liao_proto::address::parse(text).map_err(|_| ErrorKind::JID_MALFORMED)?;
    if jid.domain().as_str() != server.domain.as_str() || jid.node().is_none() {
        return Err(ErrorKind::ITEM_NOT_FOUND.with_text("that is no address of this server"));
    }
    Ok(jid.into_bare())
}

/// The account of a form.
pub(super) async fn account(run: &Run) -> Result<BareJid, ErrorKind> {
    let text = run.answers.first("accountjid").unwrap_or_default();
    let jid = own(&run.server, text)?;
    let known = run.server.accounts.known(jid.as_str()).await;
    known.map_err(|e| refused(&e))
}

/// The accounts of a form: all of them are there, or nothing is done.
pub(super) async fn accounts(run: &Run) -> Result<BTreeSet<BareJid>, ErrorKind> {
    let mut all = BTreeSet::new();
    let given = run.answers.all("accountjids");
    if given.len() > limits::COMMAND_ADDRESSES {
        return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("too many addresses at once"));
    }
    for text in given {
        let jid = own(&run.server, text)?;
        let known = run.server.accounts.known(jid.as_str()).await;
        all.insert(known.map_err(|e| refused(&e))?);
    }
    Ok(all)
}

/// Section 4.1.
pub(super) async fn add(run: Run) -> Outcome {
    let first = |var: &str| run.answers.first(var).unwrap_or_default();
    let jid = own(&run.server, first("accountjid"))?;
    let verify = first("password-verify");
    if run.answers.has("password-verify") && verify != first("password") {
        let detail = super::bad("bad-payload");
        return Err(detail.with_text("the two passwords differ"));
    }
    let accounts = &run.server.accounts;
    let made = accounts
        .create(jid.as_str(), first("password"), false)
        .await;
    made.map_err(|e| refused(&e))?;
    let card = vcard::of(first("given_name"), first("surname"), first("email"));
    if let Some(card) = card {
        let put = Op::Put {
            collection: vcard::COLLECTION,
            owner: jid.to_string(),
            key: String::new(),
            value: card.into_bytes(),
        };
        let kept = run.server.store.committed(vec![put]).await;
        kept.map_err(|_| ErrorKind::INTERNAL_SERVER_ERROR)?;
    }
    Ok(Done::default())
}

/// Whoever does this to all administrators leaves a server that nobody administers.
fn spares_an_admin(run: &Run, all: &BTreeSet<BareJid>) -> Result<(), ErrorKind> {
    if run.server.accounts.admins().is_subset(all) {
        return Err(refused(&AccountError::LastAdmin));
    }
    Ok(())
}

/// Section 4.2.
pub(super) async fn delete(run: Run) -> Outcome {
    let all = accounts(&run).await?;
    spares_an_admin(&run, &all)?;
    for jid in all {
        let deleted = run.server.accounts.delete(jid.as_str()).await;
        deleted.map_err(|e| refused(&e))?;
        run.server.account_removed(&jid);
    }
    Ok(Done::default())
}

/// Section 4.3.
pub(super) async fn disable(run: Run) -> Outcome {
    let all = accounts(&run).await?;
    spares_an_admin(&run, &all)?;
    set_disabled(&run, all, true).await
}

/// Section 4.4.
pub(super) async fn reenable(run: Run) -> Outcome {
    let all = accounts(&run).await?;
    set_disabled(&run, all, false).await
}

async fn set_disabled(run: &Run, all: BTreeSet<BareJid>, disabled: bool) -> Outcome {
    for jid in all {
        let set = run.server.accounts.set_disabled(jid.as_str(), disabled);
        set.await.map_err(|e| refused(&e))?;
        run.server.account_disabled(&jid, disabled);
    }
    Ok(Done::default())
}

/// Section 4.5.
pub(super) async fn end(run: Run) -> Outcome {
    accounts(&run).await?;
    let end = End {
        condition: "not-authorized",
        text: "an administrator ended this session",
    };
    for text in run.answers.all("accountjids") {
        let jid = liao_proto::address::parse(text).map_err(|_| ErrorKind::JID_MALFORMED)?;
        let resource = jid.resource().map(|r| r.to_string());
        run.server
            .end_sessions(&jid.to_bare(), resource.as_deref(), end);
    }
    Ok(Done::default())
}

/// Section 4.7.
pub(super) async fn password(run: Run) -> Outcome {
    let jid = account(&run).await?;
    let new = run.answers.first("password").unwrap_or_default();
    let set = run.server.accounts.set_password(jid.as_str(), new).await;
    set.map_err(|e| refused(&e))?;
    Ok(Done::default())
}
