//! When somebody was last here (XEP-0012), and for how long the server has been.

use crate::accounts::{SEEN, Seen};
use crate::entity::Behind;
use crate::hooks::{Answer, At, Cx, Flow, Module, SessionChange, Spec};
use crate::limits;
use crate::server::now_ms;
use crate::store::Op;
use liao_proto::jid::Jid;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Activity;

static SPEC: Spec = Spec {
    name: "activity",
    xeps: &["0012"],
    features: &[ns::LAST],
    account_features: &[ns::LAST],
    iqs: &[
        ("query", ns::LAST, At::Domain),
        ("query", ns::LAST, At::Account),
    ],
    needs: &[SEEN],
    doc: "Tells friends when somebody was last here.",
    ..Spec::EMPTY
};

impl Module for Activity {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, _: &Element, at: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        if at == At::Domain {
            // Section 5.
            let seconds = cx.server.started.elapsed().as_secs();
            return Answer::Result(Some(last(seconds, "")));
        }
        if !cx.entity.sessions.is_empty() {
            // Section 3, last paragraph.
            return Answer::Result(Some(last(0, "")));
        }
        match seen(cx) {
            Some(Seen {
                left_ms: Some(left),
                farewell,
                ..
            }) => {
                let seconds = (now_ms() - left).max(0) / 1000;
                Answer::Result(Some(last(seconds as u64, &farewell)))
            }
            // Never here: nothing is known.
            _ => Answer::Error(ErrorKind::SERVICE_UNAVAILABLE),
        }
    }

    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        // Section 3, and section 4 for full addresses: only who sees the presence may ask.
        let asks = stanza.kind == Kind::Iq
            && stanza.type_.as_deref() == Some("get")
            && cx.entity.behind == Behind::Account
            && stanza.has("query", ns::LAST);
        if !asks || stanza.from.as_ref().is_some_and(|f| may_see(cx, f)) {
            return Flow::Continue;
        }
        cx.route(stanza.error(&ErrorKind::FORBIDDEN));
        Flow::Done
    }

    fn on_send(&self, cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
        let leaves = stanza.kind == Kind::Presence
            && stanza.type_.as_deref() == Some("unavailable")
            && stanza.to.is_none();
        if leaves && cx.entity.sessions.len() == 1 {
            let mut words = stanza.text_of("status", ns::CLIENT).unwrap_or_default();
            if words.len() > limits::FAREWELL_BYTES {
                words.clear();
            }
            note(cx, |seen| {
                seen.farewell = words;
                seen.farewell_of = Some(session);
            });
        }
        Flow::Continue
    }

    fn on_session(&self, cx: &mut Cx<'_>, change: SessionChange) {
        match change {
            SessionChange::Bound(_) => note(cx, |seen| seen.logged_in(now_ms())),
            SessionChange::Ending(id) if cx.entity.sessions.len() == 1 => note(cx, |seen| {
                seen.left_ms = Some(now_ms());
                if seen.farewell_of.take() != Some(id) {
                    seen.farewell.clear();
                }
            }),
            _ => {}
        }
    }
}

fn may_see(cx: &Cx<'_>, from: &Jid) -> bool {
    let bare = from.to_bare();
    bare == cx.entity.bare || cx.entity.roster.get(&bare).is_some_and(|c| c.from)
}

fn last(seconds: u64, text: &str) -> Element {
    let mut query = Element::bare("query", ns::LAST);
    crate::engines::roster::set(&mut query, "seconds", &seconds.to_string());
    query.append_text(text);
    query
}

fn seen(cx: &Cx<'_>) -> Option<Seen> {
    let row = cx.entity.rows(SEEN).get("")?;
    serde_json::from_slice(row).ok()
}

/// Changes the row. It may be a second late on the disk: nobody waits for it.
fn note(cx: &mut Cx<'_>, change: impl FnOnce(&mut Seen)) {
    if cx.entity.behind != Behind::Account {
        return;
    }
    let mut seen = seen(cx).unwrap_or_default();
    change(&mut seen);
    let value = serde_json::to_vec(&seen).unwrap_or_default();
    let rows = cx.entity.rows.entry(SEEN.to_owned()).or_default();
    rows.insert(String::new(), value.clone());
    cx.out.ops.push(Op::Lazy {
        collection: SEEN,
        owner: cx.entity.bare.to_string(),
        key: String::new(),
        value,
    });
}
