//! Shared engines that several modules stand on.

pub mod offline;
pub mod presence;
pub mod roster;
pub mod uploads;
