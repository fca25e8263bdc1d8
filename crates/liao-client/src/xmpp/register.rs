//! New accounts by invite (XEP-0077, XEP-0401, XEP-0445).

use super::connect::{Dial, STEP, ask};
use crate::backend::Failure;
use liao_net::https;
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::xep::invite::{self, Invite};
use liao_proto::xml::escape;

/// What an invitation leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The server's domain.
    pub domain: String,
    /// A proposed name.
    pub name: Option<String>,
    /// The token.
    pub token: String,
    /// `https://HOST:PORT`, if the link named it.
    pub server: Option<String>,
}

/// Finds out what an invitation leads to; a web link is looked at for the domain that it belongs to.
pub async fn invitation(invite: Invite, dial: &Dial<'_>) -> Result<Invitation, Failure> {
    let (host, port, token) = match invite {
        Invite::Register {
            domain,
            name,
            token,
        } => {
            let server = dial.server.map(str::to_owned);
            return Ok(Invitation {
                domain,
                name,
                token,
                server,
            });
        }
        Invite::Link { host, port, token } => (host, port, token),
    };
    let trusting = dial.trusting(&host, &["http/1.1"])?;
    let path = format!("/invite/{}", invite::percent(&token));
    let got = https::get(&host, port, &path, trusting.config.clone()).await;
    let (status, body) = got.map_err(|e| dial.refused(&host, &e))?;
    dial.trusted(&host, &trusting).await?;
    let uri = body
        .split(['"', '\''])
        .find(|part| part.starts_with("xmpp:"));
    let found = uri.and_then(|u| invite::parse(&u.replace("&amp;", "&")));
    match found {
        Some(Invite::Register {
            domain,
            name,
            token,
        }) if status == 200 => {
            let shown = if host.contains(':') {
                format!("[{host}]")
            } else {
                host
            };
            Ok(Invitation {
                domain,
                name,
                token,
                server: Some(format!("https://{shown}:{port}")),
            })
        }
        _ => Err(Failure::Refused(
            "this invite is used up, expired or unknown; ask for a new one".into(),
        )),
    }
}

/// Makes the account (XEP-0077 section 3.1, with the token of XEP-0445 section 4).
pub async fn register(
    dial: &Dial<'_>,
    token: &str,
    name: &str,
    password: &str,
) -> Result<BareJid, Failure> {
    let jid = BareJid::new(&format!("{name}@{}", dial.domain));
    let jid = jid.map_err(|_| {
        Failure::Refused(format!(
            "{name:?} cannot be a name; try another, without spaces or @"
        ))
    })?;
    let (mut wire, _, _) = dial.reach().await?;
    let preauth = format!(
        "<iq type='set' id='preauth'><preauth xmlns='{}' token='{}'/></iq>",
        ns::PREAUTH,
        escape(token)
    );
    ask(&mut wire, &preauth, "preauth").await?;
    let register = format!(
        "<iq type='set' id='register'><query xmlns='{}'><username>{}</username><password>{}</password></query></iq>",
        ns::REGISTER,
        escape(name),
        escape(password)
    );
    ask(&mut wire, &register, "register").await?;
    wire.queue_close();
    let _ = tokio::time::timeout(STEP, wire.flush()).await;
    Ok(jid)
}
