//! What a stream may carry and how long it may be silent, said in its features (XEP-0478 section 3.1).

use crate::hooks::{Module, Spec};
use crate::limits;
use crate::server::Server;
use liao_proto::ns;

pub struct Limits;

static SPEC: Spec = Spec {
    name: "limits",
    xeps: &["0478"],
    doc: "Tells clients how large a stanza may be, and when silence is asked about.",
    ..Spec::EMPTY
};

impl Module for Limits {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn stream_features(&self, server: &Server, logged_in: bool, out: &mut String) {
        let (bytes, seconds) = if logged_in {
            (server.bounds.stanza_bytes, server.bounds.idle_ping_s)
        } else {
            (
                limits::STANZA_BYTES_UNAUTHENTICATED,
                server.bounds.unauthenticated_s,
            )
        };
        out.push_str(&format!(
            "<limits xmlns='{}'><max-bytes>{bytes}</max-bytes><idle-seconds>{seconds}</idle-seconds></limits>",
            ns::STREAM_LIMITS
        ));
    }
}
