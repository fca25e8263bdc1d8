//! The client's side of PLAIN and SCRAM (RFC 4616, RFC 5802 sections 5 and 7).

use super::scram::{hash, hmac, prepare, salted};
use super::server::nonce;
use super::{Mechanism, decode, encode};
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

/// One authentication.
pub struct Client {
    mechanism: Mechanism,
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
            password: prepare(password)?,
            username: username.to_owned(),
            bare: format!("n={escaped},r={nonce}"),
            nonce,
            verifier: None,
            verified: false,
        })
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
            _ => format!("n,,{}", self.bare).into_bytes(),
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
        let without_proof = format!("c={},r={nonce}", encode(b"n,,"));
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
        for mechanism in Mechanism::ALL {
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
