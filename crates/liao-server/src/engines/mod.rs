//! Shared engines that several modules stand on.

pub mod archiving;
pub mod copies;
pub mod offline;
pub mod presence;
pub mod roster;
