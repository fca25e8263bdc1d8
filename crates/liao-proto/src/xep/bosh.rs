//! BOSH (XEP-0124) as it carries XMPP (XEP-0206): requests read, kept in order, held and answered; no I/O, no clock.
//!
//! Key sequencing (section "Protecting Insecure Sessions") and several streams in a session are optional and not here.

use crate::ns;
use crate::stanza::moved;
use crate::stream::{Limits, Reader};
use crate::xml::{escape, write_dom};
use std::collections::{BTreeMap, VecDeque};

/// The longest that a request is held, in seconds: proxies give up after a minute or so.
pub const WAIT_S: u64 = 60;
/// Requests that are held at once.
pub const HOLD: u64 = 2;
/// Seconds without a held request after which the client counts as gone.
pub const INACTIVITY_S: u64 = 60;
/// The longest pause that a client can ask for, in seconds: a page is loaded anew.
pub const PAUSE_S: u64 = 120;
/// Seconds between two empty requests of a client that polls.
pub const POLLING_S: u64 = 3;
/// The largest request id (section "Generation").
const LAST_RID: u64 = 9_007_199_254_740_991;
/// Bytes of one answer; more goes into the next.
const ANSWER_BYTES: usize = 256 * 1024;

/// One `<body/>` of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Post {
    /// Request id.
    pub rid: u64,
    /// Session id; none: a session is asked for.
    pub sid: Option<String>,
    /// The domain.
    pub to: Option<String>,
    /// The language.
    pub lang: Option<String>,
    /// The content type of answers.
    pub content: Option<String>,
    /// How long requests may be held, in seconds.
    pub wait: u64,
    /// How many.
    pub hold: u64,
    /// The client acknowledges.
    pub ack: bool,
    /// It will be silent for so many seconds.
    pub pause: Option<u64>,
    /// It leaves.
    pub terminate: bool,
    /// The stream begins anew.
    pub restart: bool,
    /// Whole elements, each with the namespaces that it needs.
    pub elements: Vec<String>,
}

impl Post {
    /// Reads a request's body. `None`: the terminal condition is `bad-request`.
    pub fn read(bytes: &[u8], limits: Limits) -> Option<Post> {
        let frame = Reader::single(bytes, limits).ok()?;
        if !frame.is("body", ns::HTTPBIND) {
            return None;
        }
        let text = |name: &str| frame.attr(name).map(str::to_owned);
        let number = |name: &str| frame.attr(name).map(|v| v.trim().parse::<u64>().ok());
        let or = |name: &str, default| number(name).map_or(Some(default), |n| n);
        let restart = frame
            .attrs()
            .iter()
            .any(|a| a.ns == ns::XBOSH && a.name == "restart" && matches!(&*a.value, "true" | "1"));
        let client = |e: &minidom::Element| match e.name() {
            // XEP-0206 section "<body/> Wrapper Element", note: many leave the namespace out.
            "message" | "presence" | "iq" => moved(e, ns::HTTPBIND, ns::CLIENT),
            _ => e.clone(),
        };
        let element = |e| String::from_utf8(write_dom(&client(e)).to_vec()).ok();
        Some(Post {
            rid: number("rid")?.filter(|r| (1..=LAST_RID).contains(r))?,
            sid: text("sid"),
            to: text("to").filter(|t| !t.is_empty()),
            lang: frame.lang().map(str::to_owned),
            content: text("content"),
            wait: or("wait", WAIT_S)?,
            hold: or("hold", 1)?,
            ack: frame.attr("ack").is_some(),
            pause: number("pause").map_or(Some(None), |p| p.map(Some))?,
            terminate: frame.attr("type") == Some("terminate"),
            restart,
            elements: frame.to_dom()?.children().filter_map(element).collect(),
        })
    }

    fn is_empty(&self) -> bool {
        self.elements.is_empty() && !self.restart && !self.is_last_word()
    }

    /// One more than the client may have on its way (section "Overactivity").
    fn is_last_word(&self) -> bool {
        self.terminate || self.pause.is_some()
    }
}

/// An answer that ends the session (section "Terminal Binding Conditions").
pub fn terminal(condition: &str) -> String {
    let condition = match condition {
        "" => String::new(),
        named => format!(" condition='{named}'"),
    };
    format!(
        "<body xmlns='{}' type='terminate'{condition}/>",
        ns::HTTPBIND
    )
}

/// What is to be done; `T` stands for a request that waits for its answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Do<T> {
    /// Answer it.
    Answer(T, String),
    /// An element arrived.
    Element(String),
    /// The stream begins anew.
    Restart,
    /// The session is over.
    Over,
}

struct Held<T> {
    rid: u64,
    waiter: T,
    until_ms: u64,
}

/// One session's requests and answers.
pub struct Exchange<T> {
    sid: String,
    domain: String,
    wait_ms: u64,
    hold: usize,
    ack: bool,
    /// The id that is next in order.
    next: u64,
    /// Came before their turn.
    early: BTreeMap<u64, (Post, T)>,
    held: VecDeque<Held<T>>,
    /// Answers that may have been lost on the way.
    sent: VecDeque<(u64, String)>,
    out: VecDeque<String>,
    out_bytes: usize,
    /// The answer to the first request is still to come.
    first: bool,
    /// What came in is not worked off: nothing is answered, so that no more comes.
    full: bool,
    /// Our stream has ended; the last answer says so.
    closing: bool,
    over: bool,
    idle_since_ms: u64,
    inactivity_ms: u64,
    arrived_ms: u64,
    /// The last request was empty and so was its answer.
    idled: bool,
}

impl<T> Exchange<T> {
    /// For the first request.
    pub fn new(sid: String, domain: &str, first: &Post, now_ms: u64) -> Exchange<T> {
        let wait = first.wait.min(WAIT_S);
        let hold = if wait == 0 { 0 } else { first.hold.min(HOLD) };
        Exchange {
            sid,
            domain: domain.to_owned(),
            wait_ms: wait * 1000,
            hold: hold as usize,
            ack: first.ack,
            next: first.rid,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            sent: VecDeque::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            first: true,
            full: false,
            closing: false,
            over: false,
            idle_since_ms: now_ms,
            inactivity_ms: INACTIVITY_S * 1000,
            arrived_ms: 0,
            idled: false,
        }
    }

    /// Bytes that wait for an answer to travel in.
    pub fn waiting_bytes(&self) -> usize {
        self.out_bytes
    }

    /// Whether the session has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn requests(&self) -> usize {
        self.hold + 1
    }

    /// A request came (sections "In-Order Message Forwarding" and "Broken Connections").
    pub fn arrive(&mut self, now_ms: u64, post: Post, waiter: T) -> Vec<Do<T>> {
        let mut all = Vec::new();
        if self.over {
            all.push(Do::Answer(waiter, terminal("item-not-found")));
            return all;
        }
        let rid = post.rid;
        let error = format!("<body xmlns='{}' type='error'/>", ns::HTTPBIND);
        if let Some(held) = self.held.iter_mut().find(|h| h.rid == rid) {
            let old = std::mem::replace(&mut held.waiter, waiter);
            all.push(Do::Answer(old, error));
            return all;
        }
        if rid < self.next {
            match self.sent.iter().find(|(r, _)| *r == rid) {
                Some((_, body)) => all.push(Do::Answer(waiter, body.clone())),
                None => self.fail("item-not-found", Some(waiter), &mut all),
            }
            return all;
        }
        let window = self.requests() as u64 + u64::from(post.is_last_word());
        if rid - self.next >= window {
            self.fail("item-not-found", Some(waiter), &mut all);
            return all;
        }
        if let Some((_, old)) = self.early.insert(rid, (post, waiter)) {
            all.push(Do::Answer(old, error));
        }
        while let Some((post, waiter)) = self.early.remove(&self.next) {
            self.next += 1;
            self.take(now_ms, post, waiter, &mut all);
            if self.over {
                return all;
            }
        }
        self.flush(now_ms, &mut all);
        all
    }

    /// The request whose turn it is.
    fn take(&mut self, now_ms: u64, post: Post, waiter: T, all: &mut Vec<Do<T>>) {
        self.inactivity_ms = INACTIVITY_S * 1000;
        let most = self.requests() + usize::from(post.is_last_word());
        let soon = now_ms.saturating_sub(self.arrived_ms) < POLLING_S * 1000;
        let on_its_way = self.held.len() + 1;
        let polls = self.hold == 0 && self.idled;
        let restless = post.is_empty()
            && soon
            && (polls || self.hold > 0 && on_its_way == self.requests() && !self.full);
        if on_its_way > most || restless {
            return self.fail("policy-violation", Some(waiter), all);
        }
        self.arrived_ms = now_ms;
        self.idled = post.is_empty();
        if post.restart {
            all.push(Do::Restart);
        } else {
            all.extend(post.elements.into_iter().map(Do::Element));
        }
        self.held.push_back(Held {
            rid: post.rid,
            waiter,
            until_ms: now_ms + self.wait_ms,
        });
        if post.terminate {
            return self.fail("", None, all);
        }
        if let Some(pause) = post.pause {
            // Section "Inactivity": all are answered, and without payloads.
            while let Some(held) = self.held.pop_front() {
                let body = self.wrap(held.rid, "", "");
                all.push(Do::Answer(held.waiter, body));
            }
            self.idle_since_ms = now_ms;
            self.inactivity_ms = pause.min(PAUSE_S) * 1000;
        }
    }

    /// Ends the session; all that wait are told, the oldest first.
    fn fail(&mut self, condition: &str, waiter: Option<T>, all: &mut Vec<Do<T>>) {
        self.over = true;
        let held = std::mem::take(&mut self.held);
        let early = std::mem::take(&mut self.early);
        let waiters = held
            .into_iter()
            .map(|h| h.waiter)
            .chain(early.into_values().map(|(_, w)| w))
            .chain(waiter);
        all.extend(waiters.map(|w| Do::Answer(w, terminal(condition))));
        all.push(Do::Over);
    }

    /// An element for the client.
    pub fn push(&mut self, now_ms: u64, element: String) -> Vec<Do<T>> {
        // A stream error is the stream's end, and has to travel with the session's (XEP-0206).
        self.closing |= element.starts_with("<stream:error");
        self.out_bytes += element.len();
        self.out.push_back(element);
        let mut all = Vec::new();
        self.flush(now_ms, &mut all);
        all
    }

    /// Our stream has ended: the next answer is the last.
    pub fn close(&mut self, now_ms: u64) -> Vec<Do<T>> {
        let mut all = Vec::new();
        self.closing = true;
        self.flush(now_ms, &mut all);
        all
    }

    /// What came in waits for being worked off: until [`Exchange::drained`] nothing is answered.
    pub fn fill(&mut self) {
        self.full = true;
    }

    /// What came in is worked off.
    pub fn drained(&mut self, now_ms: u64) -> Vec<Do<T>> {
        let mut all = Vec::new();
        self.full = false;
        self.flush(now_ms, &mut all);
        all
    }

    /// Time has passed: who waited long enough is answered; who is away too long is gone.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Do<T>> {
        let mut all = Vec::new();
        while self.held.front().is_some_and(|h| h.until_ms <= now_ms) {
            self.answer(now_ms, &mut all);
        }
        let away = now_ms.saturating_sub(self.idle_since_ms) > self.inactivity_ms;
        if !self.over && self.held.is_empty() && away {
            self.fail("item-not-found", None, &mut all);
        }
        all
    }

    fn flush(&mut self, now_ms: u64, all: &mut Vec<Do<T>>) {
        if self.full && !self.closing {
            return;
        }
        while !self.over
            && !self.held.is_empty()
            && (!self.out.is_empty() || self.closing || self.held.len() > self.hold)
        {
            self.answer(now_ms, all);
        }
    }

    /// Answers the oldest request with what there is.
    fn answer(&mut self, now_ms: u64, all: &mut Vec<Do<T>>) {
        let Some(held) = self.held.pop_front() else {
            return;
        };
        let mut payload = String::new();
        while let Some(element) = self.out.front()
            && (payload.is_empty() || payload.len() + element.len() <= ANSWER_BYTES)
        {
            payload.push_str(element);
            self.out_bytes -= element.len();
            self.out.pop_front();
        }
        self.idled &= payload.is_empty();
        let last = self.closing && self.out.is_empty();
        let type_ = match last {
            true if payload.contains("<stream:error") => {
                " type='terminate' condition='remote-stream-error'"
            }
            true => " type='terminate'",
            false => "",
        };
        let body = self.wrap(held.rid, type_, &payload);
        self.sent.push_back((held.rid, body.clone()));
        if self.sent.len() > self.requests() {
            self.sent.pop_front();
        }
        self.idle_since_ms = now_ms;
        all.push(Do::Answer(held.waiter, body));
        if last {
            self.fail("", None, all);
        }
    }

    fn wrap(&mut self, rid: u64, type_: &str, payload: &str) -> String {
        let mut attrs = type_.to_owned();
        if payload.contains("<stream:") {
            attrs.push_str(&format!(" xmlns:stream='{}'", ns::STREAM));
        }
        if std::mem::take(&mut self.first) {
            attrs.push_str(&format!(
                " xmlns:xmpp='{}' xmpp:version='1.0' xmpp:restartlogic='true' sid='{}' from='{}' wait='{}' \
                 hold='{}' requests='{}' inactivity='{INACTIVITY_S}' polling='{POLLING_S}' maxpause='{PAUSE_S}' \
                 ver='1.6'",
                ns::XBOSH,
                escape(&self.sid),
                escape(&self.domain),
                self.wait_ms / 1000,
                self.hold,
                self.requests()
            ));
            if self.ack {
                attrs.push_str(&format!(" ack='{rid}'"));
            }
        } else if self.ack && self.next - 1 != rid {
            attrs.push_str(&format!(" ack='{}'", self.next - 1));
        }
        format!("<body xmlns='{}'{attrs}>{payload}</body>", ns::HTTPBIND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(rid: u64, more: &str, inside: &str) -> Post {
        let xml = format!(
            "<body xmlns='{}' xmlns:xmpp='{}' rid='{rid}' {more}>{inside}</body>",
            ns::HTTPBIND,
            ns::XBOSH
        );
        Post::read(xml.as_bytes(), Limits::default()).unwrap()
    }

    /// A session whose first request, 10, was answered with features.
    fn begun(more: &str) -> Exchange<u64> {
        let first = post(10, more, "");
        let mut e = Exchange::new("S".into(), "x.example", &first, 0);
        e.arrive(0, first, 10);
        let all = e.push(0, "<stream:features/>".into());
        if let [Do::Answer(10, body)] = &all[..] {
            assert!(
                body.contains("sid='S'") && body.contains("xmlns:stream="),
                "{body}"
            );
        }
        e
    }

    fn answers(all: Vec<Do<u64>>) -> Vec<(u64, String)> {
        let answer = |d| match d {
            Do::Answer(w, body) => Some((w, body)),
            _ => None,
        };
        all.into_iter().filter_map(answer).collect()
    }

    fn condition(all: Vec<Do<u64>>) -> Vec<(u64, String)> {
        let name = |body: &str| {
            body.split("condition='")
                .nth(1)
                .map_or("", |r| r.split('\'').next().unwrap_or(""))
                .to_owned()
        };
        answers(all)
            .into_iter()
            .map(|(w, b)| (w, name(&b)))
            .collect()
    }

    #[test]
    fn requests_are_taken_and_answered_in_order() {
        let mut e = begun("hold='1' wait='60'");
        assert!(
            e.arrive(9_000, post(12, "", "<iq id='2'/>"), 12).is_empty(),
            "11 is missing"
        );
        let all = e.arrive(
            9_000,
            post(
                11,
                "",
                "<iq xmlns='jabber:client' id='1'><q xmlns='u'/></iq><a xmlns='v'/>",
            ),
            11,
        );
        let elements: Vec<&Do<u64>> = all.iter().filter(|d| matches!(d, Do::Element(_))).collect();
        assert_eq!(elements.len(), 3);
        assert!(
            matches!(elements[2], Do::Element(e) if e.contains("jabber:client") && e.contains("id='2'")),
            "{all:?}"
        );
        let told = answers(all);
        assert_eq!(
            told.iter().map(|(w, _)| *w).collect::<Vec<_>>(),
            [11],
            "one is held, the older is answered"
        );
        let told = answers(e.push(9_001, "<message/>".into()));
        assert_eq!(told.len(), 1);
        assert!(told[0].0 == 12 && told[0].1.contains("<message/>"));
    }

    #[test]
    fn a_lost_answer_is_given_again_and_a_request_sent_twice_is_held_once() {
        let mut e = begun("hold='1' wait='60'");
        e.arrive(9_000, post(11, "", ""), 11);
        let told = answers(e.push(9_000, "<message/>".into()));
        let again = answers(e.arrive(9_001, post(11, "", ""), 111));
        assert_eq!(again, [(111, told[0].1.clone())]);
        assert!(e.arrive(20_000, post(12, "", "<iq/>"), 12).len() == 1);
        let old = answers(e.arrive(20_001, post(12, "", "<iq/>"), 112));
        assert!(old[0].0 == 12 && old[0].1.contains("type='error'"));
        assert_eq!(answers(e.push(20_002, "<iq/>".into()))[0].0, 112);
    }

    #[test]
    fn what_is_out_of_the_window_or_no_longer_known_ends_the_session() {
        let mut e = begun("hold='1' wait='60'");
        assert_eq!(
            condition(e.arrive(9_000, post(13, "", ""), 13)),
            [(13, "item-not-found".into())]
        );
        assert!(e.is_over());
        let mut e = begun("hold='1' wait='60'");
        assert_eq!(
            condition(e.arrive(9_000, post(3, "", ""), 3)),
            [(3, "item-not-found".into())]
        );
        assert_eq!(
            condition(e.arrive(9_000, post(11, "", ""), 11)),
            [(11, "item-not-found".into())]
        );
    }

    #[test]
    fn who_asks_too_often_is_cut_off() {
        let mut e = begun("hold='1' wait='60'");
        e.arrive(9_000, post(11, "", ""), 11);
        let all = condition(e.arrive(9_500, post(12, "", ""), 12));
        assert_eq!(
            all,
            [
                (11, "policy-violation".into()),
                (12, "policy-violation".into())
            ]
        );
        let mut e = begun("hold='0' wait='0'");
        assert_eq!(answers(e.arrive(9_000, post(11, "", ""), 11)).len(), 1);
        assert_eq!(
            answers(e.arrive(9_100, post(12, "", "<iq/>"), 12)).len(),
            1,
            "with words it may"
        );
        assert_eq!(answers(e.arrive(9_200, post(13, "", ""), 13)).len(), 1);
        assert_eq!(
            condition(e.arrive(9_300, post(14, "", ""), 14)),
            [(14, "policy-violation".into())]
        );
    }

    #[test]
    fn a_client_that_says_nothing_is_answered_in_time_and_gone_after_a_while() {
        let mut e = begun("hold='1' wait='5'");
        e.arrive(9_000, post(11, "", ""), 11);
        assert!(e.tick(13_999).is_empty());
        assert_eq!(answers(e.tick(14_000))[0].0, 11);
        assert!(e.tick(14_000 + INACTIVITY_S * 1000).is_empty());
        assert_eq!(e.tick(14_001 + INACTIVITY_S * 1000), [Do::Over]);
        let mut e = begun("hold='1' wait='5'");
        e.arrive(9_000, post(11, "", ""), 11);
        let told = answers(e.arrive(9_500, post(12, "pause='100'", ""), 12));
        assert_eq!(told.len(), 2, "a pause gives all back");
        assert!(e.tick(100_000).is_empty());
        assert_eq!(e.tick(110_000), [Do::Over]);
    }

    #[test]
    fn the_end_is_said_by_either_side() {
        let mut e = begun("hold='1' wait='60' ack='1'");
        e.arrive(9_000, post(11, "", ""), 11);
        let all = e.arrive(
            9_100,
            post(12, "type='terminate'", "<presence type='unavailable'/>"),
            12,
        );
        assert!(matches!(&all[0], Do::Element(p) if p.contains("unavailable")));
        assert!(
            answers(all)
                .iter()
                .all(|(_, b)| b.contains("type='terminate'"))
        );
        let mut e = begun("hold='1' wait='60' ack='1'");
        e.push(9_000, "<stream:error xmlns:stream='s'/>".into());
        assert!(e.close(9_000).is_empty(), "nobody waits");
        let told = condition(e.arrive(9_100, post(11, "", ""), 11));
        assert_eq!(told, [(11, "remote-stream-error".into())]);
    }

    #[test]
    fn while_nothing_is_worked_off_nothing_is_answered() {
        let mut e = begun("hold='1' wait='60' ack='1'");
        e.fill();
        e.arrive(9_000, post(11, "", "<iq/>"), 11);
        assert!(answers(e.arrive(9_100, post(12, "", "<iq/>"), 12)).is_empty());
        let told = answers(e.drained(9_200));
        assert!(
            told.len() == 1 && told[0].1.contains("ack='12'"),
            "{told:?}"
        );
        e.fill();
        e.arrive(9_300, post(13, "", "<iq/>"), 13);
        let told = condition(e.arrive(9_400, post(14, "", "<iq/>"), 14));
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|(_, c)| c == "policy-violation"));
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for bad in [
            "",
            "<body rid='1'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='0'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='9007199254740992'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' wait='x'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'><a></body>",
            "<!DOCTYPE x><body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>",
        ] {
            assert_eq!(Post::read(bad.as_bytes(), Limits::default()), None, "{bad}");
        }
    }
}
