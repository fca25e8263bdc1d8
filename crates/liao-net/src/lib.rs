//! liao-net
