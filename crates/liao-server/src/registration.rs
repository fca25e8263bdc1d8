//! Accounts made and changed over XMPP: in-band registration (XEP-0077), with an invite's token (XEP-0445).

use crate::accounts::AccountError;
use crate::limits;
use crate::peer::household;
use crate::server::Server;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::{ErrorKind, Stanza};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The invite that a connection showed before registering (XEP-0445 section 4).
#[derive(Debug, Default)]
pub struct Ticket {
    token: Option<String>,
}

/// How accounts come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Invite,
    Open,
    Closed,
}

fn mode(server: &Server) -> Mode {
    match server.config().registration_mode() {
        "open" => Mode::Open,
        "closed" => Mode::Closed,
        _ => Mode::Invite,
    }
}

/// Whether the stream features name registration.
pub fn is_offered(server: &Server) -> bool {
    mode(server) != Mode::Closed
}

/// Counts registrations by address in ten minutes.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Throttle {
    /// Whether one more try from this address is allowed, of `bound`; counts it.
    pub fn admit(&self, address: IpAddr, bound: u32) -> bool {
        const WINDOW: Duration = Duration::from_secs(600);
        let mut all = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let address = household(address);
        if all.len() >= limits::REGISTRATIONS_REMEMBERED && !all.contains_key(&address) {
            all.retain(|_, (since, _)| since.elapsed() < WINDOW);
            let oldest = all.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.map(|(a, _)| *a)
                && all.len() >= limits::REGISTRATIONS_REMEMBERED
            {
                all.remove(&oldest);
            }
        }
        let entry = all.entry(address).or_insert((Instant::now(), 0));
        if entry.0.elapsed() > WINDOW {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
        entry.1 <= bound
    }
}

/// Answers an IQ that came before login. `None`: it is not about an account, and nothing else is for those who are not
/// logged in.
pub async fn before_login(
    server: &Server,
    ticket: &mut Ticket,
    peer: SocketAddr,
    iq: Stanza,
) -> Option<Stanza> {
    // The stream has no user: `from` is left out, `to` is the server (section 3.1).
    let is_set = iq.type_.as_deref() == Some("set");
    if is_set && let Some(preauth) = iq.get("preauth", ns::PREAUTH) {
        return Some(
            match token(server, preauth.attr("token").unwrap_or_default()).await {
                Some(token) => {
                    ticket.token = Some(token);
                    iq.result()
                }
                // XEP-0445 section 4.2.
                None => iq.error(
                    &ErrorKind::ITEM_NOT_FOUND
                        .with_text("this invite is used up, expired or unknown"),
                ),
            },
        );
    }
    let query = iq.get("query", ns::REGISTER).filter(|_| !iq.is_answer())?;
    Some(about_an_account(server, ticket, peer, &iq, &query).await)
}

async fn about_an_account(
    server: &Server,
    ticket: &mut Ticket,
    peer: SocketAddr,
    iq: &Stanza,
    query: &Element,
) -> Stanza {
    let is_set = iq.type_.as_deref() == Some("set");
    if query.has_child("remove", ns::REGISTER) {
        // XEP-0077 section 3.2: nobody is logged in here.
        return iq.error(&ErrorKind::UNEXPECTED_REQUEST);
    }
    if mode(server) == Mode::Closed {
        return iq.error(
            &ErrorKind::SERVICE_UNAVAILABLE.with_text("only the administrator makes accounts here"),
        );
    }
    let allowed = match mode(server) {
        Mode::Open => true,
        Mode::Invite => ticket.token.is_some(),
        Mode::Closed => false,
    };
    if !allowed {
        let text = "an invite is needed to get an account here";
        return iq.error(
            &ErrorKind {
                type_: "auth",
                ..ErrorKind::FORBIDDEN
            }
            .with_text(text),
        );
    }
    if !is_set {
        return iq.result().child(&form(""));
    }
    if !server
        .registrations
        .admit(peer.ip(), server.bounds.registrations_per_address)
    {
        return iq.error(
            &ErrorKind::RESOURCE_CONSTRAINT.with_text("too many new accounts from your address"),
        );
    }
    let text = |name: &str| {
        query
            .get_child(name, ns::REGISTER)
            .map(Element::text)
            .filter(|t| !t.is_empty())
    };
    let (Some(name), Some(password)) = (text("username"), text("password")) else {
        // Section 3.1.2: required information is missing.
        return iq.error(&ErrorKind::NOT_ACCEPTABLE.with_text("a name and a password are needed"));
    };
    match create(server, ticket.token.as_deref(), &name, &password).await {
        Ok(_) => {
            ticket.token = None;
            iq.result()
        }
        Err(error) => iq.error(&kind(&error)),
    }
}

/// The token if the invite can be used.
async fn token(server: &Server, token: &str) -> Option<String> {
    if mode(server) == Mode::Closed {
        return None;
    }
    server
        .accounts
        .invite(token)
        .await
        .ok()
        .flatten()
        .map(|i| i.token)
}

/// Makes an account, by an invite if there is one; the inviter and the new user are friends at once (XEP-0401).
pub async fn create(
    server: &Server,
    token: Option<&str>,
    name: &str,
    password: &str,
) -> Result<liao_proto::jid::BareJid, AccountError> {
    let Some(token) = token else {
        return server.accounts.create(name, password, false).await;
    };
    let (jid, invite) = server.accounts.redeem(token, name, password).await?;
    if let Some(inviter) = invite.from {
        server.befriend(&inviter, &jid);
    }
    Ok(jid)
}

/// The fields that are asked for (XEP-0077 section 3.1), with the name if there is one.
pub fn form(name: &str) -> Element {
    let mut query = Element::bare("query", ns::REGISTER);
    let mut words = Element::bare("instructions", ns::REGISTER);
    words.append_text("Choose a name and a password. / 请选择用户名和密码。");
    query.append_child(words);
    let mut username = Element::bare("username", ns::REGISTER);
    username.append_text(name);
    query.append_child(username);
    query.append_child(Element::bare("password", ns::REGISTER));
    query
}

/// The stanza error of an account error (XEP-0077 section 3.1.2).
pub fn kind(error: &AccountError) -> ErrorKind {
    match error {
        AccountError::Conflict { .. } => ErrorKind::CONFLICT.with_text("this name is taken"),
        AccountError::Invite => {
            ErrorKind::ITEM_NOT_FOUND.with_text("this invite is used up, expired or unknown")
        }
        AccountError::Name { .. } => ErrorKind::NOT_ACCEPTABLE.with_text("this cannot be a name"),
        AccountError::Password { .. } => {
            ErrorKind::NOT_ACCEPTABLE.with_text("this cannot be a password")
        }
        // Section 3.2: who may not give up the account.
        AccountError::LastAdmin => ErrorKind::FORBIDDEN.with_text("one administrator must remain"),
        _ => ErrorKind::INTERNAL_SERVER_ERROR,
    }
}
