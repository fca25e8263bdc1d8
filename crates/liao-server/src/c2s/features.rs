//! Stream features: what a client may do next (RFC 6120 section 4.3.2, XEP-0388 section 2.1, XEP-0386 section 3.1,
//! XEP-0440).

use super::Connection;
use crate::server::Server;
use crate::{modules, registration};
use liao_proto::ns;
use liao_proto::sasl::{Mechanism, Profile};

/// Everything, the strongest first.
const ALL: &[Mechanism] = &[
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
];
/// Where the channel cannot be bound: ALL from here on.
const UNBOUND: &[Mechanism] = ALL.split_at(2).1;
/// Without TLS only what does not show the password.
const BARE: &[Mechanism] = UNBOUND.split_at(2).0;

impl Connection {
    /// What is offered now. SASL2 is for TLS only (XEP-0388 section 3).
    pub(super) fn mechanisms(&self, profile: Profile) -> &'static [Mechanism] {
        if self.peer.secure && !self.wire.bindings().is_empty() {
            ALL
        } else if self.peer.secure {
            UNBOUND
        } else if self.peer.local && profile == Profile::Sasl {
            // Only where nobody can listen.
            BARE
        } else {
            &[]
        }
    }

    /// Before the login.
    pub(super) fn features(&self) -> String {
        let mut out = String::new();
        let mechanisms = self.mechanisms(Profile::Sasl);
        if !self.peer.secure && self.tls.is_some() && !self.wire.is_websocket() {
            let must = if mechanisms.is_empty() {
                "<required/>"
            } else {
                ""
            };
            out.push_str(&format!("<starttls xmlns='{}'>{must}</starttls>", ns::TLS));
        }
        if !mechanisms.is_empty() {
            out.push_str(&format!(
                "<mechanisms xmlns='{}'>{}</mechanisms>",
                ns::SASL,
                list(mechanisms)
            ));
        }
        let mechanisms = self.mechanisms(Profile::Sasl2);
        if !mechanisms.is_empty() {
            out.push_str(&format!(
                "<authentication xmlns='{}'>{}<inline><bind xmlns='{}'><inline>{}</inline></bind>\
                 <sm xmlns='{}'/></inline></authentication>",
                ns::SASL2,
                list(mechanisms),
                ns::BIND2,
                inline(),
                ns::SM
            ));
        }
        if !self.wire.bindings().is_empty() {
            let types = self.wire.bindings().iter();
            let types = types.map(|b| format!("<channel-binding type='{}'/>", b.kind.name()));
            out.push_str(&format!(
                "<sasl-channel-binding xmlns='{}'>{}</sasl-channel-binding>",
                ns::SASL_CB,
                types.collect::<String>()
            ));
        }
        if !self.mechanisms(Profile::Sasl).is_empty() && registration::is_offered(&self.server) {
            out.push_str(&format!(
                "<register xmlns='{}'/><register xmlns='{}'/>",
                ns::REGISTER_FEATURE,
                ns::IBR_TOKEN
            ));
        }
        out.push_str(&modules::stream_features(&self.server, false));
        features(&out)
    }
}

/// After the login; a resource must be bound yet.
pub(super) fn to_bind(server: &Server) -> String {
    features(&format!(
        "<bind xmlns='{}'/><session xmlns='{}'><optional/></session><sm xmlns='{}'/>{}",
        ns::BIND,
        ns::SESSION,
        ns::SM,
        modules::stream_features(server, true)
    ))
}

/// After a resource was bound inline; `managed`: stream management is enabled already.
pub(super) fn bound(server: &Server, managed: bool) -> String {
    let more = modules::stream_features(server, true);
    if managed {
        return features(&more);
    }
    features(&format!("<sm xmlns='{}'/>{more}", ns::SM))
}

fn features(inner: &str) -> String {
    format!(
        "<stream:features xmlns:stream='{}'>{inner}</stream:features>",
        ns::STREAM
    )
}

fn list(mechanisms: &[Mechanism]) -> String {
    let names = mechanisms.iter().map(|m| m.name());
    names
        .map(|n| format!("<mechanism>{n}</mechanism>"))
        .collect()
}

/// What can be enabled while binding (XEP-0386 section 3.1): stream management, and what modules name.
fn inline() -> String {
    let names = modules::ALL.iter().flat_map(|m| m.spec().inline);
    let names = std::iter::once(&ns::SM).chain(names.filter(|n| **n != ns::BIND2));
    names.map(|n| format!("<feature var='{n}'/>")).collect()
}
