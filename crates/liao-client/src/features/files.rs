//! Files: a place on the server for each, and a message that says where it is (XEP-0363, XEP-0447, XEP-0066).

use crate::backend::FileLink;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xep::upload::clean_name;
use liao_proto::xml::escape;

/// Where a file goes and where it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Host, port and path of the PUT.
    pub put: (String, u16, String),
    /// What the PUT carries.
    pub headers: Vec<(String, String)>,
    /// The address for others.
    pub get: String,
}

/// Which things of a server may be places for files: the items of a disco answer (XEP-0030).
pub fn items(iq: &Stanza) -> Vec<String> {
    let query = iq.get("query", ns::DISCO_ITEMS);
    let items = query.iter().flat_map(Element::children);
    items
        .filter_map(|i| i.attr("jid").map(str::to_owned))
        .collect()
}

/// Whether something takes files, and how many bytes at most (section 4 of XEP-0363).
pub fn takes(iq: &Stanza) -> Option<Option<u64>> {
    let query = iq.get("query", ns::DISCO_INFO)?;
    if !query.children().any(|f| f.attr("var") == Some(ns::UPLOAD)) {
        return None;
    }
    let fields = query
        .children()
        .filter(|c| c.is("x", ns::DATA_FORMS))
        .flat_map(Element::children);
    let mut fields = fields.filter(|f| f.attr("var") == Some("max-file-size"));
    let most = fields.next().and_then(|f| {
        f.get_child("value", ns::DATA_FORMS)?
            .text()
            .trim()
            .parse()
            .ok()
    });
    Some(most)
}

/// Asks for a slot (section 5).
pub fn request(id: &str, service: &str, name: &str, size: u64) -> String {
    format!(
        "<iq type='get' id='{id}' to='{}'><request xmlns='{}' filename='{}' size='{size}'/></iq>",
        escape(service),
        ns::UPLOAD,
        escape(name)
    )
}

/// Reads a slot. Only HTTPS, and of the headers only those that the text allows, without line ends (section 5).
pub fn slot(iq: &Stanza) -> Option<Slot> {
    let slot = iq.get("slot", ns::UPLOAD)?;
    let put = slot.get_child("put", ns::UPLOAD)?;
    let header = |e: &Element| {
        let name = e.attr("name")?;
        let allowed =
            ["authorization", "cookie", "expires"].contains(&name.to_lowercase().as_str());
        let value: String = e
            .text()
            .chars()
            .filter(|c| !matches!(c, '\r' | '\n'))
            .collect();
        allowed.then(|| (name.to_owned(), value))
    };
    let headers = put.children().filter(|c| c.is("header", ns::UPLOAD));
    Some(Slot {
        put: split(put.attr("url")?)?,
        headers: headers.filter_map(header).collect(),
        get: slot.get_child("get", ns::UPLOAD)?.attr("url")?.to_owned(),
    })
}

/// Host, port and path of an HTTPS address.
pub fn split(url: &str) -> Option<(String, u16, String)> {
    let rest = url.strip_prefix("https://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = host.trim_matches(['[', ']']);
    let path = if path.is_empty() { "/" } else { path };
    (!host.is_empty() && !host.contains('@')).then(|| (host.to_owned(), port, path.to_owned()))
}

/// The words and the payload of a message that brings a file.
pub fn link(file: &FileLink) -> String {
    let (url, name) = (escape(&file.url), escape(&file.name));
    let size = file
        .size
        .map_or(String::new(), |n| format!("<size>{n}</size>"));
    // XEP-0447 section 3.1; clients that do not know it see the address (XEP-0428).
    format!(
        "<body>{url}</body><x xmlns='{}'><url>{url}</url></x>\
         <file-sharing xmlns='{}' disposition='inline'><file xmlns='{}'><name>{name}</name>{size}</file>\
         <sources><url-data xmlns='{}' target='{url}'/></sources></file-sharing>\
         <fallback xmlns='{}' for='{}'><body/></fallback>",
        ns::OOB,
        ns::FILE_SHARING,
        ns::FILE_METADATA,
        ns::URL_DATA,
        ns::FALLBACK,
        ns::FILE_SHARING,
    )
}

/// The file that a message brings: its words are nothing but the address.
pub fn read(stanza: &Stanza) -> Option<FileLink> {
    shared(stanza).or_else(|| out_of_band(stanza))
}

/// With what is known of it (XEP-0447 section 3.1, XEP-0446 section 2).
fn shared(stanza: &Stanza) -> Option<FileLink> {
    let sharing = stanza.get("file-sharing", ns::FILE_SHARING)?;
    let file = sharing.get_child("file", ns::FILE_METADATA)?;
    let sources = sharing.get_child("sources", ns::FILE_SHARING)?;
    let mut urls = sources
        .children()
        .filter(|c| c.is("url-data", ns::URL_DATA))
        .filter_map(|c| c.attr("target"));
    let url = urls.find(|url| split(url).is_some())?;
    let words = stanza.text_of("body", ns::CLIENT).unwrap_or_default();
    if !words.trim().is_empty() && words.trim() != url {
        return None;
    }
    let text = |name| {
        file.get_child(name, ns::FILE_METADATA)
            .map(Element::text)
            .filter(|t| !t.trim().is_empty())
    };
    Some(FileLink {
        name: text("name").map_or_else(|| name_of(url), |name| clean_name(&name)),
        size: text("size").and_then(|size| size.trim().parse().ok()),
        url: url.to_owned(),
    })
}

/// By its address alone (XEP-0066 section 3).
fn out_of_band(stanza: &Stanza) -> Option<FileLink> {
    let x = stanza.get("x", ns::OOB)?;
    let url = x.get_child("url", ns::OOB)?.text();
    if stanza.text_of("body", ns::CLIENT)?.trim() != url || !url.starts_with("https://") {
        return None;
    }
    Some(FileLink {
        name: name_of(&url),
        url,
        size: None,
    })
}

/// The name at the end of an address.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    clean_name(&unpercent(path))
}

/// RFC 3986 section 2.1; what is no UTF-8 afterwards becomes a sign.
pub fn unpercent(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::stanza;

    #[test]
    fn a_slot_brings_only_what_is_allowed() {
        let of = |url: &str| {
            slot(&stanza(&format!(
                "<iq type='result' id='1'><slot xmlns='urn:xmpp:http:upload:0'><put url='{url}'>\
                 <header name='Authorization'>a\nb</header><header name='Host'>evil</header></put>\
                 <get url='https://x/f'/></slot></iq>"
            )))
        };
        let slot = of("https://x:5281/upload/a?b").unwrap();
        assert_eq!(slot.put, ("x".into(), 5281, "/upload/a?b".into()));
        assert_eq!(
            slot.headers,
            [("Authorization".to_owned(), "ab".to_owned())]
        );
        assert_eq!(of("https://[::1]/a").unwrap().put.0, "::1");
        for bad in ["http://x/", "https://", "https://u@x/", "https://x:99999/"] {
            assert!(of(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_what_the_words_say_and_nothing_else() {
        let of = |body: &str, url: &str| {
            read(&stanza(&format!(
                "<message from='b@y'><body>{body}</body><x xmlns='jabber:x:oob'><url>{url}</url></x></message>"
            )))
        };
        let url = "https://x/1/%E6%B1%89%E5%AD%97.png?k=1";
        assert_eq!(of(url, url).unwrap().name, "汉字.png");
        assert_eq!(
            of("https://x/..%2F..%2Fetc", "https://x/..%2F..%2Fetc")
                .unwrap()
                .name,
            "etc"
        );
        let file = FileLink {
            url: url.into(),
            name: "汉字 & more.png".into(),
            size: Some(7),
        };
        let whole = |xml: &str| read(&stanza(&format!("<message from='b@y'>{xml}</message>")));
        assert_eq!(whole(&link(&file)), Some(file.clone()));
        let named = |name: &str| {
            let (name, url) = (name.to_owned(), file.url.clone());
            link(&FileLink {
                name,
                url,
                ..FileLink::default()
            })
        };
        let read_name = |name: &str| whole(&named(name)).unwrap().name;
        assert_eq!(read_name("../../.bashrc"), "bashrc");
        assert_eq!(read_name("C:\\run.exe"), "run.exe");
        assert_eq!(read_name("a\u{202e}gpj.exe"), "agpj.exe");
        let words = link(&file).replacen(url, "look at this", 1);
        assert!(whole(&words).is_none(), "words stay words");
        assert!(of("look", url).is_none());
        assert!(of("file:///etc/passwd", "file:///etc/passwd").is_none());
    }
}
