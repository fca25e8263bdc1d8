//! Archive ids on the wire (XEP-0313 section 3, XEP-0359 section 5): unique, stable, and they tell nothing. Each is a
//! keyed permutation of (owner, seq), so none has to be stored.

use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The permutation of one store.
pub(super) struct Ids(Aes128);

impl Ids {
    /// From the store's secret.
    pub(super) fn new(secret: &[u8; 32]) -> Ids {
        let mut hash = Sha256::new();
        hash.update(b"archive ids");
        hash.update(secret);
        let mut key = [0u8; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Ids(Aes128::new(&key.into()))
    }

    /// The id of a message in an owner's archive.
    pub(super) fn id(&self, owner: i64, seq: u64) -> String {
        let mut block = [0u8; 16];
        block[..8].copy_from_slice(&owner.to_be_bytes());
        block[8..].copy_from_slice(&seq.to_be_bytes());
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        URL_SAFE_NO_PAD.encode(block)
    }

    /// The message of this owner that an id names; `None` if it is no id of this owner's archive.
    pub(super) fn seq(&self, owner: i64, id: &str) -> Option<u64> {
        let mut block: [u8; 16] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
        let mut bytes = block.into();
        self.0.decrypt_block(&mut bytes);
        block.copy_from_slice(&bytes);
        let (o, s) = block.split_at(8);
        let seq = u64::from_be_bytes(s.try_into().ok()?);
        (o == owner.to_be_bytes() && seq <= i64::MAX as u64).then_some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_owner_alone_and_look_like_nothing() {
        let ids = Ids::new(&[7; 32]);
        let id = ids.id(3, 41);
        assert_eq!(ids.seq(3, &id), Some(41));
        assert_eq!(ids.seq(4, &id), None, "another owner's");
        assert_eq!(Ids::new(&[8; 32]).seq(3, &id), None, "another store's");
        for wrong in ["", "x", "28482-98726-73623", &id[1..]] {
            assert_eq!(ids.seq(3, wrong), None);
        }
        let next = ids.id(3, 42);
        let alike = id.bytes().zip(next.bytes()).filter(|(a, b)| a == b).count();
        assert!(alike < 8, "neighbours have nothing in common: {id} {next}");
    }
}
