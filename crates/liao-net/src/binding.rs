//! Channel binding data of a TLS connection: `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929 section 4).

use crate::validity::element;
use liao_proto::sasl::{Binding, BindingType};
use rustls::{ConnectionCommon, ProtocolVersion};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// RFC 9266 section 2.
const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The bindings of a connection whose handshake is over, the strongest first; `leaf` is the server's certificate.
pub fn of<T>(connection: &ConnectionCommon<T>, leaf: Option<&[u8]>) -> Vec<Binding> {
    let exporter = exporter(connection).map(|data| Binding {
        kind: BindingType::TlsExporter,
        data,
    });
    let end_point = leaf.and_then(end_point).map(|data| Binding {
        kind: BindingType::TlsServerEndPoint,
        data,
    });
    exporter.into_iter().chain(end_point).collect()
}

/// Before TLS 1.3 it is defined only with the extended master secret (RFC 9266 section 2), and rustls does not tell
/// whether that was agreed on.
fn exporter<T>(connection: &ConnectionCommon<T>) -> Option<Vec<u8>> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let data = connection.export_keying_material(vec![0; 32], LABEL, Some(b""));
    data.ok()
}

const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA384_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const SHA512_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const SHA224_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14];
const SHA1_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const SHA224_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1];
const SHA256_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SHA384_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const SHA512_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
/// The hashes by themselves, as RSASSA-PSS names them (RFC 4055 section 2.1).
const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
const SHA224: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4];

/// The certificate's hash by the hash of its signature, or by SHA-256 where that is MD5 or SHA-1. Undefined for
/// signatures without a hash of their own, such as Ed25519 (RFC 5929 section 4.1).
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parts, _) = element(certificate)?;
    let (_, _, rest) = element(parts)?;
    let (_, algorithm, _) = element(rest)?;
    let (_, id, parameters) = element(algorithm)?;
    let hash = if id == PSS { pss_hash(parameters)? } else { id };
    Some(match hash {
        MD5_RSA | SHA1_RSA | SHA256_RSA | SHA1_ECDSA | SHA256_ECDSA | SHA1 | SHA256 => {
            Sha256::digest(certificate).to_vec()
        }
        SHA224_RSA | SHA224_ECDSA | SHA224 => Sha224::digest(certificate).to_vec(),
        SHA384_RSA | SHA384_ECDSA | SHA384 => Sha384::digest(certificate).to_vec(),
        SHA512_RSA | SHA512_ECDSA | SHA512 => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

/// `hashAlgorithm` of RSASSA-PSS-params, `[0]`; SHA-1 if it is left out (RFC 4055 section 3.1).
fn pss_hash(parameters: &[u8]) -> Option<&[u8]> {
    let (_, fields, _) = element(parameters)?;
    match element(fields) {
        Some((0xa0, algorithm, _)) => {
            let (_, algorithm, _) = element(algorithm)?;
            Some(element(algorithm)?.1)
        }
        _ => Some(SHA1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_certificate_is_hashed_by_the_hash_of_its_signature() {
        let certificate = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        let hash = end_point(&certificate);
        assert_eq!(hash, Some(Sha256::digest(&certificate).to_vec()));
        let certificate = made(&rcgen::PKCS_ECDSA_P384_SHA384);
        let hash = end_point(&certificate);
        assert_eq!(hash, Some(Sha384::digest(&certificate).to_vec()));
        assert_eq!(end_point(&made(&rcgen::PKCS_ED25519)), None);
        for cut in 0..certificate.len() {
            let _ = end_point(&certificate[..cut]);
        }
    }

    /// DER of a certificate whose signature has this algorithm; nothing else in it is looked at.
    fn signed_by(id: &[u8], parameters: &[u8]) -> Vec<u8> {
        let der = |tag: u8, parts: &[&[u8]]| {
            let contents = parts.concat();
            let mut out = vec![tag, u8::try_from(contents.len()).unwrap()];
            out.extend(contents);
            out
        };
        let algorithm = der(0x30, &[&der(6, &[id]), parameters]);
        der(0x30, &[&der(0x30, &[b"tbs"]), &algorithm, &der(3, &[b"s"])])
    }

    #[test]
    fn old_hashes_become_sha_256_and_pss_names_its_own() {
        let bytes =
            |id: &[u8], parameters: &[u8]| end_point(&signed_by(id, parameters)).map(|h| h.len());
        for id in [MD5_RSA, SHA1_RSA, SHA1_ECDSA, SHA256_RSA] {
            assert_eq!(bytes(id, &[5, 0]), Some(32));
        }
        assert_eq!(bytes(SHA224_RSA, &[5, 0]), Some(28));
        assert_eq!(bytes(SHA512_ECDSA, &[]), Some(64));
        assert_eq!(bytes(PSS, &[0x30, 0]), Some(32));
        let sha384 = [&[0x30, 15, 0xa0, 13, 0x30, 11, 6, 9][..], SHA384].concat();
        assert_eq!(bytes(PSS, &sha384), Some(48));
        assert_eq!(bytes(b"unknown", &[]), None);
    }
}
