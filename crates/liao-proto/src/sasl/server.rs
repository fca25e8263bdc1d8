//! The server's side of PLAIN and SCRAM (RFC 4616, RFC 5802 sections 5 and 7).

use super::scram::{ScramKeys, hash, hmac, prepare};
use super::{Binding, Condition, MAX_MESSAGE_BYTES, Mechanism, encode};
use subtle::ConstantTimeEq;

/// What the server does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// To be sent as a challenge.
    Challenge(Vec<u8>),
    /// The keys of this user are to be given to [`Server::with_keys`].
    NeedKeys {
        /// As the client wrote it, unescaped.
        username: String,
    },
    /// Authenticated; `data` goes with the success (empty for PLAIN).
    Success {
        /// Who.
        username: String,
        /// On whose behalf, if that was said.
        authzid: Option<String>,
        /// Additional data with success.
        data: Vec<u8>,
    },
    /// Failed.
    Failure(Condition),
}

enum State {
    First,
    Plain {
        password: String,
    },
    Keys {
        bare: String,
        nonce: String,
    },
    Final {
        keys: ScramKeys,
        known: bool,
        auth: String,
        nonce: String,
    },
    Over,
}

/// One authentication.
pub struct Server {
    mechanism: Mechanism,
    secret: [u8; 32],
    state: State,
    username: String,
    authzid: Option<String>,
    /// The connection's own, as announced.
    bindings: Vec<Binding>,
    /// cbind-input (RFC 5802 section 7): the GS2 header and the channel's data.
    cbind: Vec<u8>,
    fixed_nonce: Option<String>,
}

impl Server {
    /// `secret` makes the salts that unknown users seem to have: the same for a name each time.
    pub fn new(mechanism: Mechanism, secret: [u8; 32]) -> Server {
        Server {
            mechanism,
            secret,
            state: State::First,
            username: String::new(),
            authzid: None,
            bindings: Vec::new(),
            cbind: Vec::new(),
            fixed_nonce: None,
        }
    }

    /// On a connection with these bindings, all of which were offered.
    pub fn with_bindings(mut self, bindings: &[Binding]) -> Server {
        self.bindings = bindings.to_vec();
        self
    }

    #[cfg(test)]
    pub(super) fn with_nonce(mut self, nonce: &str) -> Server {
        self.fixed_nonce = Some(nonce.to_owned());
        self
    }

    /// Takes a message of the client.
    pub fn step(&mut self, message: &[u8]) -> Step {
        let Ok(text) = std::str::from_utf8(message) else {
            return self.fail(Condition::MalformedRequest);
        };
        if text.len() > MAX_MESSAGE_BYTES {
            return self.fail(Condition::MalformedRequest);
        }
        let done = match std::mem::replace(&mut self.state, State::Over) {
            // No initial response: an empty challenge asks for it (RFC 6120 section 6.4.2).
            State::First if text.is_empty() => {
                self.state = State::First;
                return Step::Challenge(Vec::new());
            }
            State::First if self.mechanism == Mechanism::Plain => self.plain(text),
            State::First => self.first(text),
            State::Final {
                keys,
                known,
                auth,
                nonce,
            } => self.last(text, &keys, known, &auth, &nonce),
            _ => None,
        };
        done.unwrap_or_else(|| self.fail(Condition::MalformedRequest))
    }

    fn fail(&mut self, condition: Condition) -> Step {
        self.state = State::Over;
        Step::Failure(condition)
    }

    /// RFC 4616 section 2.
    fn plain(&mut self, text: &str) -> Option<Step> {
        let mut parts = text.split('\0');
        let (authzid, username, password) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || username.is_empty() || password.is_empty() {
            return None;
        }
        self.authzid = (!authzid.is_empty()).then(|| authzid.to_owned());
        self.username = username.to_owned();
        self.state = State::Plain {
            password: password.to_owned(),
        };
        Some(Step::NeedKeys {
            username: self.username.clone(),
        })
    }

    /// client-first-message (RFC 5802 section 7).
    fn first(&mut self, text: &str) -> Option<Step> {
        let (flag, rest) = text.split_once(',')?;
        let data = match (flag, flag.strip_prefix("p=")) {
            (_, Some(name)) if self.mechanism.is_plus() => {
                match self.bindings.iter().find(|b| b.kind.name() == name) {
                    Some(binding) => binding.data.clone(),
                    None => return Some(self.fail(Condition::BindingUnsupported)),
                }
            }
            ("n" | "y", _) if self.mechanism.is_plus() => return None,
            // `y`: the client can bind channels and thinks that we cannot. If we can, somebody told it so.
            ("y", _) if !self.bindings.is_empty() => {
                return Some(self.fail(Condition::Downgrade));
            }
            ("n" | "y", _) => Vec::new(),
            _ => return None,
        };
        let (authzid, bare) = rest.split_once(',')?;
        self.authzid = match authzid {
            "" => None,
            a => Some(unescape(a.strip_prefix("a=")?)?),
        };
        self.cbind = format!("{flag},{authzid},").into_bytes();
        self.cbind.extend(data);
        let mut parts = bare.split(',');
        // `m=` is reserved for mandatory extensions that we do not have (section 5.1).
        let username = unescape(parts.next()?.strip_prefix("n=")?)?;
        let client = parts.next()?.strip_prefix("r=")?;
        if username.is_empty()
            || client.is_empty()
            || !client.bytes().all(|b| (0x21..0x7F).contains(&b))
        {
            return None;
        }
        let own = match &self.fixed_nonce {
            Some(fixed) => fixed.clone(),
            None => nonce()?,
        };
        self.username = username;
        self.state = State::Keys {
            bare: bare.to_owned(),
            nonce: format!("{client}{own}"),
        };
        Some(Step::NeedKeys {
            username: self.username.clone(),
        })
    }

    /// Gives the user's keys; `None` for a user that is not there, which is not told apart from a wrong password.
    pub fn with_keys(&mut self, keys: Option<ScramKeys>) -> Step {
        let known = keys.is_some();
        let keys = keys.unwrap_or_else(|| self.fake());
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain { password } => {
                let right = prepare(&password).is_ok_and(|p| {
                    let tried =
                        ScramKeys::derive(Mechanism::ScramSha256, &p, &keys.salt, keys.iterations);
                    bool::from(tried.stored_key.ct_eq(&keys.stored_key))
                });
                if known && right {
                    self.success(Vec::new())
                } else {
                    self.fail(Condition::NotAuthorized)
                }
            }
            State::Keys { bare, nonce } => {
                let challenge = format!("r={nonce},s={},i={}", encode(&keys.salt), keys.iterations);
                let auth = format!("{bare},{challenge}");
                self.state = State::Final {
                    keys,
                    known,
                    auth,
                    nonce,
                };
                Step::Challenge(challenge.into_bytes())
            }
            _ => self.fail(Condition::MalformedRequest),
        }
    }

    fn fake(&self) -> ScramKeys {
        let salt = hmac(
            Mechanism::ScramSha256,
            &self.secret,
            self.username.as_bytes(),
        );
        let size = hash(self.mechanism, b"").len();
        ScramKeys {
            iterations: super::ITERATIONS,
            salt: salt[..16].to_vec(),
            stored_key: vec![0; size],
            server_key: vec![0; size],
        }
    }

    /// client-final-message.
    fn last(
        &mut self,
        text: &str,
        keys: &ScramKeys,
        known: bool,
        auth: &str,
        nonce: &str,
    ) -> Option<Step> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let binding = super::decode(parts.next()?.strip_prefix("c=")?).ok()?;
        let echoed = parts.next()?.strip_prefix("r=")?;
        let proof = super::decode(proof).ok()?;
        if echoed != nonce {
            return Some(self.fail(Condition::NotAuthorized));
        }
        if binding != self.cbind {
            return Some(self.fail(Condition::BindingMismatch));
        }
        let auth = format!("{auth},{without_proof}");
        let signature = hmac(self.mechanism, &keys.stored_key, auth.as_bytes());
        if proof.len() != signature.len() {
            return Some(self.fail(Condition::NotAuthorized));
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let right = bool::from(hash(self.mechanism, &client_key).ct_eq(&keys.stored_key));
        if !right || !known {
            return Some(self.fail(Condition::NotAuthorized));
        }
        let verifier = hmac(self.mechanism, &keys.server_key, auth.as_bytes());
        Some(self.success(format!("v={}", encode(&verifier)).into_bytes()))
    }

    fn success(&mut self, data: Vec<u8>) -> Step {
        Step::Success {
            username: self.username.clone(),
            authzid: self.authzid.take(),
            data,
        }
    }
}

/// `=2C` and `=3D` (RFC 5802 section 5.1).
fn unescape(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('=') {
        out.push_str(&rest[..at]);
        out.push(match rest.get(at..at + 3)? {
            "=2C" => ',',
            "=3D" => '=',
            _ => return None,
        });
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Some(out)
}

/// 144 random bits in base64, which has no comma.
pub(super) fn nonce() -> Option<String> {
    let mut bytes = [0u8; 18];
    getrandom::fill(&mut bytes).ok()?;
    Some(encode(&bytes))
}
