//! Components (XEP-0114): a program that answers for `bot.localhost`, on a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use liao_net::{Wire, WireError};
use liao_proto::stream::{Event, Header, Limits};
use liao_proto::xep::component::handshake;
use liao_proto::xml::Frame;
use tokio::net::TcpStream;
use tokio::time::timeout;
use world::{Client, PATIENCE, Server};

const ACCEPT: &str = "jabber:component:accept";
const CONFIG: &str = "[[components]]\nname = \"bot.localhost\"\nsecret = \"s3cret\"\n\
                      [[components]]\nname = \"other.localhost\"\nsecret = \"0ther\"\n";

struct Component {
    wire: Wire,
    id: String,
}

impl Component {
    async fn open(server: &Server, name: &str, content_ns: &str) -> Component {
        let stream = TcpStream::connect(server.address("components"))
            .await
            .unwrap();
        let mut wire = Wire::stream(stream, false, Limits::default());
        wire.queue_open(&Header {
            to: Some(name.into()),
            content_ns: content_ns.into(),
            ..Header::default()
        });
        let id = match timeout(PATIENCE, wire.recv()).await.unwrap().unwrap() {
            Event::Open(header) => {
                assert_eq!(header.content_ns, ACCEPT);
                header.id.unwrap()
            }
            other => panic!("{other:?}"),
        };
        Component { wire, id }
    }

    async fn shake(&mut self, secret: &str) {
        let text = handshake(&self.id, secret);
        self.send(&format!("<handshake>{text}</handshake>")).await;
    }

    async fn connect(server: &Server) -> Component {
        let mut component = Component::open(server, "bot.localhost", ACCEPT).await;
        component.shake("s3cret").await;
        let answer = component.next().await;
        assert!(
            answer.is("handshake", ACCEPT) && answer.text().is_empty(),
            "{answer:?}"
        );
        component
    }

    async fn send(&mut self, xml: &str) {
        self.wire.queue(xml.as_bytes());
        self.wire.flush().await.unwrap();
    }

    async fn next(&mut self) -> Frame {
        match timeout(PATIENCE, self.wire.recv())
            .await
            .expect("something in time")
            .unwrap()
        {
            Event::Element(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// The stream error, and the end after it.
    async fn error(&mut self) -> String {
        let error = self.next().await;
        assert!(
            error.is("error", "http://etherx.jabber.org/streams"),
            "{error:?}"
        );
        let over = timeout(PATIENCE, self.wire.recv()).await.unwrap();
        assert!(matches!(over, Ok(Event::Close)), "{over:?}");
        let over = timeout(PATIENCE, self.wire.recv()).await.unwrap();
        assert!(
            matches!(over, Err(WireError::Closed)),
            "the connection ends, too: {over:?}"
        );
        error.children()[0].name.clone()
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.bytes()).into_owned()
}

async fn condition(client: &mut Client, id: &str) -> String {
    let answer = client.until(|f| f.attr("id") == Some(id)).await;
    assert_eq!(answer.attr("type"), Some("error"), "{answer:?}");
    let dom = answer.to_dom().unwrap();
    let error = dom.children().find(|c| c.name() == "error").unwrap();
    error.children().next().unwrap().name().to_owned()
}

#[tokio::test]
async fn who_does_not_know_the_secret_or_the_name_does_not_get_in() {
    let server = Server::start("component-in", CONFIG);
    let mut wrong = Component::open(&server, "bot.localhost", "jabber:client").await;
    assert_eq!(wrong.error().await, "invalid-namespace");
    for name in ["localhost", "nobody.localhost", "a.bot.localhost", ""] {
        let mut unknown = Component::open(&server, name, ACCEPT).await;
        assert_eq!(unknown.error().await, "host-unknown", "{name}");
    }
    for secret in ["", "s3creT", "0ther"] {
        let mut guesser = Component::open(&server, "bot.localhost", ACCEPT).await;
        guesser.shake(secret).await;
        assert_eq!(guesser.error().await, "not-authorized");
    }
    let mut early = Component::open(&server, "bot.localhost", ACCEPT).await;
    early
        .send("<message from='bot.localhost' to='anna@localhost'/>")
        .await;
    assert_eq!(early.error().await, "not-authorized");
    let mut bot = Component::connect(&server).await;
    let mut second = Component::open(&server, "bot.localhost", ACCEPT).await;
    second.shake("s3cret").await;
    assert_eq!(second.error().await, "conflict");
    let sessions = server.admin(&["sessions"], "");
    let sessions = String::from_utf8_lossy(&sessions.stdout).into_owned();
    assert!(
        sessions.contains("bot.localhost") && sessions.contains("component"),
        "{sessions}"
    );
    bot.send("</stream:stream>").await;
    let over = timeout(PATIENCE, bot.wire.recv()).await.unwrap();
    assert!(matches!(over, Ok(Event::Close)), "{over:?}");
    Component::connect(&server).await;
}

#[tokio::test]
async fn stanzas_go_both_ways_in_the_namespace_of_each_side() {
    let server = Server::start("component-ways", CONFIG);
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    let mut bot = Component::connect(&server).await;
    anna.send("<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>").await;
    let items = anna.until(|f| f.attr("id") == Some("d")).await;
    assert!(
        text(&items).contains("jid='bot.localhost'"),
        "{}",
        text(&items)
    );
    anna.send(
        "<message id='m' type='chat' to='echo@bot.localhost/x'><body xmlns='jabber:client'>你好</body>\
         <f xmlns='urn:f'><body xmlns='jabber:client'>in</body></f></message>",
    )
    .await;
    let heard = bot.next().await;
    let dom = heard.to_dom().unwrap();
    assert!(heard.is("message", ACCEPT) && heard.attr("to") == Some("echo@bot.localhost/x"));
    assert_eq!(dom.get_child("body", ACCEPT).unwrap().text(), "你好");
    let wrapped = dom.get_child("f", "urn:f").unwrap();
    assert!(
        wrapped.has_child("body", "jabber:client"),
        "what is wrapped stays"
    );
    let full = heard.attr("from").unwrap().to_owned();
    bot.send(&format!(
        "<message from='echo@bot.localhost' to='anna@localhost' type='chat'><body>echo 你好</body></message>\
         <iq from='echo@bot.localhost' to='{full}' type='get' id='v'><query xmlns='jabber:iq:version'/></iq>"
    ))
    .await;
    assert_eq!(anna.hears("echo 你好").await, "echo@bot.localhost");
    let asked = anna.until(|f| f.name() == "iq").await;
    anna.send(&format!(
        "<iq to='{}' type='result' id='v'/>",
        asked.attr("from").unwrap()
    ))
    .await;
    let answered = bot.next().await;
    assert_eq!(
        (answered.name(), answered.attr("type")),
        ("iq", Some("result"))
    );
    anna.send("<presence type='subscribe' to='echo@bot.localhost'/>")
        .await;
    let asked = bot.next().await;
    assert_eq!(asked.attr("type"), Some("subscribe"));
    assert_eq!(
        asked.attr("from"),
        Some("anna@localhost"),
        "RFC 6121 section 3.1.2: bare"
    );
    bot.send(
        "<presence from='echo@bot.localhost' to='anna@localhost' type='subscribed'/>\
         <presence from='echo@bot.localhost/x' to='anna@localhost'><show>chat</show></presence>",
    )
    .await;
    let seen = anna
        .until(|f| f.name() == "presence" && f.attr("from") == Some("echo@bot.localhost/x"))
        .await;
    assert!(text(&seen).contains("<show>chat</show>"));
    bot.send(
        "<iq from='bot.localhost' to='localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>\
         <iq from='bot.localhost' to='nobody@localhost' type='get' id='n'><ping xmlns='urn:xmpp:ping'/></iq>\
         <message from='bot.localhost' to='anna@other.localhost' id='o'><body>hi</body></message>",
    )
    .await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = bot.next().await;
        assert_eq!(answer.ns(), ACCEPT);
        let error = answer
            .to_dom()
            .unwrap()
            .get_child("error", ACCEPT)
            .is_some();
        answers.push((answer.attr("id").unwrap().to_owned(), error));
    }
    answers.sort();
    let wanted = [("n", true), ("o", true), ("p", false)].map(|(i, e)| (i.to_owned(), e));
    assert_eq!(answers, wanted);
}

/// 4.9.3.7 improper-addressing (RFC 6120): to and from are needed where a stream speaks for many.
#[tokio::test]
async fn a_component_speaks_for_its_own_name_only() {
    let server = Server::start("component-from", CONFIG);
    let body = "<body>hi</body></message>";
    for (start, wanted) in [
        (
            "<message from='anna@localhost' to='anna@localhost'>",
            "invalid-from",
        ),
        (
            "<message from='x@other.localhost' to='anna@localhost'>",
            "invalid-from",
        ),
        (
            "<message from='x@sub.bot.localhost' to='anna@localhost'>",
            "invalid-from",
        ),
        (
            "<message from='@' to='anna@localhost'>",
            "improper-addressing",
        ),
        ("<message from='bot.localhost'>", "improper-addressing"),
        (
            "<message from='bot.localhost' to=''>",
            "improper-addressing",
        ),
        ("<message to='anna@localhost'>", "improper-addressing"),
    ] {
        let mut bot = Component::connect(&server).await;
        bot.send(&format!("{start}{body}")).await;
        assert_eq!(bot.error().await, wanted, "{start}");
    }
    for (wrong, wanted) in [
        (
            "<message xmlns='jabber:client' from='bot.localhost' to='anna@localhost'/>",
            "unsupported-stanza-type",
        ),
        (
            "<dance from='bot.localhost' to='anna@localhost'/>",
            "unsupported-stanza-type",
        ),
        (
            "<message from='bot.localhost' to='a@b'><!-- --></message>",
            "restricted-xml",
        ),
        (
            "<message from='bot.localhost' to='a@b'></iq>",
            "not-well-formed",
        ),
    ] {
        let mut bot = Component::connect(&server).await;
        bot.send(wrong).await;
        assert_eq!(bot.error().await, wanted, "{wrong}");
    }
    // One sender's slip does not end it for the others.
    let mut bot = Component::connect(&server).await;
    bot.send(
        "<message id='j' from='x@bot.localhost' to='@'/><iq from='bot.localhost' to='localhost' type='get' id='b'/>\
         <iq from='bot.localhost' to='@' type='result' id='never'/>\
         <iq from='bot.localhost' to='localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
    )
    .await;
    for wanted in ["jid-malformed", "bad-request", "id='p'"] {
        let answer = text(&bot.next().await);
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
}

async fn is_contact(anna: &mut Client, bot: &mut Component, subscription: &str) {
    // What was sent before has come when this has.
    bot.send("<message from='echo@bot.localhost' to='anna@localhost' type='chat'><body>now</body></message>").await;
    anna.hears("now").await;
    anna.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    let roster = anna.until(|f| f.attr("id") == Some("roster")).await;
    let roster = text(&roster);
    assert!(
        roster.contains(&format!("subscription='{subscription}'")),
        "{roster}"
    );
}

/// 8.5.1 probe to nobody (RFC 6121): answered with the probe's id, as for a stranger (section 4.3.2, rule 1).
/// 8.5.3.2.2 subscribed, unsubscribe, unsubscribed, no match: ignored.
/// Section 4.3.1: a probe leaves this server with the bare address.
#[tokio::test]
async fn rfc_6121_what_another_server_would_send() {
    let server = Server::start("component-presence", CONFIG);
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    let mut bot = Component::connect(&server).await;
    for name in ["nobody", "anna"] {
        bot.send(&format!(
            "<presence type='probe' id='{name}' from='echo@bot.localhost/x' to='{name}@localhost'/>"
        ))
        .await;
        let answer = bot.next().await;
        let attr = |name| answer.attr(name).map(str::to_owned);
        assert_eq!(attr("type").as_deref(), Some("unsubscribed"), "{name}");
        assert_eq!(attr("id").as_deref(), Some(name));
        assert_eq!(attr("from"), Some(format!("{name}@localhost")));
        assert_eq!(attr("to").as_deref(), Some("echo@bot.localhost"));
    }
    anna.send("<presence type='subscribe' to='echo@bot.localhost'/>")
        .await;
    assert_eq!(bot.next().await.attr("type"), Some("subscribe"));
    let from_echo = |type_: &str, to: &str| {
        format!("<presence from='echo@bot.localhost' to='anna@localhost{to}' type='{type_}'/>")
    };
    bot.send(&from_echo("subscribed", "/no-such")).await;
    is_contact(&mut anna, &mut bot, "none").await;
    bot.send(&from_echo("subscribed", "")).await;
    is_contact(&mut anna, &mut bot, "to").await;
    for type_ in ["unsubscribed", "unsubscribe"] {
        bot.send(&from_echo(type_, "/no-such")).await;
    }
    is_contact(&mut anna, &mut bot, "to").await;
    let _again = server.log_in("anna").await;
    let probe = bot.next().await;
    assert_eq!(probe.attr("type"), Some("probe"));
    assert_eq!(probe.attr("from"), Some("anna@localhost"));
}

/// 8.3.3.15 registration-required (RFC 6120): of its XEP-0077 section 3.2; XEP-0215 section 2; XEP-0363 section 6.
#[tokio::test]
async fn who_has_no_account_here_gets_nothing_that_accounts_get() {
    let server = Server::start("component-stranger", CONFIG);
    let mut bot = Component::connect(&server).await;
    for (to, type_, payload, wanted) in [
        (
            "localhost",
            "set",
            "<query xmlns='jabber:iq:register'><remove/></query>",
            "registration-required",
        ),
        (
            "localhost",
            "get",
            "<services xmlns='urn:xmpp:extdisco:2'/>",
            "forbidden",
        ),
        (
            "upload.localhost",
            "get",
            "<request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/>",
            "forbidden",
        ),
    ] {
        bot.send(&format!(
            "<iq from='echo@bot.localhost' to='{to}' type='{type_}' id='1'>{payload}</iq>"
        ))
        .await;
        let answer = text(&bot.next().await);
        assert!(answer.contains(&format!("<{wanted} ")), "{answer}");
    }
}

/// 8.3.3.17 remote-server-timeout (RFC 6120 section 10.4.3), and 8.3.3.18 when it reads too slowly.
#[tokio::test]
async fn what_a_component_does_not_get_is_answered() {
    let server = Server::start("component-absent", CONFIG);
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    anna.send(
        "<message id='1' to='echo@bot.localhost'><body>hi</body></message>\
         <iq id='2' type='get' to='bot.localhost'><ping xmlns='urn:xmpp:ping'/></iq>\
         <presence id='3' to='echo@bot.localhost'/>\
         <message id='e' type='error' to='bot.localhost'/><iq id='r' type='result' to='bot.localhost'/>",
    )
    .await;
    for id in ["1", "2", "3"] {
        assert_eq!(condition(&mut anna, id).await, "remote-server-timeout");
    }
    // It is connected, and reads nothing: its mailbox is bounded, and what it did not get is told.
    let bot = Component::connect(&server).await;
    let words = "x".repeat(200_000);
    let mut refused = None;
    for n in 0..200 {
        anna.send(&format!(
            "<message id='w{n}' to='echo@bot.localhost' type='chat'><body>{words}</body></message>"
        ))
        .await;
        anna.send(&format!(
            "<iq id='i{n}' type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
        ))
        .await;
        let mark = format!("i{n}");
        let answer = anna
            .until(|f| f.attr("id") == Some(&mark) || f.attr("type") == Some("error"))
            .await;
        if answer.attr("type") == Some("error") {
            refused = Some(text(&answer));
            break;
        }
    }
    let refused = refused.expect("a bound");
    assert!(
        refused.contains("resource-constraint") || refused.contains("remote-server-timeout"),
        "{refused}"
    );
    drop(bot);
    // The name is free again, and nothing of the old connection comes.
    let mut bot = Component::connect(&server).await;
    anna.send("<message to='echo@bot.localhost' type='chat'><body>new</body></message>")
        .await;
    assert!(text(&bot.next().await).contains("<body>new</body>"));
}
