//! Ping (XEP-0199 section 4).

use crate::hooks::{Answer, At, Cx, Module, Spec};
use liao_proto::{minidom::Element, ns, stanza::Stanza};

pub struct Ping;

static SPEC: Spec = Spec {
    name: "ping",
    xeps: &["0199"],
    features: &[ns::PING],
    account_features: &[ns::PING],
    iqs: &[
        ("ping", ns::PING, At::Domain),
        ("ping", ns::PING, At::Account),
    ],
    doc: "Answers pings.",
    ..Spec::EMPTY
};

impl Module for Ping {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }
    fn on_iq(&self, _: &mut Cx<'_>, _: &Stanza, _: &Element, _: At) -> Answer {
        Answer::Result(None)
    }
}
