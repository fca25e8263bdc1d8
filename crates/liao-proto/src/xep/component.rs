//! How a component shows that it knows the secret (XEP-0114 section "Protocol Flow").

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The text of `<handshake/>` for a stream's id and the shared secret.
pub fn handshake(stream_id: &str, secret: &str) -> String {
    let hash = Sha1::new()
        .chain_update(stream_id)
        .chain_update(secret)
        .finalize();
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether this is the handshake; in constant time.
pub fn is_handshake(said: &str, stream_id: &str, secret: &str) -> bool {
    let right = handshake(stream_id, secret);
    said.trim().as_bytes().ct_eq(right.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_lowercase_hex_of_sha1() {
        // `printf 3BF96D32secret | sha1sum`
        let right = handshake("3BF96D32", "secret");
        assert_eq!(right, "b09ea9b3b7f586be8a08d0a3dd7466f110aeb136");
        assert!(is_handshake(&format!(" {right}\n"), "3BF96D32", "secret"));
        assert!(!is_handshake(&right, "3BF96D33", "secret"));
        assert!(!is_handshake(&right.to_uppercase(), "3BF96D32", "secret"));
        assert!(!is_handshake("", "3BF96D32", "secret"));
    }
}
