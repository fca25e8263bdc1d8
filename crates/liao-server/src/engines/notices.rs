//! What the server itself tells people: announcements, the message of the day, the welcome (XEP-0133 sections 4.23 to
//! 4.28). They are headlines (RFC 6121 section 5.2.2): nobody answers them.

use crate::entity::{Behind, Item};
use crate::hooks::Cx;
use crate::server::{Server, random_id};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use serde::{Deserialize, Serialize};

/// The store's collection: one row an account, with the key `""`.
pub const COLLECTION: &str = "notices";

/// What an account has been told.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    /// The message of the day, by its id.
    motd: Option<String>,
}

/// Says something to one session.
fn say(cx: &mut Cx<'_>, session: u64, text: &str) {
    let Some(full) = cx.entity.session(session).map(|s| s.full.clone()) else {
        return;
    };
    let mut body = Element::bare("body", ns::CLIENT);
    body.append_text(text);
    let message = Stanza::message("headline")
        .id(Some(&random_id()))
        .from(cx.server.domain.clone())
        .to(full)
        .child(&body);
    cx.deliver(session, message.to_bytes());
}

/// A session can get messages: the welcome, if the account is new, and the message of the day, if nobody of the
/// account has had it.
pub fn greet(cx: &mut Cx<'_>, session: u64) {
    if cx.entity.behind != Behind::Account {
        return;
    }
    let row = cx.entity.rows(COLLECTION).get("");
    let told: Option<Told> = row.and_then(|v| serde_json::from_slice(v).ok());
    let rules = cx.server.accounts.rules.now();
    let is_new = told.is_none();
    let had = told.unwrap_or_default().motd;
    if let Some(welcome) = rules.welcome.as_ref().filter(|_| is_new) {
        say(cx, session, welcome);
    }
    let motd = rules.motd.as_ref().filter(|m| had.as_ref() != Some(&m.id));
    if let Some(motd) = motd {
        say(cx, session, &motd.text);
    }
    if is_new || motd.is_some() {
        let told = Told {
            motd: motd.map(|m| m.id.clone()).or(had),
        };
        cx.put(
            COLLECTION,
            "",
            serde_json::to_vec(&told).unwrap_or_default(),
        );
    }
}

/// Everybody who can get messages is greeted anew: the message of the day has changed.
pub fn greet_all(server: &Server) {
    for bare in server.online() {
        let greet = |cx: &mut Cx<'_>| {
            let reachable = cx.entity.sessions.iter().filter(|s| s.is_reachable());
            let all: Vec<u64> = reachable.map(|s| s.id).collect();
            if let Some((first, more)) = all.split_first() {
                let before = cx.out.releases.len();
                greet(cx, *first);
                let rules = cx.server.accounts.rules.now();
                let new = cx.out.releases.len() > before;
                if let Some(motd) = rules.motd.as_ref().filter(|_| new) {
                    more.iter()
                        .for_each(|session| say(cx, *session, &motd.text));
                }
            }
        };
        server.post(bare, Item::Do(Box::new(greet)));
    }
}

/// Says something to everyone who is connected.
pub fn announce(server: &Server, text: &str) {
    for bare in server.online() {
        let text = text.to_owned();
        let tell = move |cx: &mut Cx<'_>| {
            let all: Vec<u64> = cx.entity.sessions.iter().map(|s| s.id).collect();
            all.into_iter().for_each(|session| say(cx, session, &text));
        };
        server.post(bare, Item::Do(Box::new(tell)));
    }
}
