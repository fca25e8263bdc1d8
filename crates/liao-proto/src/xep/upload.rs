//! HTTP File Upload (XEP-0363): what a client asks for, the slot that it gets, or why it gets none.

use super::delay::{ms_from_utc, utc_from_ms};
use crate::ns;
use crate::stanza::{ErrorKind, Stanza};
use crate::xml::escape;
use minidom::Element;

/// Bytes of a file's name that are kept: file systems of those who save it take no longer ones.
pub const NAME_BYTES: usize = 200;
/// Bytes of a content type.
const TYPE_BYTES: usize = 127;

/// What a file is for (section "Upload purpose").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An attachment; the default.
    Message,
    /// A picture of oneself.
    Profile,
    /// It must not be there after this, in ms since 1970, UTC.
    Ephemeral(i64),
    /// Until it is deleted.
    Permanent,
}

impl Purpose {
    /// The names of all, as the features carry them.
    pub const NAMES: [&'static str; 4] = ["message", "profile", "ephemeral", "permanent"];

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Message => "message",
            Purpose::Profile => "profile",
            Purpose::Ephemeral(_) => "ephemeral",
            Purpose::Permanent => "permanent",
        }
    }
}

/// A request for a slot (section "Requesting a slot").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file's name, safe to be shown and saved.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its content type, if the client says it.
    pub content_type: Option<String>,
    /// What it is for.
    pub purpose: Purpose,
}

impl Request {
    /// Reads `<request/>`.
    pub fn read(element: &Element) -> Result<Request, ErrorKind> {
        let bad = |text| ErrorKind::BAD_REQUEST.with_text(text);
        let name = element
            .attr("filename")
            .filter(|n| !n.is_empty())
            .ok_or(bad("a request needs a filename"))?;
        let size = element
            .attr("size")
            .and_then(|s| s.trim().parse().ok())
            .filter(|s| *s > 0)
            .ok_or(bad("a request needs a size in bytes, 1 or more"))?;
        let content_type = element.attr("content-type").filter(|t| !t.is_empty());
        if content_type.is_some_and(|t| !is_content_type(t)) {
            return Err(ErrorKind::NOT_ACCEPTABLE.with_text("this is no content type"));
        }
        Ok(Request {
            name: clean_name(name),
            size,
            content_type: content_type.map(str::to_owned),
            purpose: purpose(element)?,
        })
    }
}

fn purpose(request: &Element) -> Result<Purpose, ErrorKind> {
    let mut all = request.children().filter(|c| c.ns() == ns::UPLOAD_PURPOSE);
    let Some(element) = all.next() else {
        return Ok(Purpose::Message);
    };
    if all.next().is_some() {
        return Err(ErrorKind::BAD_REQUEST.with_text("a file has one purpose"));
    }
    match element.name() {
        "message" => Ok(Purpose::Message),
        "profile" => Ok(Purpose::Profile),
        "permanent" => Ok(Purpose::Permanent),
        "ephemeral" => element
            .attr("expire-before")
            .and_then(ms_from_utc)
            .map(Purpose::Ephemeral)
            .ok_or(ErrorKind::BAD_REQUEST.with_text("expire-before must be a date and time")),
        _ => Err(ErrorKind::FEATURE_NOT_IMPLEMENTED.with_text("this purpose is not offered")),
    }
}

/// RFC 9110 section 8.3.1: type/subtype, and parameters in visible ASCII.
fn is_content_type(text: &str) -> bool {
    let essence = essence(text);
    let token = |t: &str| {
        !t.is_empty()
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    text.len() <= TYPE_BYTES
        && text.bytes().all(|b| (b' '..0x7f).contains(&b))
        && essence
            .split_once('/')
            .is_some_and(|(a, b)| token(a) && token(b))
}

/// A content type without its parameters.
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The name without a path and without what would deceive a reader: control characters and those that turn the
/// direction of writing. The ending stays.
pub fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !is_deceptive(*c)).collect();
    let kept = kept.trim().trim_start_matches('.');
    if kept.is_empty() {
        return "file".to_owned();
    }
    if kept.len() <= NAME_BYTES {
        return kept.to_owned();
    }
    let ending = kept
        .rsplit_once('.')
        .map(|(_, e)| e)
        .filter(|e| !e.is_empty() && e.len() <= 16)
        .map_or(String::new(), |e| format!(".{e}"));
    let mut end = NAME_BYTES - ending.len();
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &kept[..end])
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// RFC 3986 section 2.1: everything but unreserved characters is percent-encoded.
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The answer to a request: one address for both, and the header that the upload must carry.
pub fn slot(iq: &Stanza, url: &str, authorization: &str) -> Stanza {
    let (url, value) = (escape(url), escape(authorization));
    let xml = format!(
        "<slot xmlns='{}'><put url='{url}'><header name='Authorization'>{value}</header></put>\
         <get url='{url}'/></slot>",
        ns::UPLOAD
    );
    iq.result().raw_child("slot", ns::UPLOAD, &xml)
}

/// Why there is no slot (section "Error conditions").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// More than so many bytes.
    TooLarge(u64),
    /// Not now; again at this time, in ms since 1970, UTC, if it is known.
    Wait(String, Option<i64>),
    /// Anything else.
    Other(ErrorKind),
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Refusal {
        Refusal::Other(kind)
    }
}

impl Refusal {
    /// The error answer.
    pub fn answer(&self, iq: &Stanza) -> Stanza {
        let (type_, condition, text, more) = match self {
            Refusal::Other(kind) => return iq.error(kind),
            Refusal::TooLarge(max) => (
                "modify",
                "not-acceptable",
                format!("File too large. The maximum file size is {max} bytes"),
                format!(
                    "<file-too-large xmlns='{}'><max-file-size>{max}</max-file-size></file-too-large>",
                    ns::UPLOAD
                ),
            ),
            Refusal::Wait(text, at) => {
                let stamp = |ms| {
                    let stamp = utc_from_ms(ms);
                    format!("<retry xmlns='{}' stamp='{stamp}'/>", ns::UPLOAD)
                };
                let more = at.map_or(String::new(), stamp);
                ("wait", "resource-constraint", text.clone(), more)
            }
        };
        let stanzas = ns::STANZAS;
        let error = format!(
            "<error xmlns='{}' type='{type_}'><{condition} xmlns='{stanzas}'/>\
             <text xmlns='{stanzas}' xml:lang='en'>{}</text>{more}</error>",
            ns::CLIENT,
            escape(&text)
        );
        let mut answer = iq.result().raw_child("error", ns::CLIENT, &error);
        answer.type_ = Some("error".to_owned());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &str, inside: &str) -> Result<Request, ErrorKind> {
        let xml = format!(
            "<request xmlns='{}' {attributes}>{inside}</request>",
            ns::UPLOAD
        );
        Request::read(&xml.parse().unwrap())
    }

    #[test]
    fn requests_are_read_with_their_purpose() {
        let all = read(
            "filename='très cool.jpg' size='23456' content-type='image/jpeg'",
            "",
        )
        .unwrap();
        assert_eq!((all.name.as_str(), all.size), ("très cool.jpg", 23456));
        assert_eq!(all.purpose, Purpose::Message);
        let p = ns::UPLOAD_PURPOSE;
        let of = |inside: &str| read("filename='a' size='1'", inside).map(|r| r.purpose);
        assert_eq!(of(&format!("<profile xmlns='{p}'/>")), Ok(Purpose::Profile));
        assert_eq!(
            of(&format!(
                "<ephemeral xmlns='{p}' expire-before='1970-01-01T00:00:01Z'/>"
            )),
            Ok(Purpose::Ephemeral(1000))
        );
        for bad in [
            format!("<ephemeral xmlns='{p}'/>"),
            format!("<ephemeral xmlns='{p}' expire-before='soon'/>"),
            format!("<message xmlns='{p}'/><profile xmlns='{p}'/>"),
        ] {
            assert_eq!(of(&bad).unwrap_err().condition, "bad-request", "{bad}");
        }
        let unknown = of(&format!("<dance xmlns='{p}'/>")).unwrap_err();
        assert_eq!(unknown.condition, "feature-not-implemented");
        for bad in [
            "filename='a'",
            "size='1'",
            "filename='' size='1'",
            "filename='a' size='0'",
            "filename='a' size='-1'",
            "filename='a' size='1e3'",
        ] {
            assert_eq!(read(bad, "").unwrap_err().condition, "bad-request", "{bad}");
        }
        for bad in ["image", "image/", "a/b&#10;c: d", "图/片"] {
            let bad = read(&format!("filename='a' size='1' content-type='{bad}'"), "").unwrap_err();
            assert_eq!(bad.condition, "not-acceptable");
        }
    }

    #[test]
    fn names_keep_their_ending_and_deceive_nobody() {
        for (name, kept) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\a\\图片.jpg", "图片.jpg"),
            ("gpj.\u{202e}exe", "gpj.exe"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("..", "file"),
            (".bashrc", "bashrc"),
            (" \u{200f} ", "file"),
        ] {
            assert_eq!(clean_name(name), kept);
        }
        let long = clean_name(&format!("{}.tar", "汉".repeat(500)));
        assert!(
            long.len() <= NAME_BYTES && long.ends_with("汉.tar"),
            "{long}"
        );
        assert_eq!(percent("très cool/..%"), "tr%C3%A8s%20cool%2F..%25");
    }
}
