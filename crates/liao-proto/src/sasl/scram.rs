//! SCRAM's keys and proofs (RFC 5802 section 3), and password preparation (RFC 4013).

use super::Mechanism;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Rounds of PBKDF2: RFC 7677 section 4 asks for 4096 or more; each costs the server only when a password is set
/// or PLAIN is used.
pub const ITERATIONS: u32 = 10_000;

/// Why a password cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Empty after preparation.
    #[error("the password is empty")]
    Empty,
    /// Longer than 1023 bytes.
    #[error("the password is longer than 1023 bytes")]
    Long,
    /// Characters that SASLprep forbids.
    #[error("the password has characters that are not allowed (control characters)")]
    Characters,
    /// No randomness from the system.
    #[error("the system gives no random numbers")]
    Random,
}

/// SASLprep (RFC 4013), as RFC 5802 section 2.2 wants it for passwords.
pub fn prepare(password: &str) -> Result<String, PasswordError> {
    let prepared = stringprep::saslprep(password).map_err(|_| PasswordError::Characters)?;
    match prepared.len() {
        0 => Err(PasswordError::Empty),
        n if n > 1023 => Err(PasswordError::Long),
        _ => Ok(prepared.into_owned()),
    }
}

/// What a server keeps of a password, for one hash: no password equivalent for PLAIN nor for SCRAM clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Vec<u8>,
}

pub(super) fn hmac(mechanism: Mechanism, key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    match mechanism.is_sha1() {
        true => Hmac::<Sha1>::new_from_slice(key)
            .map(|mut m| {
                m.update(data);
                m.finalize().into_bytes().to_vec()
            })
            .unwrap_or_default(),
        false => Hmac::<Sha256>::new_from_slice(key)
            .map(|mut m| {
                m.update(data);
                m.finalize().into_bytes().to_vec()
            })
            .unwrap_or_default(),
    }
}

pub(super) fn hash(mechanism: Mechanism, data: &[u8]) -> Vec<u8> {
    match mechanism.is_sha1() {
        true => Sha1::digest(data).to_vec(),
        false => Sha256::digest(data).to_vec(),
    }
}

/// Hi() of RFC 5802 section 2.2.
pub(super) fn salted(
    mechanism: Mechanism,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Vec<u8> {
    match mechanism.is_sha1() {
        true => {
            pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password.as_bytes(), salt, iterations).to_vec()
        }
        false => {
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations).to_vec()
        }
    }
}

impl ScramKeys {
    /// Derives the keys from a prepared password.
    pub fn derive(mechanism: Mechanism, password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let salted = salted(mechanism, password, salt, iterations);
        ScramKeys {
            iterations,
            salt: salt.to_vec(),
            stored_key: hash(mechanism, &hmac(mechanism, &salted, b"Client Key")),
            server_key: hmac(mechanism, &salted, b"Server Key"),
        }
    }

    fn to_text(&self) -> String {
        [&self.salt, &self.stored_key, &self.server_key]
            .iter()
            .fold(self.iterations.to_string(), |text, part| {
                format!("{text}:{}", super::encode(part))
            })
    }

    fn from_text(text: &str) -> Option<ScramKeys> {
        let mut parts = text.split(':');
        let iterations = parts.next()?.parse().ok()?;
        let mut bytes = || super::decode(parts.next()?).ok();
        Some(ScramKeys {
            iterations,
            salt: bytes()?,
            stored_key: bytes()?,
            server_key: bytes()?,
        })
    }
}

/// The keys of an account for each hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    sha1: ScramKeys,
    sha256: ScramKeys,
}

impl Credentials {
    /// Derives both sets with fresh salts. Costs tens of milliseconds.
    pub fn from_password(password: &str) -> Result<Credentials, PasswordError> {
        let password = prepare(password)?;
        let mut salt = [0u8; 32];
        getrandom::fill(&mut salt).map_err(|_| PasswordError::Random)?;
        Ok(Credentials {
            sha1: ScramKeys::derive(Mechanism::ScramSha1, &password, &salt[..16], ITERATIONS),
            sha256: ScramKeys::derive(Mechanism::ScramSha256, &password, &salt[16..], ITERATIONS),
        })
    }

    /// The set that a mechanism uses.
    pub fn keys_for(&self, mechanism: Mechanism) -> &ScramKeys {
        match mechanism.is_sha1() {
            true => &self.sha1,
            false => &self.sha256,
        }
    }

    /// For the store.
    pub fn to_text(&self) -> String {
        format!("{} {}", self.sha1.to_text(), self.sha256.to_text())
    }

    /// From the store.
    pub fn from_text(text: &str) -> Option<Credentials> {
        let (sha1, sha256) = text.split_once(' ')?;
        Some(Credentials {
            sha1: ScramKeys::from_text(sha1)?,
            sha256: ScramKeys::from_text(sha256)?,
        })
    }
}
