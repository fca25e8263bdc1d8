//! One connection of a client that expects it to break at any moment (RFC 6120 sections 4 to 7).

use crate::world;
use liao_net::{Progress, Wire, WireError};
use liao_proto::ns;
use liao_proto::sasl::{self, Mechanism};
use liao_proto::stream::{Event, Header, Limits};
use liao_proto::xml::Frame;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The connection is gone.
#[derive(Debug)]
pub struct Gone;

impl From<WireError> for Gone {
    fn from(_: WireError) -> Gone {
        Gone
    }
}

pub struct Line {
    wire: Wire,
}

/// What [`Line::next`] gives.
pub enum Heard {
    Element(Box<Frame>),
    /// All that was queued is written.
    Flushed,
}

impl Line {
    /// Connects and logs in; stream features were read.
    pub async fn log_in(at: SocketAddr, name: &str) -> Result<Line, Gone> {
        let stream = TcpStream::connect(at).await.map_err(|_| Gone)?;
        let wire = Wire::stream(stream, false, Limits::default());
        let mut line = Line { wire };
        line.open().await?;
        let mut scram =
            sasl::Client::new(Mechanism::ScramSha256, name, &format!("pw-{name}")).unwrap();
        let first = sasl::encode(&scram.initial());
        line.queue(&format!(
            "<auth xmlns='{}' mechanism='SCRAM-SHA-256'>{first}</auth>",
            ns::SASL
        ));
        loop {
            let answer = line.element().await?;
            match answer.name() {
                "challenge" => {
                    let challenge = sasl::decode(&answer.text()).unwrap();
                    let response = sasl::encode(&scram.step(&challenge).unwrap());
                    line.queue(&format!(
                        "<response xmlns='{}'>{response}</response>",
                        ns::SASL
                    ));
                }
                "success" => break,
                _ => panic!("{name} cannot log in: {answer:?}"),
            }
        }
        line.wire.restart();
        line.open().await?;
        Ok(line)
    }

    async fn open(&mut self) -> Result<(), Gone> {
        self.wire.queue_open(&Header {
            to: Some("localhost".into()),
            version: Some("1.0".into()),
            content_ns: ns::CLIENT.into(),
            ..Header::default()
        });
        self.element().await.map(drop)
    }

    pub fn queue(&mut self, xml: &str) {
        self.wire.queue(xml.as_bytes());
    }

    /// What happens next. Cancel-safe.
    pub async fn next(&mut self) -> Result<Heard, Gone> {
        loop {
            match self.wire.next().await? {
                Progress::Event(Event::Element(frame)) if frame.is("error", ns::STREAM) => {
                    return Err(Gone);
                }
                Progress::Event(Event::Element(frame)) => {
                    return Ok(Heard::Element(Box::new(frame)));
                }
                Progress::Event(Event::Close) => return Err(Gone),
                Progress::Event(Event::Open(_)) => {}
                Progress::Flushed => return Ok(Heard::Flushed),
            }
        }
    }

    /// The type of the answer to an IQ.
    pub async fn answer(&mut self, id: &str) -> String {
        loop {
            let frame = self.element().await.expect("the connection lives");
            if frame.name() == "iq" && frame.attr("id") == Some(id) {
                return frame.attr("type").unwrap_or_default().to_owned();
            }
        }
    }

    /// The next element; writes what is queued meanwhile.
    pub async fn element(&mut self) -> Result<Frame, Gone> {
        let wait = async {
            loop {
                if let Heard::Element(frame) = self.next().await? {
                    return Ok(*frame);
                }
            }
        };
        timeout(world::PATIENCE, wait)
            .await
            .expect("the server answers or breaks")
    }
}
