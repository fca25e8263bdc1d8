//! What everybody is told: announcements, the message of the day, the welcome (XEP-0133 sections 4.23 to 4.28).

use super::table::{Done, Lang, Outcome, Run, Words};
use crate::engines::notices;
use crate::limits;
use crate::rules::{Decided, Notice};
use crate::server::{Server, random_id};
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::Field;

fn ask(var: &str, words: Words, lang: Lang, now: Option<&str>) -> Vec<Field> {
    let lines = now.unwrap_or_default().lines().map(str::to_owned);
    let field = Field::new(var, "text-multi", lang.pick(words)).required();
    vec![field.values(lines)]
}

pub(super) fn ask_announcement(_: &Server, lang: Lang) -> Vec<Field> {
    ask("announcement", ("Announcement", "公告"), lang, None)
}

pub(super) fn ask_motd(_: &Server, lang: Lang) -> Vec<Field> {
    ask("motd", ("Message of the day", "每日消息"), lang, None)
}

pub(super) fn ask_edit_motd(server: &Server, lang: Lang) -> Vec<Field> {
    let now = server.accounts.rules.now();
    let text = now.motd.as_ref().map(|m| m.text.as_str());
    ask("motd", ("Message of the day", "每日消息"), lang, text)
}

pub(super) fn ask_welcome(server: &Server, lang: Lang) -> Vec<Field> {
    let now = server.accounts.rules.now();
    ask(
        "welcome",
        ("Welcome", "欢迎语"),
        lang,
        now.welcome.as_deref(),
    )
}

/// The words of a form.
pub(super) fn words(run: &Run, var: &str) -> Result<String, ErrorKind> {
    let text = run.answers.text(var);
    if text.len() > limits::NOTICE_BYTES {
        return Err(super::bad("bad-payload").with_text("these are too many words"));
    }
    Ok(text)
}

async fn change(run: &Run, change: impl FnOnce(&mut Decided)) -> Outcome {
    let changed = run.server.accounts.rules.change(change).await;
    changed.map_err(|_| ErrorKind::INTERNAL_SERVER_ERROR)?;
    Ok(Done::default())
}

/// Section 4.23.
pub(super) async fn announce(run: Run) -> Outcome {
    let text = words(&run, "announcement")?;
    notices::announce(&run.server, &text);
    Ok(Done::default())
}

/// Section 4.24.
pub(super) async fn set_motd(run: Run) -> Outcome {
    let text = words(&run, "motd")?;
    let id = random_id();
    let done = change(&run, |rules| rules.motd = Some(Notice { id, text })).await?;
    notices::greet_all(&run.server);
    Ok(done)
}

/// Section 4.25: the same message with other words. Where there is none, it is a new one.
pub(super) async fn edit_motd(run: Run) -> Outcome {
    let text = words(&run, "motd")?;
    let done = change(&run, |rules| {
        let id = rules.motd.take().map_or_else(random_id, |m| m.id);
        rules.motd = Some(Notice { id, text });
    });
    let done = done.await?;
    notices::greet_all(&run.server);
    Ok(done)
}

/// Section 4.26.
pub(super) async fn delete_motd(run: Run) -> Outcome {
    change(&run, |rules| rules.motd = None).await
}

/// Section 4.27.
pub(super) async fn set_welcome(run: Run) -> Outcome {
    let text = words(&run, "welcome")?;
    change(&run, |rules| rules.welcome = Some(text)).await
}

/// Section 4.28.
pub(super) async fn delete_welcome(run: Run) -> Outcome {
    change(&run, |rules| rules.welcome = None).await
}
