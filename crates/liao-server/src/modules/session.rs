//! Session establishment of RFC 3921: nothing to do, but old clients ask for it.

use crate::hooks::{Answer, At, Cx, Module, Spec};
use liao_proto::{minidom::Element, ns, stanza::Stanza};

pub struct Session;

static SPEC: Spec = Spec {
    name: "session",
    iqs: &[
        ("session", ns::SESSION, At::Domain),
        ("session", ns::SESSION, At::Account),
    ],
    doc: "Lets clients of RFC 3921 establish a session.",
    ..Spec::EMPTY
};

impl Module for Session {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }
    fn on_iq(&self, _: &mut Cx<'_>, _: &Stanza, _: &Element, _: At) -> Answer {
        Answer::Result(None)
    }
}
