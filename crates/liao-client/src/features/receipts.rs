//! Delivery receipts (XEP-0184).

use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// What asks for a receipt.
pub fn request() -> String {
    format!("<request xmlns='{}'/>", ns::RECEIPTS)
}

/// The id of a message whose sender wants to know that it arrived (section 5). A receipt never asks for one
/// (section 5.4).
pub fn wanted(stanza: &Stanza) -> Option<&str> {
    let asks = stanza.has("request", ns::RECEIPTS) && !stanza.has("received", ns::RECEIPTS);
    stanza.id.as_deref().filter(|_| asks)
}

/// A receipt for the message `id`: nothing else is in it (section 7), and it has the type of what it answers.
pub fn receipt(to: &str, type_: &str, id: &str) -> String {
    format!(
        "<message type='{type_}' to='{}'><received xmlns='{}' id='{}'/></message>",
        escape(to),
        ns::RECEIPTS,
        escape(id)
    )
}

/// The message whose receipt this is.
pub fn received(stanza: &Stanza) -> Option<String> {
    let receipt = stanza.get("received", ns::RECEIPTS)?;
    receipt.attr("id").map(str::to_owned)
}
