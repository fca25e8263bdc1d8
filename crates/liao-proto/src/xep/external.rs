//! STUN and TURN servers as they are written (RFC 7064, RFC 7065), and credentials that expire (XEP-0215 section 3.3).

use base64::Engine;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// An external service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `stun`, `stuns`, `turn` or `turns`.
    pub type_: &'static str,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: &'static str,
}

/// The schemes with their default port and transport (RFC 5389 section 9, RFC 5766 section 6.1).
const SCHEMES: [(&str, u16, &str); 4] = [
    ("stun", 3478, "udp"),
    ("stuns", 5349, "tcp"),
    ("turn", 3478, "udp"),
    ("turns", 5349, "tcp"),
];

impl Service {
    /// Reads `stun:HOST[:PORT]` or `turn:HOST[:PORT][?transport=udp|tcp]`, `stuns` and `turns` likewise.
    pub fn parse(uri: &str) -> Option<Service> {
        let (scheme, rest) = uri.split_once(':')?;
        let (type_, default, transport) = SCHEMES.into_iter().find(|(s, ..)| *s == scheme)?;
        let (place, transport) = match rest.split_once('?') {
            None => (rest, transport),
            Some((place, "transport=udp")) => (place, "udp"),
            Some((place, "transport=tcp")) => (place, "tcp"),
            Some(_) => return None,
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']')?;
                host.parse::<core::net::Ipv6Addr>().ok()?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return None,
                }
            }
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default,
        };
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(good) {
            return None;
        }
        Some(Service {
            type_,
            host: host.to_owned(),
            port,
            transport,
        })
    }

    /// Relays are used by name and password; STUN alone is for everyone.
    pub fn takes_credentials(&self) -> bool {
        self.type_.starts_with("turn")
    }
}

/// Name and password that a TURN server with the same secret takes until `expires_s` (seconds since 1970): the name
/// is `EXPIRES:USER`, the password its HMAC-SHA1 in base64, as TURN servers' REST interfaces have it.
pub fn credentials(secret: &str, user: &str, expires_s: i64) -> (String, String) {
    let name = format!("{expires_s}:{user}");
    let code = match Hmac::<Sha1>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(name.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        // HMAC takes keys of any length.
        Err(_) => Vec::new(),
    };
    let password = base64::engine::general_purpose::STANDARD.encode(code);
    (name, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_with_their_defaults() {
        let read = |t: &str| Service::parse(t).map(|s| (s.type_, s.host, s.port, s.transport));
        let is = |t, h: &str, p, c| Some((t, h.to_owned(), p, c));
        assert_eq!(read("stun:s.example"), is("stun", "s.example", 3478, "udp"));
        assert_eq!(
            read("turns:[2001:db8::1]:443?transport=tcp"),
            is("turns", "2001:db8::1", 443, "tcp")
        );
        assert_eq!(
            read("turn:192.0.2.1:3479?transport=tcp"),
            is("turn", "192.0.2.1", 3479, "tcp")
        );
        for wrong in [
            "s.example",
            "http://x",
            "turn:",
            "turn:x:99999",
            "turn:x?transport=quic",
            "turn:[x]",
            "turn:a b",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_what_openssl_makes_of_the_same() {
        // printf 1893456000:anna | openssl dgst -sha1 -hmac north -binary | base64
        let (name, password) = credentials("north", "anna", 1_893_456_000);
        assert_eq!(name, "1893456000:anna");
        assert_eq!(password, "jrri/Mz+m+r/uk8dR6U59/hFA6w=");
    }
}
