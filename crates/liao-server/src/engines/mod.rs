//! Shared engines that several modules stand on.

pub mod archiving;
pub mod blocking;
pub mod copies;
pub mod matching;
pub mod offline;
pub mod presence;
pub mod roster;
pub mod uploads;
