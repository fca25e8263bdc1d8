//! Blocking (XEP-0191), with reports of spam and abuse (XEP-0377).

use crate::accounts::{REPORT, REPORTED, Report};
use crate::engines::blocking::{COLLECTION, is_blocked};
use crate::engines::roster::set;
use crate::engines::{matching, presence};
use crate::entity::Behind;
use crate::hooks::{Answer, At, Cx, Flow, Module, Spec};
use crate::limits;
use crate::server::{now_ms, random_id};
use liao_proto::jid::Jid;
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Blocking;

static SPEC: Spec = Spec {
    name: "blocking",
    xeps: &["0191", "0377"],
    features: &[ns::BLOCKING, ns::REPORTING],
    iqs: &[
        ("blocklist", ns::BLOCKING, At::Account),
        ("block", ns::BLOCKING, At::Account),
        ("unblock", ns::BLOCKING, At::Account),
    ],
    needs: &[COLLECTION, REPORTED],
    doc: "Lets people block others, and report them.",
    ..Spec::EMPTY
};

impl Module for Blocking {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        let Some(from) = iq.from.clone().filter(|f| f.to_bare() == cx.entity.bare) else {
            return Answer::Error(ErrorKind::FORBIDDEN);
        };
        let done = match (payload.name(), iq.type_.as_deref()) {
            ("blocklist", Some("get")) => return list(cx, &from),
            ("block", Some("set")) => block(cx, payload),
            ("unblock", Some("set")) => unblock(cx, payload),
            _ => Err(ErrorKind::BAD_REQUEST),
        };
        done.map_or_else(Answer::Error, |()| Answer::Result(None))
    }

    /// Section 3.3: nothing goes out to who is blocked.
    fn on_send(&self, cx: &mut Cx<'_>, session: u64, stanza: &mut Stanza) -> Flow {
        if !stanza
            .to
            .as_ref()
            .is_some_and(|to| is_blocked(cx.entity, to))
        {
            return Flow::Continue;
        }
        if !stanza.is_answer() {
            let error = ErrorKind {
                type_: "cancel",
                ..ErrorKind::NOT_ACCEPTABLE
            };
            let error = error.with_detail("blocked", ns::BLOCKING_ERRORS);
            cx.deliver(session, stanza.error(&error).to_bytes());
        }
        Flow::Done
    }

    /// Section 3.3: nothing comes in; messages and requests are answered as if nobody were there.
    fn on_deliver(&self, cx: &mut Cx<'_>, stanza: &mut Stanza) -> Flow {
        let blocked = cx.entity.behind == Behind::Account
            && stanza
                .from
                .as_ref()
                .is_some_and(|from| is_blocked(cx.entity, from));
        if !blocked {
            return Flow::Continue;
        }
        if stanza.kind != Kind::Presence && !stanza.is_answer() {
            cx.route(stanza.error(&ErrorKind::SERVICE_UNAVAILABLE));
        }
        Flow::Done
    }
}

/// Section 3.2.
fn list(cx: &mut Cx<'_>, from: &Jid) -> Answer {
    let mut sessions = cx.entity.sessions.iter_mut();
    if let Some(session) = sessions.find(|s| s.full.as_str() == from.as_str()) {
        session.told_of.insert(ns::BLOCKING);
    }
    let all: Vec<&String> = cx.entity.rows(COLLECTION).keys().collect();
    Answer::Result(Some(items("blocklist", all)))
}

fn items<'a>(name: &str, jids: impl IntoIterator<Item = &'a String>) -> Element {
    let mut list = Element::bare(name, ns::BLOCKING);
    for jid in jids {
        let mut item = Element::bare("item", ns::BLOCKING);
        set(&mut item, "jid", jid);
        list.append_child(item);
    }
    list
}

/// The addresses of a request, and their items.
fn read(payload: &Element) -> Result<Vec<(Jid, &Element)>, ErrorKind> {
    payload
        .children()
        .map(|item| {
            let jid = item
                .attr("jid")
                .filter(|_| item.is("item", ns::BLOCKING))
                .ok_or(ErrorKind::BAD_REQUEST)?;
            let jid = liao_proto::address::parse(jid).map_err(|_| ErrorKind::JID_MALFORMED)?;
            Ok((jid, item))
        })
        .collect()
}

/// Section 3.3.
fn block(cx: &mut Cx<'_>, payload: &Element) -> Result<(), ErrorKind> {
    let wanted = read(payload)?;
    if wanted.is_empty() {
        return Err(ErrorKind::BAD_REQUEST);
    }
    if wanted
        .iter()
        .any(|(jid, _)| jid.to_bare() == cx.entity.bare)
    {
        return Err(ErrorKind::NOT_ALLOWED.with_text("you cannot block yourself"));
    }
    let mut reports = Vec::new();
    for (jid, item) in &wanted {
        if let Some(report) = item.get_child("report", ns::REPORTING) {
            reports.push((jid.to_string(), read_report(report)?));
        }
    }
    let mut new: Vec<&Jid> = Vec::new();
    for (jid, _) in &wanted {
        if !cx.entity.rows(COLLECTION).contains_key(jid.as_str()) && !new.contains(&jid) {
            new.push(jid);
        }
    }
    if cx.entity.rows(COLLECTION).len() + new.len() > limits::BLOCKED_PER_ACCOUNT {
        return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("you block too many already"));
    }
    for jid in new {
        vanish(cx, jid);
        cx.put(COLLECTION, jid.as_str(), Vec::new());
    }
    for (jid, report) in reports {
        keep_report(cx, &jid, &report);
    }
    let all: Vec<String> = wanted.iter().map(|(j, _)| j.to_string()).collect();
    push(cx, &items("block", &all));
    Ok(())
}

/// Sections 3.4 and 3.5.
fn unblock(cx: &mut Cx<'_>, payload: &Element) -> Result<(), ErrorKind> {
    let wanted = read(payload)?;
    let gone: Vec<Jid> = if wanted.is_empty() {
        let all = cx.entity.rows(COLLECTION).keys();
        all.filter_map(|k| Jid::new(k).ok()).collect()
    } else {
        let known = |(j, _): &(Jid, _)| cx.entity.rows(COLLECTION).contains_key(j.as_str());
        wanted
            .iter()
            .filter(|w| known(w))
            .map(|(j, _)| j.clone())
            .collect()
    };
    for jid in &gone {
        cx.delete(COLLECTION, jid.as_str());
    }
    appear(cx, &gone);
    let all: Vec<String> = wanted.iter().map(|(j, _)| j.to_string()).collect();
    push(cx, &items("unblock", &all));
    Ok(())
}

/// To every resource that has asked for the list.
fn push(cx: &mut Cx<'_>, what: &Element) {
    let told = |s: &&crate::entity::Session| s.told_of.contains(ns::BLOCKING);
    let sessions = cx.entity.sessions.iter().filter(told);
    let all: Vec<_> = sessions.map(|s| (s.id, s.full.clone())).collect();
    for (session, full) in all {
        let iq = Stanza::iq("set", &random_id()).to(full).child(what);
        cx.deliver(session, iq.to_bytes());
    }
}

/// The contacts that an entry concerns: those it meets, or the one whose resource it is.
fn concerned(contacts: Vec<liao_proto::jid::BareJid>, entry: &Jid) -> Vec<Jid> {
    let all = contacts.into_iter().filter_map(|contact| {
        if entry.is_full() && entry.to_bare() == contact {
            return Some(entry.clone());
        }
        let contact = Jid::from(contact);
        matching::meets(entry.as_str(), &contact).then_some(contact)
    });
    all.collect()
}

/// Section 3.3: who is about to be blocked and saw us sees us go.
fn vanish(cx: &mut Cx<'_>, entry: &Jid) {
    let watchers = concerned(presence::watchers(cx), entry);
    let mut farewells = Vec::new();
    for session in &mut cx.entity.sessions {
        let directed = session.directed.iter();
        let met: Vec<Jid> = directed
            .filter(|to| matching::meets(entry.as_str(), to))
            .cloned()
            .collect();
        session.directed.retain(|to| !met.contains(to));
        let seen = watchers.iter().filter(|_| session.presence.is_some());
        let twice = |to: &&Jid| !watchers.contains(&Jid::from(to.to_bare()));
        for to in seen.chain(met.iter().filter(twice)) {
            let gone = Stanza::presence("unavailable").from(session.full.clone());
            farewells.push(gone.to(to.clone()));
        }
    }
    farewells.into_iter().for_each(|f| cx.route(f));
}

/// Section 3.4: who sees us again is told; whom we see again is asked.
fn appear(cx: &mut Cx<'_>, entries: &[Jid]) {
    let (watchers, watched) = (presence::watchers(cx), presence::watched(cx));
    for entry in entries {
        let available: Vec<Stanza> = cx
            .entity
            .sessions
            .iter()
            .filter_map(|s| s.presence.clone())
            .collect();
        for to in concerned(watchers.clone(), entry) {
            available
                .iter()
                .for_each(|p| cx.route(p.clone().to(to.clone())));
        }
        if available.is_empty() {
            continue;
        }
        for to in concerned(watched.clone(), entry) {
            let me = cx.entity.bare.clone();
            cx.route(Stanza::presence("probe").from(me).to(to.to_bare()));
        }
    }
}

/// XEP-0377 sections 4 and 6.
fn read_report(report: &Element) -> Result<Report, ErrorKind> {
    let reason = report
        .attr("reason")
        .filter(|r| !r.is_empty())
        .ok_or(ErrorKind::BAD_REQUEST.with_text("a report has a reason"))?;
    let text = report.get_child("text", ns::REPORTING).map(Element::text);
    let text = text.unwrap_or_default().trim().to_owned();
    if text.len() + reason.len() > limits::REPORT_BYTES {
        return Err(ErrorKind::NOT_ACCEPTABLE.with_text("the words of a report are too long"));
    }
    let messages = report
        .children()
        .filter(|c| c.is("stanza-id", ns::STANZA_ID))
        .filter_map(|c| c.attr("id"))
        .filter(|id| id.len() <= 256)
        .take(limits::REPORT_MESSAGES)
        .map(str::to_owned)
        .collect();
    Ok(Report {
        time_ms: now_ms(),
        reason: reason.to_owned(),
        text,
        messages,
    })
}

/// Where `liao admin reports` looks. One report is kept of each who is reported; when there are too many, the block is
/// all that is done.
fn keep_report(cx: &mut Cx<'_>, jid: &str, report: &Report) {
    let count = cx.entity.rows(REPORTED).get("");
    let count = count.and_then(|v| String::from_utf8_lossy(v).parse::<usize>().ok());
    let count = count.unwrap_or(0);
    if count >= limits::REPORTS_PER_ACCOUNT {
        return;
    }
    cx.put(REPORTED, "", (count + 1).to_string().into_bytes());
    cx.put(REPORT, jid, serde_json::to_vec(report).unwrap_or_default());
    tracing::info!(by = %cx.entity.bare, jid, reason = report.reason, "reported");
}
