//! The client at a terminal: a screen, and a plain form in lines.
//!
//! Both stand on `liao_client`'s [`Link`](liao_client::Link) and its model, and know no protocol. The screen has the Elm
//! form: state ([`app`](mod@app)), `update(input)` that leaves effects, and a view that only draws.

mod app;
mod colour;
mod commands;
mod composer;
mod emoji;
mod first_run;
mod fuzzy;
mod i18n;
mod keys;
mod manual;
mod notify;
mod os;
mod plain;
mod screen;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod view;

pub use first_run::{Answer, first_run, new_account, password};
pub use manual::{Section, manual};
pub use plain::{Options, run};
pub use screen::{Start, screen};
