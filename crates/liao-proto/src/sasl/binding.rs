//! Channel binding: what both ends of one TLS connection see alike, and nobody who sits in between can (RFC 5056).

/// Which property of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingType {
    /// A secret of this very connection (RFC 9266).
    TlsExporter,
    /// The server's certificate (RFC 5929 section 4).
    TlsServerEndPoint,
}

impl BindingType {
    /// The registered prefix.
    pub fn name(self) -> &'static str {
        match self {
            BindingType::TlsExporter => "tls-exporter",
            BindingType::TlsServerEndPoint => "tls-server-end-point",
        }
    }
}

/// The value of one type on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Which.
    pub kind: BindingType,
    /// The bytes.
    pub data: Vec<u8>,
}
