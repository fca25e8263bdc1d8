//! `liao check direct`: what others need to find us, and what stands in the way.

use crate::{Identity, Ticket, endpoint, safety_words};
use std::net::{Ipv4Addr, UdpSocket};

/// Lines for the person, and whether all is well.
pub fn check(identity: &Identity, port: Option<u16>) -> (Vec<String>, bool) {
    let key = identity.key();
    let wanted = port.unwrap_or(endpoint::DEFAULT_PORT);
    let mut lines = vec![
        format!("you: {} ({})", identity.name, key.fmt_short()),
        format!("safety words: {}", safety_words(&key)),
    ];
    let mut well = true;
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, wanted)) {
        Ok(_) => lines.push(format!("UDP port {wanted}: free")),
        Err(error) => {
            let address = (Ipv4Addr::UNSPECIFIED, wanted).into();
            let holder = liao_net::os::holder(address);
            let holder = holder.map_or(String::new(), |h| format!(", held by {h}"));
            // By default the next free port is taken; one that was asked for is not replaced.
            well = port.is_none();
            lines.push(format!("UDP port {wanted}: {error}{holder}"));
        }
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let outside: Vec<_> = interfaces.iter().filter(|i| !i.is_loopback()).collect();
    for interface in &outside {
        lines.push(format!("interface {}: {}", interface.name, interface.ip()));
    }
    if outside.is_empty() {
        well = false;
        lines
            .push("no interface but loopback: nobody outside of this machine can reach you".into());
    }
    match mdns_sd::ServiceDaemon::new() {
        Ok(daemon) => {
            lines.push("local network: announcements work (multicast UDP 5353)".into());
            // The answer is of no use: this process ends.
            let _ = daemon.shutdown();
        }
        Err(error) => {
            well = false;
            lines.push(format!(
                "local network: nobody appears by themselves: {error}; dial by HOST:PORT or ticket"
            ));
        }
    }
    let ticket = Ticket {
        key,
        addresses: endpoint::addresses(wanted),
    };
    lines.push(format!("ticket: {ticket}"));
    lines.push(
        "if nobody appears: guest networks and some routers keep devices apart, and firewalls drop UDP; let UDP \
         5353 (multicast) and the port above in, or dial by hand: /add HOST:PORT in `liao direct`"
            .into(),
    );
    (lines, well)
}
