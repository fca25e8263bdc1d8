//! From a name to a stream: where the server is, whom to trust, STARTTLS (RFC 6120 sections 3 to 5).

use super::is_websocket;
use crate::backend::{Event, Failure};
use crate::store::Store;
use liao_net::resolve::{self, Target};
use liao_net::{Wire, WireError, tcp, tls, websocket};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::stream::{Event as StreamEvent, Header, Limits};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// What we take from a server, in bytes of one stanza: it is not hostile by default, but memory has an end.
const LIMITS: Limits = Limits {
    element_bytes: 16 * 1024 * 1024,
    depth: 128,
};
/// How long one step of the negotiation may take.
pub(super) const STEP: Duration = Duration::from_secs(30);

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

pub(super) fn network(error: impl std::fmt::Display) -> Failure {
    Failure::Network(error.to_string())
}

/// A TLS configuration under construction of trust.
pub(super) struct Trusting {
    pub(super) config: Arc<liao_net::rustls::ClientConfig>,
    seen: Arc<Mutex<tls::Seen>>,
    pin: Option<String>,
}

impl Dial<'_> {
    pub(super) fn trusting(&self, name: &str, alpn: &[&str]) -> Result<Trusting, Failure> {
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
    pub(super) async fn trusted(&self, name: &str, trusting: &Trusting) -> Result<(), Failure> {
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
    pub(super) fn refused(&self, name: &str, error: &WireError) -> Failure {
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
                let bindings = tls::bindings(&io);
                Wire::bound(io, bindings, LIMITS)
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

pub(super) fn late() -> Failure {
    Failure::Network("the server does not answer".into())
}

async fn event(wire: &mut Wire) -> Result<StreamEvent, Failure> {
    tokio::time::timeout(STEP, wire.recv())
        .await
        .map_err(|_| late())?
        .map_err(network)
}

/// The next element; a stream error becomes what it means.
pub(super) async fn element(wire: &mut Wire) -> Result<Element, Failure> {
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

pub(super) async fn send(wire: &mut Wire, text: &str) -> Result<(), Failure> {
    wire.queue(text.as_bytes());
    tokio::time::timeout(STEP, wire.flush())
        .await
        .map_err(|_| late())?
        .map_err(network)
}

/// Opens a stream and reads its features (RFC 6120 section 4.3.2).
pub(super) async fn begin(wire: &mut Wire, domain: &str) -> Result<Element, Failure> {
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

/// Sends an IQ and awaits its answer; an error becomes a refusal in words.
pub(super) async fn ask(wire: &mut Wire, iq: &str, id: &str) -> Result<Stanza, Failure> {
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
