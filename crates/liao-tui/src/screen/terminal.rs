//! The terminal: taken over while the screen runs, given back whatever happens; keys are read by a thread of its own.

use crate::app::{App, Input};
use crate::view;
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture, Event, poll, read,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{Stdout, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the reader waits for a key before it looks whether it shall pause.
const LOOK: Duration = Duration::from_millis(50);

/// What the reader does.
const READING: u8 = 0;
const ASKED_TO_PAUSE: u8 = 1;
const PAUSED: u8 = 2;
const ENDED: u8 = 3;

/// The terminal in our hands; given back when dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    reader: Arc<AtomicU8>,
    mouse: bool,
}

fn take() -> std::io::Result<()> {
    enable_raw_mode()?;
    execute!(
        stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        EnableFocusChange
    )
}

fn give_back() {
    let _ = execute!(
        stdout(),
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

impl Screen {
    /// Takes the terminal over.
    pub fn open() -> std::io::Result<Screen> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        take()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()));
        match terminal {
            Ok(terminal) => Ok(Screen {
                terminal,
                reader: Arc::new(AtomicU8::new(READING)),
                mouse: false,
            }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.terminal
            .size()
            .map_or((80, 24), |s| (s.width, s.height))
    }

    /// Starts the thread that reads keys.
    pub fn read(&self, inputs: mpsc::Sender<Input>) {
        let state = self.reader.clone();
        std::thread::spawn(move || {
            loop {
                match state.load(Ordering::Acquire) {
                    ENDED => return,
                    ASKED_TO_PAUSE | PAUSED => {
                        let _ = state.compare_exchange(
                            ASKED_TO_PAUSE,
                            PAUSED,
                            Ordering::AcqRel,
                            Ordering::Acquire,
                        );
                        std::thread::sleep(LOOK / 5);
                        continue;
                    }
                    _ => {}
                }
                let event = match poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => read(),
                    Err(error) => Err(error),
                };
                let input = match event {
                    Ok(Event::Key(key)) => Input::Key(key),
                    Ok(Event::Paste(text)) => Input::Paste(text),
                    Ok(Event::Mouse(mouse)) => Input::Mouse(mouse),
                    Ok(Event::Resize(columns, rows)) => Input::Resize(columns, rows),
                    Ok(Event::FocusGained) => Input::Focus(true),
                    Ok(Event::FocusLost) => Input::Focus(false),
                    // The terminal is gone; so is this thread's work.
                    Err(_) => return,
                };
                if inputs.blocking_send(input).is_err() {
                    return;
                }
            }
        });
    }

    /// Draws the state, in one piece where the terminal can.
    pub fn draw(&mut self, app: &App) -> std::io::Result<()> {
        queue!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| view::draw(frame, app))?;
        execute!(stdout(), EndSynchronizedUpdate)
    }

    /// Draws everything anew the next time.
    pub fn redraw(&mut self) {
        let _ = self.terminal.clear();
    }

    /// Writes a sequence that moves nothing on the screen.
    pub fn write(&mut self, sequence: &str) {
        let mut out = stdout().lock();
        let _ = out.write_all(sequence.as_bytes());
        let _ = out.flush();
    }

    /// Puts words into the clipboard, by the terminal (OSC 52).
    pub fn copy(&mut self, text: &str) {
        let _ = execute!(stdout(), CopyToClipboard::to_clipboard_from(text));
    }

    /// Whether the mouse is ours.
    pub fn mouse(&mut self, on: bool) {
        if self.mouse != on {
            self.mouse = on;
            let _ = if on {
                execute!(stdout(), EnableMouseCapture)
            } else {
                execute!(stdout(), DisableMouseCapture)
            };
        }
    }

    /// Lends the terminal to another program.
    pub fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.reader.store(ASKED_TO_PAUSE, Ordering::Release);
        while self.reader.load(Ordering::Acquire) == ASKED_TO_PAUSE {
            std::thread::sleep(LOOK / 10);
        }
        give_back();
        let done = work();
        let _ = take();
        if self.mouse {
            let _ = execute!(stdout(), EnableMouseCapture);
        }
        self.reader.store(READING, Ordering::Release);
        self.redraw();
        done
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.reader.store(ENDED, Ordering::Release);
        give_back();
    }
}
