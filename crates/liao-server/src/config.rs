//! The configuration: one table of options, a TOML file, `LIAO_*` variables, flags; unknown keys are errors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented example, embedded; every option with its why.
pub const EXAMPLE: &str = include_str!("../../../liao.example.toml");

/// One option.
pub struct Opt {
    /// `section.key` or `key`.
    pub key: &'static str,
    /// The default, as it stands in the file.
    pub default: &'static str,
    /// May change at a reload.
    pub live: bool,
}

const fn opt(key: &'static str, default: &'static str, live: bool) -> Opt {
    Opt { key, default, live }
}

/// THE table.
pub static OPTIONS: &[Opt] = &[
    opt("domain", "localhost", false),
    opt("data", "./liao-data", false),
    opt("lan", "false", false),
    opt("listen.c2s", "127.0.0.1:5222", false),
    opt("listen.c2s_tls", "127.0.0.1:5223", false),
    opt("listen.http", "127.0.0.1:5280", false),
    opt("listen.https", "127.0.0.1:5281", false),
    opt("listen.sockets", "127.0.0.1:8080", false),
    opt("tls.certificate", "", true),
    opt("tls.key", "", true),
    opt("registration.mode", "invite", true),
    opt("sockets.owner", "", true),
    opt("log.format", "text", false),
    opt("log.level", "info", false),
];

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
    values: Vec<(String, bool)>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            values: OPTIONS
                .iter()
                .map(|o| (o.default.to_owned(), false))
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
                    .set(option.key, value)
                    .map_err(|e| ConfigError(format!("{name}: {e}")))?;
            }
        }
        for (key, value) in flags {
            config
                .set(key, value.clone())
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
        for (option, (value, asked)) in OPTIONS.iter().zip(&mut self.values) {
            if *asked {
                continue;
            }
            match option.key {
                "listen.c2s" | "listen.c2s_tls" | "listen.http" | "listen.https" => {
                    *value = value.replace("127.0.0.1", "0.0.0.0");
                }
                "domain" => *value = crate::lan::name(),
                _ => {}
            }
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        check(key, &value)?;
        let at = index(key).ok_or_else(|| unknown(key))?;
        self.values[at] = (value, true);
        Ok(())
    }

    fn merge(&mut self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
        let line_of = |key: &str| {
            let last = key.rsplit('.').next().unwrap_or(key);
            let found = text.lines().position(|l| {
                l.trim_start()
                    .trim_start_matches('[')
                    .strip_prefix(last)
                    .is_some_and(|r| r.trim_start().starts_with(['=', ']', '.']))
            });
            found.map_or(String::new(), |n| format!("line {}: ", n + 1))
        };
        for (key, value) in table {
            let pairs: Vec<(String, toml::Value)> = match value {
                toml::Value::Table(inner) => inner
                    .into_iter()
                    .map(|(k, v)| (format!("{key}.{k}"), v))
                    .collect(),
                other => vec![(key, other)],
            };
            for (key, value) in pairs {
                let text = match value {
                    toml::Value::String(s) => s,
                    toml::Value::Boolean(b) if key == "lan" => b.to_string(),
                    other if index(&key).is_some() => {
                        return Err(format!(
                            "{}{key} must be text in quotes, not {other}",
                            line_of(&key)
                        ));
                    }
                    other => other.to_string(),
                };
                self.set(&key, text)
                    .map_err(|e| format!("{}{e}", line_of(&key)))?;
            }
        }
        Ok(())
    }

    /// The text of an option.
    pub fn get(&self, key: &str) -> &str {
        index(key).map_or("", |at| &self.values[at].0)
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

    /// One of the listeners: `c2s`, `c2s_tls`, `http`, `https`, `sockets`.
    pub fn listen(&self, name: &str) -> Listen {
        let at = index(&format!("listen.{name}"));
        let (text, asked) = at.map_or(("off", false), |at| {
            (self.values[at].0.as_str(), self.values[at].1)
        });
        Listen {
            address: text.parse().ok(),
            asked,
        }
    }

    /// The gateway's default port was half taken: both its sockets try the next one.
    pub(crate) fn move_sockets(&mut self, taken: SocketAddr) {
        if let Some(at) = index("listen.sockets") {
            let asked = self.values[at].1;
            let port = if asked {
                0
            } else {
                taken.port().saturating_add(1)
            };
            self.values[at] = (SocketAddr::new(taken.ip(), port).to_string(), asked);
        }
    }

    /// Keys that differ and need a restart.
    pub fn fixed_changes(&self, new: &Config) -> Vec<&'static str> {
        let differs = |o: &&Opt| !o.live && self.get(o.key) != new.get(o.key);
        OPTIONS.iter().filter(differs).map(|o| o.key).collect()
    }
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
        for (option, (value, set)) in OPTIONS.iter().zip(&config.values) {
            assert!(*set, "{} is missing in liao.example.toml", option.key);
            assert_eq!(value, option.default, "{}", option.key);
        }
    }
}
