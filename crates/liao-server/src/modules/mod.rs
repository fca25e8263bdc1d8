//! THE table: every feature of the server, one row each. The order is the priority.

use crate::engines;
use crate::hooks::{At, Module};
use crate::server::Server;
use liao_proto::minidom::Element;
use liao_proto::ns;
use std::sync::OnceLock;

mod activity;
mod archive;
mod blocking;
mod carbons;
pub mod commands;
mod contact;
mod csi;
mod disco;
mod external;
mod limits;
mod message;
mod notices;
mod offline;
mod ping;
mod policy;
mod presence;
mod private;
mod register;
mod roster;
mod session;
#[cfg(test)]
mod stage;
mod subscription;
mod time;
mod vcard;
mod version;

/// All modules.
pub static ALL: &[&dyn Module] = &[
    // why first: what is kept out or blocked must not reach the others
    &policy::Policy,
    &blocking::Blocking,
    // why before presence: it takes the words of a farewell
    &activity::Activity,
    &roster::Roster,
    // why before presence: it takes the subscription types out of the stream of presence
    &subscription::Subscription,
    &presence::Presence,
    // why before message: it must see a session become reachable before live messages are given to it
    &offline::Offline,
    &message::Message,
    &archive::Archive,
    &carbons::Carbons,
    &csi::Csi,
    &notices::Notices,
    &disco::Disco,
    &ping::Ping,
    &version::Version,
    &session::Session,
    &register::Register,
    &commands::Commands,
    &private::Private,
    &vcard::Vcard,
    &time::Time,
    &external::External,
    &contact::Contact,
    &limits::Limits,
];

/// The module that answers an IQ payload.
pub fn for_iq(name: &str, ns: &str, at: At) -> Option<&'static dyn Module> {
    ALL.iter().copied().find(|m| {
        m.spec()
            .iqs
            .iter()
            .any(|(n, s, a)| *n == name && *s == ns && *a == at)
    })
}

/// The stream features that modules offer.
pub fn stream_features(server: &Server, logged_in: bool) -> String {
    let mut out = String::new();
    for module in ALL {
        module.stream_features(server, logged_in, &mut out);
    }
    out
}

/// Who is asked when a resource is bound with this `<bind/>` (XEP-0386 section 3.2), in the order of the table: for
/// each of its children the modules that name its namespace, for the whole of it those that name Bind 2 itself.
pub fn inline(bind: &Element) -> impl Iterator<Item = (&'static dyn Module, &Element)> {
    let requests = std::iter::once(bind).chain(bind.children().filter(|c| c.ns() != ns::BIND2));
    let requests: Vec<&Element> = requests.collect();
    ALL.iter().copied().flat_map(move |module| {
        let asked: Vec<_> = requests
            .iter()
            .filter(|r| module.spec().inline.contains(&r.ns().as_str()))
            .map(|r| (module, *r))
            .collect();
        asked
    })
}

/// The collections that hooks read.
pub fn needs() -> &'static [&'static str] {
    static NEEDS: OnceLock<Vec<&'static str>> = OnceLock::new();
    NEEDS.get_or_init(|| {
        let mut all: Vec<_> = ALL
            .iter()
            .flat_map(|m| m.spec().needs.iter().copied())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    })
}

/// Whether a collection is kept in the state as plain rows: needed, and without an engine that reads it.
pub fn is_row(collection: &str) -> bool {
    let read = [engines::roster::COLLECTION, engines::offline::COLLECTION];
    needs().contains(&collection) && !read.contains(&collection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_iq_payloads_are_taken_once() {
        let mut names: Vec<_> = ALL.iter().map(|m| m.spec().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let mut iqs: Vec<_> = ALL
            .iter()
            .flat_map(|m| {
                m.spec()
                    .iqs
                    .iter()
                    .map(|(n, s, a)| format!("{n} {s} {a:?}"))
            })
            .collect();
        let all = iqs.len();
        iqs.sort_unstable();
        iqs.dedup();
        assert_eq!(iqs.len(), all);
    }
}
