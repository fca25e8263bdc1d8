//! Entity time (XEP-0202 section 2).

use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::server::now_ms;
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::xep::delay::utc_from_ms;
use liao_proto::{minidom::Element, ns};

pub struct Time;

static SPEC: Spec = Spec {
    name: "time",
    xeps: &["0202"],
    features: &[ns::TIME],
    iqs: &[("time", ns::TIME, At::Domain)],
    doc: "Says what time it is, in UTC; where the server stands is nobody's business.",
    ..Spec::EMPTY
};

impl Module for Time {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, _: &mut Cx<'_>, iq: &Stanza, _: &Element, _: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        let mut time = Element::bare("time", ns::TIME);
        for (name, text) in [("tzo", "+00:00"), ("utc", &utc_from_ms(now_ms()))] {
            let mut child = Element::bare(name, ns::TIME);
            child.append_text(text);
            time.append_child(child);
        }
        Answer::Result(Some(time))
    }
}
