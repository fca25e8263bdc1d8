//! The two ways in which XMPP carries SASL: RFC 6120 section 6, and the extensible profile of XEP-0388.

use super::{Condition, MAX_MESSAGE_BYTES, decode, encode};
use crate::ns;
use crate::xml::escape;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// RFC 6120 section 6.
    Sasl,
    /// XEP-0388.
    Sasl2,
}

impl Profile {
    /// Its namespace.
    pub fn ns(self) -> &'static str {
        match self {
            Profile::Sasl => ns::SASL,
            Profile::Sasl2 => ns::SASL2,
        }
    }

    /// The bytes of an element's text. SASL2 knows no `=` for what is empty (XEP-0388 section 2.2); its examples break
    /// lines.
    pub fn decode(self, text: &str) -> Result<Vec<u8>, Condition> {
        if self == Profile::Sasl {
            return decode(text);
        }
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(Condition::MalformedRequest);
        }
        let text: String = text.split_ascii_whitespace().collect();
        STANDARD
            .decode(text)
            .map_err(|_| Condition::IncorrectEncoding)
    }

    /// The text of an element.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Profile::Sasl => encode(bytes),
            Profile::Sasl2 => STANDARD.encode(bytes),
        }
    }

    /// An element with data.
    pub fn element(self, name: &str, data: &[u8]) -> String {
        let (ns, text) = (self.ns(), self.encode(data));
        format!("<{name} xmlns='{ns}'>{text}</{name}>")
    }

    /// `<failure/>` (RFC 6120 section 6.5, XEP-0388 section 2.6.2).
    pub fn failure(self, condition: &str, text: &str) -> String {
        let text = match text {
            "" => String::new(),
            text => format!("<text xml:lang='en'>{}</text>", escape(text)),
        };
        let ns = match self {
            Profile::Sasl => String::new(),
            Profile::Sasl2 => format!(" xmlns='{}'", ns::SASL),
        };
        format!(
            "<failure xmlns='{}'><{condition}{ns}/>{text}</failure>",
            self.ns()
        )
    }
}
