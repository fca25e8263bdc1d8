//! What the server says at its start: where it is, who vouches for it, and how the first person gets in.

use crate::accounts::AccountError;
use crate::lan;
use crate::server::Server;
use liao_net::tls::{Identity, pem_fingerprint};
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};

/// A host as it stands in a link.
pub fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V6(a) => format!("[{a}]"),
        IpAddr::V4(a) => a.to_string(),
    }
}

/// Shows the listeners' `lines`, the certificate and, while nobody has an account, the first invite; its path.
pub async fn show(
    server: &Server,
    identity: &Identity,
    lines: &[String],
) -> Result<Option<String>, AccountError> {
    let version = env!("CARGO_PKG_VERSION");
    println!("liao {version} serves {}", server.domain);
    for line in lines {
        println!("{line}");
    }
    println!(
        "  certificate ({})    {}",
        identity.kind,
        identity.fingerprint()
    );
    let mut path = None;
    if let Some(invite) = server.accounts.first_run_invite().await? {
        println!(
            "\nNobody has an account yet. This invite makes the first one, an admin (24 hours, once). Paste it into\n\
             `liao chat` in a second terminal, or open it in a browser:"
        );
        for uri in server.invite_uris(&invite) {
            println!("  {uri}");
        }
        path = Some(format!("/invite/{}", invite.token));
        if !server.config().lan() && server.domain.as_str() == "localhost" {
            println!(
                "Only programs on this machine get here. For everyone on your network, before the first account:\n  \
                 liao serve --lan"
            );
        }
    }
    println!();
    Ok(path)
}

/// How others on the network get here, and what their programs will say. `silent` is why the name is not announced.
pub fn show_lan(
    server: &Server,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    silent: Option<&String>,
    invite: Option<String>,
) {
    let domain = server.domain.as_str();
    let addresses = https.map_or_else(lan::addresses, lan::addresses_of);
    let shown = match addresses.as_slice() {
        [] => "no network was found".to_owned(),
        all => all
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    println!("On your network: {domain} ({shown})");
    match silent {
        Some(why) => {
            println!("  The name could not be announced ({why}); give others an address instead.")
        }
        None => println!("  The name is announced; where it is not found, take an address."),
    }
    let Some(https) = https else { return };
    let near = addresses.first().map_or(domain.to_owned(), |a| host(*a));
    let ca = server.config().data().join("tls").join("ca.pem");
    if let Some(print) = std::fs::read(ca).ok().and_then(|pem| pem_fingerprint(&pem)) {
        let plain = http.map_or(String::new(), |a| {
            format!(" or http://{near}:{}/ca.pem", a.port())
        });
        println!(
            "  Browsers warn of the certificate until they know its authority: https://{near}:{}/ca.pem{plain}\n  \
             SHA-256 of the authority: {print}",
            https.port()
        );
    }
    if let Some(path) = invite {
        let link = format!("https://{near}:{}{path}", https.port());
        println!("  The invite for a phone: {link}");
        let code = lan::qr(&link).filter(|_| std::io::stdout().is_terminal());
        if let Some(code) = code {
            println!("{code}");
        }
    }
    println!();
}
