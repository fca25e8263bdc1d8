//! A client's connection until a resource is bound: stream, STARTTLS, registration; SASL and binding are next door
//! (RFC 6120 sections 4 and 5, RFC 7395, XEP-0077, XEP-0445).

mod bind;
mod features;
mod login;
mod sasl2;

use crate::limits;
use crate::peer::Peer;
use crate::registration::{self, Ticket};
use crate::server::{Server, random_id};
use crate::session::{self, Around, Resume};
pub use bind::Bound;
use liao_net::{Wire, WireError};
use liao_proto::jid::BareJid;
use liao_proto::ns;
use liao_proto::sasl::Profile;
use liao_proto::stanza::Stanza;
use liao_proto::stream::{Event, Header, error_element};
use liao_proto::xml::Frame;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// The certificate in force; changes at reload.
pub type Tls = watch::Receiver<Arc<liao_net::rustls::ServerConfig>>;

/// Why negotiation ended without a session.
enum Stop {
    /// The client left, or the network did.
    Gone,
    /// A stream error to be sent.
    Error(&'static str, &'static str),
    /// The connection goes to a session that is there.
    Resume(Box<Handover>),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Stop {
        match error {
            WireError::Stream(e) => Stop::Error(e.condition(), ""),
            _ => Stop::Gone,
        }
    }
}

/// A resumption that can be.
struct Handover {
    session: mpsc::Sender<Box<Resume>>,
    /// The client has handled so many stanzas.
    h: u32,
    around: Around,
}

/// A connection in negotiation.
struct Connection {
    server: Arc<Server>,
    wire: Wire,
    tls: Option<Tls>,
    peer: Peer,
    /// Whom the stream header named.
    from: Option<BareJid>,
    /// The language that it named: that of every stanza without one.
    lang: Option<Box<str>>,
    user: Option<BareJid>,
    ticket: Ticket,
    tries: u32,
}

/// Serves one connection from its first byte to its last.
pub async fn serve(server: Arc<Server>, wire: Wire, peer: Peer, tls: Option<Tls>) {
    let mut connection = Connection {
        server,
        wire,
        tls,
        peer,
        from: None,
        lang: None,
        user: None,
        ticket: Ticket::default(),
        tries: 0,
    };
    let limit = Duration::from_secs(connection.server.bounds.unauthenticated_s);
    // Boxed: it is large and over soon, and the connection stays.
    let bound = match Box::pin(timeout(limit, connection.negotiate())).await {
        Ok(bound) => bound,
        Err(_) => Err(Stop::Error("connection-timeout", "log in sooner")),
    };
    let Connection {
        server,
        mut wire,
        lang,
        ..
    } = connection;
    match bound {
        Ok(bound) => Box::pin(session::run(server, wire, bound, peer.address)).await,
        Err(Stop::Error(condition, text)) => {
            if !wire.is_open() {
                // Section 4.9.1.2: an error before the header still needs one around it.
                wire.queue_open(&header(&server, Some(VERSION)));
            }
            Box::pin(farewell(wire, condition, text)).await;
        }
        Err(Stop::Resume(handover)) => {
            let (held, released) = tokio::sync::oneshot::channel();
            let Handover { session, h, around } = *handover;
            let resume = Box::new(Resume {
                wire,
                peer: peer.address,
                lang,
                h,
                around,
                held,
            });
            if let Err(lost) = session.send(resume).await {
                // It ended at this very moment; the client binds anew on another connection.
                let farewell = farewell(lost.0.wire, "reset", "the session ended meanwhile");
                return Box::pin(farewell).await;
            }
            // This task stands for the connection where connections are counted.
            let _ = released.await;
        }
        Err(Stop::Gone) => {}
    }
}

/// `<failed/>` with a stanza error's condition (XEP-0198 section 6).
pub fn failed(condition: &str, h: Option<u32>) -> String {
    let h = h.map_or(String::new(), |h| format!(" h='{h}'"));
    format!(
        "<failed xmlns='{}'{h}><{condition} xmlns='{}'/></failed>",
        ns::SM,
        ns::STANZAS
    )
}

/// The version of XMPP that is spoken here.
const VERSION: &str = "1.0";

/// A response stream header (section 4.7). What people may read in errors is in English (section 4.7.4).
fn header(server: &Server, version: Option<&str>) -> Header {
    Header {
        from: Some(server.domain.to_string()),
        id: Some(random_id()),
        version: version.map(str::to_owned),
        lang: Some("en".into()),
        content_ns: ns::CLIENT.into(),
        ..Header::default()
    }
}

/// Whether it is 1.0 or later: what is newer can be told apart by our answer (section 4.7.5).
fn is_spoken(version: &str) -> bool {
    let major = version.split('.').next().unwrap_or_default();
    major.parse::<u32>().is_ok_and(|major| major >= 1)
}

/// A language as it can be written on each stanza (section 4.7.4).
fn is_language(tag: &str) -> bool {
    let fits = (1..=limits::LANGUAGE_BYTES).contains(&tag.len());
    fits && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Sends a stream error and closes (RFC 6120 section 4.9.1).
pub async fn farewell(mut wire: Wire, condition: &str, text: &str) {
    tracing::debug!(condition, text, "stream error");
    wire.queue(error_element(condition, text).as_bytes());
    wire.queue_close();
    let _ = timeout(Duration::from_secs(limits::SHUTDOWN_S), async {
        let _ = wire.flush().await;
        wire.shutdown_and_drain(limits::LAST_WORDS_BYTES).await;
    })
    .await;
}

impl Connection {
    async fn negotiate(&mut self) -> Result<Bound, Stop> {
        loop {
            match self.wire.recv().await? {
                Event::Open(header) => self.opened(header)?,
                Event::Close => return Err(self.goodbye().await),
                Event::Element(frame) => {
                    if let Some(bound) = self.element(frame).await? {
                        return Ok(bound);
                    }
                }
            }
        }
    }

    async fn goodbye(&mut self) -> Stop {
        self.wire.queue_close();
        let _ = self.wire.flush().await;
        self.wire.shutdown().await;
        Stop::Gone
    }

    /// RFC 6120 sections 4.7 (attributes) and 4.3.2 (features).
    fn opened(&mut self, header: Header) -> Result<(), Stop> {
        let version = header.version.as_deref();
        let answer = self::header(&self.server, version.map(|_| VERSION));
        self.wire.queue_open(&Header {
            to: header.from.clone(),
            ..answer
        });
        let lang = header.lang.as_deref().filter(|l| is_language(l));
        self.lang = lang.map(Into::into);
        if !self.wire.is_websocket() && header.content_ns != ns::CLIENT {
            return Err(Stop::Error(
                "invalid-namespace",
                "the content namespace must be jabber:client",
            ));
        }
        self.from = match header.from.as_deref().map(BareJid::new) {
            None => None,
            Some(Ok(from)) if self.may_be(&from) => Some(from),
            // Section 4.9.3.9, XEP-0388 section 2.1.
            Some(_) => {
                return Err(Stop::Error(
                    "invalid-from",
                    "that is no address of this server",
                ));
            }
        };
        match header.to.as_deref().map(BareJid::new) {
            None => {}
            Some(Ok(to)) if to == self.server.domain => {}
            Some(_) => return Err(Stop::Error("host-unknown", "no such domain is served here")),
        }
        if !version.is_some_and(is_spoken) {
            return Err(Stop::Error(
                "unsupported-version",
                "XMPP 1.0 is spoken here",
            ));
        }
        let features = match self.user {
            Some(_) => features::to_bind(&self.server),
            None => self.features(),
        };
        self.wire.queue(features.as_bytes());
        Ok(())
    }

    /// Whether a stream header may come from this address: one of ours, and after the login one's own.
    fn may_be(&self, from: &BareJid) -> bool {
        match &self.user {
            Some(user) => from == user,
            None => from.domain() == self.server.domain.domain(),
        }
    }

    async fn element(&mut self, frame: Frame) -> Result<Option<Bound>, Stop> {
        match (frame.name(), frame.ns()) {
            ("starttls", ns::TLS) => self.starttls().await?,
            ("auth", ns::SASL) => self.authenticate(&frame).await?,
            ("authenticate", ns::SASL2) => return self.authenticate2(&frame).await,
            ("iq", ns::CLIENT) if self.user.is_some() => return self.bind(frame).await,
            ("resume", ns::SM) if self.user.is_some() => self.resume_alone(&frame).await?,
            // XEP-0198 section 3: after login, and after binding.
            (_, ns::SM) => self
                .wire
                .queue(failed("unexpected-request", None).as_bytes()),
            ("iq", ns::CLIENT) if !self.mechanisms(Profile::Sasl).is_empty() => {
                let iq = Stanza::from_frame(frame).map_err(|_| Stop::Error("bad-format", ""))?;
                let answer = registration::before_login(
                    &self.server,
                    &mut self.ticket,
                    self.peer.address,
                    iq,
                )
                .await;
                // RFC 6120 section 4.9.3.12.
                let answer = answer.ok_or(Stop::Error("not-authorized", "log in first"))?;
                self.wire.queue(&answer.to_bytes());
            }
            ("message" | "presence" | "iq", ns::CLIENT) => {
                return Err(Stop::Error("not-authorized", "log in first"));
            }
            _ => return Err(Stop::Error("unsupported-stanza-type", "")),
        }
        Ok(None)
    }

    /// RFC 6120 section 5.4.
    async fn starttls(&mut self) -> Result<(), Stop> {
        let Some(tls) = self
            .tls
            .clone()
            .filter(|_| !self.peer.secure && !self.wire.is_websocket())
        else {
            self.wire
                .queue(format!("<failure xmlns='{}'/>", ns::TLS).as_bytes());
            self.wire.queue_close();
            let _ = self.wire.flush().await;
            return Err(Stop::Gone);
        };
        self.wire
            .queue(format!("<proceed xmlns='{}'/>", ns::TLS).as_bytes());
        self.wire.flush().await?;
        let config = tls.borrow().clone();
        self.wire.starttls_accept_in_place(config).await?;
        self.peer.secure = true;
        Ok(())
    }
}
