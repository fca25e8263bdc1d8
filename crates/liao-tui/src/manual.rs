//! The tables of keys and commands for a manual page.

use crate::commands;
use crate::i18n::{Lang, fill};
use crate::keys::{self, Keys};

/// A title, and what stands under it: a key or a command, and what it does.
pub struct Section {
    /// The title.
    pub title: String,
    /// The rows.
    pub rows: Vec<(String, &'static str)>,
}

/// All keys by place, then all commands, in the language of the environment.
pub fn manual() -> Vec<Section> {
    let words = Lang::detect(|name| std::env::var(name).ok()).words();
    let written = Keys::default();
    let mut sections: Vec<Section> = keys::PLACES
        .iter()
        .map(|(place, name)| Section {
            title: fill(words.help_keys, &[name(words)]),
            rows: keys::ALL
                .iter()
                .filter(|row| row.place == *place)
                .map(|row| (written.written(row), (row.what)(words)))
                .collect(),
        })
        .collect();
    sections.push(Section {
        title: words.help_commands.to_owned(),
        rows: commands::ALL
            .iter()
            .map(|row| (row.usage(words), (row.what)(words)))
            .collect(),
    });
    sections
}
