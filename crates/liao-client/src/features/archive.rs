//! Questions to an archive of messages and what it answers (XEP-0313, in pages by XEP-0059).

use super::{Forwarded, forwarded};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::delay::utc_from_ms;
use liao_proto::xml::escape;

/// Messages of one page: so many are in memory at once, and so many are asked for again if the connection breaks.
pub const PAGE: usize = 100;

/// Which stretch of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    /// Its beginning, oldest first.
    First,
    /// What follows an id, oldest first (XEP-0059 section 2.2).
    After(String),
    /// What came at a time (milliseconds since 1970, UTC) or later, oldest first (section 4.1.2).
    Since(i64),
    /// The end of the archive (section 4.3.3).
    Newest,
    /// What stands right before an id (XEP-0059 section 2.3).
    Before(String),
    /// What came at a time or earlier, the end of it.
    Until(i64),
}

/// A question for one page, from our own archive; `with`: only what was said with this address (section 4.1.1).
pub fn query(id: &str, range: &Range, with: Option<&str>) -> String {
    let field = |var: &str, value: &str| {
        format!(
            "<field var='{var}'><value>{}</value></field>",
            escape(value)
        )
    };
    let mut fields = String::new();
    if let Some(with) = with {
        fields += &field("with", with);
    }
    match range {
        Range::Since(ms) => fields += &field("start", &utc_from_ms(*ms)),
        Range::Until(ms) => fields += &field("end", &utc_from_ms(*ms)),
        _ => {}
    }
    let form = match fields.is_empty() {
        true => String::new(),
        false => format!(
            "<x xmlns='{}' type='submit'><field var='FORM_TYPE' type='hidden'><value>{}</value></field>{fields}</x>",
            ns::DATA_FORMS,
            ns::MAM
        ),
    };
    let place = match range {
        Range::After(id) => format!("<after>{}</after>", escape(id)),
        Range::Before(id) => format!("<before>{}</before>", escape(id)),
        Range::Newest | Range::Until(_) => "<before/>".to_owned(),
        Range::First | Range::Since(_) => String::new(),
    };
    format!(
        "<iq type='set' id='{id}'><query xmlns='{}' queryid='{id}'>{form}<set xmlns='{}'><max>{PAGE}</max>{place}</set></query></iq>",
        ns::MAM,
        ns::RSM
    )
}

/// One message of an answer (section 4.2).
pub struct Found {
    /// Which question it answers.
    pub query: String,
    /// Its id in the archive.
    pub id: String,
    /// The message.
    pub forwarded: Forwarded,
}

/// Reads a result.
pub fn found(stanza: &Stanza) -> Option<Found> {
    let result = stanza.get("result", ns::MAM)?;
    Some(Found {
        query: result.attr("queryid").unwrap_or_default().to_owned(),
        id: result.attr("id")?.to_owned(),
        forwarded: forwarded(&result)?,
    })
}

/// The end of an answer (section 4.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fin {
    /// The ids of the page's ends; none if nothing was found.
    pub first: Option<String>,
    /// The newest.
    pub last: Option<String>,
    /// No further page is there in this direction.
    pub complete: bool,
    /// What was told may still change: it is to be asked again later.
    pub unstable: bool,
}

/// Reads the end of an answer.
pub fn fin(iq: &Stanza) -> Option<Fin> {
    let fin = iq.get("fin", ns::MAM)?;
    let set = fin.get_child("set", ns::RSM);
    let end = |name| {
        let text = set.and_then(|s| s.get_child(name, ns::RSM).map(Element::text));
        text.filter(|t| !t.is_empty())
    };
    Some(Fin {
        first: end("first"),
        last: end("last"),
        complete: matches!(fin.attr("complete"), Some("true" | "1")),
        unstable: matches!(fin.attr("stable"), Some("false" | "0")),
    })
}

/// Whether an error says that the archive has no such id (section 4.3.2).
pub fn is_unknown_id(iq: &Stanza) -> bool {
    let error = iq.get("error", ns::CLIENT);
    error.is_some_and(|e| e.has_child("item-not-found", ns::STANZAS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::stanza;

    #[test]
    fn a_question_names_its_stretch() {
        let after = query("q1", &Range::After("a<b".into()), None);
        assert!(
            after.contains("<max>100</max><after>a&lt;b</after>"),
            "{after}"
        );
        assert!(!after.contains("jabber:x:data"));
        let since = query("q2", &Range::Since(0), Some("b@y"));
        assert!(since.contains("<field var='start'><value>1970-01-01T00:00:00.000Z</value>"));
        assert!(since.contains("<field var='with'><value>b@y</value>"));
        assert!(query("q3", &Range::Newest, None).contains("<before/>"));
        assert!(stanza(&since).has("query", ns::MAM));
    }

    #[test]
    fn an_answer_is_read_also_where_a_message_was_taken_out() {
        let found = found(&stanza(
            "<message to='me@x/1'><result xmlns='urn:xmpp:mam:2' queryid='q1' id='7'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:01Z'/></forwarded></result></message>",
        ))
        .unwrap();
        assert_eq!((found.query.as_str(), found.id.as_str()), ("q1", "7"));
        assert!(found.forwarded.stanza.is_none());
        assert_eq!(found.forwarded.time_ms, Some(1000));
        let fin = fin(&stanza(
            "<iq type='result' id='q1'><fin xmlns='urn:xmpp:mam:2' complete='true' stable='false'>\
             <set xmlns='http://jabber.org/protocol/rsm'><first index='0'>1</first><last>9</last></set></fin></iq>",
        ))
        .unwrap();
        assert_eq!(fin.first.as_deref(), Some("1"));
        assert_eq!(fin.last.as_deref(), Some("9"));
        assert!(fin.complete && fin.unstable);
    }
}
