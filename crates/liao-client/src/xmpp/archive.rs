//! Catching up with the archive, and older history out of it (XEP-0313): what is asked, and what is done with the
//! answers.

use super::catchup::{CatchUp, Next};
use super::session::{Asked, Session};
use super::{history, incoming};
use crate::backend::{Event, Peer};
use crate::features::archive::{self, Fin, Found, Range};
use crate::features::{Change, ids, markers, receipts};
use crate::store::{ArchivePage, Arrival, Arriving, Before, Gap};
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// What comes by itself is shown behind what is fetched, but not kept from the person for longer.
pub(super) const HOLD: Duration = Duration::from_secs(5);
/// An archive that does not answer does not keep the outbox for longer.
const DOUBT: Duration = Duration::from_secs(20);
/// Messages that are kept back at most: they are in memory.
const HELD: usize = 1_000;
/// So long after the last message of ours its place in the archive is asked for.
const SETTLE: Duration = Duration::from_secs(10);
/// Pages that one request for older history may fetch: most of a page may be receipts and the like.
const PAGES: usize = 5;
/// Requests for older history that may wait.
const WAITING: usize = 64;

/// Catching up.
struct Catching {
    up: CatchUp,
    /// The place after which the next page goes, as [`ArchivePage::after`].
    after: Result<i64, i64>,
    new: usize,
    /// Only the places of our own messages are looked for.
    quiet: bool,
}

/// Filling a hole for a request.
struct Filling {
    want: Want,
    gap: Gap,
    /// The archive did not know the id; the time is asked by.
    by_time: bool,
    pages: usize,
}

/// Why a page was asked for.
enum Purpose {
    CatchUp(Catching),
    Older(Filling),
}

/// A request for older history.
struct Want {
    peer: Peer,
    before: Option<i64>,
    count: usize,
}

/// A page under way.
struct Reading {
    query: String,
    purpose: Purpose,
    found: Vec<Found>,
}

/// Events that came by themselves while the archive was read and are shown behind what it has, with the archive's ids
/// of their messages. If the connection breaks before that, the next one goes on with them.
pub struct Held {
    until: Instant,
    events: Vec<(Option<String>, Event)>,
}

impl Held {
    /// Until when they wait at most.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// All of them, in the order in which they came.
    pub fn events(self) -> impl Iterator<Item = Event> {
        self.events.into_iter().map(|(_, event)| event)
    }

    /// What came before the first of these messages, which is in none of them: it was said before them, too.
    fn before(&mut self, ids: &HashSet<&str>) -> Vec<Event> {
        let is_one = |id: &Option<String>| id.as_deref().is_some_and(|id| ids.contains(id));
        let first = self.events.iter().position(|(id, _)| is_one(id));
        self.up_to(first.unwrap_or(0))
    }

    /// A message that a page has, too; with what came before it.
    fn take(&mut self, id: &str) -> Vec<Event> {
        let events = &self.events;
        let at = events.iter().position(|(h, _)| h.as_deref() == Some(id));
        self.up_to(at.map_or(0, |at| at + 1))
    }

    fn up_to(&mut self, end: usize) -> Vec<Event> {
        self.events.drain(..end).map(|(_, event)| event).collect()
    }
}

/// What of the archive is under way.
#[derive(Default)]
pub(super) struct Archive {
    reading: Option<Reading>,
    wants: VecDeque<Want>,
    /// The place of what was said before the archive was asked.
    said: i64,
    /// The outbox waits until the archive says what of it was said already, but not longer.
    outbox_waits: Option<Instant>,
    /// When to ask for the places of what we said.
    settle: Option<Instant>,
}

impl Archive {
    pub(super) fn holds_the_outbox(&self) -> bool {
        self.outbox_waits.is_some()
    }

    /// The next thing to do without being asked.
    pub(super) fn due(&self) -> Option<Instant> {
        let settle = self.settle.filter(|_| self.reading.is_none());
        [settle, self.outbox_waits].into_iter().flatten().min()
    }

    /// The server has a message of ours.
    pub(super) fn sent(&mut self) {
        self.settle = Some(Instant::now() + SETTLE);
    }

    /// A message came by itself.
    pub(super) fn heard(&mut self, id: &str) {
        if let Some(Reading {
            purpose: Purpose::CatchUp(catching),
            ..
        }) = &mut self.reading
        {
            catching.up.heard(id);
        }
    }
}

/// Whether we, on any device, said a message.
pub(super) fn is_ours(stanza: &Stanza, me: &BareJid) -> bool {
    stanza.from.as_ref().is_some_and(|f| f.to_bare() == *me)
}

impl Session<'_> {
    /// Whether nothing of the archive is missing before what comes by itself now. Without copies of what other devices
    /// say and hear, something always may.
    pub(super) fn is_whole(&self) -> bool {
        self.carried.whole && self.carried.carbons
    }

    /// Finds out whether the account has an archive, and reads what was missed.
    pub(super) fn open_the_archive(&mut self) {
        let held = self.carried.held.take();
        self.carried.held = Some(Held {
            until: Instant::now() + HOLD,
            events: held.map(|h| h.events).unwrap_or_default(),
        });
        let doubt = self.program.is_in_doubt();
        self.archive.outbox_waits = doubt.then(|| Instant::now() + DOUBT);
        if self.carried.archived == Some(true) {
            return self.catch_up(false);
        }
        let id = self.ask(Asked::Features);
        let to = escape(self.bare.as_str());
        let xml = format!(
            "<iq type='get' id='{id}' to='{to}'><query xmlns='{}'/></iq>",
            ns::DISCO_INFO
        );
        self.queue(&xml);
    }

    /// What the account's address offers (XEP-0313 section 7).
    pub(super) async fn features(&mut self, stanza: &Stanza) {
        let query = stanza.get("query", ns::DISCO_INFO);
        let has = query.is_some_and(|q| q.children().any(|f| f.attr("var") == Some(ns::MAM)));
        self.carried.archived = Some(has);
        match has {
            true => self.catch_up(false),
            false => self.end_of_catching_up(None).await,
        }
    }

    fn catch_up(&mut self, quiet: bool) {
        let (store, me) = (&self.program.xmpp.store, self.program.me());
        let mark = store.mark(me, me).ok().flatten();
        self.archive.settle = None;
        self.archive.said = store.make_a_hole(me).unwrap_or_default();
        self.carried.whole = false;
        let catching = Catching {
            after: mark.as_ref().map(|m| m.n).ok_or(self.archive.said),
            up: CatchUp::new(mark),
            new: 0,
            quiet,
        };
        self.read(Purpose::CatchUp(catching));
    }

    fn read(&mut self, purpose: Purpose) {
        let query = self.ask(Asked::Page);
        let xml = match &purpose {
            Purpose::CatchUp(catching) => archive::query(&query, catching.up.range(), None),
            Purpose::Older(filling) => {
                let range = match filling.by_time {
                    true => Range::Until(filling.gap.before_ms),
                    false => Range::Before(filling.gap.before_id.clone()),
                };
                archive::query(&query, &range, Some(&filling.want.peer))
            }
        };
        self.queue(&xml);
        self.archive.reading = Some(Reading {
            query,
            purpose,
            found: Vec::new(),
        });
    }

    /// A result, if it answers the question that is under way and comes from our own archive (section 8.2).
    pub(super) fn found(&mut self, stanza: &Stanza) {
        let from = stanza.from.as_ref().map(|f| f.as_str());
        let ours = from.is_none_or(|f| f == self.bare.as_str());
        let (Some(reading), Some(found)) = (&mut self.archive.reading, archive::found(stanza))
        else {
            return;
        };
        if ours && found.query == reading.query && reading.found.len() < 10 * archive::PAGE {
            reading.found.push(found);
        } else {
            tracing::warn!(
                ?from,
                "a message out of an archive that was not asked for it"
            );
        }
    }

    /// The answer to a question is complete, or an error.
    pub(super) async fn page(&mut self, iq: &Stanza) {
        let Some(reading) = self.archive.reading.take() else {
            return;
        };
        match (archive::fin(iq), reading.purpose) {
            (Some(fin), Purpose::CatchUp(it)) => self.caught(fin, it, reading.found).await,
            (Some(fin), Purpose::Older(it)) => self.filled(&fin, it, &reading.found).await,
            (None, Purpose::CatchUp(it)) => self.not_caught(iq, it).await,
            (None, Purpose::Older(mut it)) => {
                if archive::is_unknown_id(iq) && !it.by_time {
                    it.by_time = true;
                    return self.read(Purpose::Older(it));
                }
                self.tell_history(it.want).await;
            }
        }
        self.next_want().await;
    }

    async fn not_caught(&mut self, iq: &Stanza, mut catching: Catching) {
        if archive::is_unknown_id(iq) && catching.up.unknown_id() {
            let words =
                "the server no longer knows where this device left off; what it has is fetched";
            self.program.tell(Event::Notice(words.into())).await;
            // What is here and no longer there was said before what is there.
            let me = self.program.me();
            self.archive.said = self.program.xmpp.store.make_a_hole(me).unwrap_or_default();
            catching.after = Ok(self.archive.said);
            return self.read(Purpose::CatchUp(catching));
        }
        let words = format!(
            "what was said while you were away could not be fetched: {}; it is tried again with the next connection",
            incoming::error_words(iq)
        );
        self.program.tell(Event::Notice(words)).await;
        self.end_of_catching_up(None).await;
    }

    /// What is to be kept of a page, with the archive's ids.
    fn arriving<'f>(&self, found: &'f [Found]) -> (Vec<Arriving>, Vec<&'f Stanza>) {
        let keep = |found: &'f Found| {
            let stanza = found.forwarded.stanza.as_ref()?;
            let ours = is_ours(stanza, &self.bare);
            let to_us = stanza.to.as_ref().is_none_or(|t| t.to_bare() == self.bare);
            if !(ours || to_us) || matches!(stanza.type_str(), "error" | "groupchat") {
                return None;
            }
            if Change::read(stanza).is_some() {
                return None;
            }
            let mut message = incoming::message(stanza, &self.bare, ours)?;
            message.time_ms = found.forwarded.time_ms.unwrap_or(message.time_ms);
            message.delayed = true;
            let arriving = Arriving {
                message,
                archive_id: Some(found.id.clone()),
                origin: ids::origin_id(stanza),
                markable: !ours && markers::is_markable(stanza),
                live: false,
            };
            Some((arriving, stanza))
        };
        found.iter().filter_map(keep).unzip()
    }

    async fn caught(&mut self, fin: Fin, mut it: Catching, found: Vec<Found>) {
        let (items, stanzas) = self.arriving(&found);
        let time = |f: Option<&Found>| {
            f.and_then(|f| f.forwarded.time_ms)
                .unwrap_or_else(crate::now_ms)
        };
        let (first_ms, last_ms) = (time(found.first()), time(found.last()));
        let end = it.up.page_end(&fin);
        let hole = fin.first.as_deref().filter(|_| it.up.leaves_a_hole(&fin));
        let me = self.program.me().to_owned();
        let page = ArchivePage {
            items: &items,
            after: it.after,
            loose: it.up.is_loose(),
            end: end.as_deref().map(|id| (id, last_ms)),
            hole: hole.map(|id| (id, first_ms)),
        };
        let kept = match self.program.xmpp.store.archived(&me, &me, &page) {
            Ok(kept) => kept,
            Err(error) => {
                let words = format!("what was said while you were away could not be kept: {error}");
                self.program.tell(Event::Notice(words)).await;
                return self.end_of_catching_up(None).await;
            }
        };
        let all = || found.iter().filter_map(|f| f.forwarded.stanza.as_ref());
        let ours = all().filter(|stanza| is_ours(stanza, &self.bare));
        let answered: HashSet<String> = ours.filter_map(receipts::received).collect();
        let ids = found.iter().map(|f| f.id.as_str()).collect();
        let before = self.carried.held.as_mut().map(|h| h.before(&ids));
        self.tell_all(before.unwrap_or_default()).await;
        for ((item, stanza), arrival) in items.into_iter().zip(stanzas).zip(kept.arrivals) {
            if arrival == Arrival::New {
                it.new += 1;
                // It is first received now (XEP-0184 section 5.5), unless another device of ours has answered, or this
                // device is new and reads what was received long ago.
                if !it.up.is_first() && !answered.contains(&item.message.id) {
                    self.send_receipt(&item.message, stanza);
                }
            }
            self.tell_found(item, arrival).await;
        }
        self.effects(&found, true).await;
        let ids: Vec<String> = found.into_iter().map(|f| f.id).collect();
        match it.up.page(&fin, &ids, last_ms) {
            Next::Ask => {
                it.after = Ok(kept.last_n);
                self.read(Purpose::CatchUp(it));
            }
            Next::Done { up_to, heard } => {
                self.carried.whole = it.up.is_stable();
                let (store, said) = (&self.program.xmpp.store, self.archive.said);
                // What cannot be noted is asked for again next time.
                if let Some((id, time_ms)) = up_to {
                    let _ = store.caught_up(&me, &me, (&id, time_ms), said);
                }
                if let Some(id) = heard.filter(|_| self.is_whole()) {
                    let _ = store.follow(&me, &me, &id);
                }
                self.end_of_catching_up((!it.quiet || it.new > 0).then_some(it.new))
                    .await;
            }
        }
    }

    /// What the messages of a page say about others; `all`: receipts and markers, too.
    async fn effects(&mut self, found: &[Found], all: bool) {
        for forwarded in found.iter().map(|f| &f.forwarded) {
            let Some(stanza) = &forwarded.stanza else {
                continue;
            };
            if matches!(stanza.type_str(), "error" | "groupchat") {
                continue;
            }
            let ours = is_ours(stanza, &self.bare);
            if all {
                self.notices(stanza, ours).await;
            }
            self.changed(stanza, ours, forwarded.time_ms).await;
        }
    }

    /// A message of a page goes to the person: new, or kept back until its turn.
    async fn tell_found(&mut self, item: Arriving, arrival: Arrival) {
        match arrival {
            Arrival::New => {
                self.answered_elsewhere(&item.message).await;
                self.program.tell(Event::Message(item.message)).await;
            }
            Arrival::Known { sent, .. } => {
                if sent {
                    self.tell_sent(item.message.id).await;
                }
                let held = self.carried.held.as_mut().zip(item.archive_id);
                let events = held.map(|(held, id)| held.take(&id));
                self.tell_all(events.unwrap_or_default()).await;
            }
        }
    }

    async fn end_of_catching_up(&mut self, new: Option<usize>) {
        self.let_go().await;
        if let Some(messages) = new {
            self.program.tell(Event::CaughtUp { messages }).await;
        }
        self.archive.outbox_waits = None;
        self.empty_the_outbox().await;
        self.next_want().await;
    }

    /// What came by itself goes to the person: while the archive is read, behind what that has.
    pub(super) async fn show(&mut self, id: Option<String>, event: Event) {
        match &mut self.carried.held {
            Some(held) if held.events.len() < HELD => held.events.push((id, event)),
            _ => {
                self.let_go().await;
                self.program.tell(event).await;
            }
        }
    }

    /// What was kept back goes to the person.
    pub(super) async fn let_go(&mut self) {
        if let Some(held) = self.carried.held.take() {
            self.tell_all(held.events().collect()).await;
        }
    }

    async fn tell_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.program.tell(event).await;
        }
    }

    /// Something may be due.
    pub(super) async fn archive_time(&mut self) {
        let now = Instant::now();
        if self.carried.held.as_ref().is_some_and(|h| h.until <= now) {
            self.let_go().await;
        }
        if self.archive.outbox_waits.is_some_and(|until| until <= now) {
            self.archive.outbox_waits = None;
            self.empty_the_outbox().await;
        }
        if self.archive.reading.is_none() && self.archive.settle.is_some_and(|at| at <= now) {
            self.archive.settle = None;
            let me = self.program.me();
            let unplaced = self.program.xmpp.store.has_unplaced(me, me);
            if self.carried.whole && unplaced.unwrap_or(false) && self.is_settled() {
                self.catch_up(true);
            }
        }
    }

    /// A request for older history: from here, and from the archive where something is missing here.
    pub(super) async fn history(&mut self, peer: Peer, before: Option<i64>, count: usize) {
        self.serve(
            Want {
                peer,
                before,
                count,
            },
            0,
        )
        .await;
    }

    async fn next_want(&mut self) {
        while self.archive.reading.is_none()
            && let Some(want) = self.archive.wants.pop_front()
        {
            self.serve(want, 0).await;
        }
    }

    /// `pages` were fetched for it already.
    async fn serve(&mut self, want: Want, pages: usize) {
        let me = self.program.me();
        let store = &self.program.xmpp.store;
        let here = store.history(me, me, &want.peer, want.before, want.count);
        let gap = match here {
            Ok((messages, Before::Gap(gap))) if messages.len() < want.count && pages < PAGES => gap,
            _ => return self.tell_history(want).await,
        };
        if self.carried.archived == Some(false) || self.archive.wants.len() == WAITING {
            self.tell_history(want).await;
        } else if self.carried.archived.is_none() || self.archive.reading.is_some() {
            self.archive.wants.push_back(want);
        } else {
            let (by_time, pages) = (false, pages + 1);
            self.read(Purpose::Older(Filling {
                want,
                gap,
                by_time,
                pages,
            }));
        }
    }

    async fn filled(&mut self, fin: &Fin, it: Filling, found: &[Found]) {
        let Filling {
            want, gap, pages, ..
        } = it;
        let (items, _) = self.arriving(found);
        let me = self.program.me();
        let first = fin.first.as_deref().zip(found.first());
        let first = first.map(|(id, f)| (id, f.forwarded.time_ms.unwrap_or(gap.before_ms)));
        // A page that brings nothing on is the last one, whatever it says.
        let begins = fin.complete || first.is_none_or(|(id, _)| id == gap.before_id);
        let store = &self.program.xmpp.store;
        let kept = store.older(me, &gap, &want.peer, &items, first, begins);
        self.effects(found, false).await;
        match kept {
            Ok(()) => self.serve(want, pages).await,
            Err(_) => self.tell_history(want).await,
        }
    }

    async fn tell_history(&mut self, want: Want) {
        let Want {
            peer,
            before,
            count,
        } = want;
        let event = history(&self.program.xmpp, peer, before, count);
        self.program.tell(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ids: &[&str]) -> Held {
        let event = |id: &&str| (Some(id.to_string()), Event::Notice(id.to_string()));
        Held {
            until: Instant::now(),
            events: ids.iter().map(event).collect(),
        }
    }

    fn words(events: Vec<Event>) -> String {
        let word = |event| match event {
            Event::Notice(word) => word,
            _ => "?".into(),
        };
        events.into_iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_came_before_the_newest_page_is_shown_before_it() {
        let mut held = held(&["1", "2", "3", "4", "5"]);
        assert_eq!(words(held.before(&HashSet::from(["3", "4"]))), "1 2");
        assert_eq!(words(held.take("3")), "3");
        assert_eq!(words(held.take("4")), "4");
        assert_eq!(words(held.take("9")), "");
        assert_eq!(words(held.before(&HashSet::from(["9"]))), "");
        assert_eq!(words(held.events().collect()), "5");
    }
}
