//! Which entries of a list of addresses an address meets (XEP-0191 section 5; XEP-0016 section 2.1).

use liao_proto::jid::Jid;

/// The entries that would meet `jid`, the most exact first: `user@domain/resource`, `user@domain`,
/// `domain/resource`, `domain`.
pub fn entries(jid: &Jid) -> Vec<String> {
    let domain = jid.domain().to_string();
    let mut all = vec![jid.to_string(), jid.to_bare().to_string(), domain];
    all.dedup();
    all
}

/// Whether an entry meets an address.
pub fn meets(entry: &str, jid: &Jid) -> bool {
    entries(jid).iter().any(|e| e == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xep_0191_section_5_each_form_of_an_entry() {
        let jid = |t: &str| Jid::new(t).unwrap();
        for (entry, met, missed) in [
            ("a@x/r", "a@x/r", "a@x/s"),
            ("a@x/r", "a@x/r", "a@x"),
            ("a@x", "a@x/s", "b@x/s"),
            ("x/r", "x/r", "a@x/r"),
            ("x/r", "x/r", "x"),
            ("x", "x", "y"),
            ("x", "a@x", "a@y"),
            ("x", "a@x/r", "a@x.y/r"),
            ("x", "x/r", "y/x"),
        ] {
            assert!(meets(entry, &jid(met)), "{entry} {met}");
            assert!(!meets(entry, &jid(missed)), "{entry} {missed}");
        }
    }
}
