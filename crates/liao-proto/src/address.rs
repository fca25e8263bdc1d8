//! Addresses as strangers write them (RFC 7622 section 3).

use jid::{Error, Jid};

/// Reads an address. A dot at the end of the domain goes first (RFC 7622 section 3.2): [`Jid::new`] would keep it when a
/// local part or a resource is there, and then take the slash for a part of the resource.
pub fn parse(text: &str) -> Result<Jid, Error> {
    let end = text.find('/').unwrap_or(text.len());
    let (bare, resource) = text.split_at(end);
    match bare.strip_suffix('.') {
        None => Jid::new(text),
        Some(bare) if bare.ends_with('.') => Err(Error::Idna),
        Some(bare) => Jid::new(&format!("{bare}{resource}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Jid, parse};

    #[test]
    fn the_root_dot_is_no_part_of_the_domain_of_rfc7622_3_2() {
        for (text, whole) in [
            ("a.example.", "a.example"),
            ("x@a.example.", "x@a.example"),
            ("x@a.example./r.", "x@a.example/r."),
            ("a.example./r/s", "a.example/r/s"),
            ("x@a.example/r", "x@a.example/r"),
        ] {
            let jid = parse(text).unwrap();
            assert_eq!(jid.as_str(), whole);
            assert_eq!(jid.domain().as_str(), "a.example");
        }
        for text in ["x@a.example..", "x@.", ".", "./r", "x@a../r", ""] {
            assert!(parse(text).is_err(), "{text}");
            // Callers may ask either first.
            assert!(Jid::new(text).is_err(), "{text}");
        }
    }
}
