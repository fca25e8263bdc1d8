//! liao-bench
