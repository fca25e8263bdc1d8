//! Kept messages, and what slow readers have not read yet, out of the archive: page by page, to each session at its own
//! pace (XEP-0160 section 3).

use crate::entity::{Entity, Item, Session, State};
use crate::limits;
use crate::server::{Server, ToShard, now_ms};
use crate::store::{Archived, At, PageQuery};
use bytes::Bytes;
use liao_proto::jid::BareJid;
use liao_proto::xep::{delay, forward};
use std::sync::Arc;

/// A session whose mailbox is filling gets what is archived by pages, from this number on, as there is room for them:
/// its mailbox holds no more than what is in no archive.
pub fn fall_behind(state: &mut State, session: u64, seq: u64) {
    let offline = &state.offline;
    if offline.is_catching_up(session) || offline.has(seq, session) {
        return;
    }
    let mut known = state.sessions.iter();
    if known.any(|s| s.id == session && s.is_reachable() && s.mailbox.is_busy()) {
        state.offline.fall_behind(session, seq);
    }
}

/// The sessions that are being handed what was kept. Who can no longer get it drops out.
fn catching(state: &mut State) -> impl Iterator<Item = &Session> {
    for id in state.offline.catching() {
        if !state
            .sessions
            .iter()
            .any(|s| s.id == id && s.is_reachable())
        {
            state.offline.caught_up(id);
        }
    }
    let offline = &state.offline;
    state
        .sessions
        .iter()
        .filter(|s| offline.is_catching_up(s.id))
}

/// Reads the next page if there is room for it somewhere.
pub fn go_on(server: &Arc<Server>, bare: &BareJid, entity: &mut Entity) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    if entity.reading || !catching(state).any(|_| true) {
        return;
    }
    // One slow reader does not hold up the others; when its mailbox has room, this comes here again.
    let ready: Vec<u64> = catching(state)
        .filter(|s| !s.mailbox.is_busy())
        .map(|s| s.id)
        .collect();
    let from = ready.iter().filter_map(|s| state.offline.upto(*s)).min();
    let Some(from) = from else {
        return;
    };
    entity.reading = true;
    let head = state.offline.head();
    let query = PageQuery {
        after: vec![At::Seq(from)],
        undelivered: true,
        limit: limits::OFFLINE_PAGE,
        limit_bytes: limits::ARCHIVE_PAGE_BYTES,
        ..PageQuery::default()
    };
    let (server, bare) = (server.clone(), bare.clone());
    tokio::spawn(async move {
        let page = server.store.page(bare.as_str(), query).await;
        if let Err(error) = &page {
            tracing::error!(%bare, %error, "kept messages cannot be read");
        }
        server.tell(bare.clone(), ToShard::Page(bare, [from, head], page.ok()));
    });
}

/// Hands out a page of kept messages (XEP-0160 section 3, step 4; XEP-0203), read from behind `from`, when the archive
/// ended at `head`.
pub fn on_page(
    server: &Server,
    entity: &mut Entity,
    [from, head]: [u64; 2],
    rows: Option<Vec<Archived>>,
) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    let mut ids: Vec<u64> = catching(state).map(|s| s.id).collect();
    // Who joined meanwhile begins before this page.
    ids.retain(|id| state.offline.upto(*id).is_some_and(|upto| upto >= from));
    if ids.is_empty() {
        return;
    }
    let Some(rows) = rows else {
        ids.iter().for_each(|id| state.offline.caught_up(*id));
        return;
    };
    if rows.is_empty() {
        state.offline.passed(from, head + 1);
        for id in &ids {
            state.offline.came_to(*id, head);
            if state.offline.head() <= head {
                state.offline.caught_up(*id);
            }
        }
    }
    // Who reads the archive by itself needs none of it (XEP-0386 section 3.2).
    let (mut passed, mut last) = (Vec::new(), from);
    for row in rows {
        ids.retain(|id| state.session(*id).is_some_and(|s| !s.mailbox.is_busy()));
        if ids.is_empty() {
            break;
        }
        state.offline.passed(last, row.seq);
        last = row.seq;
        if row.kept {
            state.offline.is_only_kept(row.seq);
        }
        let mut wanting = Vec::new();
        let mut new = Vec::new();
        for session in state.sessions.iter().filter(|s| ids.contains(&s.id)) {
            if state.offline.upto(session.id).is_some_and(|u| u >= row.seq) {
                wanting.push(session.id);
                continue;
            }
            state.offline.came_to(session.id, row.seq);
            if row.kept || row.seq > session.reads_archive {
                wanting.push(session.id);
                if state.offline.give(row.seq, session.id) {
                    new.push(session.id);
                }
            }
        }
        if wanting.is_empty() {
            passed.push(row.seq);
        }
        if new.is_empty() {
            continue;
        }
        let live = now_ms() - row.time_ms < limits::LIVE_MS;
        for session in state.sessions.iter().filter(|s| new.contains(&s.id)) {
            let live = live && state.offline.came_meanwhile(row.seq, session.id);
            let bytes = again(&state.bare, &row, !live);
            session.mailbox.push(bytes, Some(row.seq));
        }
    }
    server.post(state.bare.clone(), Item::Written(passed));
}

/// A kept message as it is handed out later: with its id, and since when it waits (XEP-0203, XEP-0359).
fn again(bare: &BareJid, row: &Archived, delayed: bool) -> Bytes {
    let stamp = || delay::utc_from_ms(row.time_ms);
    let stanza = match delayed {
        true => forward::with_child(
            &row.stanza,
            &forward::delay(bare.domain().as_str(), &stamp()),
        ),
        false => row.stanza.clone(),
    };
    match row.kept {
        true => stanza,
        false => forward::with_stanza_id(&stanza, bare.as_str(), &row.id),
    }
}
