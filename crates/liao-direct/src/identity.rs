//! Who we are: one Ed25519 key a device, in a file that only its owner can read; and words to compare by voice.

use crate::Key;
use crate::store::BookError;
use iroh::SecretKey;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The device's key and the name that it announces.
#[derive(Clone)]
pub struct Identity {
    /// The secret half; never shown, never logged.
    pub(crate) secret: SecretKey,
    path: PathBuf,
    /// What others see until they give a name of their own.
    pub name: String,
}

impl Identity {
    /// Reads or makes `direct.key` in the client's folder.
    pub fn open(folder: &Path, name: &str) -> Result<Identity, BookError> {
        let path = folder.join("direct.key");
        let wrong = |error| BookError::Folder {
            path: path.clone(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(wrong)?;
        liao_net::os::touch_private(&path).map_err(wrong)?;
        let bytes = std::fs::read(&path).map_err(wrong)?;
        let secret = if bytes.is_empty() {
            let secret = SecretKey::generate();
            liao_net::os::write_private(&path, &secret.to_bytes()).map_err(wrong)?;
            secret
        } else {
            let bytes: [u8; 32] = bytes
                .try_into()
                .map_err(|_| BookError::Key { path: path.clone() })?;
            SecretKey::from_bytes(&bytes)
        };
        Ok(Identity {
            secret,
            path,
            name: name.to_owned(),
        })
    }

    /// Two programs with one key would take each other's connections; the lock ends with the file.
    pub(crate) fn lock(&self) -> Result<File, String> {
        let path = self.path.display();
        let file = File::open(&self.path).map_err(|e| format!("{path}: {e}"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(_) => Err(format!(
                "another `liao direct` runs with {path}; use that one, or give another folder with --client-data"
            )),
        }
    }

    /// The public half.
    pub fn key(&self) -> Key {
        self.secret.public()
    }
}

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// Four words that stand for a key, 64 bits of its hash: `lusab-babad-gutih-tugad`. Each is 16 bits as consonant, vowel,
/// consonant, vowel, consonant, so that it can be said in any language.
pub fn safety_words(key: &Key) -> String {
    let hash = Sha256::digest([b"liao/direct/words".as_slice(), key.as_bytes()].concat());
    let word = |pair: &[u8]| -> String {
        let bits = u16::from_be_bytes([pair[0], pair[1]]);
        let letter = |shift: u16, of: &[u8]| {
            let mask = (of.len() - 1) as u16;
            char::from(of[usize::from(bits >> shift & mask)])
        };
        [
            letter(12, CONSONANTS),
            letter(10, VOWELS),
            letter(6, CONSONANTS),
            letter(4, VOWELS),
            letter(0, CONSONANTS),
        ]
        .iter()
        .collect()
    };
    let words: Vec<String> = hash[..8].chunks(2).map(word).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_words_stay() {
        let folder =
            std::env::temp_dir().join(format!("liao-direct-key-{}", liao_client::random_id()));
        let first = Identity::open(&folder, "anna").unwrap();
        let again = Identity::open(&folder, "anna").unwrap();
        assert_eq!(first.key(), again.key());
        let words = safety_words(&first.key());
        assert_eq!(words.split('-').count(), 4, "{words}");
        assert_eq!(words.len(), 23, "{words}");
        let other = SecretKey::generate().public();
        assert_ne!(words, safety_words(&other));
        std::fs::write(folder.join("direct.key"), b"short").unwrap();
        assert!(Identity::open(&folder, "anna").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
