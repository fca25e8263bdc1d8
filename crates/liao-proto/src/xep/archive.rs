//! Queries of a message archive (XEP-0313 section 4) with pages (XEP-0059), and preferences (XEP-0441), as elements.

use crate::ns;
use crate::stanza::ErrorKind;
use crate::xep::delay;
use jid::Jid;
use minidom::Element;

/// A query as it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// `queryid`.
    pub id: Option<String>,
    /// The other side; a bare address stands for all of its resources.
    pub with: Option<Jid>,
    /// Not before; ms since 1970.
    pub start_ms: Option<i64>,
    /// Not after; ms since 1970.
    pub end_ms: Option<i64>,
    /// Only behind these messages: `after-id` and the page's `<after/>`.
    pub after: Vec<String>,
    /// Only before these: `before-id` and the page's `<before/>`.
    pub before: Vec<String>,
    /// Only these.
    pub ids: Option<Vec<String>>,
    /// The page is taken from the end.
    pub backwards: bool,
    /// The newest message of the page first.
    pub flip: bool,
    /// At most so many; 0 asks for the count alone (XEP-0059 section 2.6).
    pub max: Option<usize>,
}

const BAD: ErrorKind = ErrorKind::BAD_REQUEST;

impl Query {
    /// Reads `<query/>`.
    pub fn parse(query: &Element) -> Result<Query, ErrorKind> {
        let mut out = Query {
            id: query.attr("queryid").map(str::to_owned),
            flip: query.has_child("flip-page", ns::MAM),
            ..Query::default()
        };
        if let Some(form) = query.get_child("x", ns::DATA_FORMS) {
            out.form(form)?;
        }
        if let Some(set) = query.get_child("set", ns::RSM) {
            out.page(set)?;
        }
        Ok(out)
    }

    fn form(&mut self, form: &Element) -> Result<(), ErrorKind> {
        if form.attr("type") != Some("submit") {
            return Err(BAD.with_text("the form is not of type submit"));
        }
        let fields = || form.children().filter(|c| c.is("field", ns::DATA_FORMS));
        let values = |field: &Element| -> Vec<String> {
            let values = field.children().filter(|c| c.is("value", ns::DATA_FORMS));
            values.map(Element::text).collect()
        };
        let is_type = |f: &&Element| f.attr("var") == Some("FORM_TYPE");
        if fields().find(is_type).map(values) != Some(vec![ns::MAM.to_owned()]) {
            return Err(BAD.with_text("the form has another FORM_TYPE"));
        }
        for field in fields().filter(|f| !is_type(f)) {
            let values = values(field);
            let one = || values.first().map(|v| v.trim()).filter(|v| !v.is_empty());
            let time = || match one().map(delay::ms_from_utc) {
                Some(None) => Err(BAD.with_text("a time is not as XEP-0082 wants it")),
                time => Ok(time.flatten()),
            };
            match field.attr("var").unwrap_or_default() {
                "with" => {
                    let with = one().map(Jid::new).transpose();
                    self.with = with.map_err(|_| ErrorKind::JID_MALFORMED)?;
                }
                "start" => self.start_ms = time()?,
                "end" => self.end_ms = time()?,
                "after-id" => self.after.extend(one().map(str::to_owned)),
                "before-id" => self.before.extend(one().map(str::to_owned)),
                "ids" => self.ids = Some(values),
                _ => {
                    // Section 4.1.5.
                    return Err(ErrorKind::FEATURE_NOT_IMPLEMENTED.with_text("an unknown field"));
                }
            }
        }
        Ok(())
    }

    /// XEP-0059 section 2.
    fn page(&mut self, set: &Element) -> Result<(), ErrorKind> {
        let text = |name: &str| {
            set.get_child(name, ns::RSM)
                .map(|e| e.text().trim().to_owned())
        };
        if let Some(max) = text("max") {
            let digits = !max.is_empty() && max.bytes().all(|b| b.is_ascii_digit());
            let max = max.parse().ok().or(digits.then_some(usize::MAX));
            self.max = Some(max.ok_or(BAD.with_text("max is no number"))?);
        }
        if text("index").is_some() {
            // Section 2.4 lets a server do without.
            return Err(ErrorKind::FEATURE_NOT_IMPLEMENTED.with_text("no pages by index"));
        }
        if let Some(before) = text("before") {
            self.backwards = true;
            self.before.extend(Some(before).filter(|b| !b.is_empty()));
        }
        if let Some(after) = text("after").filter(|a| !a.is_empty()) {
            self.after.push(after);
        }
        Ok(())
    }
}

/// The end of a query's results (section 4.3.2).
pub fn fin(complete: bool, first_last: Option<(&str, &str)>, count: Option<u64>) -> Element {
    let complete = if complete { " complete='true'" } else { "" };
    let ends = first_last.map_or(String::new(), |(first, last)| {
        let (first, last) = (crate::xml::escape(first), crate::xml::escape(last));
        format!("<first>{first}</first><last>{last}</last>")
    });
    let count = count.map_or(String::new(), |n| format!("<count>{n}</count>"));
    let xml = format!(
        "<fin xmlns='{}'{complete}><set xmlns='{}'>{ends}{count}</set></fin>",
        ns::MAM,
        ns::RSM
    );
    parsed(&xml, "fin")
}

/// The fields that a query may have (section 4.1.5).
pub fn form() -> Element {
    let xml = format!(
        "<query xmlns='{}'><x xmlns='{}' type='form'>\
         <field type='hidden' var='FORM_TYPE'><value>{}</value></field>\
         <field type='jid-single' var='with'/><field type='text-single' var='start'/>\
         <field type='text-single' var='end'/><field type='text-single' var='before-id'/>\
         <field type='text-single' var='after-id'/><field type='list-multi' var='ids'>\
         <validate xmlns='{}' datatype='xs:string'><open/></validate></field></x></query>",
        ns::MAM,
        ns::DATA_FORMS,
        ns::MAM,
        ns::VALIDATE
    );
    parsed(&xml, "query")
}

/// The ends of an archive, by id and time (section 5); `None`: it is empty.
pub fn metadata(span: Option<[(&str, i64); 2]>) -> Element {
    let ends = span.map_or(String::new(), |[start, end]| {
        let end_of = |name: &str, (id, ms): (&str, i64)| {
            let stamp = delay::utc_from_ms(ms);
            format!(
                "<{name} id='{}' timestamp='{stamp}'/>",
                crate::xml::escape(id)
            )
        };
        end_of("start", start) + &end_of("end", end)
    });
    parsed(
        &format!("<metadata xmlns='{}'>{ends}</metadata>", ns::MAM),
        "metadata",
    )
}

/// Our own words, well-formed as they stand.
fn parsed(xml: &str, name: &str) -> Element {
    crate::xml::parse_dom(xml.as_bytes(), std::iter::empty())
        .unwrap_or_else(|| Element::bare(name, ns::MAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(inner: &str) -> Result<Query, ErrorKind> {
        Query::parse(&parsed(
            &format!("<query xmlns='{}' queryid='q'>{inner}</query>", ns::MAM),
            "query",
        ))
    }

    fn form_of(fields: &str) -> String {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{}</value></field>{fields}</x>",
            ns::MAM
        )
    }

    #[test]
    fn section_4_1_every_field_is_read_and_what_is_wrong_gets_its_error() {
        let all = "<field var='with'><value>A@X/r</value></field><field var='start'><value>1970-01-01T00:00:01Z</value></field>\
                   <field var='after-id'><value>a</value></field><field var='ids'><value>i</value><value>j</value></field>";
        let set = "<set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before>b</before></set><flip-page/>";
        let q = query(&(form_of(all) + set)).unwrap();
        assert_eq!(q.with.as_ref().map(Jid::as_str), Some("a@x/r"));
        assert_eq!(
            (q.start_ms, q.max, q.flip, q.backwards),
            (Some(1000), Some(10), true, true)
        );
        assert_eq!(q.ids, Some(vec!["i".into(), "j".into()]));
        assert_eq!(
            (&q.after[..], &q.before[..]),
            (&["a".to_owned()][..], &["b".to_owned()][..])
        );
        let error = |inner: &str| query(inner).unwrap_err().condition;
        let field = |var: &str, value: &str| {
            form_of(&format!(
                "<field var='{var}'><value>{value}</value></field>"
            ))
        };
        assert_eq!(error(&field("{x}y", "1")), "feature-not-implemented");
        assert_eq!(error(&field("start", "yesterday")), "bad-request");
        assert_eq!(error(&field("with", "@")), "jid-malformed");
        assert_eq!(
            error("<x xmlns='jabber:x:data' type='submit'/>"),
            "bad-request"
        );
        assert_eq!(
            error("<set xmlns='http://jabber.org/protocol/rsm'><max>x</max></set>"),
            "bad-request"
        );
    }
}
