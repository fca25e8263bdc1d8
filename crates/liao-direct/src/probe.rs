//! Who answers at an address? The key is learned by a TLS handshake that ends as soon as the other side has proved that
//! it holds it (RFC 7250 raw public keys; docs/ext/direct.md section 2). We show nothing of ourselves.

use crate::endpoint::ALPN;
use crate::limits::PROBE;
use crate::{Key, Ticket};
use noq::crypto::rustls::QuicClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// The DER of an Ed25519 key before its 32 bytes (RFC 8410 section 4).
const ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Takes any key and remembers it once its signature is checked.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    key: Mutex<Option<Key>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC is TLS 1.3 (RFC 9001)".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms)?;
        let key = cert.as_ref().strip_prefix(&ED25519);
        let key = key.and_then(|k| Key::from_bytes(k.try_into().ok()?).ok());
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
        // What we came for is known; the handshake ends here, before anything of ours is sent.
        Err(Error::General("the key is known now".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Says that our side has a raw key, too, as the other demands; the handshake ends before it would be shown.
#[derive(Debug)]
struct NoKey;

impl ResolvesClientCert for NoKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The key of who answers at an address; words if nobody does.
pub async fn probe(address: SocketAddr) -> Result<Key, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{address}: {e}");
    let provider = Arc::new(ring::default_provider());
    let recorder = Arc::new(Recorder {
        provider: Arc::clone(&provider),
        key: Mutex::default(),
    });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| failed(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_client_cert_resolver(Arc::new(NoKey));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let quic = QuicClientConfig::try_from(tls).map_err(|e| failed(&e))?;
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let endpoint = noq::Endpoint::client(any).map_err(|e| failed(&e))?;
    let config = noq::ClientConfig::new(Arc::new(quic));
    let dialled = endpoint
        .connect_with(config, address, "key.invalid")
        .map_err(|e| failed(&e))?;
    let ended = tokio::time::timeout(PROBE, dialled).await;
    let key = *recorder.key.lock().unwrap_or_else(PoisonError::into_inner);
    match (key, ended) {
        (Some(key), _) => Ok(key),
        (None, Err(_)) => Err(format!(
            "nobody answered at {address} in {} s: no `liao direct` listens there, a firewall on the way drops UDP, or \
             it is behind NAT",
            PROBE.as_secs()
        )),
        (None, Ok(Err(error))) => Err(format!(
            "who answers at {address} does not speak this protocol: {error}"
        )),
        (None, Ok(Ok(_))) => Err(format!("who answers at {address} has no key")),
    }
}

/// Who is meant by `HOST:PORT` or by a ticket.
pub async fn find(whom: &str) -> Result<Ticket, String> {
    if Ticket::looks_like(whom) {
        let parsed = Ticket::parse(whom);
        return parsed.ok_or("this ticket has a wrong or missing letter; copy it again".to_owned());
    }
    let found = tokio::net::lookup_host(whom).await;
    let mut found = found.map_err(|e| format!("{whom}: {e}; give HOST:PORT or a ticket"))?;
    let address = found.next().ok_or(format!("{whom} has no address"))?;
    let key = probe(address).await?;
    let addresses = vec![address];
    Ok(Ticket { key, addresses })
}
