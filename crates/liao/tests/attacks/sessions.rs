//! Attacks of those who have an account, or guess for one: floods, presence storms, roster bombs, slow readers.

use super::{FRIENDS, Target};
use crate::world::{Client, PATIENCE, SASL};
use liao_net::Wire;
use liao_proto::sasl;
use liao_proto::stream::{Event, Limits};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

const PING: &str = "<iq type='get' id='end' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";

/// Writes without waiting for anything to be answered, then waits for the answer to a ping.
async fn pour(client: &mut Client, all: impl Iterator<Item = String>) {
    for (n, xml) in all.enumerate() {
        client.wire.queue(xml.as_bytes());
        if n % 64 == 63 {
            client.wire.flush().await.unwrap();
        }
    }
    client.send(PING).await;
    client.until(|f| f.attr("id") == Some("end")).await;
}

async fn messages(target: Target, mut client: Client) -> usize {
    let body = "x".repeat(1_000);
    let mut sent = 0;
    while target.goes_on() || sent == 0 {
        let message =
            |n| format!("<message to='tybalt@localhost'><body>{n} {body}</body></message>");
        pour(&mut client, (sent..sent + 1_000).map(message)).await;
        sent += 1_000;
    }
    sent
}

pub async fn flood(target: Target) -> String {
    let romeo = target.log_in("romeo").await;
    let sent = messages(target, romeo).await;
    format!("{sent} messages taken")
}

pub async fn floods(target: Target) -> String {
    let mut all = JoinSet::new();
    for _ in 0..12 {
        let romeo = target.log_in("romeo").await;
        all.spawn(messages(target.clone(), romeo));
    }
    let sent: usize = all.join_all().await.into_iter().sum();
    format!("{sent} messages taken")
}

/// He comes and goes, and each of 1,000 friends is told; twenty of them listen.
pub async fn presence_storm(target: Target) -> String {
    let heard = std::sync::Arc::new(AtomicUsize::new(0));
    let mut listening = JoinSet::new();
    for n in 1..=20 {
        let mut friend = target.client(1).await;
        let answer = friend.authenticate(&format!("friend{n}"), "pw-romeo").await;
        assert!(answer.is("success", SASL), "{answer:?}");
        friend.bind().await;
        friend.send("<presence/>").await;
        let heard = heard.clone();
        listening.spawn(async move {
            while friend.wire.recv().await.is_ok() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut romeo = target.log_in("romeo").await;
    // All at once: the server may read only as many as it has done.
    for n in 0..400 {
        let change = match n % 2 {
            0 => "<presence type='unavailable'/>".to_owned(),
            _ => format!("<presence><status>{}</status></presence>", "x".repeat(500)),
        };
        romeo.wire.queue(change.as_bytes());
    }
    let _ = tokio::time::timeout(PATIENCE, romeo.wire.flush()).await;
    target.rest().await;
    let heard = heard.load(Ordering::Relaxed);
    assert!(heard > 20, "the friends who listen hear it: {heard}");
    format!(
        "about {} of 400 changes were told to {FRIENDS} friends each",
        heard / 20
    )
}

/// RFC 6121 section 2.3.3: a name or a group too long, an empty group, one named twice, too many; a list too long.
pub async fn roster_bombs(target: Target) -> String {
    let mut tybalt = target.log_in("tybalt").await;
    tybalt.wire.set_limits(Limits {
        element_bytes: 2 * 1024 * 1024,
        ..Limits::default()
    });
    let set = |id: &str, jid: &str, rest: &str| {
        format!(
            "<iq type='set' id='{id}'><query xmlns='jabber:iq:roster'><item jid='{jid}' {rest}</item></query></iq>"
        )
    };
    let groups = |many: usize| -> String {
        let group = |n| format!("<group>{n}{}</group>", "g".repeat(1_000));
        (0..many).map(group).collect()
    };
    let refused = [
        (format!("name='{}'>", "n".repeat(1_024)), "not-acceptable"),
        (
            format!("><group>{}</group>", "g".repeat(1_024)),
            "not-acceptable",
        ),
        ("><group/>".to_owned(), "not-acceptable"),
        (
            "><group>a</group><group>a</group>".to_owned(),
            "bad-request",
        ),
        (format!(">{}", groups(51)), "not-acceptable"),
    ];
    for (rest, condition) in refused {
        tybalt.send(&set("bad", "x@localhost", &rest)).await;
        let answer = tybalt.until(|f| f.attr("id") == Some("bad")).await;
        let answer = String::from_utf8_lossy(answer.bytes()).into_owned();
        assert!(answer.contains(&format!("<{condition} ")), "{answer}");
    }
    // Each as large as it may be: the list is full long before it has as many contacts as it may have.
    let large = format!("name='{}'>{}", "n".repeat(1_023), groups(50));
    let (mut kept, mut full, mut round) = (0, 0, 0);
    while target.goes_on() || round == 0 {
        for n in 0..100 {
            let id = format!("{round}-{n}");
            tybalt
                .send(&set(&id, &format!("c{round}-{n}@localhost"), &large))
                .await;
            let answer = tybalt.until(|f| f.attr("id") == Some(&id)).await;
            let answer = String::from_utf8_lossy(answer.bytes()).into_owned();
            if answer.contains("<resource-constraint ") {
                full += 1;
            } else {
                assert!(answer.contains("type='result'"), "{answer}");
                kept += 1;
            }
        }
        round += 1;
    }
    assert!(full > 0, "none was refused of {kept}");
    // The whole of it can still be asked for.
    tybalt
        .send("<iq type='get' id='all'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    let all = tybalt.until(|f| f.attr("id") == Some("all")).await;
    assert_eq!(all.attr("type"), Some("result"));
    format!("{kept} kept, {full} refused: the list is full")
}

/// One who has logged in, takes little from the network at once, and will not read.
async fn deaf(target: &Target, name: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let stream = socket.connect(target.address("c2s")).await.unwrap();
    let mut client = Client::open(Wire::stream(stream, false, Limits::default())).await;
    client.authenticate(name, &format!("pw-{name}")).await;
    client.bind().await;
    client.send("<presence/>").await;
    client
}

pub async fn slow_readers(target: Target) -> String {
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(deaf(&target, "romeo").await);
    }
    let mut tybalt = target.log_in("tybalt").await;
    // Chats are archived: they wait there. Headlines are not, and fill the mailboxes.
    let body = "x".repeat(4_000);
    let chat =
        |n| format!("<message to='romeo@localhost' type='chat'><body>{n} {body}</body></message>");
    pour(&mut tybalt, (0..500).map(chat)).await;
    // One who asks the archive and never reads.
    let mut asks = deaf(&target, "romeo").await;
    let question = |n| format!("<iq type='set' id='q{n}'><query xmlns='urn:xmpp:mam:2'/></iq>");
    for n in 0..2_000 {
        asks.wire.queue(question(n).as_bytes());
    }
    let _ = asks.wire.flush().await;
    let mut sent = 0;
    while target.goes_on() || sent < 2_000 {
        let headline = |n| {
            format!(
                "<message to='romeo@localhost' type='headline'><body>{n} {body}</body></message>"
            )
        };
        pour(&mut tybalt, (sent..sent + 500).map(headline)).await;
        sent += 500;
    }
    let mut ends = JoinSet::new();
    for reader in readers {
        ends.spawn(end(reader));
    }
    let told = ends.join_all().await.into_iter().filter(|t| *t).count();
    format!("{sent} headlines; 5 readers lost their sessions, {told} were still told why")
}

/// The rest of what a session is sent; whether it was told why it ended. Last words wait for five seconds only.
async fn end(mut reader: Client) -> bool {
    let hear = async {
        while let Ok(event) = reader.wire.recv().await {
            if let Event::Element(frame) = event
                && frame.name() == "error"
            {
                let said = String::from_utf8_lossy(frame.bytes()).into_owned();
                assert!(said.contains("<resource-constraint "), "{said}");
                return true;
            }
        }
        false
    };
    tokio::time::timeout(PATIENCE, hear).await.expect("an end")
}

/// RFC 6120 section 6.5.11: after a few, a guesser waits. From an address of its own, at accounts that nobody needs.
pub async fn wrong_passwords(target: Target) -> String {
    let mut all = JoinSet::new();
    for n in 21..=40 {
        all.spawn(guess(target.clone(), format!("friend{n}")));
    }
    let all = all.join_all().await;
    let guessed: usize = all.iter().map(|a| a.0).sum();
    let paused: usize = all.iter().map(|a| a.1).sum();
    assert!(guessed > 0 && paused > guessed, "{guessed} / {paused}");
    // Fifty failures of one address, what was let in at the same moment, and one after each pause.
    assert!(guessed <= 100, "{guessed} guesses were let through");
    format!("{guessed} guesses let through, {paused} told to wait")
}

async fn guess(target: Target, name: String) -> (usize, usize) {
    let (mut guessed, mut paused) = (0, 0);
    let first = sasl::encode(format!("n,,n={name},r=nonce").as_bytes());
    while target.goes_on() {
        let mut client = target.client(66).await;
        // The server ends the stream after five tries (section 6.4.5).
        for _ in 0..5 {
            client
                .send(&format!(
                    "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>"
                ))
                .await;
            let mut answer = client.next().await;
            if answer.is("challenge", SASL) {
                let challenge = sasl::decode(&answer.text()).unwrap();
                let challenge = String::from_utf8(challenge).unwrap();
                let nonce = challenge.split(',').next().unwrap();
                let proof = sasl::encode(&[7; 32]);
                let last = sasl::encode(format!("c=biws,{nonce},p={proof}").as_bytes());
                client
                    .send(&format!("<response xmlns='{SASL}'>{last}</response>"))
                    .await;
                answer = client.next().await;
            }
            let said = String::from_utf8_lossy(answer.bytes()).into_owned();
            match said.contains("<temporary-auth-failure") {
                true => paused += 1,
                false => {
                    assert!(said.contains("<not-authorized"), "{said}");
                    guessed += 1;
                }
            }
        }
    }
    (guessed, paused)
}
