//! Software version (XEP-0092 section 3).

use crate::hooks::{Answer, At, Cx, Module, Spec};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Version;

static SPEC: Spec = Spec {
    name: "version",
    xeps: &["0092"],
    features: &[ns::VERSION],
    iqs: &[("query", ns::VERSION, At::Domain)],
    doc: "Says which software this is; the operating system is nobody's business.",
    ..Spec::EMPTY
};

impl Module for Version {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }
    fn on_iq(&self, _: &mut Cx<'_>, iq: &Stanza, _: &Element, _: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        let mut query = Element::bare("query", ns::VERSION);
        for (name, text) in [("name", "liao"), ("version", env!("CARGO_PKG_VERSION"))] {
            let mut child = Element::bare(name, ns::VERSION);
            child.append_text(text);
            query.append_child(child);
        }
        Answer::Result(Some(query))
    }
}
