//! The message of the day and the welcome, as people come (XEP-0133 sections 4.24 and 4.27).

use crate::engines::notices;
use crate::hooks::{Cx, Module, SessionChange, Spec};

pub struct Notices;

static SPEC: Spec = Spec {
    name: "notices",
    needs: &[notices::COLLECTION],
    doc: "Tells people the message of the day, and new ones the welcome.",
    ..Spec::EMPTY
};

impl Module for Notices {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_session(&self, cx: &mut Cx<'_>, change: SessionChange) {
        if let SessionChange::Reachable(session) = change {
            notices::greet(cx, session);
        }
    }
}
