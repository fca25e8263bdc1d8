//! vCards (XEP-0054): one's own is set and read, others' are read.

use crate::engines::vcard::COLLECTION;
use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::limits;
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Vcard;

static SPEC: Spec = Spec {
    name: "vcard",
    xeps: &["0054"],
    features: &[ns::VCARD],
    account_features: &[ns::VCARD],
    iqs: &[("vCard", ns::VCARD, At::Account)],
    doc: "Keeps what people say of themselves, for everyone to read.",
    ..Spec::EMPTY
};

impl Module for Vcard {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        let own = iq
            .from
            .as_ref()
            .is_some_and(|f| f.to_bare() == cx.entity.bare);
        if iq.type_.as_deref() != Some("get") {
            return if own {
                set(cx, payload)
            } else {
                // Section 3.2.
                Answer::Error(ErrorKind::FORBIDDEN)
            };
        }
        let (store, owner, iq) = (
            cx.server.store.clone(),
            cx.entity.bare.to_string(),
            iq.clone(),
        );
        cx.answer_later(async move {
            match store.get(COLLECTION, &owner, "").await {
                Ok(Some(card)) => {
                    iq.result()
                        .raw_child("vCard", ns::VCARD, &String::from_utf8_lossy(&card))
                }
                Ok(None) if own => iq.error(&ErrorKind::ITEM_NOT_FOUND),
                // Section 3.3: the same as for an account that does not exist.
                Ok(None) => iq.error(&ErrorKind::SERVICE_UNAVAILABLE),
                Err(error) => {
                    tracing::error!(owner, %error, "a vCard cannot be read");
                    iq.error(&ErrorKind::INTERNAL_SERVER_ERROR)
                }
            }
        })
    }
}

fn set(cx: &mut Cx<'_>, payload: &Element) -> Answer {
    let card = String::from(payload).into_bytes();
    if card.len() > limits::VCARD_BYTES {
        return Answer::Error(
            ErrorKind::RESOURCE_CONSTRAINT.with_text("this vCard is too large; a smaller picture?"),
        );
    }
    if payload.children().next().is_none() {
        cx.delete(COLLECTION, "");
    } else {
        cx.put(COLLECTION, "", card);
    }
    Answer::Result(None)
}
