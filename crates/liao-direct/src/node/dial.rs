//! Making connections: both directions, each with a bound in time and number.

use super::Internal;
use crate::Key;
use crate::endpoint::ALPN;
use crate::limits::{DIAL, HANDSHAKES};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use iroh::{Endpoint, EndpointAddr};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// A connection whose other side has proved its key, and its one stream.
pub struct Made {
    pub connection: Connection,
    pub streams: (SendStream, RecvStream),
    /// Where it was dialled; nothing if they called us.
    pub dialled: bool,
}

async fn call(endpoint: &Endpoint, key: Key, addresses: Vec<SocketAddr>) -> Result<Made, String> {
    let mut to = EndpointAddr::new(key);
    for address in addresses {
        to = to.with_ip_addr(address);
    }
    let connection = endpoint
        .connect(to, ALPN)
        .await
        .map_err(|e| e.to_string())?;
    let streams = connection.open_bi().await.map_err(|e| e.to_string())?;
    Ok(Made {
        connection,
        streams,
        dialled: true,
    })
}

/// Calls somebody; the answer comes as [`Internal::Dialled`].
pub fn dial(
    endpoint: Endpoint,
    key: Key,
    addresses: Vec<SocketAddr>,
    answer: mpsc::Sender<Internal>,
) {
    tokio::spawn(async move {
        let called = timeout(DIAL, call(&endpoint, key, addresses)).await;
        let called = called.unwrap_or_else(|_| Err(format!("no answer in {} s", DIAL.as_secs())));
        let _ = answer
            .send(Internal::Dialled(key, called.map(Box::new)))
            .await;
    });
}

/// Takes callers until the endpoint closes.
pub async fn answer(endpoint: Endpoint, made: mpsc::Sender<Internal>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let made = made.clone();
        tokio::spawn(async move {
            let handshake = async {
                let connection = incoming.await.ok()?;
                let streams = connection.accept_bi().await.ok()?;
                Some(Made {
                    connection,
                    streams,
                    dialled: false,
                })
            };
            // Probes and garbage end here without a word.
            if let Ok(Some(one)) = timeout(DIAL, handshake).await {
                let _ = made.send(Internal::Called(Box::new(one))).await;
            }
            drop(permit);
        });
    }
}
