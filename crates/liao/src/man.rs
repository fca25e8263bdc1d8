//! `liao man` and `liao completion`: from the one definition of the command line, and the client's own tables.

use crate::cli::Cli;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::io::{Write, stdout};
use std::process::ExitCode;

/// Prints a manual page in roff.
pub fn page(name: Option<&str>) -> ExitCode {
    let root = Cli::command();
    let Some(name) = name else {
        return done(Man::new(root).render(&mut stdout()));
    };
    let Some(found) = root.find_subcommand(name) else {
        let all: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
        eprintln!(
            "liao: there is no command {name}; there are {}",
            all.join(", ")
        );
        return ExitCode::from(2);
    };
    let mut page = Vec::new();
    let title = format!("liao-{name}");
    let command = found
        .clone()
        .display_name(title)
        .bin_name(format!("liao {name}"));
    if let Err(error) = Man::new(command).render(&mut page) {
        return done(Err(error));
    }
    if name == "chat" {
        tables(&mut page);
    }
    done(stdout().write_all(&page))
}

/// The keys and commands of the client.
fn tables(page: &mut Vec<u8>) {
    for section in liao_tui::manual() {
        let mut roff = Roff::new();
        roff.control("SH", [section.title.to_uppercase().as_str()]);
        for (key, what) in &section.rows {
            roff.control("TP", []);
            roff.text([roman(key.as_str())]);
            roff.text([roman(*what)]);
        }
        page.extend(roff.render().into_bytes());
    }
}

/// Prints what a shell needs to complete commands and options.
pub fn completion(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "liao", &mut script);
    done(stdout().write_all(&script))
}

fn done(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("liao: {error}");
            ExitCode::FAILURE
        }
    }
}
