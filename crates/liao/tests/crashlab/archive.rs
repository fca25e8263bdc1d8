//! What the server has in the end: archives, and contacts.

use super::ledger::Row;
use super::line::{Gone, Line};
use liao_proto::minidom::Element;
use liao_proto::ns;
use std::net::SocketAddr;

/// A session of an account.
pub async fn come(at: SocketAddr, account: &str) -> Result<Line, Gone> {
    let mut line = Line::log_in(at, account).await?;
    line.queue(&format!(
        "<iq type='set' id='bind'><bind xmlns='{}'/></iq>",
        ns::BIND
    ));
    line.element().await?;
    Ok(line)
}

/// An account's archive, oldest first, as the account is told it (XEP-0313 section 4), page by page.
pub async fn read(at: SocketAddr, account: &str) -> Result<Vec<Row>, String> {
    let gone = |_: Gone| format!("{account} cannot read its archive");
    let mut line = come(at, account).await.map_err(gone)?;
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        line.queue(&format!(
            "<iq type='set' id='page'><query xmlns='{}'><set xmlns='{}'><max>100</max>{after}</set></query></iq>",
            ns::MAM,
            ns::RSM
        ));
        let fin = loop {
            let frame = line.element().await.map_err(gone)?;
            let Some(dom) = frame.to_dom() else { continue };
            if frame.attr("id") == Some("page") {
                break dom.get_child("fin", ns::MAM).cloned();
            }
            rows.extend(row(&dom, account));
        };
        let fin = fin.ok_or(format!("{account} is refused its archive"))?;
        if fin.attr("complete") == Some("true") {
            return Ok(rows);
        }
        let set = fin.get_child("set", ns::RSM);
        let last = set
            .and_then(|s| s.get_child("last", ns::RSM))
            .map(Element::text);
        after = format!(
            "<after>{}</after>",
            last.ok_or("a page that is not the last has no last message")?
        );
    }
}

fn row(message: &Element, account: &str) -> Option<Row> {
    let result = message.get_child("result", ns::MAM)?;
    let forwarded = result.get_child("forwarded", ns::FORWARD)?;
    let inner = forwarded.get_child("message", ns::CLIENT)?;
    let own = format!("{account}@localhost");
    Some(Row {
        key: inner.attr("id")?.to_owned(),
        incoming: inner
            .attr("to")
            .is_some_and(|to| to.split('/').next() == Some(&own)),
        id: result.attr("id").map(str::to_owned),
    })
}

/// The name that an account gave to `resource@far.example`.
pub async fn roster_name(at: SocketAddr, account: &str, resource: &str) -> Result<String, String> {
    let gone = |_: Gone| format!("{account} cannot ask for its contacts");
    let mut line = come(at, account).await.map_err(gone)?;
    line.queue(&format!(
        "<iq type='get' id='roster'><query xmlns='{}'/></iq>",
        ns::ROSTER
    ));
    loop {
        let frame = line.element().await.map_err(gone)?;
        if frame.attr("id") != Some("roster") {
            continue;
        }
        let jid = format!("{resource}@far.example");
        let query = frame
            .to_dom()
            .and_then(|d| d.get_child("query", ns::ROSTER).cloned());
        let item = query
            .as_ref()
            .and_then(|q| q.children().find(|i| i.attr("jid") == Some(&jid)));
        return Ok(item
            .and_then(|i| i.attr("name"))
            .unwrap_or("nothing")
            .to_owned());
    }
}
