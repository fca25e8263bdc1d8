//! Invitations as addresses: `xmpp:` URIs (XEP-0401 section 3.3, XEP-0445 section 3) and the server's own links.

use std::fmt::Write;

/// What an invitation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invite {
    /// `xmpp:DOMAIN?register;preauth=TOKEN`, or the same with a name to take.
    Register {
        /// The server.
        domain: String,
        /// The proposed local part.
        name: Option<String>,
        /// The token.
        token: String,
    },
    /// `https://HOST:PORT/invite/TOKEN`.
    Link {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// The token.
        token: String,
    },
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
pub fn percent(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(b as char);
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

fn unpercent(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

/// The URI by which anyone registers with a token.
pub fn register_uri(domain: &str, token: &str) -> String {
    format!(
        "xmpp:{}?register;preauth={}",
        percent(domain),
        percent(token)
    )
}

/// Reads an invitation as a person pastes it.
pub fn parse(text: &str) -> Option<Invite> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("xmpp:") {
        let (address, query) = rest.split_once('?')?;
        let address = unpercent(address)?;
        let mut parts = query.split(';');
        let action = parts.next()?;
        let token = parts
            .find_map(|p| p.strip_prefix("preauth="))
            .and_then(unpercent)?;
        if !matches!(action, "register" | "roster") {
            return None;
        }
        let (name, domain) = match address.split_once('@') {
            // `roster`: the address is the inviter's, whose server takes the registration, too.
            Some((_, domain)) if action == "roster" => (None, domain.to_owned()),
            Some((name, domain)) => (Some(name.to_owned()), domain.to_owned()),
            None => (None, address),
        };
        return Some(Invite::Register {
            domain,
            name,
            token,
        });
    }
    let (authority, path) = text.strip_prefix("https://")?.split_once('/')?;
    let token = path
        .strip_prefix("invite/")?
        .split(['?', '#', '/'])
        .next()
        .filter(|t| !t.is_empty())?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Some(Invite::Link {
        host,
        port,
        token: unpercent(token)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invitations_go_both_ways() {
        let token = "TOKEN".to_owned();
        let domain = "example.org".to_owned();
        let uri = register_uri(&domain, &token);
        assert_eq!(uri, "xmpp:example.org?register;preauth=TOKEN");
        assert_eq!(
            parse(&uri),
            Some(Invite::Register {
                domain: domain.clone(),
                name: None,
                token: token.clone()
            })
        );
        let named = Invite::Register {
            domain: domain.clone(),
            name: Some("j".into()),
            token: token.clone(),
        };
        assert_eq!(
            parse("xmpp:j@example.org?register;preauth=TOKEN"),
            Some(named)
        );
        let friend = Invite::Register {
            domain,
            name: None,
            token: token.clone(),
        };
        assert_eq!(
            parse("xmpp:j@example.org?roster;preauth=TOKEN;ibr=y"),
            Some(friend)
        );
        let link = Invite::Link {
            host: "::1".into(),
            port: 5281,
            token: token.clone(),
        };
        assert_eq!(parse(" https://[::1]:5281/invite/TOKEN\n"), Some(link));
        let link = Invite::Link {
            host: "chat.example".into(),
            port: 443,
            token,
        };
        assert_eq!(parse("https://chat.example/invite/TOKEN"), Some(link));
        assert_eq!(parse("https://chat.example/"), None);
    }
}
