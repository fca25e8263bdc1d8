//! The frames of a connection: what they are and how they are read (docs/ext/direct.md section 4). No I/O here.

use crate::limits::{EMOJIS, ID_BYTES, LAST_MS, NAME_CHARS, STATUS_CHARS};
use liao_client::{Change, Reply};
use serde::{Deserialize, Serialize};

/// The first frame of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of these frames; a higher one may add frames and fields, which are skipped by who does not know them.
    pub v: u32,
    /// What the sender calls itself.
    pub name: String,
    /// Away, busy …, in XMPP's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<String>,
    /// The status line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Frame {
    /// Who I am.
    Hello(Hello),
    /// You are in my address book: from now on I take what you say.
    Welcome,
    /// Something said.
    Message {
        /// The sender's id; never used twice.
        id: String,
        /// When it was said, milliseconds since 1970, UTC.
        time: i64,
        /// The words.
        text: String,
        /// What it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
    },
    /// Something done to a message.
    Change {
        /// The sender's id; never used twice.
        id: String,
        /// When, milliseconds since 1970, UTC.
        time: i64,
        /// What.
        change: Change,
        /// The message is the sender's own.
        own: bool,
    },
    /// The message or change is on my disk.
    Ack {
        /// Its id.
        id: String,
    },
    /// All of your messages up to this one were seen.
    Read {
        /// Its id.
        id: String,
    },
    /// Typing, or no longer.
    Typing {
        /// Typing.
        composing: bool,
    },
    /// Look here!
    Nudge,
    /// What `hello` said, anew.
    Presence {
        /// As there.
        #[serde(default)]
        show: Option<String>,
        /// As there.
        #[serde(default)]
        status: Option<String>,
    },
    /// Of a newer version; skipped.
    #[serde(other)]
    Unknown,
}

/// Why a connection's bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Too long for who sends it.
    #[error("a frame of {0} bytes")]
    Long(usize),
    /// No frame.
    #[error("not a frame: {0}")]
    Form(String),
}

fn is_bounded(text: Option<&String>, chars: usize) -> bool {
    text.is_none_or(|t| t.chars().count() <= chars)
}

impl Frame {
    /// Length and JSON, as it is written.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = u32::try_from(json.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes()
            .to_vec();
        bytes.extend(json);
        bytes
    }

    /// Its fields are within their bounds.
    fn is_sound(&self) -> bool {
        let is_id = |id: &String| !id.is_empty() && id.len() <= ID_BYTES;
        match self {
            Frame::Hello(hello) => {
                is_bounded(Some(&hello.name), NAME_CHARS)
                    && is_bounded(hello.status.as_ref(), STATUS_CHARS)
            }
            Frame::Presence { status, .. } => is_bounded(status.as_ref(), STATUS_CHARS),
            Frame::Message { id, time, .. } => is_id(id) && (0..=LAST_MS).contains(time),
            Frame::Ack { id } | Frame::Read { id } => is_id(id),
            Frame::Change {
                id, time, change, ..
            } => {
                let few = !matches!(change, Change::React { emojis, .. } if emojis.len() > EMOJIS);
                let when = (0..=LAST_MS).contains(time);
                is_id(id) && when && few && change.of().len() <= ID_BYTES
            }
            Frame::Welcome | Frame::Typing { .. } | Frame::Nudge | Frame::Unknown => true,
        }
    }
}

/// Bytes in, frames out.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    from: usize,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame of at most `limit` bytes.
    pub fn next(&mut self, limit: usize) -> Result<Option<Frame>, Bad> {
        let rest = &self.bytes[self.from..];
        let Some((head, body)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > limit {
            return Err(Bad::Long(length));
        }
        let Some(json) = body.get(..length) else {
            return Ok(None);
        };
        let frame: Frame =
            serde_json::from_slice(json).map_err(|error| Bad::Form(error.to_string()))?;
        self.from += 4 + length;
        match frame.is_sound() {
            true => Ok(Some(frame)),
            false => Err(Bad::Form("a field is out of its bounds".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: &str) -> Frame {
        Frame::Hello(Hello {
            v: 1,
            name: name.into(),
            show: None,
            status: None,
        })
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let frames = [
            hello("安娜"),
            Frame::Welcome,
            Frame::Message {
                id: "1".into(),
                time: 5,
                text: "你好\u{0}\n".into(),
                reply: None,
            },
            Frame::Change {
                id: "2".into(),
                time: 6,
                change: Change::Recall { of: "1".into() },
                own: true,
            },
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for cut in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next(4096).unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames);
        }
    }

    #[test]
    fn what_is_too_long_or_no_frame_is_refused_and_what_is_newer_is_skipped() {
        let read = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            decoder.next(4096)
        };
        assert_eq!(
            read(&u32::MAX.to_be_bytes()),
            Err(Bad::Long(u32::MAX as usize))
        );
        assert!(matches!(read(b"\0\0\0\x02{}"), Err(Bad::Form(_))));
        assert!(matches!(read(b"\0\0\0\0"), Err(Bad::Form(_))));
        assert_eq!(
            read(b"\0\0\0\x10{\"t\":\"tomorrow\"}"),
            Ok(Some(Frame::Unknown))
        );
        let long = hello(&"n".repeat(NAME_CHARS + 1)).encode();
        assert!(matches!(read(&long), Err(Bad::Form(_))));
        let no_id = Frame::Ack { id: String::new() };
        assert!(matches!(read(&no_id.encode()), Err(Bad::Form(_))));
    }
}
