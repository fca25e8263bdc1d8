//! TLS by rustls with ring: certificates made or read, and whom a client trusts (RFC 7590, RFC 6120 section 13.7).

use crate::binding;
use crate::os::write_private;
use crate::validity::validity;
use liao_proto::sasl::Binding;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is wrong with a certificate's files, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The pair does not fit.
    #[error(
        "the certificate and the key do not make a TLS server: {0}; give a PEM chain and its own private key"
    )]
    Pair(String),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(String),
}

/// A server's certificate chain and key.
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Where it comes from, in words for the banner.
    pub kind: &'static str,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// SHA-256 of a certificate as colon-separated hex.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    digest
        .as_ref()
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// The fingerprint of the first certificate of a PEM text.
pub fn pem_fingerprint(pem: &[u8]) -> Option<String> {
    CertificateDer::from_pem_slice(pem)
        .ok()
        .map(|c| fingerprint(&c))
}

impl Identity {
    /// From PEM files.
    pub fn from_files(
        certificate: &Path,
        key: &Path,
        kind: &'static str,
    ) -> Result<Identity, CertError> {
        let wrong = |path: &Path, error: String| CertError::File {
            path: path.to_owned(),
            error,
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
            .map_err(|e| wrong(certificate, e.to_string()))?
            .collect();
        let chain = chain.map_err(|e| wrong(certificate, e.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(certificate, "no certificate in it".into()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, e.to_string()))?;
        Ok(Identity {
            chain,
            key: private,
            kind,
        })
    }

    /// The self-signed certificate of a data folder, made for these names if there is none that fits.
    pub fn self_signed(folder: &Path, names: &[String]) -> Result<Identity, CertError> {
        let (cert, key, list) = (
            folder.join("cert.pem"),
            folder.join("key.pem"),
            folder.join("names"),
        );
        let wanted = names.join("\n");
        if std::fs::read_to_string(&list).is_ok_and(|l| l == wanted)
            && let Ok(identity) = Identity::from_files(&cert, &key, "self-signed")
        {
            return Ok(identity);
        }
        let make = |e: rcgen::Error| CertError::Make(e.to_string());
        let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
        params.distinguished_name.push(
            rcgen::DnType::CommonName,
            names.first().map_or("liao", |n| n.as_str()),
        );
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        let pair = KeyPair::generate().map_err(make)?;
        let made = params.self_signed(&pair).map_err(make)?;
        let file = |path: &Path, text: &str| {
            let wrong = |e: std::io::Error| CertError::File {
                path: path.to_owned(),
                error: e.to_string(),
            };
            write_private(path, text.as_bytes()).map_err(wrong)
        };
        std::fs::create_dir_all(folder).map_err(|e| CertError::File {
            path: folder.into(),
            error: e.to_string(),
        })?;
        file(&key, &pair.serialize_pem())?;
        file(&cert, &made.pem())?;
        file(&list, &wanted)?;
        Identity::from_files(&cert, &key, "self-signed")
    }

    /// The certificate of a data folder, signed by a certificate authority of its own that is made once (`ca.pem`):
    /// who installs that one is never warned. Made anew when the names change or its last month begins, not when only
    /// addresses change: clients that pinned the certificate would refuse it.
    pub fn local_ca(folder: &Path, names: &[String]) -> Result<Identity, CertError> {
        const KIND: &str = "local authority";
        let [ca, ca_key, cert, key, list] = [
            "ca.pem",
            "ca-key.pem",
            "lan.pem",
            "lan-key.pem",
            "lan-names",
        ]
        .map(|n| folder.join(n));
        let fixed: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|n| n.parse::<std::net::IpAddr>().is_err())
            .collect();
        let wanted = fixed.join("\n");
        if std::fs::read_to_string(&list).is_ok_and(|l| l == wanted)
            && let Ok(identity) = Identity::from_files(&cert, &key, KIND)
            && identity.lasts(30)
        {
            return Ok(identity);
        }
        let make = |e: rcgen::Error| CertError::Make(e.to_string());
        let wrong = |path: &Path, e: std::io::Error| CertError::File {
            path: path.to_owned(),
            error: e.to_string(),
        };
        std::fs::create_dir_all(folder).map_err(|e| wrong(folder, e))?;
        let mut authority = CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let title = format!("liao at {}", fixed.first().unwrap_or(&"home"));
        authority.distinguished_name = rcgen::DistinguishedName::new();
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, title);
        let authority_key = match std::fs::read_to_string(&ca_key) {
            Ok(pem) if ca.exists() => KeyPair::from_pem(&pem).map_err(make)?,
            _ => {
                let pair = KeyPair::generate().map_err(make)?;
                write_private(&ca_key, pair.serialize_pem().as_bytes())
                    .map_err(|e| wrong(&ca_key, e))?;
                let made = authority.self_signed(&pair).map_err(make)?;
                write_private(&ca, made.pem().as_bytes()).map_err(|e| wrong(&ca, e))?;
                pair
            }
        };
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        let first = fixed.first().map_or("liao", |n| n);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, first);
        params.use_authority_key_identifier_extension = true;
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        // Apple's programs take no server certificate that is good for longer than 825 days.
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(86_400);
        (params.not_before, params.not_after) = ((now - day).into(), (now + 800 * day).into());
        let pair = KeyPair::generate().map_err(make)?;
        let made = params.signed_by(&pair, &issuer).map_err(make)?;
        let authority = std::fs::read_to_string(&ca).map_err(|e| wrong(&ca, e))?;
        for (path, text) in [
            (&key, pair.serialize_pem()),
            (&cert, made.pem() + &authority),
            (&list, wanted),
        ] {
            write_private(path, text.as_bytes()).map_err(|e| wrong(path, e))?;
        }
        Identity::from_files(&cert, &key, KIND)
    }

    /// From when until when the leaf is good, in seconds since 1970, UTC.
    pub fn validity(&self) -> Option<(i64, i64)> {
        validity(self.chain.first()?)
    }

    /// Whether the leaf is for this name (RFC 9525).
    pub fn covers(&self, name: &str) -> bool {
        let (Some(leaf), Ok(name)) = (self.chain.first(), ServerName::try_from(name)) else {
            return false;
        };
        rustls::server::ParsedCertificate::try_from(leaf)
            .is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, &name).is_ok())
    }

    /// Whether the leaf is good for so many days more.
    fn lasts(&self, days: u64) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let until = now.map_or(0, |n| n.as_secs()) + days * 86_400;
        self.validity()
            .is_none_or(|(_, after)| u64::try_from(after).unwrap_or(0) > until)
    }

    /// The fingerprint of the leaf.
    pub fn fingerprint(&self) -> String {
        self.chain.first().map(fingerprint).unwrap_or_default()
    }

    /// A server's configuration with these application protocols (RFC 7301).
    pub fn server_config(&self, alpn: &[&str]) -> Result<Arc<ServerConfig>, CertError> {
        let pair = |e: rustls::Error| CertError::Pair(e.to_string());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// A pin that says: the system's roots vouched for this name, so nothing less will do.
pub const VOUCHED: &str = "vouched for by the system's roots";

/// What a client saw of a server's certificate.
#[derive(Debug, Default)]
pub struct Seen {
    /// The leaf's fingerprint, if the roots of the system do not vouch for it.
    pub untrusted: Option<String>,
}

/// Trusts the system's roots; else exactly the pinned certificate; else, with no pin, notes what it saw.
#[derive(Debug)]
struct Verifier {
    roots: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<String>,
    seen: Arc<Mutex<Seen>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self
            .roots
            .as_ref()
            .map(|r| r.verify_server_cert(leaf, chain, name, ocsp, now));
        if let Some(Ok(fine)) = roots {
            return Ok(fine);
        }
        let found = fingerprint(leaf);
        if let Ok(mut seen) = self.seen.lock() {
            seen.untrusted = Some(found.clone());
        }
        match &self.pin {
            Some(pin) if *pin != found => Err(rustls::Error::General(format!(
                "the server's certificate changed: it was {pin}, it is {found}"
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A client's configuration: the system's roots, else trust on first use. With `pin`, a certificate that the roots
/// do not vouch for must be exactly that one. What was seen is in the second value after the handshake; the caller
/// shows and pins it.
pub fn client_config(
    pin: Option<String>,
    alpn: &[&str],
) -> Result<(Arc<ClientConfig>, Arc<Mutex<Seen>>), CertError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = provider();
    let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .ok();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let verifier = Verifier {
        roots,
        pin,
        seen: seen.clone(),
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| CertError::Pair(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
    Ok((Arc::new(config), seen))
}

/// A name for TLS.
pub fn server_name(host: &str) -> Result<ServerName<'static>, std::io::Error> {
    ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)
}

/// The server's side of a handshake, and the channel binding data of what comes of it.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    config: Arc<ServerConfig>,
) -> std::io::Result<(tokio_rustls::server::TlsStream<S>, Vec<Binding>)> {
    let start = tokio_rustls::LazyConfigAcceptor::new(Default::default(), io).await?;
    // The connection does not tell later which certificate was shown.
    let shown = config.cert_resolver.resolve(start.client_hello());
    let stream = start.into_stream(config).await?;
    let leaf = shown.as_ref().and_then(|s| s.cert.first());
    let bindings = binding::of(stream.get_ref().1, leaf.map(|l| l.as_ref()));
    Ok((stream, bindings))
}

/// The channel binding data of a client's connection.
pub fn bindings<S>(stream: &tokio_rustls::client::TlsStream<S>) -> Vec<Binding> {
    let connection = stream.get_ref().1;
    let leaf = connection.peer_certificates().and_then(|c| c.first());
    binding::of(connection, leaf.map(|l| l.as_ref()))
}

/// Connects with TLS to a host that answers for `name`, which is also the SNI (XEP-0368 section 3).
pub async fn connect(
    host: &str,
    port: u16,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = crate::tcp::connect(host, port).await?;
    let handshake = tokio_rustls::TlsConnector::from(config).connect(server_name(name)?, stream);
    let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no TLS within 10 s");
    tokio::time::timeout(crate::tcp::CONNECT_TIMEOUT, handshake)
        .await
        .map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pinned_certificate_is_accepted_and_a_changed_one_is_refused() {
        let folder = std::env::temp_dir().join(format!("liao-tls-{}", std::process::id()));
        let identity = Identity::self_signed(&folder, &["localhost".into()]).unwrap();
        let again = Identity::self_signed(&folder, &["localhost".into()]).unwrap();
        assert_eq!(identity.fingerprint(), again.fingerprint(), "it is kept");
        let server = identity.server_config(&[]).unwrap();
        let attempt = async |pin: Option<String>| {
            let (a, b) = tokio::io::duplex(65_536);
            let (client, seen) = client_config(pin, &[]).unwrap();
            let connector = tokio_rustls::TlsConnector::from(client);
            let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
            let (c, s) = tokio::join!(
                connector.connect(server_name("localhost").unwrap(), a),
                acceptor.accept(b)
            );
            let untrusted = seen.lock().unwrap().untrusted.clone();
            (c.is_ok() && s.is_ok(), untrusted)
        };
        let (ok, seen) = attempt(None).await;
        assert!(ok);
        assert_eq!(seen, Some(identity.fingerprint()));
        assert!(attempt(seen).await.0);
        assert!(!attempt(Some("00:11".into())).await.0);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn who_trusts_the_local_authority_is_never_warned_and_the_authority_stays() {
        let folder = std::env::temp_dir().join(format!("liao-ca-{}", std::process::id()));
        let names = ["desk.local".to_owned(), "192.0.2.1".to_owned()];
        let identity = Identity::local_ca(&folder, &names).unwrap();
        let moved =
            Identity::local_ca(&folder, &["desk.local".into(), "192.0.2.9".into()]).unwrap();
        assert_eq!(
            identity.fingerprint(),
            moved.fingerprint(),
            "a new address changes no pin"
        );
        assert!(identity.lasts(700) && !identity.lasts(900));
        assert!(identity.covers("desk.local") && !identity.covers("table.local"));
        let other = Identity::local_ca(&folder, &["table.local".into()]).unwrap();
        assert_ne!(identity.fingerprint(), other.fingerprint());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        let server = identity.server_config(&[]).unwrap();
        for (name, fine) in [
            ("desk.local", true),
            ("192.0.2.1", true),
            ("else.local", false),
        ] {
            let (a, b) = tokio::io::duplex(65_536);
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
            let (c, _) = tokio::join!(
                connector.connect(server_name(name).unwrap(), a),
                acceptor.accept(b)
            );
            assert_eq!(c.is_ok(), fine, "{name}: {:?}", c.err());
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
