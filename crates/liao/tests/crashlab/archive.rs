//! What the server has in the end: archives, and contacts.

use super::ledger::Row;
use super::line::{Gone, Line};
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use rusqlite::{Connection, OpenFlags};
use std::net::SocketAddr;
use std::path::Path;

/// An account's archive, oldest first, from the database's file.
pub fn read(data: &Path, account: &str) -> Result<Vec<Row>, String> {
    rows(data, account).map_err(|e| format!("the archive of {account} cannot be read: {e}"))
}

fn rows(data: &Path, account: &str) -> rusqlite::Result<Vec<Row>> {
    let path = data.join("liao.sqlite3");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut select = connection.prepare(
        "SELECT to_owner = n.id, stanza FROM messages m JOIN names n ON n.id IN (from_owner, to_owner)
         WHERE n.name = ?1 ORDER BY CASE WHEN to_owner = n.id THEN to_seq ELSE from_seq END",
    )?;
    let all = select.query_map([format!("{account}@localhost")], |r| {
        let stanza: Vec<u8> = r.get(1)?;
        let stanza = Stanza::parse_bytes(&stanza);
        Ok(Row {
            key: stanza.and_then(|s| s.id).unwrap_or_default(),
            incoming: r.get::<_, Option<bool>>(0)?.unwrap_or(false),
            id: None,
        })
    })?;
    all.collect()
}

/// The name that an account gave to `resource@far.example`.
pub async fn roster_name(at: SocketAddr, account: &str, resource: &str) -> Result<String, String> {
    let gone = |_: Gone| format!("{account} cannot ask for its contacts");
    let mut line = Line::log_in(at, account).await.map_err(gone)?;
    line.queue(&format!(
        "<iq type='set' id='bind'><bind xmlns='{}'/></iq>",
        ns::BIND
    ));
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
