//! One client as the load generator needs it: stream, STARTTLS, SASL, in-band registration, binding, presence
//! (RFC 6120 sections 4 to 7, XEP-0077).

use crate::BenchError;
use crate::accounts::User;
use crate::target::Door;
use liao_net::{Wire, WireError};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sasl::{self, Mechanism};
use liao_proto::stream::{Event, Header, Limits};
use liao_proto::xml::{Frame, escape};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long one log-in, registration or question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What in-band registration came to.
pub enum Registered {
    /// The account is new.
    Made,
    /// Somebody had made it before.
    Existed,
    /// The server refuses; why.
    Refused(String),
}

/// A client that is logged in, bound and present.
pub struct Client {
    /// Its connection.
    pub wire: Wire,
    asked: u32,
}

impl From<WireError> for BenchError {
    fn from(error: WireError) -> BenchError {
        BenchError::Network(format!("a connection broke: {error}"))
    }
}

async fn in_time<T>(
    what: &str,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|_| {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Err(BenchError::Network(format!(
            "{what}: no answer within {seconds} s"
        )))
    })
}

/// On loopback each user has an address of its own, as people have: servers bound what one address may do.
/// Where the system knows only 127.0.0.1, that is used.
async fn connect(address: SocketAddr, home: [u8; 3]) -> std::io::Result<TcpStream> {
    if address.ip().is_loopback() && address.is_ipv4() {
        let socket = TcpSocket::new_v4()?;
        let from = IpAddr::from(Ipv4Addr::new(127, home[0], home[1], home[2]));
        if socket.bind(SocketAddr::new(from, 0)).is_ok() {
            return socket.connect(address).await;
        }
    }
    TcpStream::connect(address).await
}

/// The next element; anything that ends the stream is an error in words.
async fn element(wire: &mut Wire) -> Result<Frame, BenchError> {
    loop {
        match wire.recv().await? {
            Event::Open(_) => {}
            Event::Close => return Err(BenchError::Network("the server closed the stream".into())),
            Event::Element(frame) => {
                stream_error(&frame)?;
                return Ok(frame);
            }
        }
    }
}

/// A stream error (RFC 6120 section 4.9) as an error of ours.
pub fn stream_error(frame: &Frame) -> Result<(), BenchError> {
    if frame.is("error", ns::STREAM) {
        let words = condition(frame, ns::STREAMS);
        return Err(BenchError::Network(format!(
            "the server ended the stream: {words}"
        )));
    }
    Ok(())
}

/// The condition and the text of an error of a stream or a stanza (RFC 6120 sections 4.9.2 and 8.3.2).
pub fn condition(frame: &Frame, of: &str) -> String {
    let Some(dom) = frame.to_dom() else {
        return "an unreadable error".into();
    };
    let holder = match dom.children().find(|c| c.name() == "error") {
        Some(error) => error,
        None => &dom,
    };
    let name = holder
        .children()
        .find(|c| c.ns() == of && c.name() != "text")
        .map_or("no reason given", |c| c.name());
    match holder.get_child("text", of).map(Element::text) {
        Some(text) if !text.trim().is_empty() => format!("{name} ({})", text.trim()),
        _ => name.to_owned(),
    }
}

/// Opens the stream, goes to TLS if wanted, and gives what the server offers.
async fn open(door: &Door, user: &User) -> Result<(Wire, Element), BenchError> {
    let stream = connect(door.address, user.home)
        .await
        .and_then(|s| s.set_nodelay(true).map(|()| s))
        .map_err(|e| BenchError::Network(format!("{} takes no connection: {e}", door.address)))?;
    let mut wire = Wire::stream(stream, false, Limits::default());
    let mut offer = header(&mut wire, door).await?;
    if let Some(tls) = &door.tls {
        wire.queue(format!("<starttls xmlns='{}'/>", ns::TLS).as_bytes());
        if !element(&mut wire).await?.is("proceed", ns::TLS) {
            return Err(BenchError::Refused(
                "the server offers no TLS: leave out --tls".into(),
            ));
        }
        let name = liao_net::tls::server_name(&door.domain)
            .map_err(|e| BenchError::Usage(format!("{}: {e}", door.domain)))?;
        wire.starttls_connect_in_place(name, tls.clone()).await?;
        offer = header(&mut wire, door).await?;
    }
    Ok((wire, offer))
}

/// Our stream header; the features that answer it (RFC 6120 section 4.3.2).
async fn header(wire: &mut Wire, door: &Door) -> Result<Element, BenchError> {
    wire.queue_open(&Header {
        to: Some(door.domain.clone()),
        version: Some("1.0".into()),
        ..Header::default()
    });
    let frame = element(wire).await?;
    match frame.to_dom().filter(|_| frame.is("features", ns::STREAM)) {
        Some(features) => Ok(features),
        None => Err(BenchError::Network(
            "the server does not speak XMPP 1.0".into(),
        )),
    }
}

/// Makes an account over a stream that nobody has logged in on (XEP-0077 section 3.1).
pub async fn register(door: &Door, user: &User) -> Result<Registered, BenchError> {
    in_time("registration", async {
        let (mut wire, _) = open(door, user).await?;
        let query = format!(
            "<iq type='set' id='register'><query xmlns='{}'><username>{}</username><password>{}</password></query></iq>",
            ns::REGISTER,
            escape(&user.name),
            escape(&user.password)
        );
        wire.queue(query.as_bytes());
        let answer = match element(&mut wire).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Registered::Refused(error.to_string())),
        };
        wire.queue_close();
        let _ = wire.flush().await;
        if answer.attr("type") == Some("result") {
            return Ok(Registered::Made);
        }
        let words = condition(&answer, ns::STANZAS);
        Ok(match words.starts_with("conflict") {
            true => Registered::Existed,
            false => Registered::Refused(words),
        })
    })
    .await
}

impl Client {
    /// Logs in, binds a resource and becomes present; what it is sent by now has been read.
    pub async fn login(door: &Door, user: &User) -> Result<Client, BenchError> {
        in_time("log-in", async {
            let (mut wire, offer) = open(door, user).await?;
            authenticate(&mut wire, &offer, user, door.tls.is_some()).await?;
            wire.restart();
            header(&mut wire, door).await?;
            let mut client = Client { wire, asked: 0 };
            let bind = format!("<bind xmlns='{}'/>", ns::BIND);
            let bound = client.ask("set", None, &bind).await?;
            if bound.attr("type") != Some("result") {
                let words = condition(&bound, ns::STANZAS);
                return Err(BenchError::Refused(format!(
                    "no resource was bound: {words}"
                )));
            }
            client.wire.queue(b"<presence/>");
            client.ping(door).await?;
            Ok(client)
        })
        .await
    }

    /// Sends an IQ and waits for its answer, whatever comes between.
    async fn ask(
        &mut self,
        kind: &str,
        to: Option<&str>,
        payload: &str,
    ) -> Result<Frame, BenchError> {
        self.asked += 1;
        let id = format!("ask-{}", self.asked);
        let to = to.map_or(String::new(), |to| format!(" to='{}'", escape(to)));
        self.wire
            .queue(format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>").as_bytes());
        loop {
            let frame = element(&mut self.wire).await?;
            let answers = frame.is("iq", ns::CLIENT) && frame.attr("id") == Some(&id);
            if answers && matches!(frame.attr("type"), Some("result" | "error")) {
                return Ok(frame);
            }
            if frame.is("message", ns::CLIENT)
                && frame
                    .attr("id")
                    .is_some_and(|id| id.starts_with(crate::load::MARK))
            {
                return Err(BenchError::Wrong(
                    "a message came once more after the last one".into(),
                ));
            }
        }
    }

    /// Asks the server something that even a refusal answers (XEP-0199): all that it sent before has been read.
    pub async fn ping(&mut self, door: &Door) -> Result<(), BenchError> {
        let ping = format!("<ping xmlns='{}'/>", ns::PING);
        in_time("a ping", self.ask("get", Some(&door.domain), &ping))
            .await
            .map(drop)
    }

    /// The server's name and version (XEP-0092), if it tells.
    pub async fn version(&mut self, door: &Door) -> Result<Option<String>, BenchError> {
        let query = format!("<query xmlns='{}'/>", ns::VERSION);
        let answer = in_time("its version", self.ask("get", Some(&door.domain), &query)).await?;
        let query = answer
            .to_dom()
            .and_then(|d| d.get_child("query", ns::VERSION).cloned());
        let text = |name| Some(query.as_ref()?.get_child(name, ns::VERSION)?.text());
        Ok(match (text("name"), text("version")) {
            (Some(name), Some(version)) => Some(format!("{name} {version}")),
            (name, _) => name,
        })
    }

    /// Removes the account (XEP-0077 section 3.2).
    pub async fn remove_account(mut self) -> Result<(), BenchError> {
        let query = format!("<query xmlns='{}'><remove/></query>", ns::REGISTER);
        let answer = in_time("removal", self.ask("set", None, &query)).await?;
        match answer.attr("type") {
            Some("result") => Ok(()),
            _ => Err(BenchError::Refused(condition(&answer, ns::STANZAS))),
        }
    }
}

/// SCRAM, or PLAIN under TLS, by classic SASL (RFC 6120 section 6.4).
async fn authenticate(
    wire: &mut Wire,
    offer: &Element,
    user: &User,
    tls: bool,
) -> Result<(), BenchError> {
    let refused =
        |words: String| BenchError::Refused(format!("{} cannot log in: {words}", user.name));
    let mechanism = offer
        .get_child("mechanisms", ns::SASL)
        .into_iter()
        .flat_map(Element::children)
        .filter_map(|m| Mechanism::parse(m.text().trim()))
        .filter(|m| tls || *m != Mechanism::Plain)
        // Channel binding is not what is measured; without it each server is asked for the same.
        .filter(|m| !m.is_plus())
        .max();
    let Some(mechanism) = mechanism else {
        return Err(refused(match tls {
            true => "the server offers neither SCRAM nor PLAIN".into(),
            false => "the server offers no SCRAM without TLS: add --tls, or switch off that it demands encryption \
                      (Prosody: c2s_require_encryption = false; ejabberd: starttls_required: false)"
                .into(),
        }));
    };
    let fails = |e: sasl::ClientError| refused(e.to_string());
    let mut exchange = sasl::Client::new(mechanism, &user.name, &user.password).map_err(fails)?;
    let first = sasl::encode(&exchange.initial());
    let name = mechanism.name();
    wire.queue(
        format!(
            "<auth xmlns='{}' mechanism='{name}'>{first}</auth>",
            ns::SASL
        )
        .as_bytes(),
    );
    loop {
        let frame = element(wire).await?;
        let data = sasl::decode(&frame.text())
            .map_err(|_| refused("the server's answer is no base64".into()))?;
        match frame.name() {
            "challenge" => {
                let answer = match exchange.step(&data).map_err(fails)? {
                    nothing if nothing.is_empty() => String::new(),
                    bytes => sasl::encode(&bytes),
                };
                wire.queue(
                    format!("<response xmlns='{}'>{answer}</response>", ns::SASL).as_bytes(),
                );
            }
            // Without data, the server has proved itself in a challenge before.
            "success" if data.is_empty() => return Ok(()),
            "success" => return exchange.finish(&data).map_err(fails),
            _ => return Err(refused(condition(&frame, ns::SASL))),
        }
    }
}
