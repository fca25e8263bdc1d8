//! The UDP socket that is server and client at once: an iroh endpoint that uses nobody's infrastructure.

use crate::Identity;
use crate::limits::{IDLE, KEEP_ALIVE};
use iroh::Endpoint;
use iroh::endpoint::{BindOpts, IdleTimeout, QuicTransportConfig, presets};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The name of the protocol inside TLS (RFC 7301).
pub const ALPN: &[u8] = b"liao/direct/1";
/// Where direct mode listens unless told otherwise, so that an address written down stays true.
pub const DEFAULT_PORT: u16 = 5297;
/// Ports that are tried after it, for several people on one machine.
const NEXT_PORTS: u16 = 20;

async fn bind_at(identity: &Identity, port: u16) -> Result<Endpoint, String> {
    let idle = IdleTimeout::try_from(IDLE).map_err(|e| e.to_string())?;
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(KEEP_ALIVE)
        // One stream carries everything; whatever else a caller opens is not ours to keep in memory.
        .max_concurrent_bidi_streams(1u32.into())
        .max_concurrent_uni_streams(0u32.into())
        .datagram_receive_buffer_size(None)
        .build();
    // `Minimal` names no relay and no lookup service: nothing about us leaves for anybody but those we talk to.
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(identity.secret.clone())
        .alpns(vec![ALPN.to_vec()])
        .transport_config(transport)
        .clear_ip_transports();
    let builder = builder
        .bind_addr(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        .map_err(|e| e.to_string())?;
    let v6 = BindOpts::default().set_is_required(false);
    let builder = builder
        .bind_addr_with_opts(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), v6)
        .map_err(|e| e.to_string())?;
    builder.bind().await.map_err(|e| e.to_string())
}

/// Opens the socket. A port that was asked for is taken or refused; the default moves to the next free one.
pub async fn bind(identity: &Identity, port: Option<u16>) -> Result<Endpoint, String> {
    if let Some(port) = port {
        let bound = bind_at(identity, port).await;
        return bound.map_err(|error| {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let holder = liao_net::os::holder(address);
            let holder = holder.map_or(String::new(), |h| format!("; it is held by {h}"));
            format!("UDP port {port}: {error}{holder}")
        });
    }
    for port in DEFAULT_PORT..=DEFAULT_PORT + NEXT_PORTS {
        // Asking the system first is cheaper than building an endpoint in vain.
        if std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_err() {
            continue;
        }
        if let Ok(endpoint) = bind_at(identity, port).await {
            return Ok(endpoint);
        }
    }
    bind_at(identity, 0).await
}

/// The port that is listened at.
pub fn port(endpoint: &Endpoint) -> u16 {
    let bound = endpoint.bound_sockets();
    let v4 = bound.iter().find(|a| a.is_ipv4());
    v4.or(bound.first()).map_or(0, SocketAddr::port)
}

/// Where others may reach the port: this machine's addresses, or loopback if it has no other.
pub fn addresses(port: u16) -> Vec<SocketAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let mut all: Vec<_> = all
        .iter()
        .filter(|i| !i.is_loopback() && !i.is_link_local())
        .map(|i| SocketAddr::new(i.ip(), port))
        .collect();
    all.sort_by_key(|a| (a.is_ipv6(), a.to_string()));
    all.dedup();
    if all.is_empty() {
        all.push((Ipv4Addr::LOCALHOST, port).into());
    }
    all
}
