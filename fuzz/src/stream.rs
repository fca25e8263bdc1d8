//! The stream reader (RFC 6120 section 4): no panic, the bounds hold, the same events however the bytes are cut.

use liao_proto::stream::{Event, Limits, Reader};

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits {
    element_bytes: 1024,
    depth: 8,
};

/// The first byte cuts the rest into pieces.
pub fn check(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(bytes, 0);
    for seed in [1, *seed] {
        let cut = read(bytes, seed);
        assert_eq!(whole.0, cut.0, "other events in pieces of seed {seed}");
        // Where an input has two faults, the pieces decide which is seen first.
        assert_eq!(
            whole.1.is_empty(),
            cut.1.is_empty(),
            "whole: {:?}, in pieces of seed {seed}: {:?}",
            whole.1,
            cut.1
        );
    }
}

/// The events in words, and the condition that ended them, if one did.
fn read(bytes: &[u8], seed: u8) -> (Vec<String>, String) {
    let mut reader = Reader::new(LIMITS);
    let mut events = Vec::new();
    for piece in super::pieces(bytes, seed) {
        reader.push(piece);
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    if let Event::Element(frame) = &event {
                        assert!(frame.bytes().len() <= LIMITS.element_bytes);
                        let size = frame.payload().len();
                        assert!(frame.children().iter().all(|c| c.range.end <= size));
                        // A login that succeeds begins a new stream (RFC 6120 section 6.4.6).
                        if frame.name() == "success" {
                            reader.restart();
                        }
                    }
                    events.push(format!("{event:?}"));
                }
                Err(error) => return (events, error.condition().to_owned()),
            }
        }
    }
    (events, String::new())
}
