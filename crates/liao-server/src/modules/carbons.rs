//! Message carbons: switched on and off by each session (XEP-0280 sections 4 and 5). The copies themselves are made
//! where messages are delivered.

use crate::hooks::{Answer, At, Cx, Inline, Module, Spec};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Carbons;

static SPEC: Spec = Spec {
    name: "carbons",
    xeps: &["0280"],
    features: &[ns::CARBONS, ns::CARBON_RULES],
    account_features: &[ns::CARBONS],
    iqs: &[
        ("enable", ns::CARBONS, At::Account),
        ("disable", ns::CARBONS, At::Account),
    ],
    inline: &[ns::CARBONS],
    doc: "Each device sees what the others send and get.",
    ..Spec::EMPTY
};

impl Module for Carbons {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        if iq.type_.as_deref() != Some("set") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        let from = iq.from.as_ref().map(|f| f.as_str());
        let mut sessions = cx.entity.sessions.iter_mut();
        match sessions.find(|s| Some(s.full.as_str()) == from) {
            Some(session) => {
                session.carbons = payload.name() == "enable";
                Answer::Result(None)
            }
            // Section 4.1: a client that is not hosted here.
            None => Answer::Error(ErrorKind::NOT_ALLOWED),
        }
    }

    /// XEP-0386 section 3.2.
    fn on_inline(&self, cx: &mut Cx<'_>, session: u64, request: &Element) -> Inline {
        if request.name() == "enable"
            && let Some(session) = cx.entity.session(session)
        {
            session.carbons = true;
        }
        Inline::Nothing
    }
}
