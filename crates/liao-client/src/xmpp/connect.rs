//! From a name to a bound session: where the server is, whom to trust, STARTTLS, SASL, binding (RFC 6120 sections 3
//! to 7), and new accounts by invite (XEP-0077, XEP-0445).

use super::is_websocket;
use crate::backend::{Event, Failure};
use crate::store::Store;
use liao_net::resolve::{self, Target};
use liao_net::{Wire, WireError, https, tcp, tls, websocket};
use liao_proto::jid::{BareJid, Jid};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sasl::{self, Client, Mechanism};
use liao_proto::stanza::Stanza;
use liao_proto::stream::{Event as StreamEvent, Header, Limits};
use liao_proto::xep::invite::{self, Invite};
use liao_proto::xml::escape;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// What we take from a server, in bytes of one stanza: it is not hostile by default, but memory has an end.
const LIMITS: Limits = Limits {
    element_bytes: 16 * 1024 * 1024,
    depth: 128,
};
/// How long one step of the negotiation may take.
const STEP: Duration = Duration::from_secs(30);

/// A way to a server, and whom to trust.
pub struct Dial<'a> {
    /// The address's domain.
    pub domain: &'a str,
    /// `HOST:PORT` or `https://HOST:PORT`, if it was given.
    pub server: Option<&'a str>,
    /// Where the pins are.
    pub store: &'a Store,
    /// A fingerprint that the person vouches for.
    pub trust: Option<&'a str>,
    /// Whom to tell about a new pin.
    pub events: &'a mpsc::Sender<Event>,
}

fn network(error: impl std::fmt::Display) -> Failure {
    Failure::Network(error.to_string())
}

/// A TLS configuration under construction of trust.
struct Trusting {
    config: Arc<liao_net::rustls::ClientConfig>,
    seen: Arc<Mutex<tls::Seen>>,
    pin: Option<String>,
}

impl Dial<'_> {
    fn trusting(&self, name: &str, alpn: &[&str]) -> Result<Trusting, Failure> {
        let pin = match self.trust {
            Some(given) => Some(given.to_uppercase()),
            None => self
                .store
                .pin(name)
                .map_err(|e| Failure::Refused(e.to_string()))?,
        };
        let made = tls::client_config(pin.clone(), alpn);
        let (config, seen) = made.map_err(|e| Failure::Refused(e.to_string()))?;
        Ok(Trusting { config, seen, pin })
    }

    /// After a handshake: keeps what was seen, and says so if it is new.
    async fn trusted(&self, name: &str, trusting: &Trusting) -> Result<(), Failure> {
        let seen = trusting.seen.lock().ok().and_then(|s| s.untrusted.clone());
        let trust = seen.clone().unwrap_or_else(|| tls::VOUCHED.to_owned());
        if trusting.pin.as_ref() == Some(&trust) && self.trust.is_none() {
            return Ok(());
        }
        let kept = self.store.set_pin(name, &trust);
        kept.map_err(|e| Failure::Refused(e.to_string()))?;
        if let Some(fingerprint) = seen {
            let words = format!(
                "{name} is not vouched for by anyone; from now on it is this certificate and no other:\n\
                 SHA-256 {fingerprint}\nCompare it with what `liao serve` shows."
            );
            let _ = self.events.send(Event::Notice(words)).await;
        }
        Ok(())
    }

    /// A handshake that failed: was it the network, or another certificate than before?
    fn refused(&self, name: &str, error: &WireError) -> Failure {
        let text = error.to_string();
        if text.contains("certificate changed") {
            return Failure::Refused(format!(
                "{name}: {text}.\nSomebody may be listening in. If you know why it changed, say so with \
                 --trust FINGERPRINT (the new one, as the server shows it)."
            ));
        }
        Failure::Network(text)
    }

    /// Where to try.
    async fn targets(&self) -> Result<Vec<Target>, Failure> {
        let Some(server) = self.server else {
            return Ok(resolve::targets(self.domain).await);
        };
        if let Some(rest) = server.strip_prefix("https://") {
            let (host, port) = host_port(rest.trim_end_matches('/'), 443)?;
            return Ok(self.websocket(&host, port).await?.into_iter().collect());
        }
        let (host, port) = host_port(server, 5222)?;
        let stream = |tls| Target::Stream {
            host: host.clone(),
            port,
            tls,
        };
        // By custom 5223 is direct TLS; anything else may be either.
        Ok(if port == 5223 {
            vec![stream(true), stream(false)]
        } else {
            vec![stream(false), stream(true)]
        })
    }

    async fn websocket(&self, host: &str, port: u16) -> Result<Option<Target>, Failure> {
        let trusting = self.trusting(host, &["http/1.1"])?;
        let found = resolve::websocket(host, port, trusting.config.clone()).await;
        let target = found.map_err(|e| self.refused(host, &e))?;
        self.trusted(host, &trusting).await?;
        Ok(target.map(|target| match target {
            // The path is what we asked for; the host is the one that the person named and we reached.
            Target::WebSocket { path, .. } => Target::WebSocket {
                host: host.to_owned(),
                port,
                path,
            },
            other => other,
        }))
    }

    /// Connects to the first target that answers; TLS is made and the features are known.
    pub async fn reach(&self) -> Result<(Wire, Element, Target), Failure> {
        let mut targets = self.targets().await?;
        if targets.is_empty() {
            return Err(Failure::Refused(format!(
                "{} says that it has no chat server",
                self.domain
            )));
        }
        let mut failures: Vec<String> = Vec::new();
        let mut by_web = self.server.is_none();
        loop {
            for target in &targets {
                match self.open(target).await {
                    Ok((wire, features)) => return Ok((wire, features, target.clone())),
                    Err(Failure::Network(why)) => failures.push(format!("{target}: {why}")),
                    Err(failure) => return Err(failure),
                }
            }
            // Nothing on the usual ports: perhaps only the web gets through (XEP-0156).
            targets = match std::mem::take(&mut by_web) {
                true => match self.websocket(self.domain, 443).await {
                    Ok(target) => target.into_iter().collect(),
                    Err(failure @ Failure::Refused(_)) => return Err(failure),
                    Err(_) => Vec::new(),
                },
                false => Vec::new(),
            };
            if targets.is_empty() {
                return Err(Failure::Network(failures.join("; ")));
            }
        }
    }

    async fn open(&self, target: &Target) -> Result<(Wire, Element), Failure> {
        let mut wire = match target {
            Target::WebSocket { host, port, path } => {
                let trusting = self.trusting(host, &["http/1.1"])?;
                let frames = websocket::connect(
                    host,
                    *port,
                    path,
                    trusting.config.clone(),
                    LIMITS.element_bytes,
                );
                let frames = frames.await.map_err(|e| self.refused(host, &e))?;
                self.trusted(host, &trusting).await?;
                Wire::websocket(frames, LIMITS)
            }
            Target::Stream {
                host,
                port,
                tls: true,
            } => {
                let trusting = self.trusting(self.domain, &["xmpp-client"])?;
                let io = tls::connect(host, *port, self.domain, trusting.config.clone()).await;
                let io = io.map_err(|e| self.refused(self.domain, &e.into()))?;
                self.trusted(self.domain, &trusting).await?;
                Wire::stream(io, true, LIMITS)
            }
            Target::Stream {
                host,
                port,
                tls: false,
            } => {
                let io = tcp::connect(host, *port).await.map_err(network)?;
                Wire::stream(io, false, LIMITS)
            }
        };
        let mut features = begin(&mut wire, self.domain).await?;
        if !wire.is_tls() && !is_websocket(target) {
            if features.get_child("starttls", ns::TLS).is_none() {
                return Err(Failure::Refused(format!(
                    "{target} offers no TLS, so nothing is said to it"
                )));
            }
            send(&mut wire, &format!("<starttls xmlns='{}'/>", ns::TLS)).await?;
            let answer = element(&mut wire).await?;
            if !answer.is("proceed", ns::TLS) {
                return Err(Failure::Network("the server refuses TLS".into()));
            }
            let trusting = self.trusting(self.domain, &[])?;
            let name = tls::server_name(self.domain).map_err(network)?;
            let shake = wire.starttls_connect_in_place(name, trusting.config.clone());
            let shake = tokio::time::timeout(STEP, shake)
                .await
                .map_err(|_| late())?;
            shake.map_err(|e| self.refused(self.domain, &e))?;
            self.trusted(self.domain, &trusting).await?;
            features = begin(&mut wire, self.domain).await?;
        }
        Ok((wire, features))
    }
}

fn host_port(text: &str, default: u16) -> Result<(String, u16), Failure> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !host.is_empty() => (
            host,
            port.parse()
                .map_err(|_| Failure::Refused(format!("{text:?} is no HOST:PORT")))?,
        ),
        _ => (text, default),
    };
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn late() -> Failure {
    Failure::Network("the server does not answer".into())
}

async fn event(wire: &mut Wire) -> Result<StreamEvent, Failure> {
    tokio::time::timeout(STEP, wire.recv())
        .await
        .map_err(|_| late())?
        .map_err(network)
}

/// The next element; a stream error becomes what it means.
async fn element(wire: &mut Wire) -> Result<Element, Failure> {
    match event(wire).await? {
        StreamEvent::Element(frame) => {
            let element = frame
                .to_dom()
                .ok_or_else(|| network("the server's answer cannot be read"))?;
            if element.is("error", ns::STREAM) {
                return Err(stream_error(&element));
            }
            Ok(element)
        }
        _ => Err(network("the server closed the stream")),
    }
}

/// What a stream error means (RFC 6120 section 4.9).
pub fn stream_error(error: &Element) -> Failure {
    let condition = error
        .children()
        .find(|c| c.ns() == ns::STREAMS && c.name() != "text");
    let name = condition.map_or("undefined-condition", Element::name);
    let text = error
        .get_child("text", ns::STREAMS)
        .map(Element::text)
        .filter(|t| !t.is_empty());
    let words = text.map_or(name.to_owned(), |t| format!("{name}: {t}"));
    match name {
        "host-unknown" | "policy-violation" | "unsupported-version" => {
            Failure::Refused(format!("the server ended the connection ({words})"))
        }
        "not-authorized" => Failure::NotAuthorized(words),
        "conflict" => Failure::Refused(format!("another program took over this session ({words})")),
        _ => Failure::Network(format!("the server ended the connection ({words})")),
    }
}

async fn send(wire: &mut Wire, text: &str) -> Result<(), Failure> {
    wire.queue(text.as_bytes());
    tokio::time::timeout(STEP, wire.flush())
        .await
        .map_err(|_| late())?
        .map_err(network)
}

/// Opens a stream and reads its features (RFC 6120 section 4.3.2).
async fn begin(wire: &mut Wire, domain: &str) -> Result<Element, Failure> {
    wire.queue_open(&Header {
        to: Some(domain.to_owned()),
        version: Some("1.0".into()),
        ..Header::default()
    });
    wire.flush().await.map_err(network)?;
    match event(wire).await? {
        StreamEvent::Open(_) => {}
        _ => return Err(network("the server does not open a stream")),
    }
    let features = element(wire).await?;
    if !features.is("features", ns::STREAM) {
        return Err(network("the server sends no features"));
    }
    Ok(features)
}

/// SASL and the stream after it; what that one offers.
pub async fn login(
    wire: &mut Wire,
    features: &Element,
    jid: &BareJid,
    password: &str,
) -> Result<Element, Failure> {
    authenticate(wire, features, jid, password).await?;
    wire.restart();
    begin(wire, jid.domain().as_str()).await
}

/// Binds a resource (RFC 6120 section 7); the full address.
pub async fn bind(
    wire: &mut Wire,
    features: &Element,
    jid: &BareJid,
    resource: &str,
) -> Result<String, Failure> {
    if features.get_child("bind", ns::BIND).is_none() {
        return Err(network("the server offers no binding"));
    }
    let bind = format!(
        "<iq type='set' id='bind'><bind xmlns='{}'><resource>{}</resource></bind></iq>",
        ns::BIND,
        escape(resource)
    );
    let answer = ask(wire, &bind, "bind").await?;
    let full = answer
        .get("bind", ns::BIND)
        .and_then(|b| b.get_child("jid", ns::BIND).map(Element::text));
    match full {
        Some(full) if Jid::new(&full).is_ok_and(|f| f.to_bare() == *jid) => Ok(full),
        _ => Err(network("the server bound no address")),
    }
}

/// Whether a stream offers stream management (XEP-0198 section 2).
pub fn is_managed(features: &Element) -> bool {
    features.get_child("sm", ns::SM).is_some()
}

/// Resumes a stream (XEP-0198 section 5): what the server has handled of it. `Err(h)`: it is over, and this much of
/// it is known.
pub async fn resume(
    wire: &mut Wire,
    sm_id: &str,
    handled: u32,
) -> Result<Result<u32, Option<u32>>, Failure> {
    let resume = format!(
        "<resume xmlns='{}' previd='{}' h='{handled}'/>",
        ns::SM,
        escape(sm_id)
    );
    send(wire, &resume).await?;
    let answer = element(wire).await?;
    let h = answer.attr("h").and_then(|h| h.parse().ok());
    match (answer.name(), h) {
        ("resumed", Some(h)) => Ok(Ok(h)),
        ("failed", h) => Ok(Err(h)),
        _ => Err(network("the server neither resumes nor refuses to")),
    }
}

async fn authenticate(
    wire: &mut Wire,
    features: &Element,
    jid: &BareJid,
    password: &str,
) -> Result<(), Failure> {
    let offered: Vec<String> = features
        .get_child("mechanisms", ns::SASL)
        .map(|m| m.children().map(Element::text).collect())
        .unwrap_or_default();
    // The strongest first; PLAIN only comes here under TLS.
    let best = [
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::Plain,
    ];
    let Some(mechanism) = best
        .into_iter()
        .find(|m| offered.iter().any(|o| o == m.name()))
    else {
        let words = format!(
            "the server offers no way to log in that liao knows ({})",
            offered.join(", ")
        );
        return Err(Failure::Refused(words));
    };
    let user = jid
        .node()
        .map(|n| n.as_str().to_owned())
        .unwrap_or_default();
    let wrong = |e: sasl::ClientError| Failure::NotAuthorized(e.to_string());
    let mut client = Client::new(mechanism, &user, password).map_err(wrong)?;
    let initial = sasl::encode(&client.initial());
    let auth = format!(
        "<auth xmlns='{}' mechanism='{}'>{initial}</auth>",
        ns::SASL,
        mechanism.name()
    );
    send(wire, &auth).await?;
    loop {
        let answer = element(wire).await?;
        let data = sasl::decode(&answer.text()).unwrap_or_default();
        match answer.name() {
            "challenge" => {
                let response = sasl::encode(&client.step(&data).map_err(wrong)?);
                send(
                    wire,
                    &format!("<response xmlns='{}'>{response}</response>", ns::SASL),
                )
                .await?;
            }
            // The server's proof comes here or came with the last challenge.
            "success" if data.is_empty() && client.is_verified() => return Ok(()),
            "success" => return client.finish(&data).map_err(wrong),
            _ => return Err(sasl_failure(&answer, jid)),
        }
    }
}

/// RFC 6120 section 6.5.
fn sasl_failure(failure: &Element, jid: &BareJid) -> Failure {
    let condition = failure
        .children()
        .find(|c| c.name() != "text")
        .map_or("not-authorized", Element::name);
    let text = failure
        .get_child("text", ns::SASL)
        .map(Element::text)
        .filter(|t| !t.is_empty());
    let text = text.map_or(String::new(), |t| format!(" ({t})"));
    match condition {
        "temporary-auth-failure" => {
            Failure::Network(format!("the server cannot log anyone in now{text}"))
        }
        "account-disabled" => Failure::NotAuthorized(format!("{jid} is disabled{text}")),
        "credentials-expired" => {
            Failure::NotAuthorized(format!("the password of {jid} has expired{text}"))
        }
        "not-authorized" => Failure::NotAuthorized(format!(
            "{jid}: the name or the password is wrong{text}; `liao chat {jid}` asks for it again"
        )),
        other => Failure::NotAuthorized(format!("{jid}: {other}{text}")),
    }
}

/// Sends an IQ and awaits its answer; an error becomes a refusal in words.
async fn ask(wire: &mut Wire, iq: &str, id: &str) -> Result<Stanza, Failure> {
    send(wire, iq).await?;
    loop {
        match event(wire).await? {
            StreamEvent::Element(frame) if frame.is("error", ns::STREAM) => {
                return Err(frame.to_dom().map_or_else(late, |e| stream_error(&e)));
            }
            StreamEvent::Element(frame) => {
                let Ok(stanza) = Stanza::from_frame(frame) else {
                    continue;
                };
                if stanza.id.as_deref() != Some(id) {
                    continue;
                }
                return match stanza.type_str() {
                    "result" => Ok(stanza),
                    _ => Err(Failure::Refused(super::incoming::error_words(&stanza))),
                };
            }
            _ => return Err(network("the server closed the stream")),
        }
    }
}

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
