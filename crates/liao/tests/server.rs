//! What an administrator meets, on the real program: callers, logins, proxies, configuration.

mod world;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Client, PATIENCE, SASL, Server};

async fn reads(stream: &mut TcpStream) -> String {
    let mut space = [0u8; 1024];
    let n = tokio::time::timeout(PATIENCE, stream.read(&mut space))
        .await
        .expect("an answer in time")
        .unwrap();
    String::from_utf8(space[..n].to_vec()).unwrap()
}

#[tokio::test]
async fn callers_appear_to_the_owner_and_to_those_who_are_allowed() {
    let allow = |all: &str| format!("[sockets]\nallow = [{all}]\n");
    let server = Server::start("allow", &allow("\"bob@localhost\", \"ghost@localhost\""));
    let mut early = TcpStream::connect(server.address("sockets")).await.unwrap();
    early.write_all(b"anyone?").await.unwrap();
    assert!(reads(&mut early).await.contains("nobody has an account"));
    server.add("anna", &["--admin"]);
    server.add("bob", &[]);
    server.add("carl", &[]);
    let (mut anna, mut bob) = (server.log_in("anna").await, server.log_in("bob").await);
    let mut caller = TcpStream::connect(server.address("sockets")).await.unwrap();
    caller.write_all(b"hello").await.unwrap();
    let name = anna.hears("hello").await;
    assert_eq!(bob.hears("hello").await, name);
    let say = |to: &str, body: &str| {
        format!("<message to='{to}' type='chat' id='m'><body>{body}</body></message>")
    };
    bob.send(&say(&name, "from bob")).await;
    assert_eq!(reads(&mut caller).await, "from bob");
    let mut carl = server.log_in("carl").await;
    carl.send(&say(&name, "from carl")).await;
    let refused = carl.until(|f| f.name() == "message").await;
    assert_eq!(refused.attr("type"), Some("error"));

    // Live: from the caller's next word on, carl is one of them, and bob is not.
    server.reload(&allow("\"carl@localhost\""));
    caller.write_all(b"again").await.unwrap();
    assert_eq!(carl.hears("again").await, name);
    anna.hears("again").await;
    carl.send(&say(&name, "from carl")).await;
    assert_eq!(reads(&mut caller).await, "from carl");
    bob.send(&say(&name, "still me?")).await;
    let refused = bob.until(|f| f.name() == "message").await;
    assert_eq!(refused.attr("type"), Some("error"));
}

#[tokio::test]
async fn a_guesser_waits_and_the_others_do_not() {
    let server = Server::start("guess", "");
    server.add("anna", &[]);
    server.add("bob", &[]);
    let mut guesser = Client::connect(server.address("c2s")).await;
    for _ in 0..4 {
        let answer = guesser.authenticate("anna", "wrong").await;
        assert!(answer.to_dom().unwrap().has_child("not-authorized", SASL));
    }
    let mut guesser = Client::connect(server.address("c2s")).await;
    guesser.authenticate("anna", "wrong").await;
    let answer = guesser.authenticate("anna", "pw-anna").await;
    let failure = answer.to_dom().unwrap();
    assert!(
        failure.has_child("temporary-auth-failure", SASL),
        "{failure:?}"
    );
    let words = failure.get_child("text", SASL).unwrap().text();
    assert!(words.contains("try again in 1 s"), "{words}");
    server.log_in("bob").await;
}
