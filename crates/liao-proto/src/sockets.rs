//! Plain sockets: one peer's side of a talk without any protocol but UTF-8 (DESIGN section 5).
//!
//! Some programs talk in turn, one chunk each, no newline ("lockstep"); others send lines when they like. Which of
//! them a peer is shows in what it sends; until then it is treated as the former. No I/O here.

use std::collections::VecDeque;

/// What a lockstep program reads at once, in bytes.
pub const CHUNK_BYTES: usize = 1024;
/// A line longer than this is handed on in parts, in bytes.
pub const LINE_BYTES: usize = 1024 * 1024;
/// Bytes that may wait for one peer's turn.
pub const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How a peer talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing has come from it.
    Unknown,
    /// In turn, one chunk without a newline.
    Lockstep,
    /// Lines, at any time.
    Lines,
}

/// What carries the talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A byte stream.
    Tcp,
    /// Datagrams of at most [`CHUNK_BYTES`].
    Udp,
}

/// What came from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Words.
    Text(String),
    /// The goodbye `q`.
    Quit,
}

/// Why something was not taken for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to say.
    #[error("an empty line is not sent")]
    Empty,
    /// The peer does not take its turns.
    #[error("too much waits for this peer already")]
    Full,
}

/// A talk with one peer.
#[derive(Debug)]
pub struct Conversation {
    carrier: Carrier,
    kind: Kind,
    forced: bool,
    caller: bool,
    /// Bytes that are no whole character or line yet.
    pending: Vec<u8>,
    /// Chunks that wait: (text, its number, how many its message has).
    out: VecDeque<(String, usize, usize)>,
    queued: usize,
    turn: bool,
    /// A caller that sends lines is answered with an empty one, so that it knows us for one, too.
    greet: bool,
}

impl Conversation {
    /// `caller`: we opened it. `kind`: forced, or `None` to find out.
    pub fn new(carrier: Carrier, caller: bool, kind: Option<Kind>) -> Conversation {
        Conversation {
            carrier,
            kind: kind.unwrap_or(Kind::Unknown),
            forced: kind.is_some(),
            caller,
            pending: Vec::new(),
            out: VecDeque::new(),
            queued: 0,
            turn: caller,
            greet: false,
        }
    }

    /// How the peer talks, as far as is known.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes what one read or one datagram gave.
    pub fn received(&mut self, bytes: &[u8]) -> Vec<Incoming> {
        if bytes.is_empty() {
            return Vec::new();
        }
        self.pending.extend_from_slice(bytes);
        if !self.forced {
            if bytes.contains(&b'\n') {
                self.greet |= self.kind != Kind::Lines && !self.caller;
                self.kind = Kind::Lines;
            } else if self.kind == Kind::Unknown {
                self.kind = Kind::Lockstep;
            }
        }
        match (self.kind, self.carrier) {
            (Kind::Lines, Carrier::Tcp) => self.lines(),
            _ => self.chunk(),
        }
    }

    /// The other side closed: what was still incomplete.
    pub fn eof(&mut self) -> Vec<Incoming> {
        let rest = std::mem::take(&mut self.pending);
        text(&rest).into_iter().collect()
    }

    fn lines(&mut self) -> Vec<Incoming> {
        let mut all = Vec::new();
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            all.extend(text(&line));
        }
        while self.pending.len() > LINE_BYTES {
            let cut = whole(&self.pending[..LINE_BYTES]);
            let part: Vec<u8> = self.pending.drain(..cut.max(1)).collect();
            all.extend(text(&part));
        }
        all
    }

    fn chunk(&mut self) -> Vec<Incoming> {
        let cut = if self.carrier == Carrier::Udp {
            self.pending.len()
        } else {
            whole(&self.pending)
        };
        let part: Vec<u8> = self.pending.drain(..cut).collect();
        if part.is_empty() {
            return Vec::new();
        }
        self.turn = true;
        text(&part).into_iter().collect()
    }

    /// Takes words for the peer.
    pub fn say(&mut self, words: &str) -> Result<(), Refusal> {
        let words = words.trim_end_matches(['\r', '\n']);
        if words.trim().is_empty() {
            return Err(Refusal::Empty);
        }
        if self.queued + words.len() > QUEUE_BYTES {
            return Err(Refusal::Full);
        }
        // Room for the newline that an opener sends until it knows the peer.
        let chunks = cut(words, CHUNK_BYTES - 1);
        let of = chunks.len();
        for (n, chunk) in chunks.into_iter().enumerate() {
            self.queued += chunk.len();
            self.out.push_back((chunk, n + 1, of));
        }
        Ok(())
    }

    /// What may be sent now: for UDP one datagram, for TCP any number of bytes.
    pub fn outgoing(&mut self) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.greet) {
            return Some(b"\n".to_vec());
        }
        if self.kind != Kind::Lines && !std::mem::take(&mut self.turn) {
            return None;
        }
        let Some((chunk, n, of)) = self.out.pop_front() else {
            // The turn is kept until there is something to say.
            self.turn = true;
            return None;
        };
        self.queued -= chunk.len();
        let newline = match self.kind {
            Kind::Lockstep => false,
            Kind::Unknown => self.caller,
            Kind::Lines => self.carrier == Carrier::Udp || n == of,
        };
        let mut bytes = chunk.into_bytes();
        if newline {
            bytes.push(b'\n');
        }
        Some(bytes)
    }

    /// The goodbye as this peer understands it; it travels alone. Whom we do not know yet gets it bare: a program that
    /// talks in turn knows no other, and over TCP the end behind it makes a line of it for the rest.
    pub fn goodbye(&self) -> &'static [u8] {
        if self.kind == Kind::Lines {
            b"q\n"
        } else {
            b"q"
        }
    }

    /// Nothing waits, and no answer is awaited: over now would cut nothing off.
    pub fn is_idle(&self) -> bool {
        self.out.is_empty() && (self.kind == Kind::Lines || self.turn)
    }

    /// The answer to a lost datagram never comes: takes the turn without it.
    pub fn take_turn(&mut self) {
        self.turn = true;
    }

    /// Chunks that wait for the peer's turn: the first one's number in its message, how many that message has, and
    /// how many wait in all.
    pub fn waiting(&self) -> Option<(usize, usize, usize)> {
        self.out.front().map(|(_, n, of)| (*n, *of, self.out.len()))
    }
}

/// Cuts at character boundaries into pieces of at most `size` bytes.
fn cut(words: &str, size: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        let mut end = size.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        all.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    all
}

/// How many bytes are left when an incomplete last character is taken off.
fn whole(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needs = match bytes[at] {
            b if b & 0b1110_0000 == 0b1100_0000 => 2,
            b if b & 0b1111_0000 == 0b1110_0000 => 3,
            b if b & 0b1111_1000 == 0b1111_0000 => 4,
            b if b & 0b1100_0000 == 0b1000_0000 => continue,
            _ => return bytes.len(),
        };
        return if needs > back { at } else { bytes.len() };
    }
    bytes.len()
}

/// Bytes as words; what is not UTF-8 shows as U+FFFD.
fn text(bytes: &[u8]) -> Option<Incoming> {
    let words = String::from_utf8_lossy(bytes);
    let words = words.trim_end_matches(['\r', '\n']);
    match words {
        "" => None,
        "q" => Some(Incoming::Quit),
        words => Some(Incoming::Text(words.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(all: Vec<Incoming>) -> String {
        all.into_iter()
            .map(|i| {
                if let Incoming::Text(t) = i {
                    t
                } else {
                    "<q>".into()
                }
            })
            .collect()
    }

    #[test]
    fn characters_cut_at_every_offset_arrive_whole() {
        let words = "héllo 汉字 😀👨‍👩‍👧 ok";
        for at in 0..=words.len() {
            for second in at..=words.len() {
                let mut talk = Conversation::new(Carrier::Tcp, false, None);
                let bytes = words.as_bytes();
                let mut got = String::new();
                for part in [&bytes[..at], &bytes[at..second], &bytes[second..]] {
                    got += &said(talk.received(part));
                }
                got += &said(talk.eof());
                assert_eq!(got, words, "{at} {second}");
            }
        }
    }

    #[test]
    fn lockstep_sends_one_chunk_a_turn_and_says_what_waits() {
        let mut talk = Conversation::new(Carrier::Tcp, false, None);
        talk.say(&"汉".repeat(800)).unwrap();
        assert_eq!(talk.outgoing(), None, "the caller speaks first");
        assert_eq!(talk.waiting(), Some((1, 3, 3)));
        let mut whole = Vec::new();
        for left in [2, 1, 0] {
            talk.received(b"go on");
            let chunk = talk.outgoing().unwrap();
            assert!(chunk.len() <= CHUNK_BYTES && std::str::from_utf8(&chunk).is_ok());
            whole.extend(chunk);
            assert_eq!(talk.waiting().map_or(0, |w| w.2), left);
            assert_eq!(talk.outgoing(), None);
        }
        assert_eq!(String::from_utf8(whole).unwrap(), "汉".repeat(800));
        assert_eq!(talk.goodbye(), b"q");
    }

    #[test]
    fn an_opener_ends_its_lines_until_an_answer_without_newline_shows_lockstep() {
        let mut talk = Conversation::new(Carrier::Tcp, true, None);
        talk.say("one").unwrap();
        talk.say("two").unwrap();
        assert_eq!(talk.outgoing().unwrap(), b"one\n");
        assert_eq!(talk.outgoing(), None);
        talk.received(b"yes");
        assert_eq!(talk.kind(), Kind::Lockstep);
        assert_eq!(talk.outgoing().unwrap(), b"two");
    }

    #[test]
    fn two_of_ours_find_each_other_and_speak_freely() {
        let mut client = Conversation::new(Carrier::Tcp, true, None);
        let mut server = Conversation::new(Carrier::Tcp, false, None);
        for n in 0..500 {
            client.say(&format!("line {n} 汉")).unwrap();
        }
        let mut got = Vec::new();
        loop {
            let mut moved = false;
            while let Some(bytes) = client.outgoing() {
                got.extend(server.received(&bytes));
                moved = true;
            }
            while let Some(bytes) = server.outgoing() {
                assert!(client.received(&bytes).is_empty());
                moved = true;
            }
            if !moved {
                break;
            }
        }
        assert_eq!(got.len(), 500);
        assert_eq!(client.goodbye(), b"q\n");
        assert_eq!(server.received(b"q\n"), vec![Incoming::Quit]);
    }

    #[test]
    fn empty_lines_are_refused_and_bounds_hold() {
        let mut talk = Conversation::new(Carrier::Tcp, false, None);
        assert_eq!(talk.say("  \n"), Err(Refusal::Empty));
        let big = "x".repeat(QUEUE_BYTES);
        talk.say(&big).unwrap();
        assert_eq!(talk.say("more"), Err(Refusal::Full));
        let mut talk = Conversation::new(Carrier::Tcp, false, Some(Kind::Lines));
        let parts = (0..64)
            .flat_map(|_| talk.received(&[b'x'; 64 * 1024]))
            .count();
        assert!(parts >= 2 && talk.pending.len() <= LINE_BYTES + 64 * 1024);
        let mut talk = Conversation::new(Carrier::Udp, false, None);
        assert_eq!(
            talk.received(b"\xFF\xE6"),
            vec![Incoming::Text("\u{FFFD}\u{FFFD}".into())]
        );
        assert_eq!(talk.received(b"q"), vec![Incoming::Quit]);
    }
}
