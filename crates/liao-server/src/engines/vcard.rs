//! vCards as they are stored (XEP-0054).

use liao_proto::ns;
use liao_proto::xml::escape;

/// The store's collection: one row an account, with the key `""`.
pub const COLLECTION: &str = "vcard";

/// A card of what an administrator knows of a new account; `None`: nothing.
pub fn of(given: &str, family: &str, email: &str) -> Option<String> {
    if [given, family, email].iter().all(|t| t.is_empty()) {
        return None;
    }
    let element = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("<{name}>{}</{name}>", escape(text)),
    };
    let full = format!("{given} {family}");
    let mut card = element("FN", full.trim());
    if !full.trim().is_empty() {
        let parts = element("FAMILY", family) + &element("GIVEN", given);
        card.push_str(&format!("<N>{parts}</N>"));
    }
    if !email.is_empty() {
        card.push_str(&format!(
            "<EMAIL><INTERNET/>{}</EMAIL>",
            element("USERID", email)
        ));
    }
    Some(format!("<vCard xmlns='{}'>{card}</vCard>", ns::VCARD))
}
