//! The terminal view of the client: what is said and heard, in lines.
//!
//! It stands on `liao_client`'s [`Link`](liao_client::Link) and knows no protocol.

mod first_run;
mod plain;
mod text;

pub use first_run::{Answer, first_run, new_account, password};
pub use plain::{Options, run};
