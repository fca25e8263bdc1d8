//! liao-tui
