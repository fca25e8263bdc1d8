//! Messages inside of messages, without parsing them: XEP-0297 (forwarding), XEP-0280 (carbons), XEP-0313 (results),
//! XEP-0359 (stanza-ids). What comes in is a stanza as [`crate::stanza::Stanza::to_bytes`] writes it.

use crate::ns;
use crate::xml::escape;
use bytes::Bytes;

const START: &[u8] = b"<message";
const END: &[u8] = b"</message>";

/// A written message with one more child at its end.
pub fn with_child(message: &Bytes, child: &str) -> Bytes {
    let Some(body) = message.strip_suffix(END) else {
        // It has no children: `<message …/>`.
        let start = message.strip_suffix(b"/>").unwrap_or(message);
        return [start, b">", child.as_bytes(), END].concat().into();
    };
    [body, child.as_bytes(), END].concat().into()
}

/// A written message with its id in the archive of `by` (XEP-0359 section 3.1).
pub fn with_stanza_id(message: &Bytes, by: &str, id: &str) -> Bytes {
    let child = format!(
        "<stanza-id xmlns='{}' by='{}' id='{}'/>",
        ns::STANZA_ID,
        escape(by),
        escape(id)
    );
    with_child(message, &child)
}

/// `<delay/>` (XEP-0203 section 2).
pub fn delay(from: &str, stamp: &str) -> String {
    format!(
        "<delay xmlns='{}' from='{}' stamp='{stamp}'/>",
        ns::DELAY,
        escape(from)
    )
}

/// `<forwarded/>` around a written message (XEP-0297 section 3.1): the content namespace is declared anew.
fn forwarded(out: &mut Vec<u8>, delay: &str, message: &Bytes) {
    out.extend_from_slice(format!("<forwarded xmlns='{}'>{delay}", ns::FORWARD).as_bytes());
    out.extend_from_slice(START);
    out.extend_from_slice(format!(" xmlns='{}'", ns::CLIENT).as_bytes());
    out.extend_from_slice(message.strip_prefix(START).unwrap_or_default());
    out.extend_from_slice(b"</forwarded>");
}

/// A carbon copy, `sent` or `received` (XEP-0280 sections 7 and 8).
pub fn carbon(kind: &str, bare: &str, full: &str, type_: &str, message: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 320);
    out.extend_from_slice(
        format!(
            "<message from='{}' to='{}' type='{type_}'><{kind} xmlns='{}'>",
            escape(bare),
            escape(full),
            ns::CARBONS
        )
        .as_bytes(),
    );
    forwarded(&mut out, "", message);
    out.extend_from_slice(format!("</{kind}></message>").as_bytes());
    out.into()
}

/// A result of an archive query (XEP-0313 section 4.2).
pub fn archived(
    bare: &str,
    full: &str,
    query: Option<&str>,
    id: &str,
    stamp: &str,
    message: &Bytes,
) -> Bytes {
    let query = query.map_or(String::new(), |q| format!(" queryid='{}'", escape(q)));
    let mut out = Vec::with_capacity(message.len() + 400);
    out.extend_from_slice(
        format!(
            "<message from='{}' to='{}'><result xmlns='{}'{query} id='{}'>",
            escape(bare),
            escape(full),
            ns::MAM,
            escape(id)
        )
        .as_bytes(),
    );
    let delay = format!("<delay xmlns='{}' stamp='{stamp}'/>", ns::DELAY);
    forwarded(&mut out, &delay, message);
    out.extend_from_slice(b"</result></message>");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Stanza;

    #[test]
    fn what_is_put_around_a_message_is_a_stanza_and_the_message_in_it_is_unharmed() {
        let message = Stanza::message("chat")
            .to("b@x/r".parse::<jid::Jid>().unwrap())
            .raw_child("body", ns::CLIENT, "<body>汉</body>")
            .to_bytes();
        let numbered = with_stanza_id(&message, "b@x", "i'1");
        let stanza = Stanza::parse_bytes(&numbered).unwrap();
        let id = stanza.get("stanza-id", ns::STANZA_ID).unwrap();
        assert_eq!((id.attr("by"), id.attr("id")), (Some("b@x"), Some("i'1")));
        let copy =
            Stanza::parse_bytes(&carbon("received", "b@x", "b@x/o", "chat", &message)).unwrap();
        let inner = copy.get("received", ns::CARBONS).unwrap();
        let inner = inner.get_child("forwarded", ns::FORWARD).unwrap();
        let inner = inner.get_child("message", ns::CLIENT).unwrap();
        assert_eq!(inner.get_child("body", ns::CLIENT).unwrap().text(), "汉");
        let result = archived(
            "b@x",
            "b@x/o",
            Some("q"),
            "id",
            "2026-01-01T00:00:00Z",
            &message,
        );
        let result = Stanza::parse_bytes(&result)
            .unwrap()
            .get("result", ns::MAM)
            .unwrap();
        assert_eq!(result.attr("queryid"), Some("q"));
        let empty = with_child(&Stanza::message("").to_bytes(), "<a xmlns='b'/>");
        assert!(Stanza::parse_bytes(&empty).unwrap().has("a", "b"));
    }
}
