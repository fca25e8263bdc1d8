//! Events as lines: for people, for pipes, and as JSON for programs.

use crate::i18n::{Words, fill};
use crate::text::{self, harmless, mark};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use liao_client::{Event, Kept, Message, Model, Older, Show, State};
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
                let who = if message.outgoing {
                    self.words.me
                } else {
                    name
                };
                let late = dated || message.delayed;
                let words = match &message.more.file {
                    Some(file) => format!("{}  {}", text::file(file), message.text),
                    None => message.text.clone(),
                };
                self.out(&format!(
                    "[{}] {}: {}",
                    clock(message.time_ms, late),
                    harmless(who, " "),
                    harmless(&words, "\n        ")
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
            self.notice(self.words.older_there)?;
        }
        for kept in messages {
            let mut message = kept.message.clone();
            if message.outgoing && self.form == Form::Terminal {
                message.text = format!("{} {}", message.text, mark(&kept.state));
            }
            self.message(&message, name, true)?;
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
        Event::Changed(message) => changed(message, model, words),
        Event::Progress {
            done, of, speed, ..
        } => text::progress(*done, *of, *speed, words),
        Event::Saved { saved, .. } => match saved {
            Ok(path) => fill(words.saved_as, &[&path.display().to_string()]),
            Err(why) => fill(words.not_saved, &[why]),
        },
        Event::Nudge { peer } => fill(words.nudged, &[model.name(peer)]),
        Event::Closed { error: Some(error) } => error.to_string(),
        _ => return None,
    })
}

/// What is new about a message.
fn changed(message: &Message, model: &Model, words: &Words) -> String {
    let who = if message.outgoing {
        words.me
    } else {
        model.name(&message.peer)
    };
    let newest = message.more.reactions.iter().max_by_key(|r| r.time_ms);
    match (message.more.recalled, newest) {
        (true, _) => fill(words.took_back, &[who]),
        (false, Some(r)) if message.more.edited_ms.is_none_or(|ms| ms <= r.time_ms) => {
            let said = format!("{}: {}", r.who, r.emojis.join(" "));
            fill(words.reacted, &[&said, &message.text])
        }
        _ => format!("{who}: {}", fill(words.edited, &[&message.text])),
    }
}

fn meaning(show: Show, words: &Words) -> &'static str {
    match show {
        Show::Dnd => words.busy,
        Show::Xa => words.long_away,
        Show::Chat => words.glad,
        Show::Away => words.away,
    }
}

/// How far a message has come, for programs.
fn state_name(state: &State) -> &'static str {
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
    let mut line = json!({
        "event": "message", "peer": message.peer, "outgoing": message.outgoing, "id": message.id,
        "text": message.text, "delayed": message.delayed,
        "time": liao_proto::xep::delay::utc_from_ms(message.time_ms),
    });
    let more = &message.more;
    if let Some(reply) = &more.reply {
        line["reply"] = json!({"of": reply.id, "to": reply.to, "quote": reply.quote});
    }
    if more.edited_ms.is_some() {
        line["edited"] = true.into();
    }
    if more.recalled {
        line["recalled"] = true.into();
    }
    if !more.reactions.is_empty() {
        let felt = more.reactions.iter().filter(|r| !r.emojis.is_empty());
        let felt = felt.map(|r| json!({"who": r.who, "emojis": r.emojis}));
        line["reactions"] = felt.collect();
    }
    if let Some(file) = &more.file {
        line["file"] = json!({"url": file.url, "name": file.name, "size": file.size});
    }
    if let Some(method) = &more.encrypted {
        line["encrypted"] = method.as_str().into();
    }
    line
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
            let more = match state {
                State::Waiting { left, of } => json!({"left": left, "of": of}),
                State::Failed { why } => json!({"why": why}),
                _ => Value::Null,
            };
            json!({"event": "state", "id": id, "state": state_name(state), "more": more})
        }
        Event::Closed { error } => {
            json!({"event": "closed", "error": error.as_ref().map(ToString::to_string)})
        }
        Event::Changed(message) => {
            let mut line = message_json(message);
            line["event"] = "changed".into();
            line
        }
        Event::Progress {
            id,
            done,
            of,
            speed,
        } => json!({"event": "progress", "id": id, "done": done, "of": of, "speed": speed}),
        Event::Saved { id, saved } => match saved {
            Ok(path) => json!({"event": "saved", "id": id, "path": path}),
            Err(why) => json!({"event": "saved", "id": id, "why": why}),
        },
        Event::Typing { peer, composing } => {
            json!({"event": "typing", "peer": peer, "composing": composing})
        }
        Event::Nudge { peer } => json!({"event": "nudge", "peer": peer}),
        Event::Blocked(peers) => json!({"event": "blocked", "peers": peers}),
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
                line["state"] = state_name(&kept.state).into();
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
