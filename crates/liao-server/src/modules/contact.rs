//! Whom to turn to about this server (XEP-0157 section 3), from the configuration's `[contact]`.

use crate::hooks::{Module, Spec};
use crate::server::Server;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::xep::forms::{self, Field};

pub struct Contact;

static SPEC: Spec = Spec {
    name: "contact",
    xeps: &["0157"],
    doc: "Says whom to turn to: administrators, abuse, support.",
    ..Spec::EMPTY
};

/// The fields that are registered (section 6), without their `-addresses`.
const KINDS: [&str; 7] = [
    "abuse", "admin", "feedback", "sales", "security", "status", "support",
];

impl Module for Contact {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn server_form(&self, server: &Server) -> Option<Element> {
        let config = server.config();
        let fields: Vec<Field> = KINDS
            .iter()
            .map(|kind| {
                let key = format!("contact.{kind}");
                let all = config.list(&key).map(str::to_owned);
                Field::new(&format!("{kind}-addresses"), "", "").values(all)
            })
            .filter(|f| !f.values.is_empty())
            .collect();
        (!fields.is_empty()).then(|| forms::form("result", ns::SERVER_INFO, "", "", &fields))
    }
}
