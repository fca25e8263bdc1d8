//! What must hold for any bytes of a stranger: each module has one `check`, which panics where it does not.
//!
//! The targets beside it call a check with what libFuzzer makes up; the test `corpus` of the program replays the kept
//! inputs through the same checks. The first bytes of an input choose how the rest is fed.

pub mod address;
pub mod differential;
pub mod sasl;
pub mod stanza;
pub mod stream;
pub mod tree;
pub mod websocket;

/// Sizes of pieces, made from a seed: mostly small, sometimes large, never 0. Seed 0 gives everything at once.
pub fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed).wrapping_mul(0x9E37_79B9) | 1;
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let size = match (seed, state % 8) {
            (0, _) => rest.len(),
            (1, _) => 1,
            (_, 0) => 1 + (state >> 8) as usize % 256,
            _ => 1 + (state >> 8) as usize % 7,
        };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        out.push(piece);
        rest = after;
    }
    out
}
