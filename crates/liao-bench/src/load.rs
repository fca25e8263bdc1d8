//! The load itself: pairs in which one side keeps a window of messages under way to the other, over XMPP or over the
//! bare relay. Each message must arrive once and in order.

use crate::BenchError;
use crate::client::{Client, condition, stream_error};
use liao_proto::ns;
use liao_proto::stream::Event;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What every message's id begins with.
pub const MARK: &str = "bench-";
/// Silence after which messages count as lost.
const SILENCE: Duration = Duration::from_secs(30);

/// One pair's work.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Messages to send.
    pub messages: u32,
    /// At most so many under way.
    pub window: usize,
    /// Bytes of a body.
    pub bytes: usize,
}

fn lost(n: u32, of: u32) -> BenchError {
    BenchError::Wrong(format!(
        "message {n} of {of} did not come within {} s",
        SILENCE.as_secs()
    ))
}

/// Nanoseconds since the run began.
fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One XMPP pair; the latencies in nanoseconds.
pub async fn pair(
    mut from: Client,
    mut to: Client,
    address: String,
    work: Work,
    start: Instant,
) -> Result<(Client, Client, Vec<u64>), BenchError> {
    let window = Arc::new(Semaphore::new(work.window));
    let body = "x".repeat(work.bytes);
    let permits = window.clone();
    let sending = async move {
        let mut sent = 0;
        while sent < work.messages {
            let permit = tokio::select! {
                permit = permits.acquire() => permit,
                event = from.wire.recv() => {
                    check(event?)?;
                    continue;
                }
            };
            if let Ok(permit) = permit {
                permit.forget();
            }
            let stanza = format!(
                "<message to='{address}' type='chat' id='{MARK}{sent}-{}'><body>{body}</body></message>",
                since(start)
            );
            from.wire.queue(stanza.as_bytes());
            sent += 1;
            if permits.available_permits() == 0 {
                from.wire.flush().await?;
            }
        }
        from.wire.flush().await?;
        Ok::<_, BenchError>(from)
    };
    let receiving = async move {
        let mut latencies = Vec::with_capacity(work.messages as usize);
        for n in 0..work.messages {
            let sent_ns = loop {
                let event = timeout(SILENCE, to.wire.recv())
                    .await
                    .map_err(|_| lost(n, work.messages))??;
                let Event::Element(frame) = event else {
                    return Err(BenchError::Network("the server closed the stream".into()));
                };
                stream_error(&frame)?;
                if !frame.is("message", ns::CLIENT) {
                    continue;
                }
                let Some((number, sent)) = frame
                    .attr("id")
                    .and_then(|id| id.strip_prefix(MARK)?.split_once('-'))
                else {
                    continue;
                };
                if number != n.to_string() {
                    return Err(BenchError::Wrong(format!(
                        "message {number} came where {n} was expected"
                    )));
                }
                break sent.parse::<u64>().unwrap_or(0);
            };
            latencies.push(since(start).saturating_sub(sent_ns));
            window.add_permits(1);
        }
        Ok((to, latencies))
    };
    let (from, (to, latencies)) = tokio::try_join!(sending, receiving)?;
    Ok((from, to, latencies))
}

/// What comes to a sender: nothing, or an error.
fn check(event: Event) -> Result<(), BenchError> {
    let Event::Element(frame) = event else {
        return Err(BenchError::Network("the server closed the stream".into()));
    };
    stream_error(&frame)?;
    if frame.is("message", ns::CLIENT) && frame.attr("type") == Some("error") {
        return Err(BenchError::Wrong(format!(
            "a message was refused: {}",
            condition(&frame, ns::STANZAS)
        )));
    }
    Ok(())
}

/// The same over two ends of the bare relay.
pub async fn bare(
    mut from: TcpStream,
    mut to: TcpStream,
    work: Work,
    start: Instant,
) -> Result<Vec<u64>, BenchError> {
    let broke = |e: std::io::Error| BenchError::Network(format!("the bare relay: {e}"));
    let window = Arc::new(Semaphore::new(work.window));
    // As long as the stanza is on the wire of a server that adds the sender's address.
    let length = work.bytes + 110;
    let permits = window.clone();
    let sending = async move {
        for _ in 0..work.messages {
            if let Ok(permit) = permits.acquire().await {
                permit.forget();
            }
            let mut bytes = vec![b'x'; length];
            bytes[..8].copy_from_slice(&since(start).to_be_bytes());
            from.write_all(&bytes).await.map_err(broke)?;
        }
        Ok::<_, BenchError>(from)
    };
    let receiving = async move {
        let mut latencies = Vec::with_capacity(work.messages as usize);
        let mut bytes = vec![0; length];
        for n in 0..work.messages {
            let read = timeout(SILENCE, to.read_exact(&mut bytes)).await;
            read.map_err(|_| lost(n, work.messages))?.map_err(broke)?;
            let mut stamp = [0; 8];
            stamp.copy_from_slice(&bytes[..8]);
            latencies.push(since(start).saturating_sub(u64::from_be_bytes(stamp)));
            window.add_permits(1);
        }
        Ok((to, latencies))
    };
    let (_from, (_to, latencies)) = tokio::try_join!(sending, receiving)?;
    Ok(latencies)
}
