//! Several devices of one account, one of which is slow, is replaced or asks too much; and an account that is removed
//! while others write to it (XEP-0160, XEP-0198, XEP-0313).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use world::{Client, Server};

/// An account's archive as somebody reads it who has nothing: bodies in order.
async fn archive(server: &Server, name: &str) -> Vec<String> {
    let mut reader = server.log_in(name).await;
    let (mut bodies, mut after) = (Vec::new(), String::new());
    loop {
        reader
            .send(&format!(
                "<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>\
                 <max>100</max>{after}</set></query></iq>"
            ))
            .await;
        let fin = loop {
            let frame = reader.next().await;
            let text = String::from_utf8_lossy(frame.bytes()).into_owned();
            if frame.attr("id") == Some("all") {
                break text;
            }
            if text.contains("<result xmlns='urn:xmpp:mam:2'") {
                bodies.push(between(&text, "<body>", "</body>").to_owned());
            }
        };
        if fin.contains("complete='true'") {
            return bodies;
        }
        after = format!("<after>{}</after>", between(&fin, "<last>", "</last>"));
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let text = text.split_once(start).unwrap().1;
    text.split_once(end).unwrap().0
}

/// All that was sent on this stream before has been handled.
async fn settle(client: &mut Client) {
    client
        .send("<iq type='get' id='settle' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    client.until(|f| f.attr("id") == Some("settle")).await;
}

#[tokio::test]
async fn a_device_that_does_not_read_holds_up_no_other() {
    const MESSAGES: usize = 4_000;
    let server = Server::start("slow-device", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut anna = server.log_in("anna").await;
    // More than a mailbox and the buffers of the system hold.
    let filling = "x".repeat(4_000);
    for n in 0..MESSAGES {
        anna.send(&format!(
            "<message to='bob@localhost' type='chat' id='m{n}'><body>{n} {filling}</body></message>"
        ))
        .await;
    }
    settle(&mut anna).await;
    // What it has not acknowledged is still for the others.
    let mut slow = Client::connect(server.address("c2s")).await;
    slow.authenticate("bob", "pw-bob").await;
    slow.bind().await;
    slow.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
        .await;
    let mut quick = server.log_in("bob").await;
    anna.send("<message to='bob@localhost' type='chat'><body>last x</body></message>")
        .await;
    let mut next = 0;
    loop {
        let message = quick.until(|f| f.name() == "message").await;
        let text = String::from_utf8_lossy(message.bytes()).into_owned();
        let word = between(&text, "<body>", " x").to_owned();
        if word == "last" {
            break;
        }
        assert_eq!(word, next.to_string());
        next += 1;
    }
    assert_eq!(next, MESSAGES);
    drop(slow);
}

/// Reads messages up to the last one and acknowledges them; they come once and in order.
async fn reads_all(client: &mut Client, mut handled: u32, count: usize) {
    let mut next = 0;
    while next < count {
        let frame = client.next().await;
        if frame.is("r", "urn:xmpp:sm:3") {
            client
                .send(&format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"))
                .await;
            continue;
        }
        if frame.ns() != "jabber:client" {
            continue;
        }
        handled += 1;
        let text = String::from_utf8_lossy(frame.bytes()).into_owned();
        if frame.name() == "message" {
            assert_eq!(between(&text, "<body>", " x"), next.to_string());
            next += 1;
        }
    }
}

#[tokio::test]
async fn who_reads_slowly_or_has_lost_the_connection_gets_all_of_it_later() {
    const MESSAGES: usize = 3_000;
    let server = Server::start("behind", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    server.add("carl", &[]);
    let mut devices = Vec::new();
    for name in ["bob", "carl"] {
        let mut device = Client::connect(server.address("c2s")).await;
        device.authenticate(name, &format!("pw-{name}")).await;
        device.bind().await;
        device
            .send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
            .await;
        let enabled = device.until(|f| f.is("enabled", "urn:xmpp:sm:3")).await;
        // Its own presence.
        device.until(|f| f.name() == "presence").await;
        devices.push((device, enabled.attr("id").unwrap().to_owned()));
    }
    let (carl, id) = devices.pop().unwrap();
    let (mut bob, _) = devices.pop().unwrap();
    drop(carl);
    let mut anna = server.log_in("anna").await;
    let filling = "x".repeat(4_000);
    for n in 0..MESSAGES {
        for to in ["bob", "carl"] {
            let xml = format!(
                "<message to='{to}@localhost' type='chat'><body>{n} {filling}</body></message>"
            );
            anna.send(&xml).await;
        }
    }
    settle(&mut anna).await;
    reads_all(&mut bob, 1, MESSAGES).await;
    let mut carl = Client::connect(server.address("c2s")).await;
    carl.authenticate("carl", "pw-carl").await;
    carl.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' h='1' previd='{id}'/>"
    ))
    .await;
    carl.until(|f| f.is("resumed", "urn:xmpp:sm:3")).await;
    reads_all(&mut carl, 1, MESSAGES).await;
}

#[tokio::test]
async fn xep_0198_section_5_h_of_a_replaced_session_is_what_was_handled() {
    let server = Server::start("replaced", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut sent = 0;
    let mut counted = 0;
    for round in 0..15 {
        let mut first = Client::connect(server.address("c2s")).await;
        first.authenticate("anna", "pw-anna").await;
        let bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource>\
                    </bind></iq><enable xmlns='urn:xmpp:sm:3' resume='true'/>";
        first.send(bind).await;
        let enabled = first.until(|f| f.is("enabled", "urn:xmpp:sm:3")).await;
        let id = enabled.attr("id").unwrap().to_owned();
        // Its messages are in the work when the next device takes its name.
        let mut second = Client::connect(server.address("c2s")).await;
        second.authenticate("anna", "pw-anna").await;
        for n in 0..300 {
            let xml = format!(
                "<message to='bob@localhost' type='chat'><body>{round}/{n}</body></message>"
            );
            first.wire.queue(xml.as_bytes());
        }
        let flushing = async {
            let _ = first.wire.flush().await;
        };
        let replacing = second.send(bind);
        tokio::join!(flushing, replacing);
        second.until(|f| f.is("enabled", "urn:xmpp:sm:3")).await;
        let mut third = Client::connect(server.address("c2s")).await;
        third.authenticate("anna", "pw-anna").await;
        third
            .send(&format!(
                "<resume xmlns='urn:xmpp:sm:3' h='0' previd='{id}'/>"
            ))
            .await;
        let failed = third.until(|f| f.is("failed", "urn:xmpp:sm:3")).await;
        let h: usize = failed
            .attr("h")
            .expect("it is known how far it came")
            .parse()
            .unwrap();
        sent += 300;
        counted += h;
        let prefix = format!("{round}/");
        let kept = archive(&server, "bob").await;
        let kept: Vec<&String> = kept.iter().filter(|b| b.starts_with(&prefix)).collect();
        assert_eq!(kept.len(), h, "round {round}: {kept:?}");
        for (n, body) in kept.iter().enumerate() {
            assert_eq!(**body, format!("{round}/{n}"));
        }
    }
    println!("{counted} of {sent} were handled before the name was taken");
}

#[tokio::test]
async fn questions_to_the_archive_that_nobody_reads_are_bounded() {
    let server = Server::start("questions", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut anna = server.log_in("anna").await;
    let mut bob = server.log_in("bob").await;
    let filling = "x".repeat(8_000);
    for n in 0..100 {
        anna.send(&format!(
            "<message to='bob@localhost' type='chat'><body>{n} {filling}</body></message>"
        ))
        .await;
        bob.until(|f| f.name() == "message").await;
    }
    // A hundred megabytes are asked for, and not read.
    for n in 0..150 {
        bob.send(&format!(
            "<iq type='set' id='q{n}'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>\
             <max>100</max></set></query></iq>"
        ))
        .await;
    }
    // What is asked beside does not stand in the way of what is said.
    bob.send("<message to='anna@localhost' type='chat'><body>still here</body></message>")
        .await;
    anna.hears("still here").await;
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 150 {
        let iq = bob.until(|f| f.name() == "iq").await;
        let text = String::from_utf8_lossy(iq.bytes()).into_owned();
        match iq.attr("type") {
            Some("result") => answered += 1,
            _ if text.contains("<resource-constraint") => refused += 1,
            _ => panic!("{text}"),
        }
    }
    assert!(answered >= 10 && refused >= 10, "{answered}, {refused}");
}

#[tokio::test]
async fn what_was_on_its_way_to_a_removed_account_is_not_found_by_the_next_of_its_name() {
    let server = Server::start("removed", "");
    server.add("anna", &[]);
    for round in 0..5 {
        server.add("bob", &[]);
        let mut anna = server.log_in("anna").await;
        for n in 0..400 {
            let xml = format!(
                "<message to='bob@localhost' type='chat'><body>{round} {n}</body></message>"
            );
            anna.wire.queue(xml.as_bytes());
        }
        anna.wire.flush().await.unwrap();
        let out = server.admin(&["user", "del", "bob"], "");
        assert!(out.status.success());
        settle(&mut anna).await;
        server.add("bob", &[]);
        let left = archive(&server, "bob").await;
        assert!(left.is_empty(), "round {round}: {left:?}");
        let out = server.admin(&["user", "del", "bob"], "");
        assert!(out.status.success());
    }
}

/// 4.9.3.17 resource-constraint (RFC 6120): who does not read what is kept nowhere loses the session, and hears why.
#[tokio::test]
async fn who_does_not_read_what_is_in_no_archive_is_told_so_at_the_end() {
    let server = Server::start("unread", "[limits]\nmailbox_bytes = 1048576\n");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut anna = server.log_in("anna").await;
    let mut bob = server.log_in("bob").await;
    // He is available before the first one is sent.
    settle(&mut bob).await;
    // More than a mailbox and the buffers of the system hold.
    let filling = "x".repeat(16_000);
    for n in 0..2_000 {
        anna.send(&format!(
            "<message to='bob@localhost' type='headline' id='{n}'><body>{filling}</body></message>"
        ))
        .await;
    }
    settle(&mut anna).await;
    let mut heard = 0;
    let end = loop {
        let frame = bob.until(|f| matches!(f.name(), "message" | "error")).await;
        if frame.name() == "error" {
            break frame;
        }
        assert_eq!(frame.attr("id"), Some(heard.to_string().as_str()));
        heard += 1;
    };
    assert!(
        end.is("error", "http://etherx.jabber.org/streams"),
        "{end:?}"
    );
    assert_eq!(&*end.children()[0].name, "resource-constraint");
    assert!(heard < 2_000, "{heard}");
}
