//! The roof: the command line.
fn main() {}
