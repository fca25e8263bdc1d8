//! The words under way, and the terminal's cursor in them.

use super::areas::Areas;
use super::cursor;
use crate::app::{App, Focus};
use crate::keys::Place;
use crate::text;
use crate::theme::Role;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// The first row of the words that is on the screen: the cursor's row is always.
pub fn first(app: &App) -> usize {
    let area = app.areas().input;
    let (rows, (_, row)) = app.composer.rows(usize::from(area.width));
    let height = usize::from(area.height).max(1);
    row.saturating_sub(height - 1)
        .min(rows.len().saturating_sub(height))
}

/// Draws the words under way.
pub fn draw(frame: &mut Frame<'_>, app: &App, areas: &Areas) {
    if areas.input.height == 0 {
        return;
    }
    let width = usize::from(areas.rule.width);
    let about = app
        .about_words()
        .map(|words| format!("─ {} ", text::fit(&words, width.saturating_sub(4))));
    let about = about.unwrap_or_default();
    let rule = format!(
        "{about}{}",
        "─".repeat(width.saturating_sub(text::width(&about)))
    );
    let writing = app.focus == Focus::Chat;
    let role = if writing { Role::Accent } else { Role::Dim };
    let dim = app.theme.of(Role::Dim);
    frame.render_widget(Line::styled(rule, dim), areas.rule);
    let prompt = Rect::new(areas.input.x - 2, areas.input.y, 2, 1);
    frame.render_widget(Line::styled("› ", app.theme.of(role)), prompt);
    let (rows, (column, row)) = app.composer.rows(usize::from(areas.input.width));
    let from = first(app);
    let height = usize::from(areas.input.height);
    let lines: Vec<Line<'_>> = rows
        .iter()
        .skip(from)
        .take(height)
        .map(|row| Line::from(row.replace('\t', " ")))
        .collect();
    frame.render_widget(Paragraph::new(lines), areas.input);
    if app.place() == Place::Writing {
        let x = areas.input.x + u16::try_from(column).unwrap_or(0).min(areas.input.width);
        cursor(
            frame,
            x,
            areas.input.y + u16::try_from(row - from).unwrap_or(0),
        );
    }
}
