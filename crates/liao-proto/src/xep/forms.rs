//! Data forms (XEP-0004 section 3) with a `FORM_TYPE` (XEP-0068): what is asked, and what is answered.

use crate::ns;
use minidom::{Element, rxml};
use std::collections::BTreeMap;

/// One field of a form (section 3.2).
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// `var`.
    pub var: String,
    /// `type` (section 3.3); empty: none is written.
    pub type_: &'static str,
    /// `label`; empty: none is written.
    pub label: String,
    /// The values, or what is there already.
    pub values: Vec<String>,
    /// It must be answered.
    pub required: bool,
    /// Choices of a list: label and value.
    pub options: Vec<(String, String)>,
}

impl Field {
    /// A field with nothing in it.
    pub fn new(var: &str, type_: &'static str, label: &str) -> Field {
        Field {
            var: var.to_owned(),
            type_,
            label: label.to_owned(),
            ..Field::default()
        }
    }

    /// The same, and it must be answered.
    pub fn required(self) -> Field {
        Field {
            required: true,
            ..self
        }
    }

    /// The same with values.
    pub fn values(self, values: impl IntoIterator<Item = String>) -> Field {
        Field {
            values: values.into_iter().collect(),
            ..self
        }
    }

    fn to_element(&self) -> Element {
        let mut field = element("field");
        set(&mut field, "var", &self.var);
        set(&mut field, "type", self.type_);
        set(&mut field, "label", &self.label);
        if self.required {
            field.append_child(element("required"));
        }
        for value in &self.values {
            field.append_child(with_text("value", value));
        }
        for (label, value) in &self.options {
            let mut option = element("option");
            set(&mut option, "label", label);
            option.append_child(with_text("value", value));
            field.append_child(option);
        }
        field
    }
}

fn element(name: &str) -> Element {
    Element::bare(name, ns::DATA_FORMS)
}

fn with_text(name: &str, text: &str) -> Element {
    let mut child = element(name);
    child.append_text(text);
    child
}

fn set(element: &mut Element, name: &str, value: &str) {
    if let Ok(name) = rxml::NcName::try_from(name)
        && !value.is_empty()
    {
        element.set_attr(rxml::Namespace::NONE, name, value);
    }
}

/// An `<x/>` of a type (`form` or `result`); empty title and instructions are left out.
pub fn form(
    type_: &str,
    form_type: &str,
    title: &str,
    instructions: &str,
    fields: &[Field],
) -> Element {
    let mut x = element("x");
    set(&mut x, "type", type_);
    for (name, text) in [("title", title), ("instructions", instructions)] {
        if !text.is_empty() {
            x.append_child(with_text(name, text));
        }
    }
    let kind = Field::new("FORM_TYPE", "hidden", "").values([form_type.to_owned()]);
    x.append_child(kind.to_element());
    for field in fields {
        x.append_child(field.to_element());
    }
    x
}

/// A submitted form: values by `var`.
#[derive(Debug, Clone, Default)]
pub struct Answers(BTreeMap<String, Vec<String>>);

impl Answers {
    /// Reads a form of type `submit` (section 3.2). `None`: it is of another type, or of another `FORM_TYPE`; that one
    /// may be left out, as many programs do.
    pub fn read(x: &Element, form_type: &str) -> Option<Answers> {
        if !x.is("x", ns::DATA_FORMS) || x.attr("type") != Some("submit") {
            return None;
        }
        let mut all = BTreeMap::new();
        for field in x.children().filter(|c| c.is("field", ns::DATA_FORMS)) {
            let values: Vec<String> = field
                .children()
                .filter(|c| c.is("value", ns::DATA_FORMS))
                .map(Element::text)
                .collect();
            // Section 3.2: a var is unique in a form.
            if all.insert(field.attr("var")?.to_owned(), values).is_some() {
                return None;
            }
        }
        let answers = Answers(all);
        let fits = answers
            .first("FORM_TYPE")
            .is_none_or(|has| has == form_type);
        fits.then_some(answers)
    }

    /// The values of a field, without empty ones.
    pub fn all(&self, var: &str) -> Vec<&str> {
        let values = self.0.get(var).map(Vec::as_slice).unwrap_or_default();
        values
            .iter()
            .map(String::as_str)
            .filter(|v| !v.trim().is_empty())
            .collect()
    }

    /// The first value of a field that is not empty.
    pub fn first(&self, var: &str) -> Option<&str> {
        self.all(var).into_iter().next()
    }

    /// The lines of a `text-multi` field as one text.
    pub fn text(&self, var: &str) -> String {
        let lines = self.0.get(var).map(|v| v.join("\n")).unwrap_or_default();
        lines.trim().to_owned()
    }

    /// Whether the field was there, empty or not.
    pub fn has(&self, var: &str) -> bool {
        self.0.contains_key(var)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str) -> Option<Answers> {
        let xml = format!("<x xmlns='jabber:x:data' type='submit'>{inside}</x>");
        Answers::read(&xml.parse().unwrap(), "urn:a")
    }

    #[test]
    fn what_is_asked_is_written_and_what_is_answered_is_read() {
        let asked = Field::new("who", "jid-multi", "Who?").required();
        let x = form("form", "urn:a", "T", "", &[asked]);
        let field = x.children().find(|c| c.attr("var") == Some("who")).unwrap();
        assert!(field.has_child("required", ns::DATA_FORMS));
        assert_eq!(field.attr("label"), Some("Who?"));
        let answers = read(
            "<field var='FORM_TYPE'><value>urn:a</value></field>\
             <field var='who'><value>a</value><value/><value>b</value></field>\
             <field var='text'><value>one</value><value>two</value></field>",
        )
        .unwrap();
        assert_eq!(answers.all("who"), ["a", "b"]);
        assert_eq!(answers.text("text"), "one\ntwo");
        assert!(answers.first("nobody").is_none());
    }

    #[test]
    fn another_form_is_not_taken() {
        assert!(read("<field var='FORM_TYPE'><value>urn:b</value></field>").is_none());
        assert!(read("<field var='a'/><field var='a'/>").is_none());
        assert!(read("<field/>").is_none());
        let form = "<x xmlns='jabber:x:data' type='form'/>".parse().unwrap();
        assert!(Answers::read(&form, "urn:a").is_none());
    }
}
