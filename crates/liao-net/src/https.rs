//! One HTTPS GET: host-meta (XEP-0156) and invite pages, nothing more.

use crate::WireError;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer at most.
const BODY_BYTES: usize = 256 * 1024;
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn wrong(error: impl std::fmt::Display) -> WireError {
    WireError::Io(std::io::Error::other(error.to_string()))
}

/// The status and body of `https://HOST:PORT/PATH`.
pub async fn get(
    host: &str,
    port: u16,
    path: &str,
    config: Arc<ClientConfig>,
) -> Result<(u16, String), WireError> {
    let work = async {
        let io = crate::tls::connect(host, port, host, config).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(wrong)?;
        let driver = tokio::spawn(connection);
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let request = hyper::Request::get(path)
            .header(header::HOST, authority)
            .body(Empty::<Bytes>::new())
            .map_err(wrong)?;
        let response = sender.send_request(request).await.map_err(wrong)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES)
            .collect()
            .await;
        driver.abort();
        let body = body.map_err(wrong)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(wrong("no answer within 20 s")),
    }
}
