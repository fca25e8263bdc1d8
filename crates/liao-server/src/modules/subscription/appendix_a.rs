//! RFC 6121 appendix A and section 3.4.2, row by row: each state, each type, outbound and inbound.

use crate::engines::roster::{Contact, put};
use crate::entity::{Item, State, run};
use crate::hooks::{Cx, Effects, Release};
use crate::mailbox::Credit;
use crate::modules::stage::{House, bind, user};
use crate::server::Server;
use liao_proto::jid::{BareJid, Jid};
use liao_proto::ns;
use liao_proto::stanza::{Kind, Stanza};

/// The nine states of A.1: to, from, pending out, pending in.
const STATES: [(&str, [bool; 4]); 9] = [
    ("None", [false, false, false, false]),
    ("None + Pending Out", [false, false, true, false]),
    ("None + Pending In", [false, false, false, true]),
    ("None + Pending Out+In", [false, false, true, true]),
    ("To", [true, false, false, false]),
    ("To + Pending In", [true, false, false, true]),
    ("From", [false, true, false, false]),
    ("From + Pending Out", [false, true, true, false]),
    ("Both", [true, true, false, false]),
];

const SAME: &str = "no state change";

/// The rows of a table, in the order of [`STATES`]: routed or delivered, and the new state.
type Rows = [(bool, &'static str); 9];

/// Tables 2 to 5: what the user sends.
#[rustfmt::skip]
const OUTBOUND: [(&str, &str, Rows); 4] = [
    ("A.2.1", "subscribe", [
        (true, "None + Pending Out"), (true, SAME), (true, "None + Pending Out+In"), (true, SAME),
        (true, SAME), (true, SAME), (true, "From + Pending Out"), (true, SAME), (true, SAME),
    ]),
    ("A.2.2", "unsubscribe", [
        (true, SAME), (true, "None"), (true, SAME), (true, "None + Pending In"),
        (true, "None"), (true, "None + Pending In"), (true, SAME), (true, "From"), (true, "From"),
    ]),
    ("A.2.3", "subscribed", [
        (false, SAME), (false, SAME), (true, "From"), (true, "From + Pending Out"),
        (false, SAME), (true, "Both"), (false, SAME), (false, SAME), (false, SAME),
    ]),
    ("A.2.4", "unsubscribed", [
        (false, SAME), (false, SAME), (true, "None"), (true, "None + Pending Out"),
        (false, SAME), (true, "To"), (true, "None"), (true, "None + Pending Out"), (true, "To"),
    ]),
];

/// Tables 6 to 9: what the contact sends.
#[rustfmt::skip]
const INBOUND: [(&str, &str, Rows); 4] = [
    ("A.3.1", "subscribe", [
        (true, "None + Pending In"), (true, "None + Pending Out+In"), (false, SAME), (false, SAME),
        (true, "To + Pending In"), (false, SAME), (false, SAME), (false, SAME), (false, SAME),
    ]),
    ("A.3.2", "unsubscribe", [
        (false, SAME), (false, SAME), (true, "None"), (true, "None + Pending Out"),
        (false, SAME), (true, "To"), (true, "None"), (true, "None + Pending Out"), (true, "To"),
    ]),
    ("A.3.3", "subscribed", [
        (false, SAME), (true, "To"), (false, SAME), (true, "To + Pending In"),
        (false, SAME), (false, SAME), (false, SAME), (true, "Both"), (false, SAME),
    ]),
    ("A.3.4", "unsubscribed", [
        (false, SAME), (true, "None"), (false, SAME), (true, "None + Pending In"),
        (true, "None"), (true, "None + Pending In"), (false, SAME), (true, "From"), (true, "From"),
    ]),
];

/// With one session that is online and interested.
fn online(work: fn(&Server, &mut State)) -> impl FnOnce(&Server, &mut State) + Send {
    move |server, state| {
        bind(server, state, 1, "r", Some(0));
        if let Some(session) = state.session(1) {
            session.interested = true;
        }
        work(server, state);
    }
}

fn contact() -> BareJid {
    BareJid::new("contact@x.example").unwrap()
}

fn request() -> String {
    let stanza = Stanza::presence("subscribe").from(contact()).to(user());
    String::from_utf8(stanza.to_bytes().to_vec()).unwrap()
}

/// What was seen of one row.
#[derive(Debug, Default)]
struct Seen {
    /// Presence that left for the contact, by type.
    routed: Vec<String>,
    /// Presence that the user's session got, by type.
    delivered: Vec<String>,
    /// Roster pushes.
    pushed: usize,
}

fn seen(effects: Effects) -> Seen {
    let mut seen = Seen::default();
    for release in effects.releases {
        match release {
            Release::Route(stanza) => {
                assert_eq!(stanza.to.as_ref().map(Jid::to_bare), Some(contact()));
                seen.routed.push(stanza.type_str().to_owned());
            }
            Release::Session { bytes, .. } => {
                let stanza = Stanza::parse_bytes(&bytes).unwrap();
                match stanza.kind {
                    Kind::Iq => seen.pushed += usize::from(stanza.has("query", ns::ROSTER)),
                    _ => seen.delivered.push(stanza.type_str().to_owned()),
                }
            }
            _ => panic!("something else leaves"),
        }
    }
    seen
}

/// Puts the contact in a state; `listed`: in the visible list even if nothing else asks for it.
fn stage(
    server: &Server,
    state: &mut State,
    [to, from, ask, asked]: [bool; 4],
    approved: bool,
    listed: bool,
) {
    state.roster = Default::default();
    let hidden = !listed && !to && !from && !ask && !approved;
    if hidden && !asked {
        return;
    }
    let row = Contact {
        to,
        from,
        ask,
        approved,
        request: asked.then(request),
        hidden,
        ..Contact::default()
    };
    let work = move |cx: &mut Cx<'_>| put(cx, &contact(), row);
    run(server, state, Item::Do(Box::new(work)));
}

fn state_of(state: &State) -> &'static str {
    let c = state.roster.get(&contact()).cloned().unwrap_or_default();
    let is = [c.to, c.from, c.ask, c.request.is_some()];
    STATES
        .iter()
        .find(|(_, s)| *s == is)
        .map_or("?", |(n, _)| n)
}

fn presence(server: &Server, state: &mut State, type_: &str, outbound: bool) -> Seen {
    let item = if outbound {
        let credit = Credit::take(&state.sessions[0].mailbox, 1, 1);
        Item::Send(1, Stanza::presence(type_).to(contact()), credit)
    } else {
        Item::Receive(Stanza::presence(type_).from(contact()).to(user()), None)
    };
    seen(run(server, state, item))
}

#[tokio::test]
async fn rfc_6121_appendix_a_every_row_of_every_table() {
    let house = House::new("appendix-a").await;
    house.within(user(), online(every_row)).await;
}

fn every_row(server: &Server, state: &mut State) {
    let mut wrong = Vec::new();
    let tables = OUTBOUND.iter().map(|t| (true, t));
    for (outbound, (section, type_, rows)) in tables.chain(INBOUND.iter().map(|t| (false, t))) {
        for ((name, is), (goes, new)) in STATES.iter().zip(rows) {
            let new = if *new == SAME { name } else { new };
            for listed in [true, false] {
                stage(server, state, *is, false, listed);
                let before = state.roster.get(&contact()).cloned();
                let seen = presence(server, state, type_, outbound);
                let went = if outbound {
                    &seen.routed
                } else {
                    &seen.delivered
                };
                let went = went.iter().any(|t| t == type_);
                let found = state_of(state);
                let mut fine = went == *goes && found == *new;
                // What shows in the list is pushed, and nothing else (sections 3.1 to 3.3).
                let shown = |c: Option<&Contact>| {
                    c.filter(|c| !c.hidden)
                        .map(|c| (c.subscription(), c.ask, c.approved))
                };
                let changed = shown(before.as_ref()) != shown(state.roster.get(&contact()));
                fine &= !changed || seen.pushed == 1;
                // Notes of tables 6 and 7: the server answers for the user.
                let answers = match (*section, *type_) {
                    ("A.3.1", _) if is[1] => Some("subscribed"),
                    ("A.3.2", _) if *goes => Some("unsubscribed"),
                    _ => None,
                };
                if !outbound {
                    let said = seen.routed.iter().find(|t| t.ends_with("subscribed"));
                    fine &= said.map(String::as_str) == answers;
                }
                if !fine {
                    wrong.push(format!(
                        "{section} {type_:12} {name:22} listed: {listed}: {seen:?}, now {found}, not {new}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn rfc_6121_section_3_4_2_pre_approval_case_by_case() {
    let house = House::new("pre-approval").await;
    house.within(user(), online(pre_approval)).await;
}

fn pre_approval(server: &Server, state: &mut State) {
    // 1: ignored; 2: an ordinary approval; 3 and 4: noted, and nothing leaves.
    for (name, is) in STATES {
        let noted = !is[1] && !is[3];
        stage(server, state, is, false, name != "None");
        let seen = presence(server, state, "subscribed", true);
        let row = state.roster.get(&contact()).cloned().unwrap_or_default();
        assert_eq!(row.approved, noted, "{name}");
        assert_eq!(seen.pushed, usize::from(!is[1]), "{name}");
        assert_eq!(
            seen.routed.iter().any(|t| t == "subscribed"),
            is[3],
            "{name}"
        );
        if !noted {
            continue;
        }
        assert!(!row.hidden, "{name} is in the list");
        // The request that comes is answered, not shown; and the approval is used up.
        let seen = presence(server, state, "subscribe", false);
        let row = state.roster.get(&contact()).cloned().unwrap_or_default();
        assert!(row.from && !row.approved, "{name}");
        assert!(seen.delivered.is_empty(), "{name}");
        assert!(seen.routed.iter().any(|t| t == "subscribed"), "{name}");
        // Taken back before it was used.
        stage(server, state, is, true, true);
        let seen = presence(server, state, "unsubscribed", true);
        let row = state.roster.get(&contact()).cloned().unwrap_or_default();
        assert!(!row.approved && seen.routed.is_empty(), "{name}");
    }
}
