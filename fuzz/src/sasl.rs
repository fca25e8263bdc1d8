//! SASL, both sides (RFC 4616, RFC 5802): no message of a stranger logs in or passes for the server, an honest login
//! works for any name, and one changed byte ends it.

use liao_proto::ns;
use liao_proto::sasl::{
    Binding, BindingType, Channel, Client, Mechanism, Profile, ScramKeys, Server, Step,
};
use liao_proto::stream::{Limits, Reader};
use std::sync::OnceLock;

/// Nobody who makes inputs up knows it: a login with it counts as broken in.
const PASSWORD: &str = "9f2c5a1e-pencil-7d44";
/// The least that a client takes (RFC 7677 section 4): more only makes the check slow.
const ROUNDS: u32 = 4096;

/// The first byte chooses the mechanism and the channel, the second the part; the rest is messages, a line each.
pub fn check(data: &[u8]) {
    let [how, part, rest @ ..] = data else {
        return;
    };
    let mechanism = Mechanism::ALL[usize::from(*how) % Mechanism::ALL.len()];
    let bindings = match how / 8 % 4 {
        0 => vec![],
        1 => vec![binding(BindingType::TlsServerEndPoint)],
        _ => vec![
            binding(BindingType::TlsExporter),
            binding(BindingType::TlsServerEndPoint),
        ],
    };
    match part % 8 {
        0 => honest(mechanism, &bindings, rest),
        1 => changed(mechanism, &bindings, rest),
        2 | 3 => client(mechanism, rest),
        4 => profiles(rest),
        _ => server(mechanism, &bindings, rest),
    }
}

fn binding(kind: BindingType) -> Binding {
    Binding {
        kind,
        data: kind.name().as_bytes().to_vec(),
    }
}

/// What the server keeps; PLAIN is checked against SHA-256.
fn keys(mechanism: Mechanism) -> ScramKeys {
    static KEYS: OnceLock<[ScramKeys; 2]> = OnceLock::new();
    let [sha1, sha256] = KEYS.get_or_init(|| {
        let of = |mechanism| ScramKeys::derive(mechanism, PASSWORD, b"salt of this test", ROUNDS);
        [of(Mechanism::ScramSha1), of(Mechanism::ScramSha256)]
    });
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => sha1.clone(),
        _ => sha256.clone(),
    }
}

/// A line with `{r}` replaced by the nonce of the last message seen.
fn filled(line: &[u8], nonce: &str) -> Vec<u8> {
    match line.windows(3).position(|w| w == b"{r}") {
        Some(at) => [&line[..at], nonce.as_bytes(), &line[at + 3..]].concat(),
        None => line.to_vec(),
    }
}

/// The value of `r=` in a message.
fn nonce_of(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message).into_owned();
    let value = text.split(',').find_map(|p| p.strip_prefix("r="));
    value.unwrap_or_default().to_owned()
}

fn server(mechanism: Mechanism, bindings: &[Binding], rest: &[u8]) {
    let mut server = Server::new(mechanism, [7; 32]).with_bindings(bindings);
    let mut nonce = String::new();
    let mut over = false;
    for line in rest.split(|b| *b == b'\n').take(6) {
        let mut step = server.step(&filled(line, &nonce));
        if let Step::NeedKeys { username } = &step {
            assert!(!username.is_empty());
            let known = username.len() % 2 == 0;
            // PLAIN costs all rounds; few are enough to see that it refuses.
            let mut keys = keys(mechanism);
            if mechanism == Mechanism::Plain {
                keys.iterations = 1;
            }
            step = server.with_keys(known.then_some(keys));
        }
        match step {
            Step::Challenge(challenge) => {
                assert!(!over, "a challenge after the end");
                nonce = nonce_of(&challenge);
            }
            Step::Failure(condition) => {
                assert!(!condition.name().is_empty());
                over = true;
            }
            Step::Success { .. } => panic!("logged in without the password"),
            Step::NeedKeys { .. } => panic!("keys are asked for twice"),
        }
    }
}

fn client(mechanism: Mechanism, rest: &[u8]) {
    let Ok(mut client) = Client::new(mechanism, "user", PASSWORD) else {
        panic!("no client");
    };
    let nonce = nonce_of(&client.initial());
    for line in rest.split(|b| *b == b'\n').take(4) {
        let message = filled(line, &nonce);
        if is_slow(&message) {
            return;
        }
        let _ = client.step(&message);
        let _ = client.finish(&message);
        let trusts = client.is_verified();
        assert!(!trusts || mechanism == Mechanism::Plain, "an impostor");
    }
}

/// More rounds than the least: legal, and slow.
fn is_slow(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let rounds = text.split(',').filter_map(|p| p.strip_prefix("i="));
    rounds
        .filter_map(|n| n.parse::<u32>().ok())
        .any(|n| n > ROUNDS)
}

fn channel(mechanism: Mechanism, bindings: &[Binding]) -> Option<Channel> {
    match (mechanism.is_plus(), bindings.first()) {
        (true, first) => Some(Channel::Bound(first?.clone())),
        (false, None) => Some(Channel::Unoffered),
        (false, Some(_)) => Some(Channel::Unsupported),
    }
}

/// The longest name that RFC 7622 section 3.3 allows in a local part.
const NAME_BYTES: usize = 1023;

fn honest(mechanism: Mechanism, bindings: &[Binding], name: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    // Addresses have neither NUL nor nothing.
    if name.is_empty() || name.contains('\0') || name.len() > NAME_BYTES {
        return;
    }
    let Some(step) = login(mechanism, bindings, name, |_, m| m) else {
        return;
    };
    match step {
        Step::Success {
            username, authzid, ..
        } => assert_eq!((&*username, authzid), (name, None)),
        other => panic!("{name:?} cannot log in by {}: {other:?}", mechanism.name()),
    }
}

/// Two bytes choose the message and the byte in it, the third what is added to it.
fn changed(mechanism: Mechanism, bindings: &[Binding], rest: &[u8]) {
    let [which, at, by, ..] = rest else { return };
    if *by == 0 {
        return;
    }
    let step = login(mechanism, bindings, "user", |n, mut message| {
        if n == which % 3 && !message.is_empty() {
            let at = usize::from(*at) % message.len();
            message[at] = message[at].wrapping_add(*by);
        }
        message
    });
    let reached = match mechanism {
        Mechanism::Plain => which % 3 == 0,
        _ => true,
    };
    // PLAIN protects the password only: another name or authzid is another name or authzid.
    if let Some(Step::Success {
        username, authzid, ..
    }) = step
    {
        let plain = mechanism == Mechanism::Plain && (username != "user" || authzid.is_some());
        assert!(!reached || plain, "a changed message logged in");
    }
}

/// Client and server talk; `touch` sees each message on its way: 0 and 2 are the client's, 1 the server's.
fn login(
    mechanism: Mechanism,
    bindings: &[Binding],
    name: &str,
    touch: impl Fn(u8, Vec<u8>) -> Vec<u8>,
) -> Option<Step> {
    let channel = channel(mechanism, bindings)?;
    let mut client = Client::new(mechanism, name, PASSWORD)
        .ok()?
        .with_channel(&channel);
    let mut server = Server::new(mechanism, [7; 32]).with_bindings(bindings);
    let mut step = server.step(&touch(0, client.initial()));
    if let Step::NeedKeys { .. } = step {
        step = server.with_keys(Some(keys(mechanism)));
    }
    if let Step::Challenge(challenge) = step {
        let challenge = touch(1, challenge);
        if is_slow(&challenge) {
            return None;
        }
        let answer = client.step(&challenge).ok()?;
        step = server.step(&touch(2, answer));
    }
    if let Step::Success { data, .. } = &step {
        client.finish(data).expect("the server proves itself");
    }
    Some(step)
}

const LIMITS: Limits = Limits {
    element_bytes: 16 * 1024,
    depth: 8,
};

/// What carries the messages: written, read and taken apart, they are the same; and any text may be decoded.
fn profiles(rest: &[u8]) {
    for profile in [Profile::Sasl, Profile::Sasl2] {
        let text = String::from_utf8_lossy(rest);
        if let Ok(bytes) = profile.decode(&text) {
            assert_eq!(profile.decode(&profile.encode(&bytes)), Ok(bytes));
        }
        if rest.len() <= 4096 {
            let element = profile.element("response", rest);
            let frame = Reader::single_in(element.as_bytes(), LIMITS, ns::CLIENT)
                .expect("an element that we wrote");
            assert_eq!(profile.decode(&frame.text()), Ok(rest.to_vec()));
        }
        let element = profile.failure("not-authorized", &text);
        Reader::single_in(element.as_bytes(), LIMITS, ns::CLIENT).expect("a failure");
    }
}
