//! The screen as it looks: a function of the state, nothing more.

pub mod areas;
pub mod chat;
mod form;
pub mod input;
pub mod list;
pub mod markup;
pub mod message;
mod overlay;
mod status;

use crate::app::App;
use crate::theme::Role;
use ratatui::Frame;
use ratatui::layout::Position;
use ratatui::text::Line;

/// Draws the state, and puts the terminal's own cursor where the next character will stand: there an input method draws.
pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let (columns, rows) = app.size;
    if columns < areas::LEAST.0 || rows < areas::LEAST.1 {
        let words = Line::styled(app.words.too_small, app.theme.of(Role::Error));
        return frame.render_widget(words, frame.area());
    }
    if let Some(filled) = &app.form {
        return form::draw(frame, app, filled);
    }
    let areas = app.areas();
    list::draw(frame, app, &areas);
    chat::draw(frame, app, &areas);
    input::draw(frame, app, &areas);
    status::draw(frame, app, areas.status);
    overlay::draw(frame, app, areas.overlay);
}

/// Puts the cursor somewhere, if that is on the screen.
fn cursor(frame: &mut Frame<'_>, x: u16, y: u16) {
    let at = Position::new(x, y);
    if frame.area().contains(at) {
        frame.set_cursor_position(at);
    }
}
