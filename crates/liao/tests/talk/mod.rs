//! The runner of talks: reads the lines, plays them on a real server (tests/talks/README.md).

pub mod matching;

use crate::programs::Program;
use liao_net::{Wire, WireError};
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::sasl::{Client, Mechanism, decode, encode};
use liao_proto::stream::{Event, Header, Limits};
use matching::{Variables, matches, parse};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// One line of a talk with its block.
#[derive(Debug, Clone)]
pub struct Step {
    pub line: usize,
    pub words: String,
    pub block: String,
}

/// Reads a talk's text.
pub fn read(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(' ') {
            let step = steps.last_mut().filter(|s| s.words.ends_with(':'));
            let step =
                step.ok_or_else(|| format!("line {}: this block belongs to nothing", n + 1))?;
            step.block.push_str(line.trim_end());
            step.block.push('\n');
        } else {
            let (line, words) = (n + 1, line.trim().to_owned());
            steps.push(Step {
                line,
                words,
                block: String::new(),
            });
        }
    }
    Ok(steps)
}

struct Session {
    wire: Wire,
    full: String,
    /// The language of the streams that it opens.
    lang: Option<String>,
    /// The server's last stream header.
    header: Option<Header>,
    features: Option<Element>,
    news: VecDeque<Element>,
}

/// A server, and the people on it.
pub struct Stage {
    folder: PathBuf,
    server: Option<Program>,
    c2s: String,
    c2s_tls: String,
    accounts: Vec<String>,
    environment: Vec<(String, String)>,
    sessions: BTreeMap<String, Session>,
    last: BTreeMap<String, String>,
    variables: Variables,
    /// The language of streams to come.
    lang: Option<String>,
    number: u32,
}

fn wrong(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Stage {
    pub fn new(name: &str) -> Stage {
        let folder = std::env::temp_dir().join(format!("liao-talk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut stage = Stage {
            folder,
            server: None,
            c2s: String::new(),
            c2s_tls: String::new(),
            accounts: Vec::new(),
            environment: Vec::new(),
            sessions: BTreeMap::new(),
            last: BTreeMap::new(),
            variables: Variables::new(),
            lang: None,
            number: 0,
        };
        stage.open();
        stage
    }

    fn open(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command
            .args(["serve", "--data"])
            .arg(self.folder.join("data"))
            .current_dir(&self.folder);
        for name in ["C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS"] {
            command.env(format!("LIAO_LISTEN_{name}"), "127.0.0.1:0");
        }
        command.envs(self.environment.iter().cloned());
        self.server = Some(Program::start(&mut command));
        self.started();
    }

    /// The server says where it listens.
    fn started(&mut self) {
        if let Some(server) = &self.server {
            server.hears("certificate");
        }
        let text = std::fs::read_to_string(self.folder.join("data/addresses.json")).unwrap();
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        self.c2s = addresses["c2s"].as_str().unwrap().to_owned();
        self.c2s_tls = addresses["c2s_tls"].as_str().unwrap().to_owned();
    }

    /// `liao admin` on the server's data: what it prints.
    fn admin(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liao"));
        command
            .args(["admin", "--data"])
            .arg(self.folder.join("data"));
        let done = command.args(args).env("LIAO_PASSWORD", "secret").output();
        let done = done.map_err(wrong)?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn account(&mut self, name: &str) -> Result<(), String> {
        if self.accounts.iter().any(|a| a == name) {
            return Ok(());
        }
        self.admin(&["user", "add", &name.to_lowercase()])?;
        self.known(name);
        Ok(())
    }

    fn known(&mut self, name: &str) {
        self.accounts.push(name.to_owned());
        self.variables.insert(
            name.to_owned(),
            format!("{}@localhost", name.to_lowercase()),
        );
    }

    async fn connect(&mut self, key: &str, silently: bool) -> Result<(), String> {
        let tcp = tokio::net::TcpStream::connect(&self.c2s)
            .await
            .map_err(wrong)?;
        let wire = Wire::stream(
            tcp,
            false,
            Limits {
                element_bytes: 4 << 20,
                depth: 200,
            },
        );
        let mut session = self.session_on(wire);
        if !silently {
            session.begin().await?;
        }
        self.sessions.insert(key.to_owned(), session);
        Ok(())
    }

    fn session_on(&self, wire: Wire) -> Session {
        Session {
            wire,
            full: String::new(),
            lang: self.lang.clone(),
            header: None,
            features: None,
            news: VecDeque::new(),
        }
    }

    /// Direct TLS and a stream up to its features, which are news.
    async fn connect_tls(&mut self, key: &str) -> Result<(), String> {
        let (host, port) = self.c2s_tls.rsplit_once(':').ok_or("no address")?;
        let (config, _) = liao_net::tls::client_config(None, &["xmpp-client"]).map_err(wrong)?;
        let port = port.parse().map_err(wrong)?;
        let io = liao_net::tls::connect(host, port, "localhost", config).await;
        let io = io.map_err(wrong)?;
        let bindings = liao_net::tls::bindings(&io);
        let mut session = self.session_on(Wire::bound(io, bindings, Limits::default()));
        session.begin_with_news().await?;
        self.sessions.insert(key.to_owned(), session);
        Ok(())
    }

    /// A stream and SASL, nothing bound.
    async fn authenticate(&mut self, name: &str, key: &str) -> Result<(), String> {
        self.account(name)?;
        self.connect(key, false).await?;
        if let Some(failure) = self.sasl(name, key).await? {
            return Err(format!("{name} is not let in: {}", String::from(&failure)));
        }
        let session = self.sessions.get_mut(key).ok_or("no session")?;
        session.wire.restart();
        session.begin().await
    }

    /// SCRAM; the failure if there is one.
    async fn sasl(&mut self, name: &str, key: &str) -> Result<Option<Element>, String> {
        let session = self.sessions.get_mut(key).ok_or("no session")?;
        let mut sasl =
            Client::new(Mechanism::ScramSha256, &name.to_lowercase(), "secret").map_err(wrong)?;
        let initial = encode(&sasl.initial());
        session
            .write(&format!(
                "<auth xmlns='{}' mechanism='SCRAM-SHA-256'>{initial}</auth>",
                ns::SASL
            ))
            .await?;
        loop {
            let answer = session.element().await?;
            let data = decode(&answer.text()).unwrap_or_default();
            match answer.name() {
                "challenge" => {
                    let response = encode(&sasl.step(&data).map_err(wrong)?);
                    session
                        .write(&format!(
                            "<response xmlns='{}'>{response}</response>",
                            ns::SASL
                        ))
                        .await?;
                }
                "success" => {
                    sasl.finish(&data).map_err(wrong)?;
                    return Ok(None);
                }
                _ => return Ok(Some(answer)),
            }
        }
    }

    async fn login(&mut self, name: &str, resource: &str) -> Result<String, String> {
        let key = format!("{name}/{resource}");
        self.authenticate(name, &key).await?;
        let session = self.sessions.get_mut(&key).ok_or("no session")?;
        session.write(&format!("<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>", ns::BIND)).await?;
        let bound = session.element().await?;
        let jid = bound
            .get_child("bind", ns::BIND)
            .and_then(|b| b.get_child("jid", ns::BIND));
        session.full = jid.ok_or("nothing was bound")?.text();
        self.variables.insert(key.clone(), session.full.clone());
        self.last.insert(name.to_owned(), key.clone());
        Ok(key)
    }

    fn key(&self, who: &str) -> Result<String, String> {
        let key = self
            .last
            .get(who)
            .cloned()
            .unwrap_or_else(|| who.to_owned());
        if self.sessions.contains_key(&key) {
            Ok(key)
        } else {
            Err(format!("{who} has no session"))
        }
    }

    fn session(&mut self, who: &str) -> Result<&mut Session, String> {
        let key = self.key(who)?;
        self.sessions
            .get_mut(&key)
            .ok_or_else(|| "no session".into())
    }

    /// `${x}` becomes its value.
    fn filled(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("a ${ without }")?;
            out.push_str(before);
            out.push_str(
                self.variables
                    .get(name)
                    .ok_or_else(|| format!("nothing is known as {name}"))?,
            );
            rest = after;
        }
        Ok(out + rest)
    }

    /// Each session asks each account, then itself: all that was on its way is there afterwards.
    async fn settle(&mut self) -> Result<(), String> {
        let bare: Vec<String> = self
            .accounts
            .iter()
            .map(|a| format!("{}@localhost", a.to_lowercase()))
            .collect();
        for _ in 0..2 {
            for session in self.sessions.values_mut().filter(|s| !s.full.is_empty()) {
                for to in bare.iter().chain([&"localhost".to_owned()]) {
                    self.number += 1;
                    let id = format!("settle-{}", self.number);
                    session
                        .write(&format!(
                            "<iq type='get' id='{id}' to='{to}'><ping xmlns='{}'/></iq>",
                            ns::PING
                        ))
                        .await?;
                    loop {
                        let element = session.element().await?;
                        if element.name() == "iq" && element.attr("id") == Some(&id) {
                            break;
                        }
                        session.news.push_back(element);
                    }
                }
            }
        }
        Ok(())
    }

    async fn ignore(&mut self) -> Result<(), String> {
        self.settle().await?;
        self.sessions.values_mut().for_each(|s| s.news.clear());
        Ok(())
    }

    async fn friends(&mut self, one: &str, two: &str) -> Result<(), String> {
        let (a, b) = (
            self.filled(&format!("${{{one}}}"))?,
            self.filled(&format!("${{{two}}}"))?,
        );
        for (who, to, type_) in [
            (one, &b, "subscribe"),
            (two, &a, "subscribed"),
            (two, &a, "subscribe"),
            (one, &b, "subscribed"),
        ] {
            self.session(who)?
                .write(&format!("<presence type='{type_}' to='{to}'/>"))
                .await?;
            self.settle().await?;
        }
        self.ignore().await
    }

    async fn receives(&mut self, who: &str, block: &str, ordered: bool) -> Result<(), String> {
        let whole = format!("<all>{}</all>", self.filled(block)?);
        let mut wanted: Vec<Element> = parse(&whole)?.children().cloned().collect();
        let mut variables = std::mem::take(&mut self.variables);
        let session = self.session(who)?;
        while !wanted.is_empty() {
            let got = match session.news.pop_front() {
                Some(got) => got,
                None => session
                    .element()
                    .await
                    .map_err(|e| format!("{e}; still expected: {}", String::from(&wanted[0])))?,
            };
            let trials = if ordered { 1 } else { wanted.len() };
            let mut why = String::new();
            let at =
                wanted
                    .iter()
                    .take(trials)
                    .position(|w| match matches(w, &got, &mut variables) {
                        Ok(()) => true,
                        Err(error) => {
                            why = error;
                            false
                        }
                    });
            match at {
                Some(at) => drop(wanted.remove(at)),
                None => {
                    return Err(format!(
                        "{why}\n  expected: {}\n  received: {}",
                        String::from(&wanted[0]),
                        String::from(&got)
                    ));
                }
            }
        }
        self.variables = variables;
        Ok(())
    }

    /// Plays one step.
    pub async fn play(&mut self, step: &Step) -> Result<(), String> {
        let words: Vec<&str> = step.words.split_whitespace().collect();
        match words[..] {
            ["the", "server", "is", "killed", "and", "started", "again"] => {
                self.sessions.clear();
                self.server = None;
                self.open();
            }
            ["the", "server", "restarts"] => {
                self.sessions.clear();
                self.started();
            }
            ["the", "server", "ends"] => {
                self.sessions.clear();
                let code = self.server.take().map(|mut s| s.code());
                if code != Some(0) {
                    return Err(format!("it ended with {code:?}"));
                }
            }
            ["the", "server", "is", "configured:"] => {
                self.sessions.clear();
                self.server = None;
                let lines = step.block.lines().filter_map(|l| l.trim().split_once('='));
                self.environment
                    .extend(lines.map(|(k, v)| (k.to_owned(), v.to_owned())));
                self.open();
            }
            [who, "is", "an", "administrator"] => {
                self.admin(&["user", "add", "--admin", &who.to_lowercase()])?;
                self.known(who);
            }
            ["liao", "admin", ref args @ .., "says:"] => {
                let said = self.admin(args)?;
                let block = self.filled(&step.block)?;
                let missing = block.lines().map(str::trim).find(|l| !said.contains(l));
                if let Some(line) = missing {
                    return Err(format!("{line:?} is missing in:\n{said}"));
                }
            }
            ["liao", "admin", ref args @ ..] => drop(self.admin(args)?),
            [who, "sees", "the", "features:"] => {
                let block = self.filled(&step.block)?;
                let features = self.session(who)?.features.clone();
                let features = features.ok_or("no features were seen")?;
                matches(&parse(&block)?, &features, &mut self.variables)?;
            }
            [who, "is", "refused", "with", condition] => {
                self.connect(who, false).await?;
                let said = self.sasl(who, who).await?;
                if !said
                    .as_ref()
                    .is_some_and(|f| f.has_child(condition, ns::SASL))
                {
                    return Err(format!("the login ended with {said:?}"));
                }
                self.sessions.remove(who);
            }
            [one, "and", two, "are", "friends"] => self.friends(one, two).await?,
            [who, "logs", "in", "at", resource] => drop(self.login(who, resource).await?),
            [who, "is", "online", "at", resource] => {
                let key = self.login(who, resource).await?;
                self.session(&key)?.write("<presence/>").await?;
                self.ignore().await?;
            }
            [who, "logs", "out"] => self.session(who)?.leave().await?,
            [who, "authenticates"] => {
                self.authenticate(who, who).await?;
                self.last.insert(who.to_owned(), who.to_owned());
            }
            [who, "is", "cut", "off"] => {
                let key = self.key(who)?;
                self.sessions.remove(&key);
            }
            [who, "was", "given", "an", "account"] => self.known(who),
            [who, "has", "an", "account"] => self.account(who)?,
            [who, "connects", "with", "TLS"] => self.connect_tls(who).await?,
            [who, "connects"] => self.connect(who, false).await?,
            [who, "connects", "silently"] => self.connect(who, true).await?,
            [who, "sends:"] => {
                let text = self.filled(&step.block)?;
                self.session(who)?.write(text.trim()).await?;
            }
            [who, "receives:"] => self.receives(who, &step.block, true).await?,
            [who, "receives", "in", "any", "order:"] => {
                self.receives(who, &step.block, false).await?
            }
            [who, "receives", "nothing", "more"] => {
                self.settle().await?;
                if let Some(more) = self.session(who)?.news.front() {
                    return Err(format!("it received {}", String::from(more)));
                }
            }
            [who, "ignores", "what", "came"] => {
                self.settle().await?;
                self.session(who)?.news.clear();
            }
            [who, "writes:", ..] => {
                let text = step
                    .words
                    .split_once("writes: ")
                    .map_or("", |(_, t)| t)
                    .replace("\\n", "\n");
                let text = self.filled(&text)?;
                self.session(who)?.write(&text).await?;
            }
            [_, "speaks", lang] => self.lang = Some(lang.to_owned()),
            [who, "sees", "the", "header:"] => {
                let block = parse(&self.filled(&step.block)?)?;
                self.session(who)?.header(&block).await?;
            }
            [who, "sees", "the", "stream", "error", name] => {
                self.session(who)?.stream_error(name).await?
            }
            _ => return Err("no talk knows this line".into()),
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Session {
    async fn begin(&mut self) -> Result<(), String> {
        self.begin_with_news().await?;
        self.news.clear();
        Ok(())
    }

    /// The stream's features are left to be looked at.
    async fn begin_with_news(&mut self) -> Result<(), String> {
        let to = Some("localhost".to_owned());
        self.wire.queue_open(&Header {
            to,
            version: Some("1.0".into()),
            lang: self.lang.clone(),
            ..Header::default()
        });
        match self.event().await? {
            Event::Open(header) => {
                self.header = Some(header);
                let features = self.element().await?;
                self.features = Some(features.clone());
                self.news.push_back(features);
                Ok(())
            }
            other => Err(format!("no stream, but {other:?}")),
        }
    }

    /// The server's stream header has these attributes and no others.
    async fn header(&mut self, wanted: &Element) -> Result<(), String> {
        if self.header.is_none() {
            match self.event().await? {
                Event::Open(header) => self.header = Some(header),
                other => return Err(format!("{other:?} instead of a stream header")),
            }
        }
        let got = self.header.take().unwrap_or_default();
        let attrs = [
            ("to", &got.to),
            ("from", &got.from),
            ("id", &got.id),
            ("version", &got.version),
            ("lang", &got.lang),
        ];
        for (name, value) in attrs {
            let attr = matching::attr(wanted, name);
            let any = attr.as_deref() == Some("*") && value.is_some();
            if attr != *value && !any {
                return Err(format!("{name} is {value:?}, not {attr:?}"));
            }
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<Event, String> {
        match timeout(PATIENCE, self.wire.recv()).await {
            Ok(event) => event.map_err(wrong),
            Err(_) => Err("nothing came for 10 s".into()),
        }
    }

    async fn element(&mut self) -> Result<Element, String> {
        match self.event().await? {
            Event::Element(frame) => frame
                .to_dom()
                .ok_or_else(|| "an element that cannot be read".into()),
            other => Err(format!("{other:?} instead of an element")),
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), String> {
        self.wire.queue(text.as_bytes());
        match timeout(PATIENCE, self.wire.flush()).await {
            Ok(result) => result.map_err(wrong),
            Err(_) => Err("the server does not read".into()),
        }
    }

    async fn leave(&mut self) -> Result<(), String> {
        self.wire.queue_close();
        loop {
            match timeout(PATIENCE, self.wire.recv()).await {
                Ok(Ok(Event::Close)) => break,
                Ok(Ok(_)) => {}
                _ => return Err("the server does not close the stream".into()),
            }
        }
        self.full.clear();
        Ok(())
    }

    async fn stream_error(&mut self, name: &str) -> Result<(), String> {
        loop {
            match self.event().await? {
                Event::Element(frame) if frame.is("error", ns::STREAM) => {
                    let error = frame.to_dom().ok_or("it cannot be read")?;
                    if error.get_child(name, ns::STREAMS).is_none() {
                        return Err(format!("another error: {}", String::from(&error)));
                    }
                    break;
                }
                // A stream is opened before it is refused (RFC 6120 section 4.9.1.2).
                Event::Open(_) | Event::Element(_) => {}
                Event::Close => return Err("the stream ended without an error".into()),
            }
        }
        match timeout(PATIENCE, self.wire.recv()).await {
            Ok(Ok(Event::Close) | Err(WireError::Closed)) => {
                self.full.clear();
                Ok(())
            }
            other => Err(format!("the stream goes on: {other:?}")),
        }
    }
}
