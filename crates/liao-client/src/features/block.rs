//! Hearing nothing of somebody (XEP-0191).

use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// Asks whom we hear nothing of, and to be told when that changes (section 3.2).
pub fn list(id: &str) -> String {
    format!(
        "<iq type='get' id='{id}'><blocklist xmlns='{}'/></iq>",
        ns::BLOCKING
    )
}

/// Blocks or unblocks (sections 3.3 and 3.4).
pub fn set(id: &str, peer: &str, block: bool) -> String {
    let name = if block { "block" } else { "unblock" };
    format!(
        "<iq type='set' id='{id}'><{name} xmlns='{}'><item jid='{}'/></{name}></iq>",
        ns::BLOCKING,
        escape(peer)
    )
}

fn items(element: &Element) -> Vec<String> {
    let items = element.children().filter(|c| c.is("item", ns::BLOCKING));
    items
        .filter_map(|i| i.attr("jid").map(str::to_owned))
        .collect()
}

/// Takes a list or a change of it in; `false`: the IQ is neither.
pub fn take(iq: &Stanza, blocked: &mut Vec<String>) -> bool {
    if let Some(list) = iq.get("blocklist", ns::BLOCKING) {
        *blocked = items(&list);
    } else if let Some(more) = iq.get("block", ns::BLOCKING) {
        blocked.extend(items(&more));
    } else if let Some(less) = iq.get("unblock", ns::BLOCKING) {
        let less = items(&less);
        // An empty one is all (section 3.5).
        blocked.retain(|b| !less.is_empty() && !less.contains(b));
    } else {
        return false;
    }
    blocked.sort();
    blocked.dedup();
    true
}

#[cfg(test)]
mod tests {
    use crate::features::stanza;

    #[test]
    fn the_list_follows_what_the_server_tells() {
        let mut blocked = Vec::new();
        let mut take = |name: &str, items: &str| {
            let xml = format!(
                "<iq type='set' id='1'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>"
            );
            assert!(super::take(&stanza(&xml), &mut blocked));
            blocked.clone()
        };
        assert_eq!(take("blocklist", "<item jid='b@y'/>"), ["b@y"]);
        assert_eq!(
            take("block", "<item jid='a@y'/><item jid='b@y'/>"),
            ["a@y", "b@y"]
        );
        assert_eq!(take("unblock", "<item jid='b@y'/>"), ["a@y"]);
        assert!(take("unblock", "").is_empty());
        assert!(!super::take(
            &stanza("<iq type='set' id='1'><x xmlns='y'/></iq>"),
            &mut Vec::new()
        ));
    }
}
