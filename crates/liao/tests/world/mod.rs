//! A real server process on free ports of loopback, and a plain client that logs in with SCRAM (RFC 6120).

#![allow(dead_code)]

use liao_net::Wire;
use liao_proto::sasl::{self, Mechanism};
use liao_proto::stream::{Event, Header, Limits};
use liao_proto::xml::Frame;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("liao-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program in a folder, with every listener on a free port of loopback.
pub fn liao(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
    command.env("LC_ALL", "C.UTF-8");
    command
        .args(args)
        .current_dir(folder)
        .env("RUST_LOG", "error");
    for name in ["C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS", "COMPONENTS"] {
        command.env(format!("LIAO_LISTEN_{name}"), "127.0.0.1:0");
    }
    command
}

/// A running server; killed when dropped.
pub struct Server {
    pub folder: Folder,
    child: Child,
    /// What it said until it was ready.
    pub banner: String,
    addresses: Value,
}

impl Server {
    /// Starts one in a folder of its own with this `liao.toml`.
    pub fn start(name: &str, config: &str) -> Server {
        Server::start_with(name, config, |_| {})
    }

    pub fn start_with(name: &str, config: &str, change: impl FnOnce(&mut Command)) -> Server {
        let folder = Folder::new(name);
        std::fs::write(folder.0.join("liao.toml"), config).unwrap();
        let mut command = liao(&folder.0, &["serve"]);
        change(&mut command);
        let (child, banner, addresses) = Server::launch(&folder.0, command, "xmpp:");
        Server {
            folder,
            child,
            banner,
            addresses,
        }
    }

    /// Kills the process (SIGKILL), does something to its folder, and starts another one on it.
    pub fn kill_and_start(&mut self, meanwhile: impl FnOnce(&Path)) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        meanwhile(&self.folder.0);
        let command = liao(&self.folder.0, &["serve"]);
        (self.child, self.banner, self.addresses) =
            Server::launch(&self.folder.0, command, "certificate");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `last`: what the banner says before it ends with an empty line.
    fn launch(folder: &Path, mut command: Command, last: &str) -> (Child, String, Value) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        loop {
            let line = lines.next().expect("the server starts").unwrap();
            let over = line.is_empty() && banner.contains(last);
            banner.push_str(&line);
            banner.push('\n');
            if over {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        let text = std::fs::read_to_string(folder.join("liao-data/addresses.json")).unwrap();
        (child, banner, serde_json::from_str(&text).unwrap())
    }

    pub fn address(&self, what: &str) -> SocketAddr {
        self.addresses[what].as_str().unwrap().parse().unwrap()
    }

    pub fn admin(&self, args: &[&str], input: &str) -> Output {
        let mut child = liao(&self.folder.0, &["admin"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    /// An account whose password is `pw-NAME`.
    pub fn add(&self, name: &str, flags: &[&str]) {
        let args = [&["user", "add", name, "--password-stdin"], flags].concat();
        let out = self.admin(&args, &format!("pw-{name}"));
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    pub fn reload(&self, config: &str) {
        std::fs::write(self.folder.0.join("liao.toml"), config).unwrap();
        let out = self.admin(&["reload"], "");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    pub async fn log_in(&self, name: &str) -> Client {
        let mut client = Client::connect(self.address("c2s")).await;
        let answer = client.authenticate(name, &format!("pw-{name}")).await;
        assert!(answer.is("success", SASL), "{answer:?}");
        assert_eq!(client.bind().await.attr("type"), Some("result"));
        client.send("<presence/>").await;
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// One stream.
pub struct Client {
    pub wire: Wire,
    pub features: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        Client::open(Wire::stream(stream, false, Limits::default())).await
    }

    pub async fn open(wire: Wire) -> Client {
        let mut client = Client {
            wire,
            features: String::new(),
        };
        client.begin().await;
        client
    }

    async fn begin(&mut self) {
        self.wire.queue_open(&Header {
            to: Some("localhost".into()),
            version: Some("1.0".into()),
            content_ns: "jabber:client".into(),
            ..Header::default()
        });
        let features = self.next().await;
        self.features = String::from_utf8_lossy(features.bytes()).into_owned();
    }

    /// The next element.
    pub async fn next(&mut self) -> Frame {
        loop {
            let event = tokio::time::timeout(PATIENCE, self.wire.recv())
                .await
                .expect("something arrives in time");
            match event.expect("the stream lives") {
                Event::Element(frame) => return frame,
                Event::Open(_) => {}
                Event::Close => panic!("the stream was closed"),
            }
        }
    }

    pub async fn send(&mut self, xml: &str) {
        self.wire.queue(xml.as_bytes());
        self.wire.flush().await.unwrap();
    }

    /// One try with SCRAM-SHA-256; the success or failure.
    pub async fn authenticate(&mut self, name: &str, password: &str) -> Frame {
        let mut scram = sasl::Client::new(Mechanism::ScramSha256, name, password).unwrap();
        let first = sasl::encode(&scram.initial());
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
        ))
        .await;
        loop {
            let answer = self.next().await;
            if !answer.is("challenge", SASL) {
                if answer.is("success", SASL) {
                    self.wire.restart();
                    self.begin().await;
                }
                return answer;
            }
            let challenge = sasl::decode(&answer.text()).unwrap();
            let response = sasl::encode(&scram.step(&challenge).unwrap());
            self.send(&format!("<response xmlns='{SASL}'>{response}</response>"))
                .await;
        }
    }

    /// Binds a resource; the answer.
    pub async fn bind(&mut self) -> Frame {
        self.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await;
        self.next().await
    }

    /// The next element that fits.
    pub async fn until(&mut self, fits: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await;
            if fits(&frame) {
                return frame;
            }
        }
    }

    /// Waits for a message with this body; who sent it.
    pub async fn hears(&mut self, body: &str) -> String {
        let tag = format!(">{body}</body>");
        let frame = self
            .until(|f| f.name() == "message" && String::from_utf8_lossy(f.bytes()).contains(&tag))
            .await;
        frame.attr("from").unwrap().to_owned()
    }
}

/// One HTTP request on a connection of its own; the answer's head and what came with it.
pub async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut space = [0u8; 4096];
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut space))
            .await
            .expect("an answer in time")
            .unwrap();
        assert!(n > 0, "an answer");
        answer.extend_from_slice(&space[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The stream features that a WebSocket with these headers is offered (RFC 7395 section 3.3, RFC 6455 section 5.2).
pub async fn websocket_features(address: SocketAddr, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: xmpp\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
    // One text frame with an all-zero mask.
    let mut frame = vec![0x81, 0x80 | u8::try_from(open.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(open.as_bytes());
    stream.write_all(&frame).await.unwrap();
    let mut all = Vec::new();
    let mut space = [0u8; 4096];
    loop {
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut space))
            .await
            .expect("features in time")
            .unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&space[..n]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if text.contains("</stream:features>") {
            return text;
        }
    }
}
