//! Connections of HTTP and HTTPS: taken, counted by address, their TLS handshakes, and how long a request's header may
//! take (RFC 9112 section 9.5: a server may close a connection at any time).

use super::bosh::Bosh;
use super::{Page, routes};
use crate::c2s;
use crate::engines::uploads::Uploads;
use crate::limits;
use crate::peer;
use crate::places::{Held, Places};
use crate::server::Server;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub(super) struct Other(pub SocketAddr);

/// Plain HTTP. On other addresses than loopback it only shows the way to HTTPS, but to proxies that are trusted.
pub async fn plain(server: Arc<Server>, uploads: Arc<Uploads>, listener: TcpListener) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    let app = routes(Page {
        bosh: Bosh::new(&server),
        server: server.clone(),
        uploads,
        secure: false,
        only_proxies: !local,
    });
    let taking = Taking::new(server, listener);
    loop {
        let (stream, peer) = taking.next().await;
        tokio::spawn(talk(app.clone(), stream, peer));
    }
}

/// HTTPS.
pub async fn tls(
    server: Arc<Server>,
    uploads: Arc<Uploads>,
    listener: TcpListener,
    config: c2s::Tls,
) {
    let app = routes(Page {
        bosh: Bosh::new(&server),
        server: server.clone(),
        uploads,
        secure: true,
        only_proxies: false,
    });
    let taking = Taking::new(server, listener);
    loop {
        let (stream, peer) = taking.next().await;
        let (config, app) = (config.borrow().clone(), app.clone());
        tokio::spawn(async move {
            let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            let limit = Duration::from_secs(limits::HANDSHAKE_S);
            if let Ok(Ok(tls)) = tokio::time::timeout(limit, accept).await {
                talk(app, tls, peer).await;
            }
        });
    }
}

/// Serves one connection; what it becomes after an upgrade lives on by itself.
async fn talk<S>(app: Router, stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Other(peer));
        app.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits::HTTP_HEADER_S))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// Takes connections, so many from one address; from proxies that are trusted as many as there are.
struct Taking {
    listener: TcpListener,
    places: Places,
    server: Arc<Server>,
}

impl Taking {
    fn new(server: Arc<Server>, listener: TcpListener) -> Taking {
        Taking {
            listener,
            places: Places::new(server.bounds.connections_per_address),
            server,
        }
    }

    async fn next(&self) -> (Held<TcpStream>, SocketAddr) {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(pair) => pair,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let trusted = self.server.config().trusted_proxies();
            let place = self.places.take(peer.ip());
            if place.is_some() || peer::is_among(&trusted, peer.ip()) {
                let stall = Duration::from_secs(limits::WRITE_STALL_S);
                return (Held::new(stream, place, stall), peer);
            }
        }
    }
}
