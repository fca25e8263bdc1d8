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

/// Where files are kept: `$XDG_DOWNLOAD_DIR`, else `~/Downloads`, else the folder that one is in.
pub fn downloads() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let named = set("XDG_DOWNLOAD_DIR").map(PathBuf::from);
    let named = named.filter(|p| p.is_absolute());
    let home = || set("HOME").map(|home| PathBuf::from(home).join("Downloads"));
    named.or_else(home).unwrap_or_else(|| PathBuf::from("."))
}

/// A path as a person writes it: `~/` is the home folder, a relative one begins where the program was started.
pub fn path(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}

/// The rest of a path that was begun, as far as it is certain.
pub fn complete(begun: &str) -> String {
    let whole = path(begun);
    let (folder, name) = match begun.rsplit_once('/') {
        Some((folder, name)) => (path(&format!("{folder}/")), name),
        None => (PathBuf::from("."), begun),
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| {
        let is_folder = e.path().is_dir();
        let entry = e.file_name().into_string().ok()?;
        // Hidden ones only for who asks for them.
        let fits = entry.starts_with(name) && (!name.is_empty() || !entry.starts_with('.'));
        fits.then(|| if is_folder { entry + "/" } else { entry })
    });
    let common = names.reduce(|a, b| {
        let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
        same.map(|(c, _)| c).collect()
    });
    match common {
        Some(common) => common[name.len()..].to_owned(),
        None if whole.is_dir() && !begun.ends_with('/') => "/".to_owned(),
        None => String::new(),
    }
}

/// The file that was dropped on the terminal, which pastes its path: quoted, escaped or as an address.
pub fn dropped(pasted: &str) -> Option<PathBuf> {
    let text = pasted.trim();
    let inner = |sign: char| text.strip_prefix(sign)?.strip_suffix(sign);
    let plain = if let Some(quoted) = inner('\'').or_else(|| inner('"')) {
        quoted.to_owned()
    } else if let Some(rest) = text.strip_prefix("file://") {
        liao_client::unpercent(rest)
    } else {
        text.replace("\\ ", " ")
    };
    let path = PathBuf::from(&plain);
    (!plain.contains('\n') && path.is_absolute() && path.is_file()).then_some(path)
}

/// A file of pasted words, in a folder of its own that only this person can read.
pub fn paste_file(text: &str) -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("liao-{}", liao_client::random_id()));
    let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).map_err(wrong)?;
    let path = folder.join("paste.txt");
    std::fs::write(&path, text).map_err(wrong)?;
    Ok(path)
}

/// Takes such a file away.
pub fn forget_paste(path: &std::path::Path) {
    let _ = std::fs::remove_file(path);
    let _ = path.parent().map(std::fs::remove_dir);
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
