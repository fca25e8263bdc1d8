//! What depends on the system: the person's editor, opening links, the folder of one's own keys.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Opens an address with the program that the system has for it.
pub fn open(link: &str) -> Result<(), String> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let started = Command::new(program)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut child) => {
            // Somebody must wait for it, or it stays behind as a zombie.
            std::thread::spawn(move || child.wait());
            Ok(())
        }
        Err(error) => Err(format!("{program}: {error}; y copies the message")),
    }
}

/// Lets the person write in `$VISUAL` or `$EDITOR`, on this terminal.
pub fn edit(text: &str) -> Result<String, String> {
    let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    let editor = set("VISUAL")
        .or_else(|| set("EDITOR"))
        .unwrap_or_else(|| "vi".into());
    let path = std::env::temp_dir().join(format!("liao-{}.txt", liao_client::random_id()));
    let edited = edit_file(&editor, &path, text);
    let removed = std::fs::remove_file(&path);
    let text = edited?;
    removed.map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text)
}

fn edit_file(editor: &str, path: &std::path::Path, text: &str) -> Result<String, String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    drop(file);
    // By custom the variable may have arguments: the shell divides it.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path)
        .status();
    match status {
        Ok(status) if status.success() => std::fs::read_to_string(path).map_err(wrong),
        Ok(status) => Err(format!("{editor} ended with {status}; nothing was changed")),
        Err(error) => Err(format!(
            "{editor}: {error}; set EDITOR to the editor that you like"
        )),
    }
}

/// The file of one's own keys: `$XDG_CONFIG_HOME/liao/keys.toml`, else `~/.config/liao/keys.toml`.
pub fn keys_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CONFIG_HOME").filter(|p| p.is_absolute());
    let base = base.or_else(|| set("HOME").map(|home| home.join(".config")));
    base.map(|b| b.join("liao/keys.toml"))
}
