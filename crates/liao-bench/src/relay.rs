//! The bare TCP relay: a process that pairs connections and copies bytes, so that the machine's floor is visible.
//!
//! A caller's first line is a name; the two callers with the same name hear each other. Whatever a chat server does
//! more than this (reading XML, routing, keeping) is what it costs.

use crate::{BenchError, os};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, Command};

/// Bytes copied at once; they lie on the stack while they are copied, so a silent connection holds none.
const COPY_BYTES: usize = 16 * 1024;
/// The longest name of a pair.
const NAME_BYTES: usize = 64;

type Waiting = Arc<Mutex<HashMap<Vec<u8>, TcpStream>>>;

/// The relay's process: prints its address, and ends when its standard input does.
pub async fn run() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let waiting = Waiting::default();
    let mut nothing = [0; 64];
    let mut input = tokio::io::stdin();
    loop {
        tokio::select! {
            read = input.read(&mut nothing) => if read? == 0 {
                return Ok(());
            },
            accepted = listener.accept() => {
                tokio::spawn(pair(accepted?.0, waiting.clone()));
            }
        }
    }
}

/// Reads the name of one caller; the second of a pair starts the copying.
async fn pair(mut stream: TcpStream, waiting: Waiting) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut name = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if name.len() == NAME_BYTES => return Err(io::ErrorKind::InvalidData.into()),
            byte => name.push(byte),
        }
    }
    stream.write_all(b"\n").await?;
    let other = {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.remove(&name) {
            Some(other) => other,
            None => {
                waiting.insert(name, stream);
                return Ok(());
            }
        }
    };
    let (one, other) = (Arc::new(stream), Arc::new(other));
    tokio::spawn(copy(one.clone(), other.clone()));
    copy(other, one).await
}

async fn copy(from: Arc<TcpStream>, to: Arc<TcpStream>) -> io::Result<()> {
    loop {
        from.readable().await?;
        // What the receiver's socket does not take at once is kept aside until it does.
        let mut rest = match step(&from, &to) {
            Ok(Some(rest)) => rest,
            Ok(None) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        while !rest.is_empty() {
            to.ready(Interest::WRITABLE).await?;
            match to.try_write(&rest) {
                Ok(n) => drop(rest.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Copies what is there; gives back what was not taken, or nothing at the end.
fn step(from: &TcpStream, to: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut space = [0; COPY_BYTES];
    let n = from.try_read(&mut space)?;
    if n == 0 {
        return Ok(None);
    }
    let bytes = &space[..n];
    let taken = match to.try_write(bytes) {
        Ok(taken) => taken,
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
        Err(e) => return Err(e),
    };
    Ok(Some(bytes[taken..].to_vec()))
}

/// A relay that runs beside a bench; ends when it is dropped.
pub struct Relay {
    child: Child,
    _input: Option<ChildStdin>,
    address: SocketAddr,
}

impl Relay {
    /// Starts `program bench relay`.
    pub async fn start(program: &Path) -> Result<Relay, BenchError> {
        let wrong = |what: String| BenchError::Network(format!("the bare relay: {what}"));
        let mut child = Command::new(program)
            .args(["bench", "relay"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| wrong(format!("{} does not start: {e}", program.display())))?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let read = BufReader::new(output).read_line(&mut line).await;
            read.map_err(|e| wrong(e.to_string()))?;
        }
        let address = line
            .trim()
            .parse()
            .map_err(|_| wrong("it did not say where it listens".into()))?;
        let input = child.stdin.take();
        Ok(Relay {
            child,
            _input: input,
            address,
        })
    }

    /// Its CPU time and memory.
    pub fn usage(&self) -> Option<os::Usage> {
        os::usage(self.child.id()?)
    }

    /// One side of the pair `name`, known to the relay when this returns.
    pub async fn connect(&self, name: &str) -> Result<TcpStream, BenchError> {
        let open = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            stream.write_all(format!("{name}\n").as_bytes()).await?;
            stream.read_u8().await?;
            Ok(stream)
        };
        open.await
            .map_err(|e: io::Error| BenchError::Network(format!("the bare relay: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_with_the_same_name_hear_each_other_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = Waiting::default();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(pair(stream, waiting.clone()));
            }
        });
        let open = async |name: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(name.as_bytes()).await.unwrap();
            stream.read_u8().await.unwrap();
            stream
        };
        let (mut a, _other, mut b) = (open("x\n").await, open("y\n").await, open("x\n").await);
        // More than the sockets' buffers hold: the slow reader's rest waits.
        let long: Vec<u8> = (0..8_000_000u32).map(|n| n as u8).collect();
        let expected = long.clone();
        let sending = tokio::spawn(async move {
            a.write_all(&long).await.unwrap();
            a
        });
        let mut got = vec![0; expected.len()];
        b.read_exact(&mut got).await.unwrap();
        assert!(got == expected);
        b.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        sending.await.unwrap().read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    }
}
