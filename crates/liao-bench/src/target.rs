//! The server under load: our own, started for the occasion in a folder that goes away, or one that runs already.

use crate::{BenchError, os, random_tag};
use liao_net::rustls::ClientConfig;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a server of ours may take to start, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks for the file that says where it listens.
const LOOK: Duration = Duration::from_millis(20);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// `HOST:PORT` of a running server; without it ours is started.
    pub server: Option<String>,
    /// What stands behind the @ of the accounts.
    pub domain: String,
    /// The process of a running server.
    pub pid: Option<u32>,
    /// STARTTLS, taking any certificate.
    pub tls: bool,
    /// The program that is `liao`.
    pub program: PathBuf,
}

/// How a client gets in.
#[derive(Clone)]
pub struct Door {
    /// Where the server listens for clients.
    pub address: SocketAddr,
    /// What stands behind the @ of the accounts.
    pub domain: String,
    /// With STARTTLS.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Own {
    child: Child,
    program: PathBuf,
    folder: Folder,
}

/// The server under load.
pub struct Target {
    /// How to get in.
    pub door: Door,
    /// Its process, if known.
    pub pid: Option<u32>,
    own: Option<Own>,
}

impl Target {
    /// Starts our own server, or looks whether somebody answers where the other one should be.
    pub async fn open(options: &Options) -> Result<Target, BenchError> {
        let tls = match options.tls {
            true => Some(any_certificate()?),
            false => None,
        };
        let domain = options.domain.clone();
        let Some(server) = &options.server else {
            let folder = std::env::temp_dir().join(format!("liao-bench-{}", random_tag()?));
            std::fs::create_dir(&folder)
                .map_err(|e| BenchError::Usage(format!("{}: {e}", folder.display())))?;
            let (child, address) = start(&options.program, &folder, &domain).await?;
            let door = Door {
                address,
                domain,
                tls,
            };
            let own = Own {
                child,
                program: options.program.clone(),
                folder: Folder(folder),
            };
            let pid = own.child.id();
            return Ok(Target {
                door,
                pid,
                own: Some(own),
            });
        };
        let address = answering(server).await?;
        if !address.ip().is_loopback() && tls.is_none() {
            return Err(BenchError::Usage(format!(
                "{server} is not on this machine: passwords go there only under TLS, so add --tls"
            )));
        }
        if let Some(pid) = options.pid
            && os::usage(pid).is_none()
        {
            return Err(BenchError::Usage(format!(
                "there is no process {pid} that could be measured; give the server's own with --pid"
            )));
        }
        let door = Door {
            address,
            domain,
            tls,
        };
        Ok(Target {
            door,
            pid: options.pid,
            own: None,
        })
    }

    /// Whether it is our own, started for this run.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Where our own server keeps its data.
    pub fn data(&self) -> Option<&Path> {
        self.own.as_ref().map(|o| o.folder.0.as_path())
    }

    /// CPU time and memory of the server and its children.
    pub fn usage(&self) -> Option<os::Usage> {
        os::usage(self.pid?)
    }

    /// Ends our own server and starts it again on the same data; does nothing to another's.
    pub async fn restart(&mut self) -> Result<(), BenchError> {
        if let Some(own) = &mut self.own {
            end(&mut own.child).await;
            let (child, address) = start(&own.program, &own.folder.0, &self.door.domain).await?;
            own.child = child;
            self.door.address = address;
            self.pid = own.child.id();
        }
        Ok(())
    }

    /// Ends our own server and removes its data; does nothing to another's.
    pub async fn close(mut self) {
        if let Some(own) = &mut self.own {
            end(&mut own.child).await;
        }
    }
}

fn any_certificate() -> Result<Arc<ClientConfig>, BenchError> {
    let (config, _) = liao_net::tls::client_config(None, &["xmpp-client"])
        .map_err(|e| BenchError::Usage(e.to_string()))?;
    Ok(config)
}

/// The first address of `HOST:PORT` that takes a connection.
async fn answering(server: &str) -> Result<SocketAddr, BenchError> {
    let nobody = |why: String| {
        BenchError::Network(format!(
            "nobody answers at {server}: {why}; start the server there, or leave out --server and liao starts its own"
        ))
    };
    let addresses = tokio::net::lookup_host(server)
        .await
        .map_err(|e| nobody(e.to_string()))?;
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match timeout(liao_net::tcp::CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = "no answer in time".to_owned(),
        }
    }
    Err(nobody(why))
}

/// Starts `program serve` on free ports; its folder is also where it looks for a configuration, so it finds none.
async fn start(
    program: &Path,
    folder: &Path,
    domain: &str,
) -> Result<(Child, SocketAddr), BenchError> {
    let io = |e: std::io::Error| BenchError::Usage(format!("{}: {e}", folder.display()));
    let (data, log) = (folder.join("data"), folder.join("log"));
    let addresses = data.join("addresses.json");
    let _ = std::fs::remove_file(&addresses);
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LIAO_") {
            command.env_remove(name);
        }
    }
    for listener in ["C2S", "C2S_TLS", "HTTP", "HTTPS", "SOCKETS"] {
        command.env(format!("LIAO_LISTEN_{listener}"), "127.0.0.1:0");
    }
    let mut child = command
        .args(["serve", "--domain", domain, "--data"])
        .arg(&data)
        .env("LIAO_REGISTRATION_MODE", "open")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).map_err(io)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| BenchError::Usage(format!("{} does not start: {e}", program.display())))?;
    let wait = async {
        loop {
            if let Some(address) = listening(&addresses) {
                return Some(address);
            }
            if !matches!(child.try_wait(), Ok(None)) {
                return None;
            }
            sleep(LOOK).await;
        }
    };
    match timeout(START_TIMEOUT, wait).await {
        Ok(Some(address)) => Ok((child, address)),
        _ => {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            let words = words.trim();
            Err(BenchError::Network(format!(
                "our own server did not start: {words}"
            )))
        }
    }
}

fn listening(file: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(file).ok()?;
    let all: serde_json::Value = serde_json::from_str(&text).ok()?;
    all["c2s"].as_str()?.parse().ok()
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id() {
        os::terminate(pid);
    }
    if timeout(START_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
