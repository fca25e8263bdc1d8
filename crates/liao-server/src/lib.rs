//! liao-server
