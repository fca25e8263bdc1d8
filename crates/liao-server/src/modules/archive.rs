//! The archive of an account, read by its devices: queries, metadata, preferences (XEP-0313, XEP-0059, XEP-0441).

use crate::engines::archiving::{self, Default_, Prefs};
use crate::engines::roster::set;
use crate::hooks::{Answer, At, Cx, Inline, Module, Spec};
use crate::limits;
use crate::mailbox::Mailbox;
use crate::server::Server;
use crate::store::{self, Page, PageError, PageQuery};
use liao_proto::jid::{BareJid, Jid};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::xep::archive::{self, Query};
use liao_proto::xep::{delay, forward};
use liao_proto::{minidom::Element, ns};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub struct Archive;

static SPEC: Spec = Spec {
    name: "archive",
    xeps: &["0313", "0059", "0441"],
    account_features: &[ns::MAM, ns::MAM_EXTENDED],
    iqs: &[
        ("query", ns::MAM, At::Account),
        ("metadata", ns::MAM, At::Account),
        ("prefs", ns::MAM, At::Account),
    ],
    needs: &[archiving::COLLECTION],
    inline: &[ns::BIND2],
    doc: "The whole conversation on every device.",
    ..Spec::EMPTY
};

impl Module for Archive {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        let own = iq.from.as_ref().map(Jid::to_bare);
        if own.as_ref() != Some(&cx.entity.bare) {
            // Section 8.1.
            return Answer::Error(ErrorKind::FORBIDDEN);
        }
        let get = iq.type_.as_deref() == Some("get");
        match (payload.name(), get) {
            ("query", true) => Answer::Result(Some(archive::form())),
            ("query", false) => match Query::parse(payload) {
                Ok(query) => self::query(cx, iq, query),
                Err(error) => Answer::Error(error),
            },
            ("metadata", true) => metadata(cx, iq),
            ("prefs", true) => Answer::Result(Some(shown(&archiving::prefs(cx.entity)))),
            ("prefs", false) => match read(payload) {
                Ok(prefs) => {
                    // Serialising plain lists cannot fail.
                    let value = serde_json::to_vec(&prefs).unwrap_or_default();
                    cx.put(archiving::COLLECTION, archiving::KEY, value);
                    Answer::Result(Some(shown(&prefs)))
                }
                Err(error) => Answer::Error(error),
            },
            _ => Answer::Error(ErrorKind::BAD_REQUEST),
        }
    }

    /// XEP-0386 section 3.2: the archive's ends at the moment of binding. What comes after them reaches the session,
    /// which is listed already; so nothing lies between. What was kept is cleared "as it will be provided by MAM": for
    /// those who ask the archive before they are available. There are clients that bind so and know of no archive; they
    /// would never see it.
    fn on_inline(&self, cx: &mut Cx<'_>, session: u64, _: &Element) -> Inline {
        let head = cx.entity.offline.head();
        let Some(session) = cx.entity.session(session) else {
            return Inline::Nothing;
        };
        session.archive_at_bind = Some(head);
        let (store, bare) = (cx.server.store.clone(), cx.entity.bare.clone());
        Inline::Later(Box::pin(async move {
            let span = store.span(bare.as_str()).await;
            span.map_err(|error| tracing::error!(%bare, %error, "the archive cannot be read"))
                .ok()
                .map(|span| ends(&span))
        }))
    }
}

fn ends(span: &store::Span) -> Element {
    let ends = span.as_ref();
    archive::metadata(ends.map(|[a, b]| [(a.0.as_str(), a.1), (b.0.as_str(), b.1)]))
}

fn metadata(cx: &mut Cx<'_>, iq: &Stanza) -> Answer {
    let (store, bare, iq) = (cx.server.store.clone(), cx.entity.bare.clone(), iq.clone());
    cx.answer_later(async move {
        match store.span(bare.as_str()).await {
            Ok(span) => iq.result().child(&ends(&span)),
            Err(error) => failed(&iq, &bare, &error),
        }
    })
}

fn failed(iq: &Stanza, bare: &BareJid, error: &dyn std::fmt::Display) -> Stanza {
    tracing::error!(%bare, %error, "the archive cannot be read");
    iq.error(&ErrorKind::INTERNAL_SERVER_ERROR)
}

/// Section 4. The results go into the session's mailbox when there is room, one page at a time for each session, so
/// that no session has more than a page of them in memory.
fn query(cx: &mut Cx<'_>, iq: &Stanza, query: Query) -> Answer {
    let from = iq.from.as_ref().map(Jid::as_str);
    let mut sessions = cx.entity.sessions.iter_mut();
    let Some(session) = sessions.find(|s| Some(s.full.as_str()) == from) else {
        return Answer::Error(ErrorKind::FORBIDDEN);
    };
    if query
        .ids
        .as_ref()
        .is_some_and(|ids| ids.len() > limits::ARCHIVE_PAGE)
    {
        return Answer::Error(ErrorKind::NOT_ACCEPTABLE.with_text("too many ids at once"));
    }
    let asked = Asked {
        bare: cx.entity.bare.clone(),
        full: session.full.to_string(),
        mailbox: session.mailbox.clone(),
        iq: iq.clone(),
        query,
    };
    if Arc::strong_count(&session.queries) > limits::ARCHIVE_QUERIES {
        return Answer::Error(ErrorKind::RESOURCE_CONSTRAINT.with_text("too many queries at once"));
    }
    if let (Some(head), None) = (session.archive_at_bind, &session.presence) {
        session.reads_archive = head;
    }
    let one = session.queries.clone();
    let (answered, answer) = oneshot::channel();
    let (before, server) = (session.last_query.replace(answer), cx.server.arc());
    cx.read_later(async move {
        let _one = one;
        // Whoever drops it has answered, in one way or another.
        if let Some(before) = before {
            let _ = before.await;
        }
        let answer = asked.answer(&*server?).await;
        drop(answered);
        answer
    })
}

struct Asked {
    bare: BareJid,
    full: String,
    mailbox: Arc<Mailbox>,
    iq: Stanza,
    query: Query,
}

impl Asked {
    /// An error, or nothing when all is in the mailbox.
    async fn answer(self, server: &Server) -> Option<Stanza> {
        let patience = Duration::from_secs(limits::ARCHIVE_PATIENCE_S);
        if timeout(patience, self.mailbox.room()).await.is_err() {
            return Some(self.iq.error(&ErrorKind::RESOURCE_CONSTRAINT));
        }
        let id = |ids: &[String]| ids.iter().cloned().map(store::At::Id).collect();
        let max = self.query.max.unwrap_or(limits::ARCHIVE_PAGE_DEFAULT);
        let mut wanted = PageQuery {
            after: id(&self.query.after),
            before: id(&self.query.before),
            start_ms: self.query.start_ms,
            end_ms: self.query.end_ms,
            with: self.query.with.as_ref().map(Jid::to_string),
            ids: self.query.ids.clone(),
            undelivered: false,
            limit: max.min(limits::ARCHIVE_PAGE),
            limit_bytes: limits::ARCHIVE_PAGE_BYTES.min(self.mailbox.bound() / 4),
            backwards: self.query.backwards,
            // XEP-0059 section 2.6.
            count: max == 0,
        };
        // One step of a long search at a time, so that others read in between.
        let page = loop {
            let page = server.store.page(self.bare.as_str(), wanted.clone()).await;
            let stopped = page.as_ref().ok().filter(|page| page.rows.is_empty());
            let Some(seq) = stopped.and_then(|page| page.stopped) else {
                break page;
            };
            match wanted.backwards {
                true => wanted.before.push(store::At::Seq(seq)),
                false => wanted.after.push(store::At::Seq(seq)),
            }
        };
        match page {
            Ok(page) => {
                self.give(&page, max);
                None
            }
            Err(PageError::Unknown) => Some(self.iq.error(&ErrorKind::ITEM_NOT_FOUND)),
            Err(PageError::Store(error)) => Some(failed(&self.iq, &self.bare, &error)),
        }
    }

    fn give(&self, page: &Page, max: usize) {
        let give = |row: &store::Archived| {
            let stamp = delay::utc_from_ms(row.time_ms);
            let message = forward::with_stanza_id(&row.stanza, self.bare.as_str(), &row.id);
            let query = self.query.id.as_deref();
            let result = forward::archived(
                self.bare.as_str(),
                &self.full,
                query,
                &row.id,
                &stamp,
                &message,
            );
            self.mailbox.push(result, None);
        };
        if self.query.flip {
            page.rows.iter().rev().for_each(give);
        } else {
            page.rows.iter().for_each(give);
        }
        let ends = page.rows.first().zip(page.rows.last());
        let ends = ends.map(|(first, last)| (first.id.as_str(), last.id.as_str()));
        let complete = match max {
            0 => page.count == Some(0),
            _ => page.complete,
        };
        let fin = archive::fin(complete, ends, page.count);
        self.mailbox
            .push(self.iq.result().child(&fin).to_bytes(), None);
    }
}

/// XEP-0441 section 2.1.
fn read(prefs: &Element) -> Result<Prefs, ErrorKind> {
    let default = prefs.attr("default").and_then(Default_::parse);
    let list = |name: &str| -> Result<Vec<Jid>, ErrorKind> {
        let Some(list) = prefs.get_child(name, ns::MAM) else {
            return Ok(Vec::new());
        };
        let jids = list.children().filter(|c| c.is("jid", ns::MAM));
        let jids: Result<Vec<Jid>, _> = jids
            .map(|j| liao_proto::address::parse(j.text().trim()))
            .collect();
        let jids = jids.map_err(|_| ErrorKind::JID_MALFORMED)?;
        if jids.len() > limits::ARCHIVE_PREFS {
            return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("the list is too long"));
        }
        Ok(jids)
    };
    Ok(Prefs {
        default: default.ok_or(ErrorKind::BAD_REQUEST)?,
        always: list("always")?,
        never: list("never")?,
    })
}

fn shown(prefs: &Prefs) -> Element {
    let mut element = Element::bare("prefs", ns::MAM);
    set(&mut element, "default", prefs.default.word());
    for (name, jids) in [("always", &prefs.always), ("never", &prefs.never)] {
        let mut list = Element::bare(name, ns::MAM);
        for jid in jids {
            let mut child = Element::bare("jid", ns::MAM);
            child.append_text(jid.as_str());
            list.append_child(child);
        }
        element.append_child(list);
    }
    element
}
