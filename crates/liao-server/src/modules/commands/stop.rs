//! The server restarts or stops, with a word to everyone and a delay (XEP-0133 sections 4.30 and 4.31).

use super::notices::words;
use super::table::{Done, Lang, Outcome, Run, Words};
use crate::ending::Ended;
use crate::engines::notices;
use crate::server::Server;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::Field;
use std::time::Duration;

/// The delays of the text's forms, in seconds; `0` beside them, for who is in a hurry.
const DELAYS: [(&str, Words); 8] = [
    ("0", ("at once", "立即")),
    ("30", ("30 seconds", "30 秒")),
    ("60", ("60 seconds", "60 秒")),
    ("90", ("90 seconds", "90 秒")),
    ("120", ("2 minutes", "2 分钟")),
    ("180", ("3 minutes", "3 分钟")),
    ("240", ("4 minutes", "4 分钟")),
    ("300", ("5 minutes", "5 分钟")),
];

pub(super) fn ask(_: &Server, lang: Lang) -> Vec<Field> {
    let mut delay = Field::new("delay", "list-single", lang.pick(("When", "何时")));
    let option = |(seconds, words)| (lang.pick(words).to_owned(), String::from(seconds));
    delay.options = DELAYS.map(option).into();
    let label = lang.pick(("What everyone is told", "通知的内容"));
    vec![delay, Field::new("announcement", "text-multi", label)]
}

/// Section 4.30.
pub(super) async fn restart(run: Run) -> Outcome {
    end(run, Ended::Restart)
}

/// Section 4.31.
pub(super) async fn shutdown(run: Run) -> Outcome {
    end(run, Ended::Stopped)
}

/// Without a delay the answer gets a moment to leave.
fn end(run: Run, how: Ended) -> Outcome {
    let text = words(&run, "announcement")?;
    let seconds = run.answers.first("delay").and_then(|d| d.parse().ok());
    let delay = Duration::from_secs(seconds.unwrap_or(0)).max(Duration::from_millis(300));
    if !run.server.ending.plan(delay, how) {
        return Err(ErrorKind::CONFLICT.with_text("the server's end is planned already"));
    }
    if !text.is_empty() {
        notices::announce(&run.server, &text);
    }
    Ok(Done::default())
}
