//! What an administrator may see of accounts: contacts, logins, figures (XEP-0133 sections 4.8 to 4.10).

use super::table::{Done, Outcome, Run};
use super::users::{account, accounts};
use crate::accounts::{SEEN, Seen};
use crate::hooks::Cx;
use crate::server::now_ms;
use liao_proto::jid::BareJid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::delay::utc_from_ms;
use liao_proto::xep::forms::Field;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Reads something of an account's state.
async fn of<T: Send + 'static>(
    run: &Run,
    jid: &BareJid,
    read: impl FnOnce(&mut Cx<'_>) -> T + Send + 'static,
) -> Result<T, ErrorKind> {
    let read = run.server.within(jid, read).await;
    read.ok_or(ErrorKind::INTERNAL_SERVER_ERROR)
}

/// Section 4.8: the contacts as RFC 6121 section 2 writes them, a list for each account in the order of the addresses.
pub(super) async fn roster(run: Run) -> Outcome {
    let all = accounts(&run).await?;
    let mut inside = Vec::new();
    for jid in &all {
        let list = of(&run, jid, |cx| {
            let mut query = Element::bare("query", ns::ROSTER);
            for (jid, contact) in cx.entity.roster.iter().filter(|(_, c)| !c.hidden) {
                query.append_child(contact.to_item(jid));
            }
            query
        });
        inside.push(list.await?);
    }
    let jids = all.iter().map(ToString::to_string);
    let fields = vec![Field::new("accountjids", "jid-multi", "").values(jids)];
    Ok(Done {
        fields,
        inside,
        ..Done::default()
    })
}

fn seen(cx: &mut Cx<'_>) -> Seen {
    let row = cx.entity.rows(SEEN).get("");
    row.and_then(|v| serde_json::from_slice(v).ok())
        .unwrap_or_default()
}

/// Section 4.9: the times in the order of the addresses; who never logged in has an empty one.
pub(super) async fn last_login(run: Run) -> Outcome {
    let all = accounts(&run).await?;
    let mut times = Vec::new();
    for jid in &all {
        let last = of(&run, jid, seen).await?.logins_ms.last().copied();
        times.push(last.map(utc_from_ms).unwrap_or_default());
    }
    let jids = all.iter().map(ToString::to_string);
    Ok(Done {
        fields: vec![
            Field::new("accountjids", "jid-multi", "").values(jids),
            Field::new("lastlogin", "text-multi", "").values(times),
        ],
        ..Done::default()
    })
}

/// Section 4.10.
pub(super) async fn statistics(run: Run) -> Outcome {
    let jid = account(&run).await?;
    let (seen, contacts) = of(&run, &jid, |cx| {
        let contacts = cx.entity.roster.iter().filter(|(_, c)| !c.hidden).count();
        (seen(cx), contacts)
    })
    .await?;
    let mut addresses = BTreeSet::new();
    let mut resources = Vec::new();
    let mut per_second = 0.0;
    let sessions = run.server.sessions.lock();
    for session in sessions.iter().flat_map(|all| all.values()) {
        let Some((bare, resource)) = session.full.split_once('/') else {
            continue;
        };
        if bare != jid.as_str() {
            continue;
        }
        let peer = session.peer.parse::<std::net::SocketAddr>();
        addresses.insert(peer.map_or(session.peer.clone(), |p| p.ip().to_string()));
        resources.push(resource.to_owned());
        let seconds = ((now_ms() - session.since_ms) as f64 / 1000.0).max(1.0);
        per_second += session.sent.stanzas.load(Ordering::Relaxed) as f64 / seconds;
    }
    drop(sessions);
    resources.sort_unstable();
    let hour = now_ms() - 3_600_000;
    let logins = seen.logins_ms.iter().filter(|at| **at > hour).count();
    let one = |var: &str, words, value: String| {
        Field::new(var, "text-single", run.lang.pick(words)).values([value])
    };
    let many = |var: &str, words, values: Vec<String>| {
        Field::new(var, "text-multi", run.lang.pick(words)).values(values)
    };
    let addresses = addresses.into_iter().collect();
    Ok(Done {
        fields: vec![
            many("ipaddresses", ("IP addresses", "IP 地址"), addresses),
            one("rostersize", ("Contacts", "联系人数"), contacts.to_string()),
            many("onlineresources", ("Sessions", "在线会话"), resources),
            one(
                "stanzaspersecond",
                ("Stanzas a second", "每秒节数"),
                format!("{per_second:.1}"),
            ),
            one(
                "loginsperminute",
                (
                    "Logins a minute, in the last hour",
                    "过去一小时每分钟登录次数",
                ),
                format!("{:.2}", logins as f64 / 60.0),
            ),
        ],
        ..Done::default()
    })
}
