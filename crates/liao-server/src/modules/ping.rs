//! Ping (XEP-0199 section 4).

use crate::hooks::{Answer, At, Cx, Module, Spec};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

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
    fn on_iq(&self, _: &mut Cx<'_>, iq: &Stanza, _: &Element, _: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        Answer::Result(None)
    }
}
