//! Events as lines: for people, for pipes, and as JSON for programs.

use crate::i18n::{Words, fill};
use crate::text::harmless;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use liao_client::{Event, Message, Model, Show, State};
use serde_json::{Value, json};
use std::io::Write;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A person reads: times, notices between the messages.
    Terminal,
    /// A line a message on standard output, notices on standard error; `bare`: without the name.
    Pipe {
        /// There is only one peer.
        bare: bool,
    },
    /// A JSON object a line.
    Json,
}

fn clock(ms: i64, dated: bool) -> String {
    let Ok(time) = Timestamp::from_millisecond(ms) else {
        return String::new();
    };
    let format = if dated { "%Y-%m-%d %H:%M" } else { "%H:%M" };
    time.to_zoned(TimeZone::system())
        .strftime(format)
        .to_string()
}

/// Writes lines; `Err` when nobody reads them any more.
pub struct Screen {
    pub form: Form,
    pub words: &'static Words,
}

impl Screen {
    fn out(&self, line: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// A line for the person.
    pub fn notice(&self, words: &str) -> std::io::Result<()> {
        match self.form {
            Form::Terminal => self.out(&format!("* {}", harmless(words, "\n  "))),
            Form::Pipe { .. } => {
                eprintln!("* {}", harmless(words, "\n  "));
                Ok(())
            }
            Form::Json => self.out(&json!({"event": "notice", "text": words}).to_string()),
        }
    }

    /// A message, its own or another's.
    pub fn message(&self, message: &Message, name: &str, dated: bool) -> std::io::Result<()> {
        match self.form {
            Form::Terminal => {
                let who = if message.outgoing { self.words.me } else { name };
                let late = dated || message.delayed;
                self.out(&format!(
                    "[{}] {}: {}",
                    clock(message.time_ms, late),
                    harmless(who, " "),
                    harmless(&message.text, "\n        ")
                ))
            }
            Form::Pipe { .. } if message.outgoing => Ok(()),
            // Programs get what was said, but one line a message.
            Form::Pipe { bare: true } => self.out(&message.text.replace('\n', "⏎")),
            Form::Pipe { bare: false } => {
                self.out(&format!("{name}: {}", message.text.replace('\n', "⏎")))
            }
            Form::Json => self.out(
                &json!({
                    "event": "message", "peer": message.peer, "name": name, "outgoing": message.outgoing,
                    "id": message.id, "text": message.text, "delayed": message.delayed,
                    "time": liao_proto::xep::delay::utc_from_ms(message.time_ms),
                })
                .to_string(),
            ),
        }
    }

    /// Anything else that happened.
    pub fn event(&self, event: &Event, model: &Model) -> std::io::Result<()> {
        if self.form == Form::Json {
            return match as_json(event) {
                Some(value) => self.out(&value.to_string()),
                None => Ok(()),
            };
        }
        match words(event, model, self.words) {
            Some(words) => self.notice(&words),
            None => Ok(()),
        }
    }
}

fn words(event: &Event, model: &Model, words: &Words) -> Option<String> {
    Some(match event {
        Event::Notice(words) => words.clone(),
        Event::Online { me } => fill(words.online_as, &[me]),
        Event::Offline { why, retry_s } => {
            fill(words.offline_because, &[why, &retry_s.to_string()])
        }
        Event::Presence {
            peer,
            available,
            show,
            status,
        } => {
            let name = model.name(peer);
            let mut said = match (available, show) {
                (false, _) => fill(words.is_gone, &[name]),
                (true, None) => fill(words.is_here, &[name]),
                (true, Some(show)) => fill(words.is_state, &[name, meaning(*show, words)]),
            };
            if let Some(status) = status.as_ref().filter(|s| !s.is_empty()) {
                said = format!("{said}: {status}");
            }
            said
        }
        Event::Request { peer, greeting } => {
            let said = greeting
                .as_ref()
                .map_or(String::new(), |g| format!(" ({g})"));
            fill(words.how_to_answer, &[peer, &said])
        }
        Event::State {
            state: State::Failed { why },
            ..
        } => fill(words.not_sent, &[why]),
        Event::State {
            state: State::Waiting { left, of },
            ..
        } => fill(words.of_pieces, &[&left.to_string(), &of.to_string()]),
        Event::Closed { error: Some(error) } => error.to_string(),
        _ => return None,
    })
}

fn meaning(show: Show, words: &Words) -> &'static str {
    match show {
        Show::Dnd => words.busy,
        Show::Xa => words.long_away,
        Show::Chat => words.glad,
        Show::Away => words.away,
    }
}

fn as_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Notice(text) => json!({"event": "notice", "text": text}),
        Event::Online { me } => json!({"event": "online", "me": me}),
        Event::Offline { why, retry_s } => {
            json!({"event": "offline", "why": why, "retry_s": retry_s})
        }
        Event::Ready => json!({"event": "ready"}),
        Event::Contact(c) => json!({
            "event": "contact", "peer": c.peer, "name": c.name, "groups": c.groups,
            "subscription": c.subscription, "asked": c.asked,
        }),
        Event::Gone(peer) => json!({"event": "gone", "peer": peer}),
        Event::Presence {
            peer,
            available,
            show,
            status,
        } => json!({
            "event": "presence", "peer": peer, "available": available,
            "show": show.map(liao_client::Show::word), "status": status,
        }),
        Event::Request { peer, greeting } => {
            json!({"event": "request", "peer": peer, "greeting": greeting})
        }
        Event::State { id, state } => {
            let (word, more) = match state {
                State::Queued => ("queued", Value::Null),
                State::Waiting { left, of } => ("waiting", json!({"left": left, "of": of})),
                State::Sent => ("sent", Value::Null),
                State::Delivered => ("delivered", Value::Null),
                State::Failed { why } => ("failed", json!({"why": why})),
            };
            json!({"event": "state", "id": id, "state": word, "more": more})
        }
        Event::Closed { error } => {
            json!({"event": "closed", "error": error.as_ref().map(ToString::to_string)})
        }
        Event::Message(_) => return None,
    })
}
