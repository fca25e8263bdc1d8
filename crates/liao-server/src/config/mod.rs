//! The configuration: one table of options, a TOML file, `LIAO_*` variables, flags; unknown keys are errors.

mod components;
mod options;

pub use components::Component;
pub use options::{Kind, OPTIONS, Opt};

use crate::limits::Bounds;
use crate::peer::Network;
use crate::store::Sync;
use options::{check, index, items, unknown};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The commented example, embedded; every option with its why.
pub const EXAMPLE: &str = include_str!("../../../../liao.example.toml");

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
    /// How hard commits press on the disk. No option sets it: it is for the test that must turn red.
    pub sync: Sync,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            values: OPTIONS
                .iter()
                .map(|o| Value {
                    text: o.default.to_string(),
                    origin: Origin::Default,
                })
                .collect(),
            file: None,
            sync: Sync::Full,
        }
    }
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
        for option in OPTIONS.iter() {
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
        if let Some(own) = config
            .components()
            .iter()
            .find(|c| c.name == config.domain())
        {
            return Err(ConfigError(format!(
                "the component {} has the server's own name; take another, such as bot.{}",
                own.name, own.name
            )));
        }
        let bounds = config.bounds();
        if bounds.mailbox_bytes < 2 * bounds.stanza_bytes {
            return Err(ConfigError(format!(
                "limits.mailbox_bytes is {}: it must be twice limits.stanza_bytes ({}) or more, or a large message \
                 would end the session that it is for",
                bounds.mailbox_bytes, bounds.stanza_bytes
            )));
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

    /// All options in force, as a file that says where each value comes from.
    pub fn show(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for (option, value) in OPTIONS.iter().zip(&self.values) {
            let (within, name) = option.key.rsplit_once('.').unwrap_or(("", option.key));
            if within != section {
                section = within;
                out.push_str(&format!("\n[{section}]\n"));
            }
            let origin = match &value.origin {
                Origin::Default => "default".to_owned(),
                Origin::Lan => "by lan".to_owned(),
                Origin::Variable(name) | Origin::Flag(name) => name.clone(),
                Origin::File(line) => {
                    let file = self.file.as_deref().unwrap_or(Path::new("file"));
                    let line = line.map_or(String::new(), |n| format!(", line {n}"));
                    format!("{}{line}", file.display())
                }
            };
            let text = option.written(&value.text);
            out.push_str(&format!("{name} = {text}  # {origin}\n"));
        }
        out
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

    /// An option that is a number.
    pub fn number(&self, key: &str) -> u64 {
        // The table checked it.
        self.get(key).parse().unwrap_or(0)
    }

    /// How accounts are made: `invite`, `open` or `closed`.
    pub fn registration_mode(&self) -> &str {
        self.get("registration.mode")
    }

    /// `HOST[:PORT]` under which others reach the HTTPS side, if the administrator says it.
    pub(crate) fn public_host(&self) -> Option<&str> {
        host_of(self.get("http.public_url"))
    }

    /// The components that may connect.
    pub fn components(&self) -> Vec<Component> {
        components::read(self.get("components")).unwrap_or_default()
    }

    /// The bounds in force.
    pub fn bounds(&self) -> Bounds {
        Bounds::read(|key| self.get(key).parse().ok())
    }

    /// The proxies that are believed.
    pub(crate) fn trusted_proxies(&self) -> Vec<Network> {
        self.list("http.trusted_proxies")
            .filter_map(Network::parse)
            .collect()
    }

    /// One of the listeners: `c2s`, `c2s_tls`, `http`, `https`, `components`, `sockets`.
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

/// `HOST[:PORT]` of an HTTPS address without a path.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let good = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    (!host.is_empty() && host.chars().all(good)).then_some(host)
}

/// The line on which a key stands, counted from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inside = "";
    let mut section_line = None;
    for (number, line) in text.lines().enumerate().map(|(n, l)| (n + 1, l.trim())) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[');
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
    fn what_is_shown_is_a_file_that_says_the_same() {
        let mut config = Config::default();
        let file =
            "lan = true\n[sockets]\nowner = 'a@x'\nallow = ['b@x', 'c@x']\n[tls]\nkey = 'a\"\\b'\n";
        config.merge(file).unwrap();
        config.file = Some("my.toml".into());
        config
            .set(
                "log.level",
                "warn".into(),
                Origin::Variable("LIAO_LOG_LEVEL".into()),
            )
            .unwrap();
        let shown = config.show();
        for line in [
            "lan = true  # my.toml, line 1",
            "allow = [\"b@x\", \"c@x\"]  # my.toml, line 4",
            "level = \"warn\"  # LIAO_LOG_LEVEL",
            "domain = \"localhost\"  # default",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
        }
        let mut again = Config::default();
        again.merge(&shown).unwrap();
        for option in OPTIONS.iter() {
            assert_eq!(again.get(option.key), config.get(option.key), "{shown}");
        }
    }

    #[test]
    fn bounds_are_numbers_between_their_least_and_their_most() {
        let mut config = Config::default();
        assert_eq!(config.bounds(), Bounds::read(|_| None), "the defaults");
        config.merge("[limits]\nroster_size = 77\n").unwrap();
        assert_eq!(config.bounds().roster_size, 77);
        for (wrong, words) in [
            ("stanza_bytes = 9999", "10000 to 16777216"),
            ("roster_size = -1", "10 to 100000"),
            ("roster_size = \"many\"", "must be a number"),
        ] {
            let error = config.merge(&format!("[limits]\n{wrong}\n")).unwrap_err();
            assert!(error.contains("line 2") && error.contains(words), "{error}");
        }
        for bound in crate::limits::BOUNDS {
            assert!(
                (bound.least..=bound.most).contains(&bound.default),
                "{bound:?}"
            );
        }
        let flags = [("limits.mailbox_bytes", "100000".to_owned())];
        let error = Config::load(None, &flags).unwrap_err().to_string();
        assert!(error.contains("twice limits.stanza_bytes"), "{error}");
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
