//! Plays every conversation of tests/talks on a real server, and checks that the player can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod programs;
mod talk;

use std::path::Path;
use std::sync::Mutex;
use talk::{Stage, read};

/// Plays a talk's text; the error names the line.
fn play(name: &str, text: &str) -> Result<(), String> {
    let steps = read(text)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut stage = Stage::new(name);
        for step in &steps {
            let played = stage.play(step).await;
            played.map_err(|why| {
                format!("{name}.talk line {}: {}\n  {why}", step.line, step.words)
            })?;
        }
        Ok(())
    })
}

#[test]
fn every_talk_goes_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/talks");
    let mut talks: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "talk"))
        .map(|p| {
            (
                p.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(p).unwrap(),
            )
        })
        .collect();
    assert!(talks.len() > 5, "the talks were found");
    talks.sort();
    let (queue, failures) = (Mutex::new(talks), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop();
                    let Some((name, text)) = next else { break };
                    assert!(
                        text.starts_with("# "),
                        "{name}.talk says first what it protects"
                    );
                    let known = text.starts_with("# known:");
                    match (play(&name, &text), known) {
                        (Ok(()), false) => {}
                        (Err(why), true) => println!("KNOWN TO FAIL: {name}.talk: {why}"),
                        (Ok(()), true) => failures
                            .lock()
                            .unwrap()
                            .push(format!("{name}.talk passes now: take `known:` away")),
                        (Err(why), false) => failures.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_talk_that_expects_the_wrong_thing_fails() {
    let start = "Romeo is online at orchard\nJuliet is online at balcony\nRomeo sends:\n  <message to='${Juliet}' type='chat' id='1'><body>hi</body></message>\n";
    let fails = |rest: &str| play("wrong", &format!("{start}{rest}")).unwrap_err();
    let said = fails(
        "Juliet receives:\n  <message from='${Romeo/orchard}' type='chat'><body>ho</body></message>\n",
    );
    assert!(
        said.contains("line 5") && said.contains("\"hi\", not \"ho\""),
        "{said}"
    );
    assert!(
        fails("Juliet receives:\n  <message type='chat'><body>hi</body></message>\n")
            .contains("from=")
    );
    assert!(fails("Juliet receives:\n  <message from='*' type='chat'/>\n").contains("too"));
    assert!(fails("Juliet receives nothing more\n").contains("it received"));
    assert!(fails("Juliet dances\n").contains("no talk knows"));
    play("right", &format!("{start}Juliet receives:\n  <message from='{{who}}' type='chat' id='1'><body>hi</body></message>\nJuliet receives nothing more\n")).unwrap();
}
