//! Events as lines: for people, for pipes, and as JSON for programs.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use liao_client::{Event, Kept, Message, Model, Older, State};
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

/// Control characters and bidirectional overrides do nothing to the reader's terminal; line ends are `newline`.
pub fn harmless(text: &str, newline: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str(newline),
            '\t' => out.push(c),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
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
                let who = if message.outgoing { "me" } else { name };
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
            Form::Json => {
                let mut line = message_json(message);
                line["name"] = name.into();
                self.out(&line.to_string())
            }
        }
    }

    /// A stretch of a conversation, and what there is before it.
    fn history(&self, messages: &[Kept], older: Older, name: &str) -> std::io::Result<()> {
        if older == Older::There {
            self.notice("older messages are on the server only")?;
        }
        for kept in messages {
            self.message(&kept.message, name, true)?;
            if kept.message.outgoing && self.form == Form::Terminal {
                self.out(&format!("        ({})", state(&kept.state)))?;
            }
        }
        Ok(())
    }

    /// Anything else that happened.
    pub fn event(&self, event: &Event, model: &Model) -> std::io::Result<()> {
        if self.form == Form::Json {
            return match as_json(event) {
                Some(value) => self.out(&value.to_string()),
                None => Ok(()),
            };
        }
        if let Event::History {
            peer,
            messages,
            older,
            ..
        } = event
        {
            return self.history(messages, *older, model.name(peer));
        }
        match words(event, model) {
            Some(words) => self.notice(&words),
            None => Ok(()),
        }
    }
}

fn words(event: &Event, model: &Model) -> Option<String> {
    Some(match event {
        Event::Notice(words) => words.clone(),
        Event::Online { me } => format!("online: {me}"),
        Event::Offline { why, retry_s } => format!("offline: {why}; trying again in {retry_s} s"),
        Event::Presence {
            peer,
            available,
            show,
            status,
        } => {
            let mut words = match (available, show) {
                (false, _) => format!("{} is gone", model.name(peer)),
                (true, None) => format!("{} is here", model.name(peer)),
                (true, Some(show)) => format!("{} is {}", model.name(peer), meaning(show.word())),
            };
            if let Some(status) = status.as_ref().filter(|s| !s.is_empty()) {
                words = format!("{words}: {status}");
            }
            words
        }
        Event::Request { peer, greeting } => {
            let said = greeting
                .as_ref()
                .map_or(String::new(), |g| format!(" ({g})"));
            format!("{peer} asks to be friends{said}: /accept {peer} or /decline {peer}")
        }
        Event::State {
            state: State::Failed { why },
            ..
        } => format!("not sent: {why}"),
        Event::State {
            state: State::Waiting { left, of },
            ..
        } => {
            format!("{left} of {of} waiting for their turn")
        }
        Event::Closed { error: Some(error) } => error.to_string(),
        _ => return None,
    })
}

fn meaning(show: &str) -> &'static str {
    match show {
        "dnd" => "busy",
        "xa" => "away for long",
        "chat" => "glad to chat",
        _ => "away",
    }
}

/// How far a message has come, in a word.
fn state(state: &State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Waiting { .. } => "waiting",
        State::Sent => "sent",
        State::Delivered => "delivered",
        State::Read => "read",
        State::Failed { .. } => "failed",
    }
}

fn message_json(message: &Message) -> Value {
    json!({
        "event": "message", "peer": message.peer, "outgoing": message.outgoing, "id": message.id,
        "text": message.text, "delayed": message.delayed,
        "time": liao_proto::xep::delay::utc_from_ms(message.time_ms),
    })
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
        Event::State { id, state: of } => {
            let more = match of {
                State::Waiting { left, of } => json!({"left": left, "of": of}),
                State::Failed { why } => json!({"why": why}),
                _ => Value::Null,
            };
            json!({"event": "state", "id": id, "state": state(of), "more": more})
        }
        Event::Closed { error } => {
            json!({"event": "closed", "error": error.as_ref().map(ToString::to_string)})
        }
        Event::CaughtUp { messages } => json!({"event": "caught_up", "messages": messages}),
        Event::ReadElsewhere { peer } => json!({"event": "read_elsewhere", "peer": peer}),
        Event::History {
            peer,
            before,
            messages,
            older,
        } => {
            let line = |kept: &Kept| {
                let mut line = message_json(&kept.message);
                line["n"] = kept.n.into();
                line["state"] = state(&kept.state).into();
                line
            };
            let older = match older {
                Older::Nothing => "nothing",
                Older::Here => "here",
                Older::There => "there",
            };
            let messages: Vec<Value> = messages.iter().map(line).collect();
            json!({"event": "history", "peer": peer, "before": before, "messages": messages, "older": older})
        }
        Event::Message(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_play_tricks_on_the_terminal() {
        assert_eq!(
            harmless("a\x1b[2Jb\u{202E}c\nd", " / "),
            "a\u{FFFD}[2Jb\u{FFFD}c / d"
        );
        assert_eq!(harmless("汉字 👨‍👩‍👧 é\t.", ""), "汉字 👨‍👩‍👧 é\t.");
    }
}
