//! Which options there are, how each is written, and what can be in it.

use crate::limits;
use crate::peer::Network;
use liao_proto::xep::external::Service;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// How an option is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`.
    Text,
    /// `"text"` that is not shown.
    Secret,
    /// `["one", "two"]`; in a variable `one,two`.
    List,
    /// `true` or `false`.
    Switch,
    /// `[[components]]`.
    Components,
    /// A whole number from the first to the second.
    Number(u64, u64),
}

/// One option.
pub struct Opt {
    /// `section.key` or `key`.
    pub key: &'static str,
    /// The default; of a list, its items joined by commas.
    pub default: Cow<'static, str>,
    /// May change at a reload.
    pub live: bool,
    /// How it is written.
    pub kind: Kind,
}

const fn opt(key: &'static str, default: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default: Cow::Borrowed(default),
        live,
        kind: Kind::Text,
    }
}

const fn of(kind: Kind, key: &'static str, default: &'static str) -> Opt {
    Opt {
        key,
        default: Cow::Borrowed(default),
        live: true,
        kind,
    }
}

const fn switch(key: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default: Cow::Borrowed("false"),
        live,
        kind: Kind::Switch,
    }
}

const fn list(key: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default: Cow::Borrowed(""),
        live,
        kind: Kind::List,
    }
}

/// THE table of options: these, and the bounds of [`limits::BOUNDS`].
pub static OPTIONS: LazyLock<Vec<Opt>> = LazyLock::new(|| {
    let bounds = limits::BOUNDS.iter().map(|b| Opt {
        key: b.key,
        default: Cow::Owned(b.default.to_string()),
        live: false,
        kind: Kind::Number(b.least, b.most),
    });
    WORDS.into_iter().chain(bounds).collect()
});

const WORDS: [Opt; 36] = [
    opt("domain", "localhost", false),
    opt("data", "./liao-data", false),
    switch("lan", false),
    Opt {
        key: "components",
        default: Cow::Borrowed(""),
        live: false,
        kind: Kind::Components,
    },
    opt("listen.c2s", "127.0.0.1:5222", false),
    opt("listen.c2s_tls", "127.0.0.1:5223", false),
    opt("listen.http", "127.0.0.1:5280", false),
    opt("listen.https", "127.0.0.1:5281", false),
    opt("listen.components", "127.0.0.1:5347", false),
    opt("listen.sockets", "127.0.0.1:8080", false),
    opt("http.public_url", "", false),
    list("http.trusted_proxies", true),
    opt("tls.certificate", "", true),
    opt("tls.key", "", true),
    opt("registration.mode", "invite", true),
    opt("sockets.owner", "", true),
    list("sockets.allow", true),
    of(Kind::Number(0, 36_500), "archive.keep_days", "0"),
    of(Kind::Number(0, 1_000_000), "archive.keep_mb", "0"),
    opt("resume.location", "", true),
    // A file's size is a whole number of bytes below 2^53, which every client can hold.
    of(Kind::Number(1, 1 << 32), "upload.max_file_mb", "1024"),
    of(Kind::Number(1, 1 << 32), "upload.quota_mb", "5120"),
    of(Kind::Number(0, 1 << 32), "upload.leave_free_mb", "512"),
    // 0: as long as the quota allows.
    of(Kind::Number(0, 36_500), "upload.keep_days", "90"),
    list("contact.abuse", true),
    list("contact.admin", true),
    list("contact.feedback", true),
    list("contact.sales", true),
    list("contact.security", true),
    list("contact.status", true),
    list("contact.support", true),
    list("turn.services", true),
    of(Kind::Secret, "turn.secret", ""),
    of(Kind::Number(60, 30 * 86_400), "turn.ttl_s", "86400"),
    opt("log.format", "text", false),
    opt("log.level", "info", false),
];

/// Where an option stands in the table.
pub(super) fn index(key: &str) -> Option<usize> {
    OPTIONS.iter().position(|o| o.key == key)
}

impl Opt {
    /// A value of the file as it is kept here.
    pub(super) fn text_of(&self, value: toml::Value) -> Result<String, String> {
        let key = self.key;
        match (self.kind, value) {
            (Kind::Text | Kind::Secret, toml::Value::String(text)) => Ok(text),
            (Kind::Secret, _) => Err(format!("{key} must be text in quotes")),
            (Kind::Text, other) => Err(format!("{key} must be text in quotes, not {other}")),
            (Kind::List, toml::Value::Array(all)) => {
                let item = |v: &toml::Value| match v.as_str() {
                    Some(text) if !text.contains(',') => Ok(text.to_owned()),
                    _ => Err(format!(
                        "{key} has the item {v}; each must be text in quotes, without a comma"
                    )),
                };
                let all: Result<Vec<String>, String> = all.iter().map(item).collect();
                Ok(all?.join(","))
            }
            (Kind::Components, value) => super::components::text_of(value),
            (Kind::Switch, toml::Value::Boolean(on)) => Ok(on.to_string()),
            (Kind::Switch, other) => Err(format!("{key} must be true or false, not {other}")),
            (Kind::Number(..), toml::Value::Integer(n)) => Ok(n.to_string()),
            (Kind::Number(..), other) => Err(format!("{key} must be a number, not {other}")),
            (Kind::List, other) => Err(format!(
                "{key} must be a list such as [\"one\", \"two\"], not {other}"
            )),
        }
    }

    /// A kept value as it stands in the file.
    pub(super) fn written(&self, text: &str) -> String {
        let quoted = |t: &str| toml::Value::String(t.to_owned()).to_string();
        match self.kind {
            Kind::Text => quoted(text),
            Kind::Secret if text.is_empty() => quoted(text),
            Kind::Secret => quoted("…"),
            Kind::Switch | Kind::Number(..) => text.to_owned(),
            Kind::Components => super::components::written(text),
            Kind::List => {
                let all: Vec<String> = items(text).map(quoted).collect();
                format!("[{}]", all.join(", "))
            }
        }
    }
}

pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|i| !i.is_empty())
}

pub(super) fn unknown(key: &str) -> String {
    let nearest = OPTIONS
        .iter()
        .min_by_key(|o| distance(o.key, key))
        .map_or("", |o| o.key);
    format!("there is no option {key:?}; did you mean {nearest:?}?")
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (corner + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

/// RFC 6120 section 4.9.3.19: a host, with a port if need be; IPv6 addresses in brackets.
fn is_location(value: &str) -> bool {
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (value, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => liao_proto::jid::BareJid::new(host).is_ok_and(|j| j.node().is_none()),
    };
    host && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0))
}

/// Whether a value can be an option's.
pub(super) fn check(key: &str, value: &str) -> Result<(), String> {
    let one_of = |all: &[&str]| {
        if all.contains(&value) {
            Ok(())
        } else {
            Err(format!("{key} is {value:?}; it can be {}", all.join(", ")))
        }
    };
    let kind = index(key).map(|at| OPTIONS[at].kind);
    if let Some(Kind::Number(least, most)) = kind {
        return match value.parse::<u64>() {
            Ok(n) if (least..=most).contains(&n) => Ok(()),
            _ => Err(format!("{key} is {value}; it can be {least} to {most}")),
        };
    }
    match key {
        "components" => super::components::read(value).map(drop),
        "registration.mode" => one_of(&["invite", "open", "closed"]),
        "lan" => one_of(&["true", "false"]),
        "log.format" => one_of(&["text", "json"]),
        "log.level" => one_of(&["error", "warn", "info", "debug", "trace"]),
        "sockets.owner" | "sockets.allow" => items(value).try_for_each(|item| {
            match liao_proto::jid::BareJid::new(item) {
                Ok(jid) if jid.node().is_some() => Ok(()),
                _ => Err(format!("{key} has {item:?}; write an address such as \"anna@example.org\"")),
            }
        }),
        "resume.location" if value.is_empty() || is_location(value) => Ok(()),
        "resume.location" => Err(format!(
            "{key} is {value:?}; write a host, or HOST:PORT, such as \"node1.example.org:5222\" or \"[2001:db8::1]:5222\""
        )),
        "http.public_url" if !value.is_empty() => match crate::config::host_of(value) {
            Some(_) => Ok(()),
            None => Err(format!("{key} is {value:?}; write it as \"https://chat.example.org\", with a port if it is not 443, without a path")),
        },
        "http.trusted_proxies" => items(value).try_for_each(|item| match Network::parse(item) {
            Some(_) => Ok(()),
            None => Err(format!("{key} has {item:?}; write an address or a network such as \"10.0.0.0/8\"")),
        }),
        "turn.services" => items(value).try_for_each(|item| match Service::parse(item) {
            Some(_) => Ok(()),
            None => Err(format!("{key} has {item:?}; write stun:HOST:PORT or turn:HOST:PORT?transport=udp")),
        }),
        _ if key.starts_with("contact.") => items(value).try_for_each(|item| match item.split_once(':') {
            Some((scheme, rest)) if !rest.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(()),
            _ => Err(format!("{key} has {item:?}; write a URI such as \"mailto:me@example.org\" or \"xmpp:me@example.org\"")),
        }),
        "domain" => match liao_proto::jid::BareJid::new(value) {
            Ok(jid) if jid.node().is_none() && jid.as_str() == value => Ok(()),
            Ok(jid) if jid.node().is_none() => Err(format!("domain is {value:?}; write it as {:?}", jid.as_str())),
            _ => Err(format!("domain is {value:?}, which is no domain name")),
        },
        _ if key.starts_with("listen.") && value != "off" => {
            value.parse::<SocketAddr>().map(drop).map_err(|_| {
                format!("{key} is {value:?}; it must be an address and port such as \"127.0.0.1:5222\", or \"off\"")
            })
        }
        _ => Ok(()),
    }
}
