//! Who is on the other side: the address and whether TLS protects the way, also behind proxies that are trusted
//! (`http.trusted_proxies`; `X-Forwarded-For` and `X-Forwarded-Proto`).

use axum::http::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// From `192.0.2.1` or `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok()?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { first, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u8| {
            let rest = u32::from(width - self.bits);
            a.checked_shr(rest).unwrap_or(0) == b.checked_shr(rest).unwrap_or(0)
        };
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// What bounds by address count for: an IPv4 address, and of IPv6 the first 64 bits, as one household has all of the
/// rest.
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Whether an address is in one of these networks.
pub fn is_among(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|n| n.contains(address))
}

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's own address, as far as it is known.
    pub address: SocketAddr,
    /// TLS protects the way from the client to us, or to a proxy that is trusted.
    pub secure: bool,
    /// On this machine, with nobody in between.
    pub local: bool,
    /// Connected by a proxy that is trusted.
    pub proxied: bool,
}

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The items of a header that may be there several times, in order.
fn items(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let all = headers.get_all(name).iter();
    all.flat_map(|v| v.to_str().unwrap_or("?").split(','))
        .map(|i| i.trim().to_owned())
        .collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let whole = bare.parse().ok();
    whole.or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
}

impl Peer {
    /// Nobody in between.
    pub fn direct(address: SocketAddr, secure: bool) -> Peer {
        Peer {
            address,
            secure,
            local: address.ip().to_canonical().is_loopback(),
            proxied: false,
        }
    }

    /// What a request says, believed only from trusted proxies. From others a forwarding header can only take
    /// something away: what came through a proxy that nobody told us of is not local.
    pub fn of_request(
        address: SocketAddr,
        secure: bool,
        headers: &HeaderMap,
        trusted: &[Network],
    ) -> Peer {
        let direct = Peer::direct(address, secure);
        let is_trusted = |a: IpAddr| is_among(trusted, a);
        if !is_trusted(address.ip()) {
            let names = [FORWARDED, FORWARDED_FOR, FORWARDED_PROTO];
            let forwarded = names.iter().any(|n| headers.contains_key(n));
            return Peer {
                local: direct.local && !forwarded,
                ..direct
            };
        }
        let mut client = address;
        // Each proxy appends whom it saw: from the right, the first who is no proxy of ours is the client.
        for item in items(headers, &FORWARDED_FOR).iter().rev() {
            let Some(seen) = self::address(item) else {
                break;
            };
            client = SocketAddr::new(seen, 0);
            if !is_trusted(seen) {
                break;
            }
        }
        let protocols = items(headers, &FORWARDED_PROTO);
        Peer {
            address: client,
            secure: match protocols.as_slice() {
                [] => secure,
                all => all.iter().all(|p| p.eq_ignore_ascii_case("https")),
            },
            local: false,
            proxied: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from: &str, secure: bool, headers: &[(HeaderName, &str)]) -> (String, bool, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        let trusted = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|n| Network::parse(n).unwrap());
        let from = SocketAddr::new(from.parse().unwrap(), 1);
        let peer = Peer::of_request(from, secure, &map, &trusted);
        (peer.address.ip().to_string(), peer.secure, peer.local)
    }

    fn is(address: &str, secure: bool, local: bool) -> (String, bool, bool) {
        (address.to_owned(), secure, local)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let chain = [
            (FORWARDED_FOR, "1.1.1.1, 203.0.113.7"),
            (FORWARDED_FOR, "10.0.0.9"),
            (FORWARDED_PROTO, "https"),
        ];
        assert_eq!(
            seen("127.0.0.1", false, &chain),
            is("203.0.113.7", true, false)
        );
        assert_eq!(
            seen("::ffff:10.1.2.3", false, &chain),
            is("203.0.113.7", true, false)
        );
        assert_eq!(
            seen("198.51.100.1", false, &chain),
            is("198.51.100.1", false, false)
        );
        // A proxy that nobody named: not local, not secure.
        assert_eq!(seen("::1", false, &chain), is("::1", false, false));
        assert_eq!(seen("::1", false, &[]), is("::1", false, true));
    }

    #[test]
    fn a_proxy_that_did_not_end_tls_is_not_secure_and_never_local() {
        assert_eq!(seen("127.0.0.1", false, &[]), is("127.0.0.1", false, false));
        let plain = [
            (FORWARDED_FOR, "127.0.0.1"),
            (FORWARDED_PROTO, "https, http"),
        ];
        assert_eq!(seen("fd00::5", true, &plain), is("127.0.0.1", false, false));
        let odd = [(FORWARDED_FOR, "unknown, [2001:db8::1]:80")];
        assert_eq!(seen("10.0.0.1", true, &odd), is("2001:db8::1", true, false));
        let nothing = [(FORWARDED_FOR, "unknown")];
        assert_eq!(
            seen("10.0.0.1", false, &nothing),
            is("10.0.0.1", false, false)
        );
    }

    #[test]
    fn networks_are_read_strictly() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "::/x"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
        assert!(
            Network::parse("0.0.0.0/0")
                .unwrap()
                .contains("9.9.9.9".parse().unwrap())
        );
        assert!(
            !Network::parse("0.0.0.0/0")
                .unwrap()
                .contains("::1".parse().unwrap())
        );
        assert!(
            Network::parse("::/0")
                .unwrap()
                .contains("::1".parse().unwrap())
        );
    }
}
