//! Whom an account has blocked (XEP-0191).

use crate::engines::matching;
use crate::entity::State;
use crate::hooks::Cx;
use liao_proto::jid::Jid;

/// The store's collection; a row per entry, keyed by the address.
pub const COLLECTION: &str = "blocked";

/// Whether this account wants nothing to do with an address. Its own resources are never blocked (section 6).
pub fn is_blocked(state: &State, jid: &Jid) -> bool {
    let rows = state.rows(COLLECTION);
    !rows.is_empty()
        && jid.to_bare() != state.bare
        && matching::entries(jid).iter().any(|e| rows.contains_key(e))
}

/// Whether this account, or the server for all of them, wants nothing to do with an address.
pub fn is_shut_out(cx: &Cx<'_>, jid: &Jid) -> bool {
    let rules = &cx.server.accounts.rules;
    is_blocked(cx.entity, jid) || rules.refuse(&[jid], cx.server.domain.as_str())
}
