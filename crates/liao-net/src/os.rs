//! What depends on the operating system: file modes, and who holds a port. Tested on Linux only.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes an empty file that only its owner can read, if it is not there; takes others' rights away if it is.
pub fn touch_private(path: &Path) -> io::Result<()> {
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    drop(file);
    Ok(())
}

/// Who listens at a port, as `NAME (process N)`, as far as we may look: proc(5). Elsewhere nobody is known.
pub fn holder(address: std::net::SocketAddr) -> Option<String> {
    let tables = ["tcp", "tcp6", "udp", "udp6"];
    let wanted: Vec<String> = tables
        .iter()
        .filter_map(|t| Some((*t, std::fs::read_to_string(format!("/proc/net/{t}")).ok()?)))
        .flat_map(|(table, text)| sockets_of(&text, table.starts_with("tcp"), address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let id = process.file_name().into_string().unwrap_or_default();
        let files = std::fs::read_dir(process.path().join("fd")).into_iter();
        let holds = files.flatten().flatten().any(|file| {
            std::fs::read_link(file.path())
                .is_ok_and(|link| wanted.iter().any(|w| link.as_os_str() == w.as_str()))
        });
        if holds && id.parse::<u32>().is_ok() {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// The inodes of a table's sockets that listen at a port.
fn sockets_of(table: &str, tcp: bool, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let listens = |state: &str| !tcp || state == "0A";
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&port) && listens(row[3]))
        .map(|row| row[9].to_owned())
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_port_is_named() {
        let me = format!("(process {})", std::process::id());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let name = holder(tcp.local_addr().unwrap()).unwrap();
        assert!(name.ends_with(&me), "{name}");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = holder(udp.local_addr().unwrap()).unwrap();
        assert!(name.ends_with(&me), "{name}");
        let free = tcp.local_addr().unwrap();
        drop((tcp, udp));
        assert_eq!(holder(free), None);
    }
}
