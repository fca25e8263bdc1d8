//! People on the local network, by multicast DNS (RFC 6762, RFC 6763): `_liao-direct._udp`.

use crate::limits::{ADDRESSES, NAME_CHARS};
use crate::{Identity, Key};
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;

const SERVICE: &str = "_liao-direct._udp.local.";
/// How long somebody may take to answer whether they are still there.
const ANSWER: Duration = Duration::from_secs(3);

/// What is noticed on the local network.
#[derive(Debug)]
pub enum Sighting {
    /// Somebody is there.
    Seen {
        /// Who they say they are; a dial proves it.
        key: Key,
        /// What they call themselves.
        name: String,
        /// Where.
        addresses: Vec<SocketAddr>,
    },
    /// Somebody went.
    Gone(Key),
}

/// Announces us and watches for others until it is dropped.
pub struct Lan {
    daemon: ServiceDaemon,
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Says goodbye, so that others forget us at once (RFC 6762 section 10.1).
        if let Ok(done) = self.daemon.shutdown() {
            let _ = done.recv_timeout(Duration::from_millis(500));
        }
    }
}

/// A label that names a key: DNS labels end at 63 bytes, a key in base 32 is 52 characters.
fn label(key: &Key) -> String {
    key.to_z32()
}

fn seen(service: &ResolvedService) -> Option<Sighting> {
    let instance = service.get_fullname().split('.').next()?;
    let key = Key::from_z32(instance).ok()?;
    let name = service.get_property_val_str("n").unwrap_or_default();
    let name: String = name.chars().take(NAME_CHARS).collect();
    let port = service.get_port();
    let addresses = service.get_addresses().iter();
    let mut addresses: Vec<_> = addresses
        .map(|a| SocketAddr::new(a.to_ip_addr(), port))
        // A link-local IPv6 address means nothing without its interface.
        .filter(|a| !matches!(a, SocketAddr::V6(a) if a.ip().is_unicast_link_local()))
        .collect();
    addresses.sort_by_key(|a| (a.ip().is_loopback(), a.is_ipv6(), a.to_string()));
    addresses.truncate(ADDRESSES);
    Some(Sighting::Seen {
        key,
        name,
        addresses,
    })
}

impl Lan {
    /// Asks whether somebody is still there (RFC 6762 section 10.4): who left without a goodbye is gone soon after.
    pub fn verify(&self, key: &Key) {
        // A daemon that ended has nobody to tell.
        let _ = self
            .daemon
            .verify(format!("{}.{SERVICE}", label(key)), ANSWER);
    }

    /// Starts; the error says why nobody will be found.
    pub fn start(
        identity: &Identity,
        port: u16,
        sightings: mpsc::Sender<Sighting>,
    ) -> Result<Lan, String> {
        let wrong = |e: mdns_sd::Error| e.to_string();
        let lan = Lan {
            daemon: ServiceDaemon::new().map_err(wrong)?,
        };
        let me = identity.key();
        let host = format!("liao-{}.local.", &label(&me)[..12]);
        let properties = [("n", identity.name.as_str()), ("v", "1")];
        let info = ServiceInfo::new(SERVICE, &label(&me), &host, "", port, &properties[..]);
        let info = info.map_err(wrong)?.enable_addr_auto();
        lan.daemon.register(info).map_err(wrong)?;
        let found = lan.daemon.browse(SERVICE).map_err(wrong)?;
        tokio::spawn(async move {
            while let Ok(event) = found.recv_async().await {
                let sighting = match event {
                    ServiceEvent::ServiceResolved(service) => seen(&service),
                    ServiceEvent::ServiceRemoved(_, name) => {
                        let key = name.split('.').next();
                        key.and_then(|k| Key::from_z32(k).ok()).map(Sighting::Gone)
                    }
                    _ => None,
                };
                let is_me = |s: &Sighting| match s {
                    Sighting::Seen { key, .. } | Sighting::Gone(key) => *key == me,
                };
                if let Some(sighting) = sighting.filter(|s| !is_me(s))
                    && sightings.send(sighting).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(lan)
    }
}
