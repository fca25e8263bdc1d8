//! `--lan`: the server for everyone on the local network. Its name is HOSTNAME.local, announced by multicast DNS
//! (RFC 6762, RFC 6763); a local authority signs its certificate.

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use qrcode::{EcLevel, QrCode};
use std::net::{IpAddr, SocketAddr};

/// `HOSTNAME.local` of this machine.
pub fn name() -> String {
    let host = gethostname::gethostname().to_string_lossy().to_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    let label: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    match label.trim_matches('-') {
        "" | "localhost" => "liao.local".to_owned(),
        label => format!("{label}.local"),
    }
}

/// The name that is announced for a domain: its own if it is one of the local network, else the machine's.
pub fn announced(domain: &str) -> String {
    match domain.strip_suffix(".local") {
        Some(label) if !label.contains('.') => domain.to_owned(),
        _ => name(),
    }
}

/// The addresses at which others on the network reach this machine; IPv4 first.
pub fn addresses() -> Vec<IpAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let mut all: Vec<IpAddr> = all
        .into_iter()
        .filter(|i| !i.is_loopback() && !i.is_link_local())
        .map(|i| i.ip())
        .collect();
    all.sort_by_key(|a| (a.is_ipv6(), a.to_string()));
    all.dedup();
    all
}

/// Those of [`addresses`] at which a listener answers.
pub fn addresses_of(listener: SocketAddr) -> Vec<IpAddr> {
    let mut all = addresses();
    all.retain(|a| listener.is_ipv6() || a.is_ipv4());
    all
}

/// Announces the name and the services until it is dropped.
pub struct Announcement(ServiceDaemon);

impl Drop for Announcement {
    fn drop(&mut self) {
        // Says goodbye, so that others forget the name at once (RFC 6762 section 10.1).
        if let Ok(done) = self.0.shutdown() {
            let _ = done.recv_timeout(std::time::Duration::from_millis(500));
        }
    }
}

/// Announces the server; the error says why nobody will find it by its name.
pub fn announce(
    name: &str,
    c2s: Option<SocketAddr>,
    https: Option<SocketAddr>,
) -> Result<Announcement, String> {
    let wrong = |e: mdns_sd::Error| e.to_string();
    let daemon = ServiceDaemon::new().map_err(wrong)?;
    let announcement = Announcement(daemon);
    let is_v6 = |at: Option<SocketAddr>| at.is_some_and(|a| a.is_ipv6());
    if !is_v6(c2s) && !is_v6(https) {
        // Nobody listens there: an AAAA record would send others to a closed port first.
        announcement
            .0
            .disable_interface(IfKind::IPv6)
            .map_err(wrong)?;
    }
    let instance = name.trim_end_matches(".local");
    for (kind, at) in [
        ("_xmpp-client._tcp.local.", c2s),
        ("_https._tcp.local.", https),
    ] {
        let Some(at) = at else { continue };
        let host = format!("{name}.");
        let none: &[(&str, &str)] = &[];
        let info = ServiceInfo::new(kind, instance, &host, "", at.port(), none);
        let info = info.map_err(wrong)?.enable_addr_auto();
        announcement.0.register(info).map_err(wrong)?;
    }
    Ok(announcement)
}

/// A link as a QR code of half blocks, for a dark or a light terminal alike.
pub fn qr(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let width = code.width() as i64;
    let dark = |x: i64, y: i64| {
        (0..width).contains(&x)
            && (0..width).contains(&y)
            && code[(x as usize, y as usize)] == qrcode::Color::Dark
    };
    let mut out = String::new();
    // Two modules a character; the quiet zone of two modules is what phones need on a screen.
    for y in (-2..width + 2).step_by(2) {
        out.push_str("\x1b[30;107m");
        for x in -2..width + 2 {
            out.push(match (dark(x, y), dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        out.push_str("\x1b[0m\n");
    }
    Some(out)
}
