//! Shared engines that several modules stand on.

pub mod blocking;
pub mod commands;
pub mod matching;
pub mod notices;
pub mod offline;
pub mod presence;
pub mod roster;
pub mod uploads;
pub mod vcard;
