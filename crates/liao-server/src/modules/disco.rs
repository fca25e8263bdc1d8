//! Service discovery (XEP-0030 sections 3 and 4), derived from what the modules declare; and its hash in the stream
//! features (XEP-0115 section 6.3), so that clients need not ask again. Presence passes with its capabilities as the
//! client wrote them: to leave out what a contact has seen (section 8.4) would mean to remember it for each of them.

use crate::engines::roster::set;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::server::Server;
use liao_proto::jid::Jid;
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::xep::caps::verification;
use liao_proto::{minidom::Element, ns};

pub struct Disco;

static SPEC: Spec = Spec {
    name: "disco",
    xeps: &["0030", "0115", "0128"],
    features: &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::CAPS],
    account_features: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    iqs: &[
        ("query", ns::DISCO_INFO, At::Domain),
        ("query", ns::DISCO_INFO, At::Account),
        ("query", ns::DISCO_ITEMS, At::Domain),
        ("query", ns::DISCO_ITEMS, At::Account),
    ],
    doc: "Says what the server and an account can do.",
    ..Spec::EMPTY
};

impl Module for Disco {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn stream_features(&self, server: &Server, logged_in: bool, out: &mut String) {
        if logged_in {
            let [node, ver] = capabilities(server);
            out.push_str(&format!(
                "<c xmlns='{}' hash='sha-1' node='{node}' ver='{ver}'/>",
                ns::CAPS
            ));
        }
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, at: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::NOT_ALLOWED);
        }
        if at == At::Account && !may_see(cx, iq.from.as_ref()) {
            // Section 8: what an account is must not leak to strangers. It wants an empty list of items for them; that would
            // tell it from an address that is nobody's, for which RFC 6121 section 8.5.1 demands this error.
            return Answer::Error(ErrorKind::SERVICE_UNAVAILABLE);
        }
        let node = payload.attr("node").unwrap_or_default();
        let info = payload.ns() == ns::DISCO_INFO;
        let mut query = Element::bare("query", payload.ns());
        match (node, at, info) {
            ("", At::Domain, true) => query = about(cx.server),
            ("", At::Account, true) => describe(&mut query, at),
            ("", At::Domain, false) => items(cx, &mut query),
            ("", At::Account, false) => {}
            (_, At::Domain, true) if node == capabilities(cx.server).join("#") => {
                query = about(cx.server);
            }
            (_, At::Domain, _) => match super::commands::describe(cx, iq, node, &mut query, info) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Answer::Error(error),
                None => return Answer::Error(ErrorKind::ITEM_NOT_FOUND),
            },
            _ => return Answer::Error(ErrorKind::ITEM_NOT_FOUND),
        }
        if !node.is_empty() {
            set(&mut query, "node", node);
        }
        Answer::Result(Some(query))
    }
}

/// What the server is and can do, with the forms of XEP-0128.
fn about(server: &Server) -> Element {
    let mut query = Element::bare("query", ns::DISCO_INFO);
    describe(&mut query, At::Domain);
    for form in super::ALL.iter().filter_map(|m| m.server_form(server)) {
        query.append_child(form);
    }
    query
}

/// XEP-0115 section 4: node and hash.
fn capabilities(server: &Server) -> [String; 2] {
    [ns::CAPS_NODE.to_owned(), verification(&about(server))]
}

/// Section 8: the owner and those who see the owner's presence may ask.
fn may_see(cx: &Cx<'_>, from: Option<&Jid>) -> bool {
    let Some(bare) = from.map(Jid::to_bare) else {
        return false;
    };
    bare == cx.entity.bare || cx.entity.roster.get(&bare).is_some_and(|c| c.from)
}

/// Appends an identity.
pub fn identity(query: &mut Element, category: &str, type_: &str, name: &str) {
    let mut identity = Element::bare("identity", ns::DISCO_INFO);
    set(&mut identity, "category", category);
    set(&mut identity, "type", type_);
    if !name.is_empty() {
        set(&mut identity, "name", name);
    }
    query.append_child(identity);
}

/// Appends a feature.
pub fn feature(query: &mut Element, var: &str) {
    let mut feature = Element::bare("feature", ns::DISCO_INFO);
    set(&mut feature, "var", var);
    query.append_child(feature);
}

fn describe(query: &mut Element, at: At) {
    match at {
        At::Domain => identity(query, "server", "im", "liao"),
        At::Account => identity(query, "account", "registered", ""),
    }
    let mut all: Vec<_> = super::ALL
        .iter()
        .flat_map(|m| match at {
            At::Domain => m.spec().features,
            At::Account => m.spec().account_features,
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    for var in all {
        feature(query, var);
    }
}

fn items(cx: &Cx<'_>, query: &mut Element) {
    for service in cx
        .server
        .services
        .get()
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        let (jid, name) = service.item();
        let mut item = Element::bare("item", ns::DISCO_ITEMS);
        set(&mut item, "jid", &jid);
        if !name.is_empty() {
            set(&mut item, "name", name);
        }
        query.append_child(item);
    }
}
