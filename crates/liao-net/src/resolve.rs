//! Where a domain's server is: SRV records (RFC 6120 section 3.2, XEP-0368), else the domain itself; WebSocket by
//! host-meta (XEP-0156).

use crate::{WireError, https};
use hickory_resolver::Resolver;
use hickory_resolver::proto::rr::{RData, rdata::SRV};
use liao_proto::ns;
use rustls::ClientConfig;
use serde::Deserialize;
use std::sync::Arc;

/// The registered ports (RFC 6120 section 14.7; 5223 is the custom for direct TLS).
const STARTTLS_PORT: u16 = 5222;
const TLS_PORT: u16 = 5223;

/// A way to reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// TCP.
    Stream {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS from the first byte, else STARTTLS.
        tls: bool,
    },
    /// `wss://HOST:PORT/PATH`.
    WebSocket {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// Path, beginning with a slash.
        path: String,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Stream { host, port, tls } => {
                write!(
                    f,
                    "{host}:{port} ({})",
                    if *tls { "TLS" } else { "STARTTLS" }
                )
            }
            Target::WebSocket { host, port, path } => write!(f, "wss://{host}:{port}{path}"),
        }
    }
}

fn stream(host: &str, port: u16, tls: bool) -> Target {
    Target::Stream {
        host: host.to_owned(),
        port,
        tls,
    }
}

/// The targets of a domain in the order in which to try them. Never empty, unless the domain says that it has no
/// such service (a single record with target `.`, RFC 6120 section 3.2.1).
pub async fn targets(domain: &str) -> Vec<Target> {
    let fallback = || {
        vec![
            stream(domain, STARTTLS_PORT, false),
            stream(domain, TLS_PORT, true),
        ]
    };
    let literal = domain
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok();
    if literal || domain == "localhost" || domain.ends_with(".local") {
        return fallback();
    }
    let resolver = Resolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
    let Ok(resolver) = resolver else {
        return fallback();
    };
    let (plain, tls) = tokio::join!(
        resolver.srv_lookup(format!("_xmpp-client._tcp.{domain}.")),
        resolver.srv_lookup(format!("_xmpps-client._tcp.{domain}."))
    );
    let mut records = Vec::new();
    for (answer, tls) in [(plain, false), (tls, true)] {
        let Ok(answer) = answer else { continue };
        for record in answer.answers() {
            if let RData::SRV(srv) = &record.data {
                records.push((srv.clone(), tls));
            }
        }
    }
    if records.is_empty() {
        return fallback();
    }
    let mut random = [0u8; 8];
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    order(records, u64::from_le_bytes(random))
}

/// Both kinds as one list: by priority, within it by weighted chance (RFC 2782, "Usage rules").
fn order(mut records: Vec<(SRV, bool)>, mut random: u64) -> Vec<Target> {
    records.retain(|(srv, _)| !srv.target.is_root());
    records.sort_by_key(|(srv, _)| (srv.priority, srv.weight));
    let mut targets = Vec::new();
    while let Some((first, _)) = records.first() {
        let end = records.partition_point(|(srv, _)| srv.priority <= first.priority);
        let sum: u64 = records[..end]
            .iter()
            .map(|(srv, _)| u64::from(srv.weight))
            .sum();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut chosen = (random >> 16) % (sum + 1);
        let at = records[..end].iter().position(|(srv, _)| {
            let weight = u64::from(srv.weight);
            let hit = chosen <= weight;
            chosen = chosen.saturating_sub(weight);
            hit
        });
        let (srv, tls) = records.remove(at.unwrap_or(0));
        let host = srv.target.to_utf8();
        targets.push(stream(host.trim_end_matches('.'), srv.port, tls));
    }
    targets
}

#[derive(Deserialize)]
struct HostMeta {
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: Option<String>,
}

/// The WebSocket of a server by its host-meta.json (XEP-0156 section 3); `None`: it names none.
pub async fn websocket(
    host: &str,
    port: u16,
    config: Arc<ClientConfig>,
) -> Result<Option<Target>, WireError> {
    let (status, body) = https::get(host, port, "/.well-known/host-meta.json", config).await?;
    if status != 200 {
        return Ok(None);
    }
    let Ok(meta) = serde_json::from_str::<HostMeta>(&body) else {
        return Ok(None);
    };
    // A client MUST NOT use an unencrypted one (section 5).
    let found = meta
        .links
        .into_iter()
        .filter(|l| l.rel == ns::ALT_WEBSOCKET)
        .find_map(|l| wss(l.href.as_deref()?));
    Ok(found)
}

fn wss(url: &str) -> Option<Target> {
    let (authority, path) = match url.strip_prefix("wss://")?.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (url.strip_prefix("wss://")?, "/".to_owned()),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    Some(Target::WebSocket { host, port, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    #[test]
    fn records_of_both_kinds_are_one_list_by_priority_and_weight() {
        let srv = |priority, weight, host: &str| {
            SRV::new(priority, weight, 1, Name::from_utf8(host).unwrap())
        };
        let mut first = std::collections::HashMap::new();
        for seed in 0..400u64 {
            let records = vec![
                (srv(20, 0, "last."), false),
                (srv(10, 90, "often."), true),
                (srv(10, 10, "seldom."), false),
                (srv(5, 1, "."), true),
            ];
            let all: Vec<String> = order(records, seed << 20)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(all.len(), 3, "the root is no target");
            assert!(all[2].starts_with("last:1 (STARTTLS)"));
            *first.entry(all[0].clone()).or_insert(0) += 1;
        }
        assert!(
            first["often:1 (TLS)"] > 300 && first["seldom:1 (STARTTLS)"] > 10,
            "{first:?}"
        );
    }

    #[test]
    fn only_encrypted_websockets_are_used() {
        let path = "/ws".to_owned();
        assert_eq!(
            wss("wss://h.example/ws"),
            Some(Target::WebSocket {
                host: "h.example".into(),
                port: 443,
                path: path.clone()
            })
        );
        assert_eq!(
            wss("wss://[::1]:5281/ws"),
            Some(Target::WebSocket {
                host: "::1".into(),
                port: 5281,
                path
            })
        );
        assert_eq!(wss("ws://h.example/ws"), None);
    }
}
