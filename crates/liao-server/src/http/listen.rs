//! Connections of HTTP and HTTPS: taken, counted by address, and their TLS handshakes.

use super::bosh::Bosh;
use super::{Page, routes};
use crate::c2s;
use crate::engines::uploads::Uploads;
use crate::limits;
use crate::peer;
use crate::places::{Held, Places};
use crate::server::Server;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Plain HTTP. On other addresses than loopback it only shows the way to HTTPS, but to proxies that are trusted.
pub async fn plain(server: Arc<Server>, uploads: Arc<Uploads>, listener: TcpListener) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    let known = server.clone();
    let app = routes(Page {
        bosh: Bosh::new(&server),
        server,
        uploads,
        secure: false,
        only_proxies: !local,
    });
    let listener = Taking {
        places: Places::new(known.bounds.connections_per_address),
        server: known,
        listener,
    };
    let service = app.into_make_service_with_connect_info::<PlainPeer>();
    if let Err(error) = axum::serve(listener, service).await {
        tracing::error!(%error, "HTTP ended");
    }
}

/// HTTPS.
pub async fn tls(
    server: Arc<Server>,
    uploads: Arc<Uploads>,
    listener: TcpListener,
    config: c2s::Tls,
) {
    let mut taking = Taking {
        places: Places::new(server.bounds.connections_per_address),
        server: server.clone(),
        listener,
    };
    let app = routes(Page {
        bosh: Bosh::new(&server),
        server,
        uploads,
        secure: true,
        only_proxies: false,
    });
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = axum::serve::Listener::accept(&mut taking).await;
            let (config, sender) = (config.borrow().clone(), sender.clone());
            tokio::spawn(async move {
                let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
                if let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, accept).await {
                    let _ = sender.send((tls, peer)).await;
                }
            });
        }
    });
    let service = app.into_make_service_with_connect_info::<TlsPeer>();
    if let Err(error) = axum::serve(Accepted(receiver), service).await {
        tracing::error!(%error, "HTTPS ended");
    }
}

/// Takes connections, so many from one address; from proxies that are trusted as many as there are.
struct Taking {
    listener: TcpListener,
    places: Places,
    server: Arc<Server>,
}

impl axum::serve::Listener for Taking {
    type Io = Held<TcpStream>;
    type Addr = SocketAddr;
    async fn accept(&mut self) -> (Held<TcpStream>, SocketAddr) {
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
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The peer of a connection without TLS.
#[derive(Clone)]
pub(super) struct PlainPeer(pub SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Taking>> for PlainPeer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Taking>) -> PlainPeer {
        PlainPeer(*stream.remote_addr())
    }
}

type TlsStream = tokio_rustls::server::TlsStream<Held<TcpStream>>;

/// Connections whose handshake is done.
struct Accepted(tokio::sync::mpsc::Receiver<(TlsStream, SocketAddr)>);

impl axum::serve::Listener for Accepted {
    type Io = TlsStream;
    type Addr = SocketAddr;
    async fn accept(&mut self) -> (TlsStream, SocketAddr) {
        match self.0.recv().await {
            Some(pair) => pair,
            None => std::future::pending().await,
        }
    }
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// The peer of a TLS connection.
#[derive(Clone)]
pub(super) struct TlsPeer(pub SocketAddr);

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Accepted>> for TlsPeer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Accepted>) -> TlsPeer {
        TlsPeer(*stream.remote_addr())
    }
}
