//! Ids of messages that do not change on the way (XEP-0359).

use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::stanza::Stanza;

/// The id under which an archive has the message (section 2.1). Only the archive itself may say so, and only its own
/// server takes away what others put there: nobody else's word counts.
pub fn archive_id(stanza: &Stanza, archive: &BareJid) -> Option<String> {
    stanza
        .children()
        .iter()
        .filter(|c| c.name == "stanza-id" && c.ns == ns::STANZA_ID)
        .filter_map(|c| stanza.parse(c))
        .find(|e| e.attr("by") == Some(archive.as_str()))
        .and_then(|e| e.attr("id").map(str::to_owned))
}

/// The id that the sender's program chose (section 2.2).
pub fn origin_id(stanza: &Stanza) -> Option<String> {
    let origin = stanza.get("origin-id", ns::STANZA_ID)?;
    origin.attr("id").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::stanza;

    #[test]
    fn only_the_archive_itself_gives_its_ids() {
        let me = BareJid::new("me@x").unwrap();
        let got = stanza(
            "<message from='b@y/1'><stanza-id xmlns='urn:xmpp:sid:0' by='b@y' id='false'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='me@x' id='true'/><origin-id xmlns='urn:xmpp:sid:0' id='o'/></message>",
        );
        assert_eq!(archive_id(&got, &me).as_deref(), Some("true"));
        assert_eq!(origin_id(&got).as_deref(), Some("o"));
    }
}
