//! Registration of those who are logged in: change the password, give up the account (XEP-0077 sections 3.2, 3.3).

use crate::accounts::AccountError;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::registration;
use crate::server::is_local;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};

pub struct Register;

static SPEC: Spec = Spec {
    name: "register",
    xeps: &["0077", "0445"],
    features: &[ns::REGISTER],
    iqs: &[
        ("query", ns::REGISTER, At::Domain),
        ("query", ns::REGISTER, At::Account),
    ],
    doc: "Accounts: made by invite or openly, password changed, given up.",
    ..Spec::EMPTY
};

impl Module for Register {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, at: At) -> Answer {
        let Some(from) = iq.from.clone().filter(|f| is_local(cx.server, f)) else {
            // Section 3.2: who is no account here has none to give up.
            return Answer::Error(ErrorKind::REGISTRATION_REQUIRED);
        };
        let me = from.to_bare();
        if at == At::Account && me != cx.entity.bare {
            return Answer::Error(ErrorKind::SERVICE_UNAVAILABLE);
        }
        let Some(name) = me.node().map(|n| n.to_string()) else {
            return Answer::Error(ErrorKind::NOT_ALLOWED);
        };
        if iq.type_.as_deref() == Some("get") {
            // Section 3.1.1: registered already, and under which name; the password is not known here.
            let mut form = registration::form(&name);
            form.append_child(Element::bare("registered", ns::REGISTER));
            return Answer::Result(Some(form));
        }
        let accounts = cx.server.accounts.clone();
        let iq = iq.clone();
        if payload.has_child("remove", ns::REGISTER) {
            if payload.children().count() != 1 {
                return Answer::Error(ErrorKind::BAD_REQUEST);
            }
            if cx.server.accounts.admins().iter().eq([&me]) {
                // Whoever leaves so leaves a server that nobody administers (as in XEP-0133 section 4.2).
                return Answer::Error(registration::kind(&AccountError::LastAdmin));
            }
            let Some(server) = cx.server.arc() else {
                return Answer::Error(ErrorKind::INTERNAL_SERVER_ERROR);
            };
            return cx.answer_later(async move {
                // Section 3.2: the answer goes out before the stream ends.
                match accounts.delete(&name).await {
                    Ok(_) => {
                        server.account_removed(&me);
                        iq.result()
                    }
                    Err(error) => iq.error(&registration::kind(&error)),
                }
            });
        }
        let text = |n: &str| {
            payload
                .get_child(n, ns::REGISTER)
                .map(Element::text)
                .filter(|t| !t.is_empty())
        };
        match (text("username"), text("password")) {
            (Some(user), Some(password)) if user == name => cx.answer_later(async move {
                match accounts.set_password(&name, &password).await {
                    Ok(()) => iq.result(),
                    Err(error) => iq.error(&registration::kind(&error)),
                }
            }),
            (Some(_), Some(_)) => Answer::Error(ErrorKind::NOT_ALLOWED),
            _ => Answer::Error(ErrorKind::BAD_REQUEST),
        }
    }
}
