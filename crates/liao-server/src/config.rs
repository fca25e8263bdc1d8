//! The configuration: one table of options, a TOML file, `LIAO_*` variables, flags; unknown keys are errors.

use crate::peer::Network;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented example, embedded; every option with its why.
pub const EXAMPLE: &str = include_str!("../../../liao.example.toml");

/// How an option is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`.
    Text,
    /// `["one", "two"]`; in a variable `one,two`.
    List,
    /// `true` or `false`.
    Switch,
}

/// One option.
pub struct Opt {
    /// `section.key` or `key`.
    pub key: &'static str,
    /// The default; of a list, its items joined by commas.
    pub default: &'static str,
    /// May change at a reload.
    pub live: bool,
    /// How it is written.
    pub kind: Kind,
}

const fn opt(key: &'static str, default: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default,
        live,
        kind: Kind::Text,
    }
}

const fn switch(key: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default: "false",
        live,
        kind: Kind::Switch,
    }
}

const fn list(key: &'static str, live: bool) -> Opt {
    Opt {
        key,
        default: "",
        live,
        kind: Kind::List,
    }
}

/// THE table.
pub static OPTIONS: &[Opt] = &[
    opt("domain", "localhost", false),
    opt("data", "./liao-data", false),
    switch("lan", false),
    opt("listen.c2s", "127.0.0.1:5222", false),
    opt("listen.c2s_tls", "127.0.0.1:5223", false),
    opt("listen.http", "127.0.0.1:5280", false),
    opt("listen.https", "127.0.0.1:5281", false),
    opt("listen.sockets", "127.0.0.1:8080", false),
    list("http.trusted_proxies", true),
    opt("tls.certificate", "", true),
    opt("tls.key", "", true),
    opt("registration.mode", "invite", true),
    opt("sockets.owner", "", true),
    list("sockets.allow", true),
    opt("log.format", "text", false),
    opt("log.level", "info", false),
];

/// Where a value comes from; each comes over the ones before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// Nobody set it, and `lan` is on.
    Lan,
    /// The file, and the line if it is known.
    File(Option<usize>),
    /// A variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

#[derive(Debug, Clone)]
struct Value {
    text: String,
    origin: Origin,
}

impl Value {
    fn is_set(&self) -> bool {
        !matches!(self.origin, Origin::Default | Origin::Lan)
    }
}

/// What is wrong with the configuration: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Where the server listens for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address; `None` is off.
    pub address: Option<SocketAddr>,
    /// Asked for, not a default: a taken port is then an error.
    pub asked: bool,
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    values: Vec<Value>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            values: OPTIONS
                .iter()
                .map(|o| Value {
                    text: o.default.to_owned(),
                    origin: Origin::Default,
                })
                .collect(),
            file: None,
        }
    }
}

fn index(key: &str) -> Option<usize> {
    OPTIONS.iter().position(|o| o.key == key)
}

impl Config {
    /// From a file (`None`: `liao.toml` if it is here), the environment and flags, each over the one before.
    pub fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let here = Path::new("liao.toml");
        let file = file.or_else(|| here.exists().then_some(here));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                ConfigError(format!(
                    "{}: {e}; give another file with --config",
                    path.display()
                ))
            })?;
            config
                .merge(&text)
                .map_err(|e| ConfigError(format!("{}: {e}", path.display())))?;
            config.file = Some(path.to_owned());
        }
        for option in OPTIONS {
            let name = format!("LIAO_{}", option.key.replace('.', "_").to_uppercase());
            if let Ok(value) = std::env::var(&name) {
                config
                    .set(option.key, value, Origin::Variable(name.clone()))
                    .map_err(|e| ConfigError(format!("{name}: {e}")))?;
            }
        }
        for (key, value) in flags {
            config
                .set(key, value.clone(), Origin::Flag(format!("--{key}")))
                .map_err(|e| ConfigError(format!("--{key}: {e}")))?;
        }
        if config.lan() {
            config.open_to_the_lan();
        }
        Ok(config)
    }

    /// Serve the local network.
    pub fn lan(&self) -> bool {
        self.get("lan") == "true"
    }

    /// What was not set otherwise listens on all interfaces, but for the sockets, where nobody is asked for a
    /// password; the domain is HOSTNAME.local.
    fn open_to_the_lan(&mut self) {
        for (option, value) in OPTIONS.iter().zip(&mut self.values) {
            if value.is_set() {
                continue;
            }
            value.text = match option.key {
                "listen.c2s" | "listen.c2s_tls" | "listen.http" | "listen.https" => {
                    value.text.replace("127.0.0.1", "0.0.0.0")
                }
                "domain" => crate::lan::name(),
                _ => continue,
            };
            value.origin = Origin::Lan;
        }
    }

    fn set(&mut self, key: &str, text: String, origin: Origin) -> Result<(), String> {
        let at = index(key).ok_or_else(|| unknown(key))?;
        check(key, &text)?;
        self.values[at] = Value { text, origin };
        Ok(())
    }

    fn merge(&mut self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
        for (key, value) in table {
            let pairs: Vec<(String, toml::Value)> = match value {
                toml::Value::Table(inner) => inner
                    .into_iter()
                    .map(|(k, v)| (format!("{key}.{k}"), v))
                    .collect(),
                other => vec![(key, other)],
            };
            for (key, value) in pairs {
                let line = line_of(text, &key);
                let found = index(&key)
                    .ok_or_else(|| unknown(&key))
                    .and_then(|at| OPTIONS[at].text_of(value))
                    .and_then(|value| self.set(&key, value, Origin::File(line)));
                found.map_err(|e| match line {
                    Some(line) => format!("line {line}: {e}"),
                    None => e,
                })?;
            }
        }
        Ok(())
    }

    /// The text of an option.
    pub fn get(&self, key: &str) -> &str {
        index(key).map_or("", |at| &self.values[at].text)
    }

    /// The items of a list.
    pub fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        items(self.get(key))
    }

    /// Where the value of an option comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        index(key).map_or(&Origin::Default, |at| &self.values[at].origin)
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        self.get("domain")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        PathBuf::from(self.get("data"))
    }

    /// `invite`, `open` or `closed`.
    pub fn registration_mode(&self) -> &str {
        self.get("registration.mode")
    }

    /// The proxies that are believed.
    pub(crate) fn trusted_proxies(&self) -> Vec<Network> {
        self.list("http.trusted_proxies")
            .filter_map(Network::parse)
            .collect()
    }

    /// One of the listeners: `c2s`, `c2s_tls`, `http`, `https`, `sockets`.
    pub fn listen(&self, name: &str) -> Listen {
        let at = index(&format!("listen.{name}"));
        let (text, asked) = at.map_or(("off", false), |at| {
            (self.values[at].text.as_str(), self.values[at].is_set())
        });
        Listen {
            address: text.parse().ok(),
            asked,
        }
    }

    /// The gateway's default port was half taken: both its sockets try the next one.
    pub(crate) fn move_sockets(&mut self, taken: SocketAddr) {
        if let Some(at) = index("listen.sockets") {
            let port = if self.values[at].is_set() {
                0
            } else {
                taken.port().saturating_add(1)
            };
            self.values[at].text = SocketAddr::new(taken.ip(), port).to_string();
        }
    }

    /// Keys that differ and need a restart.
    pub fn fixed_changes(&self, new: &Config) -> Vec<&'static str> {
        let differs = |o: &&Opt| !o.live && self.get(o.key) != new.get(o.key);
        OPTIONS.iter().filter(differs).map(|o| o.key).collect()
    }
}

impl Opt {
    /// A value of the file as it is kept here.
    fn text_of(&self, value: toml::Value) -> Result<String, String> {
        let key = self.key;
        match (self.kind, value) {
            (Kind::Text, toml::Value::String(text)) => Ok(text),
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
            (Kind::Switch, toml::Value::Boolean(on)) => Ok(on.to_string()),
            (Kind::Switch, other) => Err(format!("{key} must be true or false, not {other}")),
            (Kind::List, other) => Err(format!(
                "{key} must be a list such as [\"one\", \"two\"], not {other}"
            )),
        }
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|i| !i.is_empty())
}

/// The line on which a key stands, counted from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inside = "";
    let mut section_line = None;
    for (number, line) in text.lines().enumerate().map(|(n, l)| (n + 1, l.trim())) {
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next().unwrap_or_default().trim();
            if inside == last || inside == key {
                section_line = Some(number);
            }
            continue;
        }
        let Some((name, _)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim();
        if inside == section && name == last || inside.is_empty() && name == key {
            return Some(number);
        }
    }
    section_line
}

fn unknown(key: &str) -> String {
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

fn check(key: &str, value: &str) -> Result<(), String> {
    let one_of = |all: &[&str]| {
        if all.contains(&value) {
            Ok(())
        } else {
            Err(format!("{key} is {value:?}; it can be {}", all.join(", ")))
        }
    };
    match key {
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
        "http.trusted_proxies" => items(value).try_for_each(|item| match Network::parse(item) {
            Some(_) => Ok(()),
            None => Err(format!("{key} has {item:?}; write an address or a network such as \"10.0.0.0/8\"")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_name_and_the_line() {
        let error = Config::default()
            .merge("# a\n\n[listen]\nc2z = \"off\"\n")
            .unwrap_err();
        assert!(
            error.contains("line 4") && error.contains("\"listen.c2s\""),
            "{error}"
        );
        assert!(
            Config::default()
                .merge("domain = 5")
                .unwrap_err()
                .contains("line 1")
        );
        assert!(
            Config::default()
                .merge("[listen]\nhttp = \"5280\"")
                .unwrap_err()
                .contains("127.0.0.1:5222")
        );
    }

    #[test]
    fn lists_are_arrays_of_text_in_the_file() {
        let mut config = Config::default();
        config
            .merge("[sockets]\nallow = [\"a@x\", \"b@x\"]\n")
            .unwrap();
        assert_eq!(
            config.list("sockets.allow").collect::<Vec<_>>(),
            ["a@x", "b@x"]
        );
        assert_eq!(*config.origin("sockets.allow"), Origin::File(Some(2)));
        for wrong in ["\"a@x\"", "[1]", "[\"a@x,b@x\"]", "[\"no address\"]"] {
            let error = config
                .merge(&format!("# why\n[sockets]\nallow = {wrong}\n"))
                .unwrap_err();
            assert!(
                error.contains("line 3") && error.contains("sockets.allow"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_example_names_every_option_with_its_default() {
        let plain: String = EXAMPLE
            .lines()
            .map(|l| {
                l.strip_prefix('#')
                    .filter(|r| !r.starts_with([' ', '#']) && r.contains(" = "))
                    .unwrap_or(l)
            })
            .filter(|l| !l.starts_with('#'))
            .map(|l| format!("{l}\n"))
            .collect();
        let mut config = Config::default();
        config.merge(&plain).unwrap();
        for (option, value) in OPTIONS.iter().zip(&config.values) {
            assert!(
                value.is_set(),
                "{} is missing in liao.example.toml",
                option.key
            );
            assert_eq!(value.text, option.default, "{}", option.key);
        }
    }
}
