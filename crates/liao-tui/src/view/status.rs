//! The last row: who we are and whether we are connected; what was told last, or which keys work here.

use crate::app::App;
use crate::commands::Place as Talk;
use crate::i18n::fill;
use crate::keys::{Action, Place};
use crate::text;
use crate::theme::Role;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let width = usize::from(area.width);
    let bar = app.theme.of(Role::Bar);
    let (words, role) = state(app);
    let notice = app.current_notice();
    // An error of the connection may need the row for itself; else at most half is for it.
    let own = if notice.is_some() && app.model.me.is_some() {
        width / 2
    } else {
        width.saturating_sub(2)
    };
    let words = text::fit(&format!(" {words} "), own);
    let room = width.saturating_sub(text::width(&words));
    let mut spans = vec![Span::styled(words, bar.patch(app.theme.of(role)))];
    let (right, style) = match notice {
        Some(notice) => {
            let role = if notice.wrong {
                Role::Error
            } else {
                Role::Accent
            };
            let sign = if notice.wrong { "✗" } else { "*" };
            let words = format!("{sign} {}", text::one_line(&notice.words));
            (words, bar.patch(app.theme.of(role)))
        }
        None => (fitting(&hint(app), room.saturating_sub(1)), bar),
    };
    let right = text::fit(&right, room.saturating_sub(1));
    let gap = if notice.is_some() {
        0
    } else {
        room.saturating_sub(text::width(&right) + 1)
    };
    spans.push(Span::styled(" ".repeat(gap), bar));
    spans.push(Span::styled(right, style));
    frame.render_widget(Paragraph::new(Line::from(spans)).style(bar), area);
}

fn state(app: &App) -> (String, Role) {
    let words = app.words;
    match (&app.model.me, &app.model.offline) {
        (Some(me), _) => {
            let me = me.split('/').next().unwrap_or(me);
            match app.own_show() {
                None => (format!("● {}", fill(words.online_as, &[me])), Role::Good),
                show => {
                    let (sign, word, role) = super::list::availability(app, true, show);
                    (format!("{sign} {word}: {me}"), role)
                }
            }
        }
        (None, Some(why)) => {
            let seconds = ((app.retry_ms - app.now_ms) / 1000).max(0).to_string();
            let why = text::one_line(why);
            let line = if app.retry_ms > 0 {
                words.offline_because
            } else {
                words.closed_because
            };
            (format!("○ {}", fill(line, &[&why, &seconds])), Role::Error)
        }
        (None, None) => (
            format!("○ {}", fill(words.connecting, &[&app.account])),
            Role::Absent,
        ),
    }
}

/// As many whole hints as fit.
fn fitting(hints: &str, room: usize) -> String {
    let mut out = String::new();
    for hint in hints.split("  ") {
        let gap = if out.is_empty() { "" } else { "  " };
        if text::width(&out) + gap.len() + text::width(hint) > room {
            break;
        }
        out = format!("{out}{gap}{hint}");
    }
    out
}

/// Keys that help where one is.
fn hint(app: &App) -> String {
    let key = |action| app.keys.hint(Place::Anywhere, action);
    let hints = match app.place() {
        Place::List if app.asks() => app.words.request_hint,
        Place::List if app.talk == Talk::Sockets => app.words.list_hint_sockets,
        Place::List => app.words.list_hint,
        Place::Message => app.words.select_hint,
        _ => app.words.chat_hint,
    };
    fill(
        hints,
        &[
            key(Action::Help),
            key(Action::Switch),
            key(Action::NextUnread),
            key(Action::Quit),
        ],
    )
}
