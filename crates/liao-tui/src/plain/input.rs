//! Standard input as lines, read by a thread of its own: a terminal read cannot be cancelled.

use std::io::{BufRead, Read};
use tokio::sync::mpsc;

/// A longer line is handed on in parts, in bytes; only the reader's memory asks for it.
const LINE_BYTES: u64 = 4 * 1024 * 1024;

/// Starts the thread; the channel ends with the input.
pub fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut rest = Vec::new();
        loop {
            let room = LINE_BYTES - rest.len() as u64;
            let read = input.by_ref().take(room).read_until(b'\n', &mut rest);
            if !matches!(read, Ok(n) if n > 0) {
                break;
            }
            let whole = rest.ends_with(b"\n");
            let cut = if whole { rest.len() } else { characters(&rest) };
            let tail = rest.split_off(cut);
            let line = String::from_utf8_lossy(&rest);
            let line = line.trim_end_matches(['\r', '\n']).to_owned();
            rest = tail;
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
        if !rest.is_empty() {
            let _ = sender.blocking_send(String::from_utf8_lossy(&rest).into_owned());
        }
    });
    receiver
}

/// Where a part may end without cutting a character.
fn characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
