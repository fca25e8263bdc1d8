//! Copies of what the account's other devices say and hear (XEP-0280).

use super::forwarded;
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::Stanza;

/// It pretends to be a copy: it does not come from our own bare address (section 11).
#[derive(Debug)]
pub struct Spoofed;

/// Asks for copies (section 4).
pub fn enable(id: &str) -> String {
    format!(
        "<iq type='set' id='{id}'><enable xmlns='{}'/></iq>",
        ns::CARBONS
    )
}

/// The message that one of our devices sent or got, out of a copy (sections 7 and 8); `None`: it is an ordinary message.
pub fn copy(stanza: &Stanza, me: &BareJid) -> Option<Result<Stanza, Spoofed>> {
    let (sent, wrapper) = match stanza.get("sent", ns::CARBONS) {
        Some(wrapper) => (true, wrapper),
        None => (false, stanza.get("received", ns::CARBONS)?),
    };
    // "Any forwarded copies received by a Carbons-enabled client MUST be from that user's bare JID."
    if stanza.from.as_ref().map(|f| f.as_str()) != Some(me.as_str()) {
        return Some(Err(Spoofed));
    }
    let inner = forwarded(&wrapper).and_then(|f| f.stanza)?;
    // A copy of what we did not say and was not said to us would be a lie of our own server.
    let ours = if sent { &inner.from } else { &inner.to };
    match ours.as_ref().is_none_or(|a| a.to_bare() == *me) {
        true => Some(Ok(inner)),
        false => Some(Err(Spoofed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::stanza;

    fn read(from: &str, inner_from: &str) -> Option<Result<Stanza, Spoofed>> {
        let me = BareJid::new("me@x").unwrap();
        let xml = format!(
            "<message from='{from}'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' from='{inner_from}' to='b@y'><body>hi</body></message></forwarded></sent></message>"
        );
        copy(&stanza(&xml), &me)
    }

    #[test]
    fn a_copy_comes_from_our_own_address_or_is_a_lie() {
        let Some(Ok(carbon)) = read("me@x", "me@x/phone") else {
            panic!("a copy");
        };
        assert_eq!(carbon.text_of("body", ns::CLIENT).as_deref(), Some("hi"));
        for (from, inner) in [
            ("mallory@x", "me@x/phone"),
            ("me@x/phone", "me@x/phone"),
            ("x", "me@x/phone"),
            ("me@x", "mallory@x"),
        ] {
            assert!(matches!(read(from, inner), Some(Err(Spoofed))), "{from}");
        }
    }
}
