//! A ticket: a key and addresses in one line, to give to somebody by other means (docs/ext/direct.md section 3).

use crate::Key;
use crate::limits::ADDRESSES;
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

const PREFIX: &str = "liao1";

/// Whom to dial, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Who.
    pub key: Key,
    /// Where they may be reached.
    pub addresses: Vec<SocketAddr>,
}

fn sum(bytes: &[u8]) -> [u8; 4] {
    let hash = Sha256::digest(bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key.as_bytes().to_vec();
        for address in self.addresses.iter().take(ADDRESSES) {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend(ip.octets());
                }
            }
            bytes.extend(address.port().to_be_bytes());
        }
        let sum = sum(&bytes);
        bytes.extend(sum);
        let text = BASE32_NOPAD.encode(&bytes).to_lowercase();
        write!(f, "{PREFIX}{text}")
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

impl Ticket {
    /// Whether a text means to be one.
    pub fn looks_like(text: &str) -> bool {
        let head = text.get(..PREFIX.len());
        head.is_some_and(|h| h.eq_ignore_ascii_case(PREFIX)) && text.len() > 50
    }

    /// Reads one; `None`: a character is missing or wrong.
    pub fn parse(text: &str) -> Option<Ticket> {
        let text = text.trim();
        if !Ticket::looks_like(text) || text.len() > 1024 {
            return None;
        }
        let bytes = BASE32_NOPAD_NOCASE
            .decode(text.get(PREFIX.len()..)?.as_bytes())
            .ok()?;
        let (body, told) = bytes.split_last_chunk::<4>()?;
        if *told != sum(body) {
            return None;
        }
        let mut rest = body;
        let key = Key::from_bytes(&array::<32>(&mut rest)?).ok()?;
        let mut addresses = Vec::new();
        while !rest.is_empty() {
            let ip: IpAddr = match array::<1>(&mut rest)? {
                [4] => array::<4>(&mut rest)?.into(),
                [6] => array::<16>(&mut rest)?.into(),
                _ => return None,
            };
            let port = u16::from_be_bytes(array::<2>(&mut rest)?);
            addresses.push(SocketAddr::new(ip, port));
            if addresses.len() > ADDRESSES {
                return None;
            }
        }
        Some(Ticket { key, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_capitals_and_no_wrong_letter() {
        let ticket = Ticket {
            key: iroh::SecretKey::generate().public(),
            addresses: vec![
                "192.168.1.5:5297".parse().unwrap(),
                "[fd00::1]:9".parse().unwrap(),
            ],
        };
        let text = ticket.to_string();
        assert_eq!(Ticket::parse(&text), Some(ticket.clone()));
        assert_eq!(Ticket::parse(&text.to_uppercase()), Some(ticket));
        for at in 5..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(Ticket::parse(&wrong), None, "{at}");
            assert_eq!(Ticket::parse(&text[..at]), None);
        }
        assert_eq!(Ticket::parse("liao1"), None);
        assert_eq!(
            Ticket::parse("聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊聊"),
            None
        );
    }
}
