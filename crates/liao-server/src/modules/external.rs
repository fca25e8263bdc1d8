//! Servers that help calls through firewalls (XEP-0215), from the configuration's `[turn]`.

use crate::engines::roster::set;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::server::{is_local, now_ms};
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::xep::delay::utc_from_ms;
use liao_proto::xep::external::{Service, credentials};
use liao_proto::{minidom::Element, ns};

pub struct External;

static SPEC: Spec = Spec {
    name: "external",
    xeps: &["0215"],
    features: &[ns::EXTDISCO],
    iqs: &[
        ("services", ns::EXTDISCO, At::Domain),
        ("credentials", ns::EXTDISCO, At::Domain),
    ],
    doc: "Names the STUN and TURN servers for calls, with credentials that expire.",
    ..Spec::EMPTY
};

impl Module for External {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        if iq.type_.as_deref() != Some("get") {
            return Answer::Error(ErrorKind::BAD_REQUEST);
        }
        let user = iq.from.as_ref().filter(|f| is_local(cx.server, f));
        let Some(user) = user.and_then(|f| f.node()).map(|n| n.to_string()) else {
            // Section 2: credentials are for this server's accounts.
            return Answer::Error(ErrorKind::FORBIDDEN);
        };
        let all: Vec<Service> = cx
            .server
            .config()
            .list("turn.services")
            .filter_map(Service::parse)
            .collect();
        if payload.name() == "services" {
            return Answer::Result(Some(services(cx, payload, &all, &user)));
        }
        match given(cx, payload, &all, &user) {
            Ok(answer) => Answer::Result(Some(answer)),
            Err(error) => Answer::Error(error),
        }
    }
}

/// Sections 3.1 and 3.2.
fn services(cx: &Cx<'_>, payload: &Element, all: &[Service], user: &str) -> Element {
    let mut answer = Element::bare("services", ns::EXTDISCO);
    let wanted = payload.attr("type");
    if let Some(type_) = wanted {
        set(&mut answer, "type", type_);
    }
    for service in all.iter().filter(|s| wanted.is_none_or(|w| w == s.type_)) {
        answer.append_child(described(cx, service, user));
    }
    answer
}

/// Section 3.3.
fn given(
    cx: &Cx<'_>,
    payload: &Element,
    all: &[Service],
    user: &str,
) -> Result<Element, ErrorKind> {
    let wanted = payload
        .get_child("service", ns::EXTDISCO)
        .ok_or(ErrorKind::BAD_REQUEST)?;
    let (Some(host), Some(type_)) = (wanted.attr("host"), wanted.attr("type")) else {
        return Err(ErrorKind::BAD_REQUEST);
    };
    let port = wanted.attr("port");
    let met: Vec<&Service> = all
        .iter()
        .filter(|s| s.host == host && s.type_ == type_ && s.takes_credentials())
        .filter(|s| port.is_none_or(|p| p == s.port.to_string()))
        .collect();
    if met.is_empty() || cx.server.config().get("turn.secret").is_empty() {
        return Err(ErrorKind::ITEM_NOT_FOUND);
    }
    let mut answer = Element::bare("credentials", ns::EXTDISCO);
    for service in met {
        answer.append_child(described(cx, service, user));
    }
    Ok(answer)
}

fn described(cx: &Cx<'_>, service: &Service, user: &str) -> Element {
    let config = cx.server.config();
    let mut element = Element::bare("service", ns::EXTDISCO);
    set(&mut element, "host", &service.host);
    set(&mut element, "port", &service.port.to_string());
    set(&mut element, "type", service.type_);
    set(&mut element, "transport", service.transport);
    let secret = config.get("turn.secret");
    if service.takes_credentials() && !secret.is_empty() {
        let seconds: i64 = config.get("turn.ttl_s").parse().unwrap_or_default();
        let expires_s = now_ms() / 1000 + seconds;
        let (name, password) = credentials(secret, user, expires_s);
        set(&mut element, "username", &name);
        set(&mut element, "password", &password);
        set(&mut element, "expires", &utc_from_ms(expires_s * 1000));
        set(&mut element, "restricted", "true");
    }
    element
}
