//! Entity capabilities: the verification string of a disco#info answer (XEP-0115 section 5.1).

use crate::ns;
use base64::Engine;
use minidom::Element;
use sha1::{Digest, Sha1};

/// The values of a form's field, sorted as bytes.
fn values(field: &Element) -> Vec<String> {
    let mut all: Vec<String> = field
        .children()
        .filter(|c| c.is("value", ns::DATA_FORMS))
        .map(Element::text)
        .collect();
    all.sort_unstable();
    all
}

/// A form by its `FORM_TYPE`, ready to be appended; `None`: a form without one is not counted (section 5.4).
fn form(form: &Element) -> Option<(String, String)> {
    let mut fields: Vec<(&str, Vec<String>)> = form
        .children()
        .filter(|c| c.is("field", ns::DATA_FORMS))
        .map(|f| (f.attr("var").unwrap_or_default(), values(f)))
        .collect();
    let at = fields.iter().position(|(var, _)| *var == "FORM_TYPE")?;
    let type_ = fields.remove(at).1.into_iter().next()?;
    fields.sort_unstable();
    let mut out = format!("{type_}<");
    for (var, values) in fields {
        out.push_str(var);
        out.push('<');
        for value in values {
            out.push_str(&value);
            out.push('<');
        }
    }
    Some((type_, out))
}

/// The `ver` of an answer's `<query/>`, by SHA-1.
pub fn verification(query: &Element) -> String {
    let attr = |e: &Element, name: &str| e.attr(name).unwrap_or_default().to_owned();
    let mut identities: Vec<[String; 4]> = Vec::new();
    let mut features: Vec<String> = Vec::new();
    let mut forms: Vec<(String, String)> = Vec::new();
    for child in query.children() {
        if child.is("identity", ns::DISCO_INFO) {
            let lang = child.attr_ns(ns::XML, "lang").map(str::to_owned);
            identities.push([
                attr(child, "category"),
                attr(child, "type"),
                lang.unwrap_or_default(),
                attr(child, "name"),
            ]);
        } else if child.is("feature", ns::DISCO_INFO) {
            features.push(attr(child, "var"));
        } else if child.is("x", ns::DATA_FORMS) {
            forms.extend(form(child));
        }
    }
    identities.sort_unstable();
    features.sort_unstable();
    forms.sort_unstable();
    let mut all = String::new();
    for identity in identities {
        all.push_str(&identity.join("/"));
        all.push('<');
    }
    for feature in features {
        all.push_str(&feature);
        all.push('<');
    }
    for (_, form) in forms {
        all.push_str(&form);
    }
    base64::engine::general_purpose::STANDARD.encode(Sha1::digest(all.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ver(inside: &str) -> String {
        let xml = format!("<query xmlns='{}'>{inside}</query>", ns::DISCO_INFO);
        verification(&xml.parse().unwrap())
    }

    #[test]
    fn the_examples_of_sections_5_2_and_5_3() {
        let features = "<feature var='http://jabber.org/protocol/muc'/>\
             <feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='http://jabber.org/protocol/disco#info'/>\
             <feature var='http://jabber.org/protocol/caps'/>";
        let simple = "<identity category='client' name='Exodus 0.9.1' type='pc'/>";
        assert_eq!(
            ver(&format!("{simple}{features}")),
            "QgayPKawpkPSDYmwT/WM94uAlu0="
        );
        let complex = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
             <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>";
        let form = "<x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
             <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>\
             <field var='software_version'><value>0.11</value></field>\
             <field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>\
             <field var='software'><value>Psi</value></field></x>";
        assert_eq!(
            ver(&format!("{complex}{features}{form}")),
            "q07IKJEyjvHSyhy//CH0CxmKi8w="
        );
    }
}
