//! Shared engines that several modules stand on.

pub mod blocking;
pub mod matching;
pub mod offline;
pub mod presence;
pub mod roster;
pub mod uploads;
