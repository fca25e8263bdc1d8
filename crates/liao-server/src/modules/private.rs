//! Private storage (XEP-0049): elements that only the user's own clients see.

use crate::hooks::{Answer, At, Cx, Module, Spec};
use crate::limits;
use liao_proto::stanza::{ErrorKind, Stanza};
use liao_proto::{minidom::Element, ns};

pub struct Private;

/// The elements, by namespace and name.
const COLLECTION: &str = "private";
/// How many bytes each of them takes: what the bound looks at, while the elements stay on the disk.
const SIZES: &str = "private-size";

static SPEC: Spec = Spec {
    name: "private",
    xeps: &["0049"],
    features: &[ns::PRIVATE],
    account_features: &[ns::PRIVATE],
    iqs: &[("query", ns::PRIVATE, At::Account)],
    needs: &[SIZES],
    doc: "Keeps what clients store for themselves.",
    ..Spec::EMPTY
};

impl Module for Private {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn on_iq(&self, cx: &mut Cx<'_>, iq: &Stanza, payload: &Element, _: At) -> Answer {
        if iq
            .from
            .as_ref()
            .is_none_or(|f| f.to_bare() != cx.entity.bare)
        {
            // Section 2.3, example 3.
            return Answer::Error(ErrorKind::FORBIDDEN);
        }
        let children: Vec<&Element> = payload.children().collect();
        // Section 2.3: there must be a child, with a namespace of its own, and not a reserved one.
        if children.is_empty() || children.iter().any(|c| is_reserved(&c.ns())) {
            return Answer::Error(ErrorKind::NOT_ACCEPTABLE);
        }
        if iq.type_.as_deref() == Some("set") {
            return match set(cx, &children) {
                Ok(()) => Answer::Result(None),
                Err(error) => Answer::Error(error),
            };
        }
        let [wanted] = children.as_slice() else {
            return Answer::Error(ErrorKind::BAD_REQUEST.with_text("one element at a time"));
        };
        get(cx, iq, wanted)
    }
}

/// Section 2.3 and section 3: namespaces that belong to the protocol itself.
fn is_reserved(namespace: &str) -> bool {
    namespace.starts_with("jabber:")
        || namespace.starts_with("http://jabber.org/")
        || namespace == ns::VCARD
}

/// Names cannot contain a space, so this is one key for one element.
fn key(element: &Element) -> String {
    format!("{} {}", element.name(), element.ns())
}

fn set(cx: &mut Cx<'_>, children: &[&Element]) -> Result<(), ErrorKind> {
    let rows: Vec<(String, Vec<u8>)> = children
        .iter()
        .map(|c| (key(c), String::from(*c).into_bytes()))
        .collect();
    let size = |key: &str, value: usize| key.len() + value;
    let others: usize = cx
        .entity
        .rows(SIZES)
        .iter()
        .filter(|(k, _)| !rows.iter().any(|(key, _)| key == *k))
        .map(|(k, v)| size(k, String::from_utf8_lossy(v).parse().unwrap_or(0)))
        .sum();
    let new: usize = rows.iter().map(|(k, v)| size(k, v.len())).sum();
    if others + new > limits::PRIVATE_BYTES {
        return Err(ErrorKind::RESOURCE_CONSTRAINT.with_text("your private storage is full"));
    }
    for (key, value) in rows {
        cx.put(SIZES, &key, value.len().to_string().into_bytes());
        cx.put(COLLECTION, &key, value);
    }
    Ok(())
}

fn get(cx: &mut Cx<'_>, iq: &Stanza, wanted: &Element) -> Answer {
    let (store, owner, key) = (
        cx.server.store.clone(),
        cx.entity.bare.to_string(),
        key(wanted),
    );
    let empty = Element::bare(wanted.name(), wanted.ns());
    let iq = iq.clone();
    cx.answer_later(async move {
        let found = match store.get(COLLECTION, &owner, &key).await {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(None) => String::from(&empty),
            Err(error) => {
                tracing::error!(owner, %error, "private storage cannot be read");
                return iq.error(&ErrorKind::INTERNAL_SERVER_ERROR);
            }
        };
        let query = format!("<query xmlns='{}'>{found}</query>", ns::PRIVATE);
        iq.result().raw_child("query", ns::PRIVATE, &query)
    })
}
