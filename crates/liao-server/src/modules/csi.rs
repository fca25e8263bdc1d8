//! Client state (XEP-0352): what can wait does while nobody looks. The session reads `<active/>` and `<inactive/>`, its
//! mailbox holds what can wait: presence and "is writing", the latest of each; any other stanza takes all along.

use crate::hooks::{Cx, Inline, Module, Spec};
use crate::server::Server;
use liao_proto::{minidom::Element, ns};

pub struct Csi;

static SPEC: Spec = Spec {
    name: "csi",
    xeps: &["0352"],
    inline: &[ns::CSI],
    doc: "Spares a phone in a pocket what can wait.",
    ..Spec::EMPTY
};

impl Module for Csi {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Section 4.1.
    fn stream_features(&self, _: &Server, logged_in: bool, out: &mut String) {
        if logged_in {
            out.push_str(&format!("<csi xmlns='{}'/>", ns::CSI));
        }
    }

    fn on_inline(&self, cx: &mut Cx<'_>, session: u64, request: &Element) -> Inline {
        if let Some(session) = cx.entity.session(session) {
            session.mailbox.set_quiet(request.name() == "inactive");
        }
        Inline::Nothing
    }
}
