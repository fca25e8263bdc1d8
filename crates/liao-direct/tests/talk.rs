//! People who talk directly over loopback: real endpoints, real stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use liao_client::{Backend, Command, Event, Link, Message, State, Store, random_id};
use liao_direct::{ACCOUNT, Book, Direct, Identity, Ticket, find};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// Far above what anything here takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(40);

struct Person {
    folder: PathBuf,
    identity: Identity,
    port: u16,
    link: Option<Link>,
}

fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

impl Person {
    fn new(name: &str) -> Person {
        let folder = std::env::temp_dir().join(format!("liao-direct-{name}-{}", random_id()));
        let identity = Identity::open(&folder, name).unwrap();
        let mut person = Person {
            folder,
            identity,
            port: free_port(),
            link: None,
        };
        person.start();
        person
    }

    fn start(&mut self) {
        let direct = Direct {
            store: self.store(),
            book: Book::open(&self.folder).unwrap(),
            identity: self.identity.clone(),
            port: Some(self.port),
            lan: false,
            dial: None,
        };
        self.link = Some(Box::new(direct).start());
    }

    fn store(&self) -> Store {
        Store::open(&self.folder).unwrap()
    }

    fn id(&self) -> String {
        self.identity.key().to_z32()
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn ticket(&self) -> String {
        let (key, addresses) = (self.identity.key(), vec![self.address()]);
        Ticket { key, addresses }.to_string()
    }

    async fn ask(&self, command: Command) {
        let link = self.link.as_ref().unwrap();
        link.commands.send(command).await.unwrap();
    }

    async fn add(&self, whom: String, name: &str) {
        let name = Some(name.to_owned());
        self.ask(Command::Befriend {
            to: whom,
            name,
            greeting: None,
        })
        .await;
    }

    async fn accept(&self, whom: &Person) {
        let (to, accept) = (whom.id(), true);
        self.ask(Command::Answer { to, accept }).await;
    }

    async fn say(&self, to: &Person, text: &str) -> String {
        let (id, to, text) = (random_id(), to.id(), text.to_owned());
        let said = id.clone();
        self.ask(Command::Send { id, to, text }).await;
        said
    }

    /// The first event that `pick` takes; what comes before it is passed over.
    async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let events = &mut self.link.as_mut().unwrap().events;
        let mut passed = Vec::new();
        let found = timeout(PATIENCE, async {
            loop {
                let event = events.recv().await.expect("the backend runs");
                if let Some(found) = pick(&event) {
                    return found;
                }
                passed.push(event);
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("no {what} in {passed:#?}"))
    }

    async fn asked(&mut self) {
        self.until("request", |e| {
            matches!(e, Event::Request { .. }).then_some(())
        })
        .await;
    }

    async fn hears(&mut self) -> Message {
        self.until("message", |e| match e {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    async fn reached(&mut self, id: &str, wanted: State) {
        self.until("state", |e| match e {
            Event::State { id: of, state } => (of == id && *state == wanted).then_some(()),
            _ => None,
        })
        .await;
    }

    async fn notice(&mut self, part: &str) -> String {
        self.until(part, |e| match e {
            Event::Notice(words) => words.contains(part).then(|| words.clone()),
            _ => None,
        })
        .await
    }

    async fn quit(&mut self) {
        self.ask(Command::Quit { goodbye: None }).await;
        let _ = timeout(PATIENCE, async {
            while self.link.as_mut().unwrap().events.recv().await.is_some() {}
        })
        .await;
        self.link = None;
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Two who have let each other in.
async fn friends() -> (Person, Person) {
    let (mut anna, mut bob) = (Person::new("anna"), Person::new("bob"));
    anna.add(bob.address().to_string(), "bob").await;
    bob.asked().await;
    bob.accept(&anna).await;
    let first = anna.say(&bob, "你好").await;
    assert_eq!(bob.hears().await.text, "你好");
    anna.reached(&first, State::Delivered).await;
    (anna, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_is_enough_and_the_caller_waits_until_let_in() {
    let (mut anna, mut bob) = (Person::new("anna"), Person::new("bob"));
    assert_eq!(
        find(&bob.address().to_string()).await.unwrap().key,
        bob.identity.key()
    );
    anna.add(bob.address().to_string(), "bob").await;
    anna.notice("is in your address book").await;
    let id = anna.say(&bob, "is that you?").await;
    anna.reached(&id, State::Queued).await;
    let greeting = bob
        .until("request", |e| match e {
            Event::Request { peer, greeting } => Some((peer.clone(), greeting.clone())),
            Event::Message(message) => panic!("let in silently: {message:?}"),
            _ => None,
        })
        .await;
    assert_eq!(greeting.0, anna.id());
    assert!(greeting.1.unwrap().contains("safety words"));
    let kept = anna.store().unsent(ACCOUNT).unwrap();
    assert_eq!(kept.len(), 1, "not delivered to who has not answered");
    bob.accept(&anna).await;
    assert_eq!(bob.hears().await.text, "is that you?");
    anna.reached(&id, State::Delivered).await;
    assert!(anna.store().unsent(ACCOUNT).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_can_be_done_to_messages_as_anywhere() {
    let (mut anna, mut bob) = friends().await;
    let id = anna.say(&bob, "frist").await;
    let heard = bob.hears().await;
    let text = "first".to_owned();
    let (to, of) = (bob.id(), id.clone());
    anna.ask(Command::Edit { to, of, text }).await;
    let changed = |e: &Event| match e {
        Event::Changed(message) => Some(message.clone()),
        _ => None,
    };
    assert_eq!(bob.until("edit", changed).await.text, "first");
    let (to, of, emojis) = (anna.id(), heard.id.clone(), vec!["👍".to_owned()]);
    bob.ask(Command::React {
        to,
        outgoing: false,
        of,
        emojis,
    })
    .await;
    bob.until("reaction", changed).await;
    anna.until("edit", changed).await;
    let felt = anna.until("reaction", changed).await;
    assert_eq!(felt.more.reactions[0].emojis, ["👍"]);
    let (to, of, text) = (anna.id(), heard.id.clone(), "yes".to_owned());
    bob.ask(Command::Reply {
        id: random_id(),
        to,
        text,
        of,
    })
    .await;
    let answer = anna.hears().await;
    assert_eq!(answer.more.reply.unwrap().quote, "first");
    anna.ask(Command::Read { peer: bob.id() }).await;
    bob.until("read", |e| match e {
        Event::State { state, .. } => (*state == State::Read).then_some(()),
        _ => None,
    })
    .await;
    let (to, composing) = (bob.id(), true);
    anna.ask(Command::Typing { to, composing }).await;
    bob.until("typing", |e| {
        matches!(
            e,
            Event::Typing {
                composing: true,
                ..
            }
        )
        .then_some(())
    })
    .await;
    anna.ask(Command::Nudge { to: bob.id() }).await;
    bob.until("nudge", |e| matches!(e, Event::Nudge { .. }).then_some(()))
        .await;
    let (to, of) = (bob.id(), id);
    anna.ask(Command::Recall { to, of }).await;
    assert!(bob.until("recall", changed).await.more.recalled);
    anna.ask(Command::Arrange {
        to: bob.id(),
        name: Some("老鲍".to_owned()),
        groups: Vec::new(),
    })
    .await;
    anna.until("other name", |e| match e {
        Event::Contact(c) => (c.name.as_deref() == Some("老鲍")).then_some(()),
        _ => None,
    })
    .await;
    let status = Some("在开会".to_owned());
    anna.ask(Command::Presence {
        show: Some(liao_client::Show::Dnd),
        status: status.clone(),
    })
    .await;
    bob.until("presence", |e| match e {
        Event::Presence { status: told, .. } => (*told == status).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_nobody_is_there_comes_later_once_and_in_order_over_restarts_of_both() {
    let (mut anna, mut bob) = friends().await;
    bob.quit().await;
    for n in 0..100 {
        anna.say(&bob, &format!("{n} 号")).await;
    }
    // The last of them is on the disk when its state says so; then everything goes down.
    let last = anna.say(&bob, "last").await;
    anna.reached(&last, State::Queued).await;
    anna.quit().await;
    assert_eq!(anna.store().unsent(ACCOUNT).unwrap().len(), 101);
    anna.start();
    bob.start();
    for n in 0..100 {
        assert_eq!(bob.hears().await.text, format!("{n} 号"));
    }
    assert_eq!(bob.hears().await.text, "last");
    anna.reached(&last, State::Delivered).await;
    assert!(anna.store().unsent(ACCOUNT).unwrap().is_empty());
    let (kept, _) = bob
        .store()
        .history(ACCOUNT, ACCOUNT, &anna.id(), None, 1000)
        .unwrap();
    assert_eq!(kept.len(), 102, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_million_characters_arrives_whole_and_too_long_a_one_is_refused() {
    let (mut anna, mut bob) = friends().await;
    let text = "长".repeat(1_000_000);
    let id = anna.say(&bob, &text).await;
    assert!(bob.hears().await.text == text);
    anna.reached(&id, State::Delivered).await;
    let id = anna.say(&bob, &"x".repeat(17 << 20)).await;
    anna.until("refusal", |e| match e {
        Event::State {
            id: of,
            state: State::Failed { why },
        } => (*of == id).then(|| assert!(why.contains("too long"))),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_at_a_friends_address_is_refused_loudly() {
    let (mut anna, mut bob) = friends().await;
    bob.quit().await;
    let mut eve = Person::new("eve");
    eve.quit().await;
    eve.port = bob.port;
    eve.start();
    let id = anna.say(&bob, "for bob only").await;
    anna.reached(&id, State::Queued).await;
    anna.notice("ANOTHER KEY").await;
    anna.add(bob.address().to_string(), "bob").await;
    anna.notice("ANOTHER KEY").await;
    eve.quit().await;
    let (kept, _) = eve
        .store()
        .history(ACCOUNT, ACCOUNT, &anna.id(), None, 10)
        .unwrap();
    assert!(kept.is_empty());
    bob.start();
    assert_eq!(bob.hears().await.text, "for bob only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_person_is_not_heard_and_not_announced_again() {
    let (mut anna, mut bob) = friends().await;
    bob.ask(Command::Block { peer: anna.id() }).await;
    bob.until("list", |e| match e {
        Event::Blocked(all) => (all.len() == 1).then_some(()),
        _ => None,
    })
    .await;
    let id = anna.say(&bob, "hello?").await;
    anna.reached(&id, State::Queued).await;
    anna.quit().await;
    anna.start();
    anna.until("start", |e| matches!(e, Event::Ready).then_some(()))
        .await;
    // A third who is let in shows that bob still listens.
    let carla = Person::new("carla");
    carla.add(bob.ticket(), "bob").await;
    bob.until("carla", |e| match e {
        Event::Request { peer, .. } => (*peer == carla.id()).then_some(()),
        Event::Message(_) => panic!("heard"),
        _ => None,
    })
    .await;
    assert_eq!(anna.store().unsent(ACCOUNT).unwrap().len(), 1);
    bob.ask(Command::Unblock { peer: anna.id() }).await;
    assert_eq!(bob.hears().await.text, "hello?");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_the_port_and_tickets_with_a_wrong_letter_harm_nobody() {
    let (anna, mut bob) = friends().await;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for length in 0..1400usize {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        socket.send_to(&noise, bob.address()).unwrap();
    }
    anna.say(&bob, "still there?").await;
    assert_eq!(bob.hears().await.text, "still there?");
    let mut wrong = bob.ticket();
    wrong.pop();
    let mut carla = Person::new("carla");
    carla.add(wrong, "bob").await;
    carla.notice("wrong or missing letter").await;
    carla.add("127.0.0.1:1".into(), "nobody").await;
    carla.notice("127.0.0.1:1").await;
}
