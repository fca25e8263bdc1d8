//! RFC 6121 section 8.5, row by row: each condition, each form of the address, each kind and type.

use crate::engines::roster::{Contact, put};
use crate::entity::{Item, State, run};
use crate::hooks::{Cx, Effects, Release};
use crate::modules::stage::{House, bind, user};
use crate::server::Server;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;

/// The conditions of table 1: is there an account, and the priorities of its resources `r0`, `r1`, ….
const CONDITIONS: [(&str, bool, &[i8]); 5] = [
    ("ACCOUNT DOES NOT EXIST", false, &[]),
    ("NO ACTIVE RESOURCES", true, &[]),
    ("NEGATIVE RESOURCES", true, &[-1, -5]),
    ("1 NON-NEGATIVE RESOURCE", true, &[0, -1]),
    ("1+ NON-NEGATIVE RESOURCES", true, &[3, 1, -1]),
];

/// Table 1 (section 8.5.4) and, as the last column, what its text says of errors: the letters that are allowed. D: to
/// the one that is named, or is alone; A: to all of 0 or more (which is also an M); O: kept; E: an error; S: nothing.
#[rustfmt::skip]
const TABLE_1: [(&str, &str, [&str; 5]); 13] = [
    ("ACCOUNT DOES NOT EXIST",    "bare",          ["SE", "SE", "E",  "S",  "S"]),
    ("ACCOUNT DOES NOT EXIST",    "full",          ["SE", "SE", "SE", "SE", "S"]),
    ("NO ACTIVE RESOURCES",       "bare",          ["OE", "OE", "E",  "S",  "S"]),
    ("NO ACTIVE RESOURCES",       "full no match", ["SE", "OE", "SE", "SE", "S"]),
    ("NEGATIVE RESOURCES",        "bare",          ["OE", "OE", "E",  "S",  "S"]),
    ("NEGATIVE RESOURCES",        "full match",    ["D",  "D",  "D",  "D",  "D"]),
    ("NEGATIVE RESOURCES",        "full no match", ["SE", "OE", "SE", "SE", "S"]),
    ("1 NON-NEGATIVE RESOURCE",   "bare",          ["D",  "D",  "E",  "D",  "S"]),
    ("1 NON-NEGATIVE RESOURCE",   "full match",    ["D",  "D",  "D",  "D",  "D"]),
    ("1 NON-NEGATIVE RESOURCE",   "full no match", ["SE", "D",  "SE", "SE", "S"]),
    ("1+ NON-NEGATIVE RESOURCES", "bare",          ["A",  "A",  "E",  "A",  "S"]),
    ("1+ NON-NEGATIVE RESOURCES", "full match",    ["D",  "D",  "D",  "D",  "D"]),
    ("1+ NON-NEGATIVE RESOURCES", "full no match", ["SE", "A",  "SE", "SE", "S"]),
];

const TYPES: [&str; 5] = ["normal", "chat", "groupchat", "headline", "error"];

fn sender() -> Jid {
    Jid::new("sender@x.example/there").unwrap()
}

fn nobody() -> BareJid {
    BareJid::new("nobody@x.example").unwrap()
}

/// What became of a stanza.
#[derive(Debug, Default, PartialEq)]
struct Fate {
    /// Resources that get it.
    given: Vec<u64>,
    kept: bool,
    /// Conditions of errors to the sender, other answers by their type.
    answered: Vec<String>,
}

fn fate(effects: Effects, to: &Jid) -> Fate {
    let mut fate = Fate::default();
    for release in effects.releases {
        match release {
            Release::Route(stanza) => {
                let to = stanza.to.as_ref().unwrap().to_bare();
                assert_eq!(to, sender().to_bare(), "answers go to the sender");
                let error = stanza.get("error", ns::CLIENT);
                let condition =
                    error.and_then(|e| e.children().next().map(|c| c.name().to_owned()));
                fate.answered
                    .push(condition.unwrap_or(stanza.type_str().to_owned()));
            }
            Release::Session { session, bytes, .. } => {
                let stanza = Stanza::parse_bytes(&bytes).unwrap();
                assert_eq!(
                    stanza.to.as_ref(),
                    Some(to),
                    "8.5.2.1.1: `to` is not rewritten"
                );
                fate.given.push(session);
            }
            Release::Archived { sessions, .. } => {
                fate.kept = sessions.is_empty();
                fate.given.extend(sessions);
            }
            _ => {}
        }
    }
    fate
}

impl Fate {
    /// As a letter of the table. `exact`: the resource that is named; `able`: those of 0 or more.
    fn letter(&self, exact: Option<u64>, able: &[u64]) -> &'static str {
        let error = self.answered == ["service-unavailable"];
        match (self.given.as_slice(), error, self.kept) {
            ([], true, false) => "E",
            ([], false, true) => "O",
            ([], false, false) if self.answered.is_empty() => "S",
            ([one], false, false) if exact == Some(*one) => "D",
            ([one], false, false) if exact.is_none() && able == [*one] => "D",
            (all, false, false) if exact.is_none() && all == able => "A",
            _ => "?",
        }
    }
}

/// The resources of a condition; `r0` has the first priority and the id 0.
fn people(server: &Server, state: &mut State, priorities: &[i8]) -> Vec<u64> {
    state.sessions.clear();
    for (id, priority) in priorities.iter().enumerate() {
        bind(server, state, id as u64, &format!("r{id}"), Some(*priority));
    }
    let able = priorities.iter().enumerate().filter(|(_, p)| **p >= 0);
    able.map(|(id, _)| id as u64).collect()
}

fn address(bare: &BareJid, form: &str) -> Jid {
    match form {
        "bare" => Jid::from(bare.clone()),
        "full match" => bare.with_resource_str("r0").unwrap().into(),
        _ => bare.with_resource_str("gone").unwrap().into(),
    }
}

fn receive(server: &Server, state: &mut State, stanza: Stanza) -> Fate {
    let to = stanza.to.clone().unwrap();
    fate(run(server, state, Item::Receive(stanza, None)), &to)
}

fn messages(server: &Server, state: &mut State, exists: bool) {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (condition, form, allowed) in &TABLE_1 {
        let found = CONDITIONS.iter().find(|(c, ..)| c == condition);
        let (_, account, priorities) = found.unwrap();
        if *account != exists {
            continue;
        }
        rows += 1;
        let able = people(server, state, priorities);
        let exact = (*form == "full match").then_some(0);
        for (type_, allowed) in TYPES.iter().zip(allowed) {
            let to = address(&state.bare, form);
            let mut body = Element::bare("body", ns::CLIENT);
            body.append_text("words");
            let message = Stanza::message(type_).from(sender()).to(to).child(&body);
            let fate = receive(server, state, message);
            let letter = fate.letter(exact, &able);
            if !allowed.contains(letter) {
                wrong.push(format!(
                    "{condition}, {form}, {type_}: {letter}, not {allowed}: {fate:?}"
                ));
            }
        }
    }
    assert_eq!(rows, if exists { 11 } else { 2 });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn rfc_6121_section_8_5_4_table_1_every_row_and_type() {
    let house = House::new("table-1").await;
    let there = house.within(user(), |server, state| messages(server, state, true));
    there.await;
    let not = house.within(nobody(), |server, state| messages(server, state, false));
    not.await;
}

fn presence(type_: &str, to: Jid) -> Stanza {
    Stanza::presence(type_).from(sender()).to(to)
}

fn iq(type_: &str, to: Jid) -> Stanza {
    let payload = Element::bare("query", "urn:unknown");
    Stanza::iq(type_, "1").from(sender()).to(to).child(&payload)
}

/// The sender is a contact that is subscribed to the user.
fn befriend(server: &Server, state: &mut State) {
    let row = Contact {
        from: true,
        ..Contact::default()
    };
    let work = move |cx: &mut Cx<'_>| put(cx, &sender().into_bare(), row);
    run(server, state, Item::Do(Box::new(work)));
}

#[tokio::test]
async fn rfc_6121_section_8_5_1_no_such_user() {
    let house = House::new("no-such-user").await;
    let work = |server: &Server, state: &mut State| {
        for form in ["bare", "full no match"] {
            let to = || address(&nobody(), form);
            for type_ in ["get", "set"] {
                let fate = receive(server, state, iq(type_, to()));
                assert_eq!(fate.answered, ["service-unavailable"], "{form} {type_}");
            }
            for type_ in ["result", "error"] {
                assert_eq!(receive(server, state, iq(type_, to())), Fate::default());
            }
            for type_ in [
                "",
                "unavailable",
                "subscribe",
                "subscribed",
                "unsubscribe",
                "unsubscribed",
            ] {
                let fate = receive(server, state, presence(type_, to()));
                assert_eq!(fate, Fate::default(), "{form} {type_}");
            }
            // Section 4.3.2, rule 1: as a stranger is answered.
            let fate = receive(server, state, presence("probe", to()));
            assert_eq!(fate.answered, ["unsubscribed"], "{form}");
        }
    };
    house.within(nobody(), work).await;
}

#[tokio::test]
async fn rfc_6121_sections_8_5_2_and_8_5_3_presence_and_requests() {
    let house = House::new("presence-and-iq").await;
    let work = |server: &Server, state: &mut State| {
        for (_, _, priorities) in CONDITIONS.iter().filter(|(_, account, _)| *account) {
            people(server, state, priorities);
            state.roster = Default::default();
            let all: Vec<u64> = (0..priorities.len() as u64).collect();
            // 8.5.2.1.2 and 8.5.2.2.2: presence to all who are available, whatever their priority.
            for type_ in ["", "unavailable"] {
                let fate = receive(server, state, presence(type_, address(&user(), "bare")));
                assert_eq!((fate.given, fate.answered.len()), (all.clone(), 0));
                // 8.5.3.2.2.
                let fate = receive(server, state, presence(type_, address(&user(), "gone")));
                assert_eq!(fate, Fate::default());
            }
            // 8.5.3.2.2: answers about a subscription to who is gone change nothing.
            for type_ in ["subscribed", "unsubscribe", "unsubscribed"] {
                let fate = receive(server, state, presence(type_, address(&user(), "gone")));
                assert_eq!(fate, Fate::default(), "{type_}");
            }
            // 8.5.2.1.3, 8.5.2.2.3 and 8.5.3.2.3: no client is asked, the server answers.
            for form in ["bare", "gone"] {
                for type_ in ["get", "set"] {
                    let fate = receive(server, state, iq(type_, address(&user(), form)));
                    assert_eq!(fate.answered, ["service-unavailable"]);
                    assert!(fate.given.is_empty());
                }
                for type_ in ["result", "error"] {
                    assert_eq!(
                        receive(server, state, iq(type_, address(&user(), form))),
                        Fate::default()
                    );
                }
            }
            if priorities.is_empty() {
                continue;
            }
            // 8.5.3.1: strangers learn nothing by asking; their answers, and presence, arrive.
            let to = || address(&user(), "full match");
            let fate = receive(server, state, iq("get", to()));
            assert_eq!(
                (fate.answered, fate.given),
                (vec!["service-unavailable".to_owned()], vec![])
            );
            for stanza in [
                iq("result", to()),
                iq("error", to()),
                presence("", to()),
                presence("unavailable", to()),
            ] {
                assert_eq!(receive(server, state, stanza).given, [0]);
            }
            // Who was told of our presence may ask; who is subscribed, too.
            state.session(0).unwrap().directed.insert(sender());
            assert_eq!(receive(server, state, iq("get", to())).given, [0]);
            state.session(0).unwrap().directed.clear();
            assert_eq!(
                receive(server, state, iq("set", to())).given,
                Vec::<u64>::new()
            );
            befriend(server, state);
            assert_eq!(receive(server, state, iq("set", to())).given, [0]);
        }
    };
    house.within(user(), work).await;
}
