//! Ad-hoc commands (XEP-0050): so far the one by which a user makes an invite (XEP-0401 section 3).

use super::disco::{feature, identity};
use crate::engines::roster::set;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::server::is_local;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};

pub struct Commands;

static SPEC: Spec = Spec {
    name: "commands",
    xeps: &["0050", "0401"],
    features: &[ns::COMMANDS],
    iqs: &[("command", ns::COMMANDS, At::Domain)],
    doc: "Commands for people: invite somebody.",
    ..Spec::EMPTY
};

impl Module for Commands {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        let node = payload.attr("node").unwrap_or_default();
        if node != ns::INVITE {
            return Answer::Error(ErrorKind::ITEM_NOT_FOUND);
        }
        if !may_invite(cx, iq) {
            return Answer::Error(ErrorKind::FORBIDDEN);
        }
        match payload.attr("action").unwrap_or("execute") {
            "execute" | "complete" | "next" => {}
            "cancel" => {
                return Answer::Result(Some(command("canceled", payload.attr("sessionid"))));
            }
            // XEP-0050 section 4.4.
            _ => return Answer::Error(ErrorKind::BAD_REQUEST),
        }
        let Some(from) = iq.from.as_ref().map(|f| f.to_bare()) else {
            return Answer::Error(ErrorKind::FORBIDDEN);
        };
        let Some(server) = cx.server.arc() else {
            return Answer::Error(ErrorKind::INTERNAL_SERVER_ERROR);
        };
        let iq = iq.clone();
        cx.answer_later(async move {
            match server
                .accounts
                .create_invite(Some(from), false, crate::accounts::INVITE_TTL)
                .await
            {
                Ok(invite) => {
                    let uris = server.invite_uris(&invite);
                    let mut done = command("completed", None);
                    done.append_child(result_form(&uris, &invite.expires_text()));
                    iq.result().child(&done)
                }
                Err(error) => iq.error(&crate::registration::kind(&error)),
            }
        })
    }
}

fn may_invite(cx: &Cx<'_>, iq: &Stanza) -> bool {
    iq.from.as_ref().is_some_and(|f| is_local(cx.server, f))
        && cx.server.config().registration_mode() != "closed"
}

/// A `<command/>` in answer (XEP-0050 section 3).
fn command(status: &str, session: Option<&str>) -> Element {
    let mut element = Element::bare("command", ns::COMMANDS);
    set(&mut element, "node", ns::INVITE);
    set(&mut element, "status", status);
    set(
        &mut element,
        "sessionid",
        session.unwrap_or(&crate::server::random_id()),
    );
    element
}

/// XEP-0401 section 3.2: the URIs in a form of type result.
fn result_form(uris: &[String], expires: &str) -> Element {
    let mut form = Element::bare("x", ns::DATA_FORMS);
    set(&mut form, "type", "result");
    let mut field = |var: &str, label: &str, value: &str| {
        let mut field = Element::bare("field", ns::DATA_FORMS);
        set(&mut field, "var", var);
        set(&mut field, "label", label);
        let mut child = Element::bare("value", ns::DATA_FORMS);
        child.append_text(value);
        field.append_child(child);
        form.append_child(field);
    };
    for uri in uris {
        let (var, label) = if uri.starts_with("xmpp:") {
            ("uri", "Invite URI")
        } else {
            ("landing-url", "Invite link")
        };
        field(var, label, uri);
    }
    field("expire", "Valid until", expires);
    form
}

/// disco of the command list (XEP-0050 section 2.2).
pub fn describe(cx: &Cx<'_>, iq: &Stanza, query: &mut Element, info: bool) {
    if info {
        identity(query, "automation", "command-list", "");
        feature(query, ns::COMMANDS);
    } else if may_invite(cx, iq) {
        let mut item = Element::bare("item", ns::DISCO_ITEMS);
        set(&mut item, "jid", cx.server.domain.as_str());
        set(&mut item, "node", ns::INVITE);
        set(&mut item, "name", "Invite somebody");
        query.append_child(item);
    }
}
