//! The client's side of PLAIN and SCRAM (RFC 4616, RFC 5802 sections 5 and 7).

use super::scram::{hash, hmac, prepare, salted};
use super::server::nonce;
use super::{Binding, Mechanism, decode, encode};
use subtle::ConstantTimeEq;

/// Rounds that a server may ask of us; more would only keep us busy.
const MAX_ITERATIONS: u32 = 10_000_000;
/// RFC 7677 section 4.
const MIN_ITERATIONS: u32 = 4096;

/// Why the client stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The password cannot be used, or there is no randomness.
    #[error("{0}")]
    Password(#[from] super::PasswordError),
    /// The server does not follow the mechanism.
    #[error("the server's answer does not follow {0}")]
    Protocol(&'static str),
    /// The server does not know the password: it is not the server that it claims to be.
    #[error("the server could not prove that it knows the password; it may be an impostor")]
    Server,
}

/// What this side knows of the channel (gs2-cbind-flag of RFC 5802 section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// Nothing: `n`.
    Unsupported,
    /// It could bind it, but the server does not offer to: `y`.
    Unoffered,
    /// It binds it: `p`.
    Bound(Binding),
}

/// One authentication.
pub struct Client {
    mechanism: Mechanism,
    gs2: String,
    binding: Vec<u8>,
    password: String,
    username: String,
    bare: String,
    nonce: String,
    verifier: Option<Vec<u8>>,
    verified: bool,
}

impl Client {
    /// For a user's local part and password.
    pub fn new(
        mechanism: Mechanism,
        username: &str,
        password: &str,
    ) -> Result<Client, ClientError> {
        let nonce = nonce().ok_or(super::PasswordError::Random)?;
        let escaped = username.replace('=', "=3D").replace(',', "=2C");
        Ok(Client {
            mechanism,
            gs2: "n,,".to_owned(),
            binding: Vec::new(),
            password: prepare(password)?,
            username: username.to_owned(),
            bare: format!("n={escaped},r={nonce}"),
            nonce,
            verifier: None,
            verified: false,
        })
    }

    /// On this channel; without, it is as if nothing were known of it.
    pub fn with_channel(mut self, channel: &Channel) -> Client {
        (self.gs2, self.binding) = match channel {
            Channel::Unsupported => ("n,,".to_owned(), Vec::new()),
            Channel::Unoffered => ("y,,".to_owned(), Vec::new()),
            Channel::Bound(binding) => {
                (format!("p={},,", binding.kind.name()), binding.data.clone())
            }
        };
        self
    }

    #[cfg(test)]
    pub(super) fn with_nonce(mut self, nonce: &str) -> Client {
        self.bare = format!("n={},r={nonce}", self.username);
        self.nonce = nonce.to_owned();
        self
    }

    /// The initial response.
    pub fn initial(&self) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Plain => format!("\0{}\0{}", self.username, self.password).into_bytes(),
            _ => format!("{}{}", self.gs2, self.bare).into_bytes(),
        }
    }

    /// Answers a challenge.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let wrong = ClientError::Protocol(self.mechanism.name());
        let text = std::str::from_utf8(challenge).map_err(|_| wrong.clone())?;
        if self.verifier.is_some() {
            // server-final-message as a challenge; an empty response follows (RFC 6120 section 6.4.3).
            return self.finish(challenge).map(|()| Vec::new());
        }
        let parse = || -> Option<(&str, Vec<u8>, u32)> {
            let mut parts = text.split(',');
            let nonce = parts.next()?.strip_prefix("r=")?;
            let salt = decode(parts.next()?.strip_prefix("s=")?).ok()?;
            let iterations = parts.next()?.strip_prefix("i=")?.parse().ok()?;
            let longer = nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len();
            let in_range = (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations);
            (longer && in_range && self.mechanism != Mechanism::Plain)
                .then_some((nonce, salt, iterations))
        };
        let (nonce, salt, iterations) = parse().ok_or(wrong)?;
        let salted = salted(self.mechanism, &self.password, &salt, iterations);
        let client_key = hmac(self.mechanism, &salted, b"Client Key");
        let cbind = [self.gs2.as_bytes(), &self.binding].concat();
        let without_proof = format!("c={},r={nonce}", encode(&cbind));
        let auth = format!("{},{text},{without_proof}", self.bare);
        let signature = hmac(
            self.mechanism,
            &hash(self.mechanism, &client_key),
            auth.as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = hmac(self.mechanism, &salted, b"Server Key");
        self.verifier = Some(hmac(self.mechanism, &server_key, auth.as_bytes()));
        Ok(format!("{without_proof},p={}", encode(&proof)).into_bytes())
    }

    /// The server has proved itself already, in its last challenge.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Checks the data that came with success: the server must know the password, too.
    pub fn finish(&mut self, data: &[u8]) -> Result<(), ClientError> {
        if self.mechanism == Mechanism::Plain {
            self.verified = true;
            return Ok(());
        }
        let verifier = self.verifier.as_ref().ok_or(ClientError::Server)?;
        let given = std::str::from_utf8(data)
            .ok()
            .and_then(|t| t.strip_prefix("v="))
            .and_then(|t| decode(t).ok());
        match given {
            Some(given) if bool::from(given.ct_eq(verifier)) => {
                self.verified = true;
                Ok(())
            }
            _ => Err(ClientError::Server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    /// RFC 5802 section 5 and RFC 7677 section 3.
    const VECTORS: [(Mechanism, &str, &str, &str, &str, &str, &str); 2] = [
        (
            Mechanism::ScramSha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            Mechanism::ScramSha256,
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    #[test]
    fn both_sides_speak_the_vectors_of_the_rfcs() {
        for (mechanism, cnonce, snonce, salt, challenge, last, success) in VECTORS {
            let mut client = Client::new(mechanism, "user", "pencil")
                .unwrap()
                .with_nonce(cnonce);
            let mut server = Server::new(mechanism, [0; 32]).with_nonce(snonce);
            assert_eq!(
                server.step(&client.initial()),
                Step::NeedKeys {
                    username: "user".into()
                }
            );
            let keys = ScramKeys::derive(mechanism, "pencil", &decode(salt).unwrap(), 4096);
            assert_eq!(
                server.with_keys(Some(keys)),
                Step::Challenge(challenge.into())
            );
            let answer = client.step(challenge.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(answer.clone()).unwrap(), last);
            let Step::Success { username, data, .. } = server.step(&answer) else {
                panic!("refused")
            };
            assert_eq!(
                (username.as_str(), data.as_slice()),
                ("user", success.as_bytes())
            );
            client.finish(&data).unwrap();
            assert_eq!(client.finish(b"v=AAAA"), Err(ClientError::Server));
        }
    }

    fn login(mechanism: Mechanism, right: &str, tried: &str) -> Step {
        let keys =
            Credentials::from_text(&Credentials::from_password(right).unwrap().to_text()).unwrap();
        let mut client = Client::new(mechanism, "用户,=", tried).unwrap();
        let mut server = Server::new(mechanism, [1; 32]);
        let mut step = server.step(&client.initial());
        loop {
            step = match step {
                Step::NeedKeys { username } => {
                    assert_eq!(username, "用户,=");
                    server.with_keys(Some(keys.keys_for(mechanism).clone()))
                }
                Step::Challenge(c) => server.step(&client.step(&c).unwrap()),
                done => return done,
            };
        }
    }

    #[test]
    fn the_right_password_logs_in_and_a_wrong_one_does_not() {
        for mechanism in Mechanism::ALL.into_iter().filter(|m| !m.is_plus()) {
            assert!(matches!(
                login(mechanism, "pässword", "pässword"),
                Step::Success { .. }
            ));
            assert_eq!(
                login(mechanism, "pässword", "password"),
                Step::Failure(Condition::NotAuthorized)
            );
        }
    }

    /// The messages of XEP-0388 section 2.5. Its proofs do not fit its messages; these were computed by Python's
    /// hashlib and hmac.
    #[test]
    fn both_sides_speak_the_messages_of_xep_0388_over_tls_exporter() {
        const SEEN: &str = "cD10bHMtZXhwb3J0ZXIsLMcoQvOdBDePd4OswlmAWV3dg1a1Wh1tYPTBwVid10VU";
        let seen = decode(SEEN).unwrap();
        let binding = Binding {
            kind: BindingType::TlsExporter,
            data: seen[b"p=tls-exporter,,".len()..].to_vec(),
        };
        let mut client = Client::new(Mechanism::ScramSha1Plus, "user", "pencil")
            .unwrap()
            .with_channel(&Channel::Bound(binding.clone()))
            .with_nonce("12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6");
        let mut server = Server::new(Mechanism::ScramSha1Plus, [0; 32])
            .with_bindings(&[binding])
            .with_nonce("a09117a6-ac50-4f2f-93f1-93799c2bddf6");
        let first = client.initial();
        let text = b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
        assert_eq!(first, text);
        server.step(&first);
        let salt = decode("QSXCR+Q6sek8bf92").unwrap();
        let keys = ScramKeys::derive(Mechanism::ScramSha1Plus, "pencil", &salt, 4096);
        let Step::Challenge(challenge) = server.with_keys(Some(keys)) else {
            panic!("no challenge")
        };
        let answer = client.step(&challenge).unwrap();
        let text = "c=cD10bHMtZXhwb3J0ZXIsLMcoQvOdBDePd4OswlmAWV3dg1a1Wh1tYPTBwVid10VU,\
                    r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                    p=+8UyrQAeVIqsH2YovGeGTRx6zBM=";
        assert_eq!(String::from_utf8_lossy(&answer), text);
        let Step::Success { data, .. } = server.step(&answer) else {
            panic!("refused")
        };
        assert_eq!(data, b"v=GRqYg0SPMGrqPRk5HfMz9nGHq94=");
        client.finish(&data).unwrap();
    }

    fn bind(mechanism: Mechanism, client: &Channel, server: &[Binding]) -> Step {
        let keys = Credentials::from_password("pw").unwrap();
        let mut client = Client::new(mechanism, "u", "pw")
            .unwrap()
            .with_channel(client);
        let mut server = Server::new(mechanism, [0; 32]).with_bindings(server);
        let mut step = server.step(&client.initial());
        loop {
            step = match step {
                Step::NeedKeys { .. } => server.with_keys(Some(keys.keys_for(mechanism).clone())),
                Step::Challenge(c) => server.step(&client.step(&c).unwrap()),
                done => return done,
            };
        }
    }

    #[test]
    fn somebody_in_between_is_found_out() {
        let of = |kind, byte| Binding {
            kind,
            data: vec![byte; 32],
        };
        let exporter = of(BindingType::TlsExporter, 1);
        let ours = [exporter.clone(), of(BindingType::TlsServerEndPoint, 2)];
        for mechanism in [Mechanism::ScramSha1Plus, Mechanism::ScramSha256Plus] {
            for binding in &ours {
                let fine = bind(mechanism, &Channel::Bound(binding.clone()), &ours);
                assert!(matches!(fine, Step::Success { .. }), "{fine:?}");
                let other = Channel::Bound(of(binding.kind, 9));
                let refused = bind(mechanism, &other, &ours);
                assert_eq!(refused, Step::Failure(Condition::BindingMismatch));
            }
            let one = bind(mechanism, &Channel::Bound(exporter.clone()), &ours[1..]);
            assert_eq!(one, Step::Failure(Condition::BindingUnsupported));
            for flag in [Channel::Unsupported, Channel::Unoffered] {
                let refused = bind(mechanism, &flag, &ours);
                assert_eq!(refused, Step::Failure(Condition::MalformedRequest));
            }
        }
        for mechanism in [Mechanism::ScramSha1, Mechanism::ScramSha256] {
            // The mechanisms with channel binding were taken out of our offer on the way.
            let refused = bind(mechanism, &Channel::Unoffered, &ours);
            assert_eq!(refused, Step::Failure(Condition::Downgrade));
            for (flag, ours) in [(Channel::Unsupported, &ours[..]), (Channel::Unoffered, &[])] {
                assert!(matches!(bind(mechanism, &flag, ours), Step::Success { .. }));
            }
            let refused = bind(mechanism, &Channel::Bound(exporter.clone()), &ours);
            assert_eq!(refused, Step::Failure(Condition::MalformedRequest));
        }
    }

    #[test]
    fn an_unknown_user_looks_like_a_wrong_password() {
        let challenge = || {
            let mut server = Server::new(Mechanism::ScramSha256, [7; 32]).with_nonce("x");
            server.step(b"n,,n=nobody,r=abc");
            match server.with_keys(None) {
                Step::Challenge(c) => (server, c),
                other => panic!("{other:?}"),
            }
        };
        let (mut server, first) = challenge();
        assert_eq!(
            first,
            challenge().1,
            "the salt does not change from try to try"
        );
        let mut client = Client::new(Mechanism::ScramSha256, "nobody", "pw")
            .unwrap()
            .with_nonce("abc");
        let last = client.step(&first).unwrap();
        assert_eq!(server.step(&last), Step::Failure(Condition::NotAuthorized));
    }

    #[test]
    fn bad_messages_are_malformed_and_never_succeed() {
        let bad: &[&[u8]] = &[
            b"n",
            b"n,,",
            b"n,,n=u",
            b"n,,n=,r=a",
            b"n,,n=u,r=",
            b"p=tls-exporter,,n=u,r=a",
            b"n,,m=x,n=u,r=a",
            b"n,b=x,n=u,r=a",
            b"n,,n==40,r=a",
            b"\xFF\xFE",
            b"n,,n=u,r=a\x01",
        ];
        for message in bad {
            let mut server = Server::new(Mechanism::ScramSha1, [0; 32]);
            assert_eq!(
                server.step(message),
                Step::Failure(Condition::MalformedRequest),
                "{message:?}"
            );
        }
        let mut plain = Server::new(Mechanism::Plain, [0; 32]);
        assert_eq!(
            plain.step(b"\0user"),
            Step::Failure(Condition::MalformedRequest)
        );
    }
}
