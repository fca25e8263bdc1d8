//! What depends on the operating system: signals, terminals, folders. Tested on Linux only.

use std::path::PathBuf;
use tokio::sync::mpsc;

/// Resolves at Ctrl-C or SIGTERM, and when the terminal at which the program was started is closed.
pub async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
                () = terminal_closed() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Runs this program again with the same arguments, in place of this process; its parent, systemd for one, sees no end.
/// Comes back only if that fails.
pub fn restart() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) if program.exists() => program,
        // It was replaced while it ran: the new one of the same name.
        Ok(program) => {
            let name = program.to_string_lossy().into_owned();
            PathBuf::from(name.strip_suffix(" (deleted)").unwrap_or(&name))
        }
        Err(error) => return error,
    };
    let mut command = std::process::Command::new(program);
    command.args(std::env::args_os().skip(1));
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.exec()
    }
    #[cfg(not(unix))]
    match command.spawn() {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}

/// Standard input and output are a terminal that can move its cursor.
pub fn has_screen() -> bool {
    use std::io::IsTerminal;
    let dumb = std::env::var_os("TERM").is_none_or(|t| t.is_empty() || t == "dumb");
    !dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Resolves when the terminal goes away; without one, never. A SIGHUP while it is there means something else.
#[cfg(unix)]
async fn terminal_closed() {
    use std::io::IsTerminal;
    use tokio::signal::unix::{SignalKind, signal};
    if std::io::stdin().is_terminal()
        && let Ok(mut hangup) = signal(SignalKind::hangup())
    {
        while hangup.recv().await.is_some() {
            if !std::io::stdin().is_terminal() {
                return;
            }
        }
    }
    std::future::pending().await
}

/// A message for each SIGHUP.
pub fn hangups() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(1);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut hangup) = signal(SignalKind::hangup()) {
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    let _ = sender.try_send(());
                }
            });
        }
    }
    receiver
}

/// Where the client keeps its data: `$XDG_DATA_HOME/liao`, else `~/.local/share/liao` (XDG base directories).
pub fn client_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let base = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    base.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .or_else(|| set("LOCALAPPDATA").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("liao")
}
