//! Connections counted by address, so that one address cannot take all of them.

use crate::peer::household;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The places of one listener. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Places {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    bound: usize,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub struct Place(Places, IpAddr);

impl Places {
    /// At most `bound` connections from one address.
    pub fn new(bound: usize) -> Places {
        Places {
            counts: Arc::default(),
            bound,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if the address has one left.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let address = household(address);
        let mut all = self.lock();
        let count = all.entry(address).or_default();
        if *count >= self.bound {
            return None;
        }
        *count += 1;
        drop(all);
        Some(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.0.lock();
        if let Some(count) = all.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// A stream that holds its place as long as it lives. Proxies that are trusted have none: many come by them.
/// Who does not take what is written to it for so long loses it, with all that was held for it.
pub struct Held<S> {
    stream: S,
    _place: Option<Place>,
    stall: Duration,
    /// Set while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Held<S> {
    /// Keeps both together.
    pub fn new(stream: S, place: Option<Place>, stall: Duration) -> Held<S> {
        Held {
            stream,
            _place: place,
            stall,
            stalled: None,
        }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stall = self.stall;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, write)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_read_loses_the_connection() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut reader, stream) = tokio::io::duplex(64);
        let mut held = Held::new(stream, None, Duration::from_millis(50));
        for _ in 0..10 {
            held.write_all(&[0; 64]).await.unwrap();
            reader.read_exact(&mut [0; 64]).await.unwrap();
        }
        let error = held.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_address_has_its_bound_and_gets_its_places_back() {
        let places = Places::new(2);
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let one = places.take(home).unwrap();
        let _two = places.take(mapped).unwrap();
        assert!(places.take(home).is_none());
        assert!(places.take("192.0.2.2".parse().unwrap()).is_some());
        let six: Vec<Place> = ["2001:db8::1", "2001:db8::2"]
            .map(|a| places.take(a.parse().unwrap()).unwrap())
            .into();
        let same = places.take("2001:db8::3".parse().unwrap());
        assert!(
            same.is_none(),
            "a household has one bound, not one for each of its addresses"
        );
        drop(six);
        drop(one);
        assert!(places.take(mapped).is_some());
        assert_eq!(places.lock().len(), 1, "nothing is kept of who is gone");
    }
}
