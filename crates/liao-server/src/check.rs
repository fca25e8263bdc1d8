//! `liao check`: what would go wrong at the start, found before it, without changing anything.

use crate::accounts::Accounts;
use crate::config::Config;
use crate::listener::{DEFAULT_PORTS, by, identity_files};
use crate::store;
use liao_net::tls::Identity;
use liao_proto::xep::delay::utc_from_ms;
use std::fmt;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

/// Days before its end at which a certificate is worth a word.
const SOON_DAYS: i64 = 14;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    All,
    /// The data folder can be written.
    Disk,
    /// The addresses are free.
    Ports,
    /// The certificate is good.
    Certs,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// It is in order.
    pub fine: bool,
    /// What was found.
    pub what: String,
    /// What to do; can be empty.
    pub to_do: String,
}

impl Finding {
    fn ok(what: impl Into<String>) -> Finding {
        Finding {
            fine: true,
            what: what.into(),
            to_do: String::new(),
        }
    }

    /// Something that has to be mended.
    pub fn wrong(what: impl Into<String>, to_do: impl Into<String>) -> Finding {
        Finding {
            fine: false,
            what: what.into(),
            to_do: to_do.into(),
        }
    }

    fn but(mut self, to_do: impl Into<String>) -> Finding {
        self.to_do = to_do.into();
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.fine { "ok" } else { "WRONG" };
        write!(f, "{verdict}: {}", self.what)?;
        if !self.to_do.is_empty() {
            write!(f, " – {}", self.to_do)?;
        }
        Ok(())
    }
}

/// Looks at everything that a start needs.
pub async fn check(config: &Config, part: Part) -> Vec<Finding> {
    let wants = |p: Part| part == p || part == Part::All;
    let mut out = Vec::new();
    if part == Part::All {
        out.push(Finding::ok(match &config.file {
            Some(file) => format!("the configuration: {}", file.display()),
            None => "the configuration: no file, so the defaults".to_owned(),
        }));
    }
    if wants(Part::Disk) {
        out.push(folder(&config.data()));
    }
    if wants(Part::Ports) {
        let running = running(&config.data()).await;
        for name in ["c2s", "c2s_tls", "http", "https", "sockets"] {
            out.push(port(config, name, &running));
        }
    }
    if wants(Part::Certs) {
        out.extend(certificate(config));
    }
    if part == Part::All {
        out.extend(accounts(config));
    }
    out
}

/// The data folder, or the nearest folder above in which it would be made.
fn folder(data: &Path) -> Finding {
    let shown = data.display();
    let all = data.ancestors().map(|p| match p.as_os_str().is_empty() {
        true => Path::new("."),
        false => p,
    });
    let Some(there) = all.into_iter().find(|p| p.exists()) else {
        return Finding::wrong(
            format!("the data folder {shown}: nothing of its path exists"),
            "set data to another folder",
        );
    };
    let probe = there.join(format!(".liao-check-{}", std::process::id()));
    let tried = crate::os::private_file(&probe).and_then(|_| std::fs::remove_file(&probe));
    match tried {
        Ok(()) if there == data => Finding::ok(format!("the data folder {shown} can be written")),
        Ok(()) => Finding::ok(format!("the data folder {shown} will be made")),
        Err(error) => Finding::wrong(
            format!("the data folder {shown}: {}: {error}", there.display()),
            "let liao's user write there, or set data to another folder",
        ),
    }
}

/// The addresses of the server that runs on this data, if one does.
async fn running(data: &Path) -> Vec<SocketAddr> {
    if crate::os::connect_local(&data.join("admin.sock"))
        .await
        .is_err()
    {
        return Vec::new();
    }
    let text = std::fs::read_to_string(data.join("addresses.json")).unwrap_or_default();
    let all: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_default();
    all.values()
        .filter_map(|a| a.as_str()?.parse().ok())
        .collect()
}

fn port(config: &Config, name: &str, running: &[SocketAddr]) -> Finding {
    let listen = config.listen(name);
    let Some(address) = listen.address else {
        return Finding::ok(format!("listen.{name} is off"));
    };
    let tried = TcpListener::bind(address).and_then(|tcp| match name {
        "sockets" => UdpSocket::bind(tcp.local_addr()?).map(drop),
        _ => Ok(()),
    });
    let Err(error) = tried else {
        return Finding::ok(format!("listen.{name} {address} is free"));
    };
    let what = format!("listen.{name} {address}: {error}{}", by(address, &error));
    if running.contains(&address) {
        return Finding::ok(format!(
            "listen.{name} {address} is held by the server that runs on this data"
        ));
    }
    let moves = !listen.asked && DEFAULT_PORTS.contains(&address.port());
    if moves && error.kind() == std::io::ErrorKind::AddrInUse {
        return Finding::ok(what).but("liao takes the next free port and says so");
    }
    Finding::wrong(
        what,
        format!("stop what holds it, or set listen.{name} to another address"),
    )
}

fn certificate(config: &Config) -> Vec<Finding> {
    let Some((certificate, key)) = identity_files(config) else {
        return vec![Finding::ok(
            "the certificate: liao makes its own; clients ask once whether to trust it",
        )];
    };
    let to_do = "mend tls.certificate and tls.key, or leave both empty";
    let found = Identity::from_files(certificate, key, "from your files")
        .and_then(|i| i.server_config(&[]).map(|_| i));
    let identity = match found {
        Ok(identity) => identity,
        Err(error) => {
            return vec![Finding::wrong(format!("the certificate: {error}"), to_do)];
        }
    };
    let shown = certificate.display();
    let mut out = vec![dates(&format!("the certificate {shown}"), &identity)];
    let domain = config.domain();
    out.push(if identity.covers(domain) {
        Finding::ok(format!("the certificate is for {domain}"))
    } else {
        Finding::wrong(
            format!("the certificate {shown} is not for {domain}"),
            format!("get one that names {domain}; clients refuse this one"),
        )
    });
    out
}

fn dates(what: &str, identity: &Identity) -> Finding {
    let now = crate::server::now_ms() / 1000;
    let Some((from, until)) = identity.validity() else {
        return Finding::wrong(
            format!("{what}: its dates cannot be read"),
            "get another one",
        );
    };
    let day = |seconds: i64| utc_from_ms(seconds.saturating_mul(1000)).replace("T00:00:00Z", "");
    if now < from {
        let what = format!("{what} is good only from {}", day(from));
        return Finding::wrong(what, "wait, or set this machine's clock");
    }
    if now > until {
        return Finding::wrong(format!("{what} ended on {}", day(until)), "renew it");
    }
    let found = Finding::ok(format!("{what} is good until {}", day(until)));
    if until - now < SOON_DAYS * 86_400 {
        return found.but("renew it soon");
    }
    found
}

/// What the store says: its domain, and whether the accounts exist that the configuration names.
fn accounts(config: &Config) -> Vec<Finding> {
    let data = config.data();
    if !store::is_there(&data) {
        return vec![Finding::ok("no account yet; the start shows an invite")];
    }
    let domain = config.domain();
    let mut out = Vec::new();
    match Accounts::domain_in(&data) {
        Ok(None) => out.push(Finding::ok("no account yet; the start shows an invite")),
        Ok(Some(has)) if has == domain => {
            out.push(Finding::ok(format!("the accounts belong to {domain}")));
        }
        Ok(Some(has)) => out.push(Finding::wrong(
            format!("the accounts belong to {has}, the domain is {domain}"),
            format!("set domain = {has:?}, or take another data folder"),
        )),
        Err(error) => out.push(Finding::wrong(error.to_string(), "restore a backup")),
    }
    for key in ["sockets.owner", "sockets.allow"] {
        for jid in config.list(key) {
            if !Accounts::is_in(&data, jid).unwrap_or(true) {
                out.push(Finding::wrong(
                    format!("{key} names {jid}, who has no account"),
                    "make the account, or take the name out",
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn pair(folder: &Path, name: &str, until: i32) -> (PathBuf, PathBuf) {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let file = |end: &str| folder.join(format!("{name}-{until}.{end}"));
        std::fs::write(file("crt"), made.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        (file("crt"), file("key"))
    }

    #[tokio::test]
    async fn a_certificate_must_be_readable_in_force_and_for_the_domain() {
        let folder = std::env::temp_dir().join(format!("liao-check-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let good = pair(&folder, "x.example", 2999);
        let cases = [
            (good.clone(), "ok"),
            (pair(&folder, "x.example", 2001), "ended on 2001-01-01"),
            (pair(&folder, "y.example", 2999), "not for x.example"),
            ((good.0, pair(&folder, "z.example", 2999).1), "do not make"),
            ((folder.join("none"), folder.join("none")), "none"),
        ];
        for ((certificate, key), wanted) in cases {
            let file = format!(
                "domain = 'x.example'\n[tls]\ncertificate = '{}'\nkey = '{}'\n",
                certificate.display(),
                key.display()
            );
            let path = folder.join("liao.toml");
            std::fs::write(&path, file).unwrap();
            let config = Config::load(Some(&path), &[]).unwrap();
            let found = check(&config, Part::Certs).await;
            let wrong: Vec<String> = found
                .iter()
                .filter(|f| !f.fine)
                .map(ToString::to_string)
                .collect();
            match wanted {
                "ok" => assert!(wrong.is_empty(), "{wrong:?}"),
                words => assert!(wrong.len() == 1 && wrong[0].contains(words), "{wrong:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
