//! `[[components]]`: the programs that may connect as components (XEP-0114), kept as JSON.

use liao_proto::jid::BareJid;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its domain.
    pub name: String,
    /// What both sides know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

impl Component {
    /// The secret, from wherever it is.
    pub fn read_secret(&self) -> Result<String, String> {
        let Some(file) = &self.secret_file else {
            return Ok(self.secret.clone().unwrap_or_default());
        };
        let name = &self.name;
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|e| format!("the component {name}: {shown}: {e}; put its secret there"))?;
        let secret = text.trim();
        if secret.is_empty() {
            return Err(format!(
                "the component {name}: {shown} is empty; put its secret there"
            ));
        }
        Ok(secret.to_owned())
    }
}

/// Those of a kept text.
pub fn read(text: &str) -> Result<Vec<Component>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<Component> = serde_json::from_str(text)
        .map_err(|e| format!("components: {e}; each has a name and a secret or a secret_file"))?;
    for (n, one) in all.iter().enumerate() {
        let name = &one.name;
        match BareJid::new(name) {
            Ok(jid) if jid.node().is_none() && jid.as_str() == name => {}
            _ => return Err(format!("components has {name:?}, which is no domain name")),
        }
        if all[..n].iter().any(|other| other.name == *name) {
            return Err(format!("components has {name:?} twice"));
        }
        let filled = one.secret.as_deref().is_some_and(|s| !s.is_empty());
        if filled == one.secret_file.is_some() {
            return Err(format!(
                "the component {name} needs a secret or a secret_file, and not both"
            ));
        }
    }
    Ok(all)
}

/// From the file's tables. Values are not repeated in errors: they may be secrets.
pub(super) fn text_of(value: toml::Value) -> Result<String, String> {
    let wrong = |_| {
        "components are written as [[components]], each with a name and a secret or a secret_file, in quotes"
            .to_owned()
    };
    let all: Vec<Component> = value.try_into().map_err(wrong)?;
    if all.is_empty() {
        return Ok(String::new());
    }
    serde_json::to_string(&all).map_err(|e| e.to_string())
}

/// As it is shown: without the secrets.
pub(super) fn written(text: &str) -> String {
    let quoted = |t: &str| toml::Value::String(t.to_owned()).to_string();
    let one = |c: Component| {
        let secret = match &c.secret_file {
            Some(file) => format!("secret_file = {}", quoted(&file.to_string_lossy())),
            None => "secret = \"…\"".to_owned(),
        };
        format!("{{ name = {}, {secret} }}", quoted(&c.name))
    };
    let all: Vec<String> = read(text)
        .unwrap_or_default()
        .into_iter()
        .map(one)
        .collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(toml: &str) -> Result<Vec<Component>, String> {
        let mut table: toml::Table = toml.parse().unwrap();
        read(&text_of(table.remove("components").unwrap())?)
    }

    #[test]
    fn each_has_a_name_and_one_secret_that_is_not_shown() {
        let two = "[[components]]\nname = 'a.x'\nsecret = 'k\"ey'\n[[components]]\nname = 'b.x'\nsecret_file = '/k'\n";
        let all = of(two).unwrap();
        assert_eq!(
            (all[0].secret.as_deref(), all[1].name.as_str()),
            (Some("k\"ey"), "b.x")
        );
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(
            written(&text),
            "[{ name = \"a.x\", secret = \"…\" }, { name = \"b.x\", secret_file = \"/k\" }]"
        );
        for wrong in [
            "name = 'a.x'",
            "name = 'a.x'\nsecret = ''",
            "name = 'a.x'\nsecret = 'k3y'\nsecret_file = '/k'",
            "name = 'A b'\nsecret = 'k3y'",
            "name = 'anna@x'\nsecret = 'k3y'",
            "name = 'a.x'\nsecret = 'k3y'\nport = 1",
            "secret = 'k3y'",
            "name = 'a.x'\nsecret = 'k3y'\n[[components]]\nname = 'a.x'\nsecret = 'k3y'",
        ] {
            let error = of(&format!("[[components]]\n{wrong}\n")).unwrap_err();
            assert!(
                error.contains("component") && !error.contains("k3y"),
                "{error}"
            );
        }
    }
}
