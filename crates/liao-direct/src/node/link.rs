//! One connection: a task that reads frames, a task that writes them, and nothing that decides.

use crate::frame::{Decoder, Frame};
use crate::limits::{FRAME_BYTES, STRANGER_FRAME_BYTES, WRITING};
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Why we close a connection; the words travel with it.
pub const BYE: &str = "bye";
/// They are blocked here. They are told no more than that.
pub const REFUSED: &str = "refused";

/// What a connection tells the node.
pub enum News {
    /// A frame came.
    Frame(u64, Frame),
    /// It is over.
    Closed(u64, String),
}

/// A connection as the node holds it.
pub struct Link {
    /// Numbers connections.
    pub id: u64,
    /// QUIC's side.
    pub connection: Connection,
    writer: mpsc::Sender<Vec<u8>>,
    trusted: Arc<AtomicBool>,
    /// Their greeting came.
    pub greeted: bool,
    /// We let them in, and said so.
    pub lets_in: bool,
    /// They let us in.
    pub lets_us_in: bool,
}

impl Link {
    /// Starts both tasks.
    pub fn start(
        id: u64,
        connection: Connection,
        (send, receive): (SendStream, RecvStream),
        news: mpsc::Sender<News>,
    ) -> Link {
        let (writer, frames) = mpsc::channel(WRITING);
        let trusted = Arc::new(AtomicBool::new(false));
        tokio::spawn(write(send, frames));
        tokio::spawn(read(
            id,
            connection.clone(),
            receive,
            Arc::clone(&trusted),
            news,
        ));
        Link {
            id,
            connection,
            writer,
            trusted,
            greeted: false,
            lets_in: false,
            lets_us_in: false,
        }
    }

    /// Long frames are taken from now on.
    pub fn trust(&mut self) {
        self.lets_in = true;
        self.trusted.store(true, Ordering::Relaxed);
    }

    /// Hands a frame to the writer; `false`: too much waits already.
    pub fn write(&self, frame: &Frame) -> bool {
        self.writer.try_send(frame.encode()).is_ok()
    }

    /// A frame that is not worth waiting for.
    pub fn hint(&self, frame: &Frame) {
        if self.writer.capacity() > WRITING / 2 {
            self.write(frame);
        }
    }

    /// Ends the connection with a word.
    pub fn close(&self, why: &str) {
        self.connection.close(VarInt::from_u32(0), why.as_bytes());
    }
}

async fn write(mut send: SendStream, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if send.write_all(&frame).await.is_err() {
            return;
        }
    }
    // The node let go of the connection: what was written still arrives.
    let _ = send.finish();
}

async fn read(
    id: u64,
    connection: Connection,
    mut receive: RecvStream,
    trusted: Arc<AtomicBool>,
    news: mpsc::Sender<News>,
) {
    let mut decoder = Decoder::default();
    let why = 'over: loop {
        match receive.read_chunk(64 * 1024).await {
            Ok(Some(chunk)) => decoder.push(&chunk),
            Ok(None) => break connection.closed().await.to_string(),
            Err(error) => break error.to_string(),
        }
        loop {
            let limit = match trusted.load(Ordering::Relaxed) {
                true => FRAME_BYTES,
                false => STRANGER_FRAME_BYTES,
            };
            match decoder.next(limit) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if news.send(News::Frame(id, frame)).await.is_err() {
                        return;
                    }
                }
                Err(bad) => break 'over bad.to_string(),
            }
        }
    };
    connection.close(VarInt::from_u32(1), why.as_bytes());
    let _ = news.send(News::Closed(id, why)).await;
}
