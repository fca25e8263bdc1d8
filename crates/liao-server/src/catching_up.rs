//! Kept messages, and what slow readers have not read yet, out of the archive: page by page, to each session at its own
//! pace (XEP-0160 section 3).

use crate::engines::copies;
use crate::entity::{Entity, Item, Session, State};
use crate::limits;
use crate::server::{Server, ToShard, now_ms};
use crate::store::{Archived, At, PageQuery};
use bytes::Bytes;
use liao_proto::jid::BareJid;
use liao_proto::stanza::Stanza;
use liao_proto::xep::{delay, forward};
use std::sync::Arc;
use std::time::Duration;

/// After a page that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// A session whose mailbox is filling gets what is archived by pages, from this number on, as there is room for them:
/// its mailbox holds no more than what is in no archive.
pub fn fall_behind(state: &mut State, session: u64, seq: u64) {
    let offline = &mut state.offline;
    offline.meant_for(seq, session);
    if offline.is_catching_up(session) || offline.has(seq, session) {
        return;
    }
    let mut known = state.sessions.iter();
    if known.any(|s| s.id == session && s.is_reachable() && s.mailbox.is_busy()) {
        state.offline.fall_behind(session, seq);
    }
}

/// The sessions that are being handed what was kept. Who is gone drops out; who is there and no longer available gets
/// what came while it was.
fn catching(state: &mut State) -> Vec<u64> {
    let ids = state.offline.catching();
    for id in &ids {
        match state.sessions.iter().find(|s| s.id == *id) {
            None => drop(state.offline.caught_up(*id)),
            Some(session) if !session.is_reachable() => state.offline.went_away(*id),
            Some(_) => {}
        }
    }
    state.offline.catching()
}

/// No more pages for a session: what was kept behind them follows. If it is available again meanwhile, it begins anew.
fn done(state: &mut State, id: u64) {
    let was_away = state.offline.is_away(id);
    let held = state.offline.caught_up(id);
    let Some(session) = state.sessions.iter().find(|s| s.id == id) else {
        return;
    };
    for bytes in held {
        session.mailbox.push(bytes, None);
    }
    if was_away && session.is_reachable() && !state.offline.is_caught_up() {
        state.offline.catch_up(id);
    }
}

/// Reads the next page if there is room for it somewhere.
pub fn go_on(server: &Arc<Server>, bare: &BareJid, entity: &mut Entity) {
    let Some(state) = entity.state.as_mut() else {
        return;
    };
    if entity.reading {
        return;
    }
    // One slow reader does not hold up the others; when its mailbox has room, this comes here again.
    let mut ready = catching(state);
    ready.retain(|id| state.session(*id).is_some_and(|s| !s.mailbox.is_busy()));
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
            tracing::error!(%bare, %error, "kept messages cannot be read; it is tried again");
            tokio::time::sleep(RETRY).await;
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
    let mut ids = catching(state);
    // Who joined meanwhile begins before this page.
    ids.retain(|id| state.offline.upto(*id).is_some_and(|upto| upto >= from));
    if ids.is_empty() {
        return;
    }
    let Some(rows) = rows else {
        return;
    };
    if rows.is_empty() {
        state.offline.passed(from, head + 1);
        for id in &ids {
            state.offline.came_to(*id, head);
            if state.offline.head() <= head || state.offline.is_beyond(head + 1, *id) {
                done(state, *id);
            }
        }
    }
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
        let mut wanted = false;
        for id in ids.clone() {
            if state.offline.is_beyond(row.seq, id) {
                done(state, id);
                ids.retain(|i| *i != id);
                wanted = true;
            } else {
                wanted |= hand_out(state, id, &row);
            }
        }
        if !wanted {
            passed.push(row.seq);
        }
    }
    server.post(state.bare.clone(), Item::Written(passed));
}

/// Hands a session a row, with what is in no archive and came before it. `false`: it needs none of it.
fn hand_out(state: &mut State, id: u64, row: &Archived) -> bool {
    if state.offline.upto(id).is_some_and(|upto| upto >= row.seq) {
        return true;
    }
    let held = state.offline.held_before(row.seq, id);
    state.offline.came_to(id, row.seq);
    let meanwhile = state.offline.came_meanwhile(row.seq, id);
    let Some(session) = state.sessions.iter().find(|s| s.id == id) else {
        return true;
    };
    for bytes in held {
        session.mailbox.push(bytes, None);
    }
    // Who reads the archive by itself needs none of it (XEP-0386 section 3.2).
    if !row.kept && row.seq <= session.reads_archive {
        return false;
    }
    let delayed = !meanwhile || now_ms() - row.time_ms >= limits::LIVE_MS;
    let stanza = meanwhile
        .then(|| Stanza::parse_bytes(&row.stanza))
        .flatten();
    let share = share(state, session, row, stanza.as_ref(), delayed);
    if let Some(bytes) = share
        && state.offline.give(row.seq, id)
        && let Some(session) = state.sessions.iter().find(|s| s.id == id)
    {
        session.mailbox.push(bytes, Some(row.seq));
    }
    true
}

/// What a session gets of a message. `stanza`: as it came while the session was there. What went to another resource
/// then is copied to those that want copies (XEP-0280 section 7), and to nobody else.
fn share(
    state: &State,
    session: &Session,
    row: &Archived,
    stanza: Option<&Stanza>,
    delayed: bool,
) -> Option<Bytes> {
    let message = again(&state.bare, row, delayed);
    let Some(stanza) = stanza else {
        return Some(message);
    };
    let to = stanza.to.as_ref().filter(|to| to.is_full());
    let theirs = to.and_then(|to| state.by_resource(to));
    if theirs.is_none_or(|s| s.id == session.id) {
        return Some(message);
    }
    let by = state.bare.to_string();
    let copied = session.carbons && copies::is_eligible(stanza, true, &state.copies);
    copied.then(|| {
        forward::carbon(
            "received",
            &by,
            session.full.as_str(),
            stanza.type_str(),
            &message,
        )
    })
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
