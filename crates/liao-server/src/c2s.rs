//! A client's connection until a resource is bound: stream, STARTTLS, SASL, registration, binding
//! (RFC 6120 sections 4 to 7, RFC 7395, XEP-0077, XEP-0445).

use crate::backoff::Try;
use crate::entity::{self, Item, Wanted};
use crate::limits;
use crate::mailbox::Mailbox;
use crate::peer::Peer;
use crate::registration::{self, Ticket};
use crate::server::{Server, random_id};
use crate::session::{self, Resume};
use crate::streams::Found;
use liao_net::{Wire, WireError};
use liao_proto::jid::BareJid;
use liao_proto::sasl::{self, Mechanism, Step};
use liao_proto::stanza::{ErrorKind, Kind, Stanza};
use liao_proto::stream::{Event, Header, Limits, error_element};
use liao_proto::xml::Frame;
use liao_proto::{minidom::Element, ns};
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    /// The connection goes to a session that is there; the client has handled so many stanzas.
    Resume(mpsc::Sender<Resume>, u32),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Stop {
        match error {
            WireError::Stream(e) => Stop::Error(e.condition(), ""),
            _ => Stop::Gone,
        }
    }
}

/// A connection in negotiation.
struct Connection {
    server: Arc<Server>,
    wire: Wire,
    tls: Option<Tls>,
    peer: Peer,
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
        user: None,
        ticket: Ticket::default(),
        tries: 0,
    };
    let limit = Duration::from_secs(connection.server.bounds.unauthenticated_s);
    let bound = match timeout(limit, connection.negotiate()).await {
        Ok(bound) => bound,
        Err(_) => Err(Stop::Error("connection-timeout", "log in sooner")),
    };
    let Connection { server, wire, .. } = connection;
    match bound {
        Ok((id, full, mailbox)) => {
            session::run(server, wire, id, full, mailbox, peer.address).await
        }
        Err(Stop::Error(condition, text)) => farewell(wire, condition, text).await,
        Err(Stop::Resume(session, h)) => {
            let (held, released) = tokio::sync::oneshot::channel();
            let resume = Resume {
                wire,
                peer: peer.address,
                h,
                held,
            };
            if let Err(lost) = session.send(resume).await {
                // It ended at this very moment; the client binds anew on another connection.
                return farewell(lost.0.wire, "reset", "the session ended meanwhile").await;
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

/// Sends a stream error and closes (RFC 6120 section 4.9.1).
pub async fn farewell(mut wire: Wire, condition: &str, text: &str) {
    tracing::debug!(condition, text, "stream error");
    if !wire.is_open() {
        // Section 4.9.1.2: an error before the header still needs one around it.
        wire.queue_open(&Header {
            id: Some(random_id()),
            version: Some("1.0".into()),
            ..Header::default()
        });
    }
    wire.queue(error_element(condition, text).as_bytes());
    wire.queue_close();
    let _ = timeout(Duration::from_secs(limits::SHUTDOWN_S), async {
        let _ = wire.flush().await;
        wire.shutdown().await;
    })
    .await;
}

type Bound = (u64, liao_proto::jid::FullJid, Arc<Mailbox>);

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
        let answer = Header {
            from: Some(self.server.domain.to_string()),
            to: header.from.clone(),
            id: Some(random_id()),
            version: Some("1.0".into()),
            lang: Some(header.lang.clone().unwrap_or_else(|| "en".into())),
            content_ns: ns::CLIENT.into(),
        };
        self.wire.queue_open(&answer);
        if !self.wire.is_websocket() && header.content_ns != ns::CLIENT {
            return Err(Stop::Error(
                "invalid-namespace",
                "the content namespace must be jabber:client",
            ));
        }
        match header.to.as_deref().map(BareJid::new) {
            None => {}
            Some(Ok(to)) if to == self.server.domain => {}
            Some(_) => return Err(Stop::Error("host-unknown", "no such domain is served here")),
        }
        if header
            .version
            .as_deref()
            .is_none_or(|v| v.split('.').next() != Some("1"))
        {
            return Err(Stop::Error(
                "unsupported-version",
                "XMPP 1.0 is spoken here",
            ));
        }
        let features = self.features();
        self.wire.queue(features.as_bytes());
        Ok(())
    }

    fn mechanisms(&self) -> &'static [Mechanism] {
        if self.peer.secure {
            &[
                Mechanism::ScramSha256,
                Mechanism::ScramSha1,
                Mechanism::Plain,
            ]
        } else if self.peer.local {
            // Without TLS only SCRAM, which does not show the password, and only where nobody can listen.
            &[Mechanism::ScramSha256, Mechanism::ScramSha1]
        } else {
            &[]
        }
    }

    fn features(&self) -> String {
        let mut out = format!("<stream:features xmlns:stream='{}'>", ns::STREAM);
        if self.user.is_some() {
            out.push_str(&format!(
                "<bind xmlns='{}'/><session xmlns='{}'><optional/></session><sm xmlns='{}'/><csi xmlns='{}'/>",
                ns::BIND,
                ns::SESSION,
                ns::SM,
                ns::CSI
            ));
        } else {
            let mechanisms = self.mechanisms();
            if !self.peer.secure && self.tls.is_some() && !self.wire.is_websocket() {
                let must = if mechanisms.is_empty() {
                    "<required/>"
                } else {
                    ""
                };
                out.push_str(&format!("<starttls xmlns='{}'>{must}</starttls>", ns::TLS));
            }
            if !mechanisms.is_empty() {
                out.push_str(&format!("<mechanisms xmlns='{}'>", ns::SASL));
                for mechanism in mechanisms {
                    out.push_str(&format!("<mechanism>{}</mechanism>", mechanism.name()));
                }
                out.push_str("</mechanisms>");
                if registration::is_offered(&self.server) {
                    out.push_str(&format!(
                        "<register xmlns='{}'/><register xmlns='{}'/>",
                        ns::REGISTER_FEATURE,
                        ns::IBR_TOKEN
                    ));
                }
            }
        }
        out.push_str("</stream:features>");
        out
    }

    async fn element(&mut self, frame: Frame) -> Result<Option<Bound>, Stop> {
        match (frame.name(), frame.ns()) {
            ("starttls", ns::TLS) => self.starttls().await?,
            ("auth", ns::SASL) => self.authenticate(&frame).await?,
            ("iq", ns::CLIENT) if self.user.is_some() => return self.bind(frame).await,
            ("resume", ns::SM) if self.user.is_some() => return self.resume(&frame).await,
            // XEP-0198 section 3: after login, and after binding.
            (_, ns::SM) => self
                .wire
                .queue(failed("unexpected-request", None).as_bytes()),
            ("iq", ns::CLIENT) if !self.mechanisms().is_empty() => {
                let iq = Stanza::from_frame(frame).map_err(|_| Stop::Error("bad-format", ""))?;
                let answer = registration::before_login(
                    &self.server,
                    &mut self.ticket,
                    self.peer.address,
                    iq,
                )
                .await;
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

    /// RFC 6120 section 6.4.
    async fn authenticate(&mut self, frame: &Frame) -> Result<(), Stop> {
        if self.user.is_some() {
            return Err(Stop::Error("policy-violation", "logged in already"));
        }
        let wanted = frame.attr("mechanism").unwrap_or_default();
        let known = Mechanism::parse(wanted).filter(|m| self.mechanisms().contains(m));
        let Some(mechanism) = known else {
            let condition = if self.mechanisms().is_empty() {
                "encryption-required"
            } else {
                "invalid-mechanism"
            };
            return self.refuse(condition);
        };
        let mut server = sasl::Server::new(mechanism, self.server.store.secret());
        let mut input = frame.text();
        let mut attempt = None;
        loop {
            let bytes = match sasl::decode(&input) {
                Ok(bytes) => bytes,
                Err(_) => return self.refuse("incorrect-encoding"),
            };
            let mut step = server.step(&bytes);
            if let Step::NeedKeys { username } = &step {
                match self.admit(username) {
                    Ok(admitted) => attempt = Some(admitted),
                    Err(wait) => return self.pause(wait),
                }
                let keys = self.keys(username, mechanism).await?;
                step = server.with_keys(keys);
            }
            match step {
                Step::Challenge(data) => {
                    let text = sasl::encode(&data);
                    self.wire.queue(
                        format!("<challenge xmlns='{}'>{text}</challenge>", ns::SASL).as_bytes(),
                    );
                }
                Step::Success {
                    username,
                    authzid,
                    data,
                } => {
                    if let Some(attempt) = attempt {
                        attempt.succeeded();
                    }
                    return self.success(&username, authzid, &data);
                }
                Step::Failure(condition) => {
                    if let Some(attempt) = attempt {
                        attempt.failed(Instant::now());
                    }
                    return self.refuse(condition.name());
                }
                Step::NeedKeys { .. } => return self.refuse("temporary-auth-failure"),
            }
            match self.wire.recv().await? {
                Event::Element(f) if f.is("response", ns::SASL) => input = f.text(),
                Event::Element(f) if f.is("abort", ns::SASL) => return self.refuse("aborted"),
                Event::Element(_) => return self.refuse("malformed-request"),
                _ => return Err(Stop::Gone),
            }
        }
    }

    /// Counts a try; loopback peers are no exception, a proxy or a tunnel may stand there.
    fn admit(&self, username: &str) -> Result<Try, Duration> {
        let account = self.address_of(username).ok();
        self.server.logins.admit(
            account.as_ref().map(|a| a.as_str()),
            self.peer.address.ip(),
            Instant::now(),
        )
    }

    /// Section 6.5.11.
    fn pause(&mut self, wait: Duration) -> Result<(), Stop> {
        let seconds = wait.as_millis().div_ceil(1000);
        let text = format!("too many failed logins; try again in {seconds} s");
        self.refuse_with("temporary-auth-failure", &text)
    }

    async fn keys(
        &mut self,
        username: &str,
        mechanism: Mechanism,
    ) -> Result<Option<sasl::ScramKeys>, Stop> {
        let Ok(bare) = self.address_of(username) else {
            return Ok(None);
        };
        match self.server.accounts.credentials(&bare).await {
            Ok(credentials) => Ok(credentials.map(|c| c.keys_for(mechanism).clone())),
            Err(error) => {
                tracing::error!(%error, "the account cannot be read");
                Err(Stop::Error("internal-server-error", ""))
            }
        }
    }

    fn address_of(&self, username: &str) -> Result<BareJid, ()> {
        if username.contains(['@', '/']) {
            return Err(());
        }
        BareJid::new(&format!("{username}@{}", self.server.domain)).map_err(|_| ())
    }

    fn success(
        &mut self,
        username: &str,
        authzid: Option<String>,
        data: &[u8],
    ) -> Result<(), Stop> {
        let Ok(bare) = self.address_of(username) else {
            return self.refuse("not-authorized");
        };
        // Section 6.3.8: only as oneself.
        if authzid.is_some_and(|a| !a.is_empty() && BareJid::new(&a).ok().as_ref() != Some(&bare)) {
            return self.refuse("invalid-authzid");
        }
        let text = if data.is_empty() {
            String::new()
        } else {
            sasl::encode(data)
        };
        self.wire
            .queue(format!("<success xmlns='{}'>{text}</success>", ns::SASL).as_bytes());
        self.wire.restart();
        self.wire.set_limits(Limits {
            element_bytes: self.server.bounds.stanza_bytes,
            depth: limits::STANZA_DEPTH,
        });
        self.user = Some(bare);
        Ok(())
    }

    /// Section 6.4.5 and 6.5.
    fn refuse(&mut self, condition: &str) -> Result<(), Stop> {
        self.refuse_with(condition, "")
    }

    fn refuse_with(&mut self, condition: &str, text: &str) -> Result<(), Stop> {
        self.tries += 1;
        tracing::info!(peer = %self.peer.address.ip(), condition, "a login was refused");
        let text = match text {
            "" => String::new(),
            text => format!("<text xml:lang='en'>{text}</text>"),
        };
        let failure = format!(
            "<failure xmlns='{}'><{condition}/>{text}</failure>",
            ns::SASL
        );
        self.wire.queue(failure.as_bytes());
        if self.tries >= limits::AUTH_TRIES {
            return Err(Stop::Error("policy-violation", "too many wrong tries"));
        }
        Ok(())
    }

    /// XEP-0198 section 5: hands the connection to the session, if there is one.
    async fn resume(&mut self, frame: &Frame) -> Result<Option<Bound>, Stop> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let Some(h) = frame.attr("h").and_then(|h| h.parse().ok()) else {
            self.wire.queue(failed("bad-request", None).as_bytes());
            return Ok(None);
        };
        let sm_id = frame.attr("previd").unwrap_or_default();
        match self.server.find_stream(sm_id, user).await {
            Found::Session(session) => Err(Stop::Resume(session, h)),
            Found::Gone(handled) => {
                self.wire.queue(failed("item-not-found", handled).as_bytes());
                Ok(None)
            }
        }
    }

    /// RFC 6120 section 7.
    async fn bind(&mut self, frame: Frame) -> Result<Option<Bound>, Stop> {
        let iq = Stanza::from_frame(frame).map_err(|_| Stop::Error("bad-format", ""))?;
        let Some(user) = self.user.clone() else {
            return Err(Stop::Error("not-authorized", ""));
        };
        let request = iq
            .get("bind", ns::BIND)
            .filter(|_| iq.type_.as_deref() == Some("set") && iq.kind == Kind::Iq);
        let Some(request) = request else {
            return Err(Stop::Error("not-authorized", "bind a resource first"));
        };
        let wanted = Wanted {
            resource: request.get_child("resource", ns::BIND).map(Element::text),
            ..Wanted::default()
        };
        let (reply, answer) = tokio::sync::oneshot::channel();
        let mailbox = Arc::new(Mailbox::new(self.server.bounds.mailbox_bytes));
        let id = self.server.session_id();
        self.server.post(
            user,
            Item::Bind {
                id,
                wanted,
                mailbox: mailbox.clone(),
                reply,
            },
        );
        match answer
            .await
            .unwrap_or(Err(ErrorKind::INTERNAL_SERVER_ERROR))
        {
            Ok(entity::Bound { full, .. }) => {
                let mut jid = Element::bare("jid", ns::BIND);
                jid.append_text(full.as_str());
                let mut bind = Element::bare("bind", ns::BIND);
                bind.append_child(jid);
                self.wire.queue(
                    &Stanza::iq("result", iq.id.as_deref().unwrap_or_default())
                        .child(&bind)
                        .to_bytes(),
                );
                Ok(Some((id, full, mailbox)))
            }
            Err(error) => {
                self.wire.queue(&iq.error(&error).to_bytes());
                Ok(None)
            }
        }
    }
}
