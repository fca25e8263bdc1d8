//! Shared engines that several modules stand on.

pub mod archiving;
pub mod blocking;
pub mod commands;
pub mod copies;
pub mod matching;
pub mod notices;
pub mod offline;
pub mod presence;
pub mod roster;
pub mod uploads;
pub mod vcard;
