//! What lies over the screen: help, notices, the switcher and the search, a question about a paste.

use super::{cursor, list, message};
use crate::app::{App, Choice, Found, Kind, Overlay};
use crate::commands::{self, Form};
use crate::i18n::fill;
use crate::keys;
use crate::text;
use crate::theme::Role;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

/// Draws it, if there is one.
pub fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(overlay) = &app.overlay else { return };
    match overlay {
        Overlay::Help(at) => page(
            frame,
            app,
            area,
            app.words.help_title,
            &help(app, inner(area)),
            *at,
        ),
        Overlay::Notices(at) => page(
            frame,
            app,
            area,
            app.words.notices,
            &notices(app, inner(area)),
            *at,
        ),
        Overlay::Choice(choice) => choose(frame, app, area, choice),
        Overlay::Paste(text) => question(frame, app, area, text),
    }
}

fn inner(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4))
}

fn framed(frame: &mut Frame<'_>, app: &App, area: Rect, title: &str, keys: &str) -> Rect {
    frame.render_widget(Clear, area);
    let width = usize::from(area.width.saturating_sub(4));
    let block = Block::bordered()
        .border_style(app.theme.of(Role::Accent))
        .title(format!(" {} ", text::fit(title, width)))
        .title_bottom(format!(" {} ", text::fit(keys, width)));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    Rect::new(
        inside.x + 1,
        inside.y,
        inside.width.saturating_sub(2),
        inside.height,
    )
}

fn page(
    frame: &mut Frame<'_>,
    app: &App,
    area: Rect,
    title: &str,
    rows: &[Line<'static>],
    at: usize,
) {
    let inside = framed(frame, app, area, title, app.words.help_close);
    let at = at.min(rows.len().saturating_sub(usize::from(inside.height)));
    let rows: Vec<Line<'static>> = rows.iter().skip(at).cloned().collect();
    frame.render_widget(Paragraph::new(rows), inside);
}

/// A row of two columns, the second one wrapped.
fn two(
    app: &App,
    left: &str,
    right: &str,
    column: usize,
    width: usize,
    rows: &mut Vec<Line<'static>>,
) {
    let long = text::width(left) > column;
    let room = width.saturating_sub(column + 2).max(8);
    let style = app.theme.of(Role::Accent);
    if long {
        for range in text::wrap(left, width.max(8)) {
            rows.push(Line::styled(left[range].to_owned(), style));
        }
    }
    for (i, range) in text::wrap(right, room).into_iter().enumerate() {
        let first = if i == 0 && !long { left } else { "" };
        rows.push(Line::from(vec![
            Span::styled(text::pad(first, column), style),
            Span::raw(format!("  {}", &right[range])),
        ]));
    }
}

/// The help, as the tables have it.
fn help(app: &App, width: usize) -> Vec<Line<'static>> {
    let words = app.words;
    let title = app.theme.of(Role::Unread);
    let column = (width / 3).min(28);
    let mut rows = Vec::new();
    rows.push(Line::styled(words.help_marks, title));
    for mark in words.marks.split('\n') {
        let (sign, what) = mark.split_once(' ').unwrap_or((mark, ""));
        two(app, sign, what, 4, width, &mut rows);
    }
    for (place, name) in keys::PLACES {
        rows.push(Line::default());
        rows.push(Line::styled(fill(words.help_keys, &[name(words)]), title));
        for row in keys::ALL.iter().filter(|r| r.place == *place) {
            two(
                app,
                &app.keys.written(row),
                (row.what)(words),
                column,
                width,
                &mut rows,
            );
        }
    }
    rows.push(Line::default());
    rows.push(Line::styled(words.help_commands, title));
    for row in commands::ALL
        .iter()
        .filter(|r| r.fits(app.talk, Form::Screen))
    {
        two(
            app,
            &row.usage(words),
            (row.what)(words),
            column,
            width,
            &mut rows,
        );
    }
    rows
}

fn notices(app: &App, width: usize) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    for notice in app.notices.iter().rev() {
        let time = message::clock(app, notice.time_ms);
        let role = if notice.wrong {
            Role::Error
        } else {
            Role::Plain
        };
        let words = text::clean(&notice.words);
        for (i, range) in text::wrap(&words, width.saturating_sub(7).max(8))
            .into_iter()
            .enumerate()
        {
            let time = if i == 0 { time.as_str() } else { "" };
            rows.push(Line::from(vec![
                Span::styled(text::pad(time, 7), app.theme.of(Role::Dim)),
                Span::styled(words[range].to_owned(), app.theme.of(role)),
            ]));
        }
    }
    if rows.is_empty() {
        rows.push(Line::styled(
            app.words.nothing_noticed,
            app.theme.of(Role::Dim),
        ));
    }
    rows
}

fn choose(frame: &mut Frame<'_>, app: &App, area: Rect, choice: &Choice) {
    let words = app.words;
    let (title, keys) = match choice.kind {
        Kind::Switch => (words.switch_to, words.switch_keys),
        Kind::SearchHere => (words.search_here, words.search_keys),
        Kind::SearchAll => (words.search_all, words.search_keys),
    };
    let inside = framed(frame, app, area, title, keys);
    let width = usize::from(inside.width);
    let input = Line::from(vec![
        Span::styled("› ", app.theme.of(Role::Accent)),
        Span::raw(text::fit(
            &text::one_line(choice.input.text()),
            width.saturating_sub(3),
        )),
    ]);
    frame.render_widget(input, Rect::new(inside.x, inside.y, inside.width, 1));
    let column = 2 + text::width(choice.input.before());
    cursor(
        frame,
        inside.x + u16::try_from(column.min(width)).unwrap_or(0),
        inside.y,
    );
    let below = Rect::new(
        inside.x,
        inside.y + 1,
        inside.width,
        inside.height.saturating_sub(1),
    );
    let height = usize::from(below.height);
    let from = choice.at.saturating_sub(height.saturating_sub(1));
    let shown = choice.found.iter().enumerate().skip(from).take(height);
    let mut rows: Vec<Line<'static>> = shown
        .map(|(i, found)| {
            let line = found_line(app, found, width);
            if i == choice.at {
                line.patch_style(app.theme.of(Role::Selected))
            } else {
                line
            }
        })
        .collect();
    if rows.is_empty() && !choice.input.text().trim().is_empty() {
        rows.push(Line::styled(words.nothing_found, app.theme.of(Role::Dim)));
    }
    frame.render_widget(Paragraph::new(rows), below);
}

fn found_line(app: &App, found: &Found, width: usize) -> Line<'static> {
    match found {
        Found::Person(peer) => {
            let Some(person) = app.model.people.get(peer) else {
                return Line::default();
            };
            let (sign, word, role) = list::presence(app, person);
            let name = text::one_line(app.model.name(peer));
            let address = if name == *peer {
                String::new()
            } else {
                format!("  {peer}")
            };
            let room = width.saturating_sub(text::width(word) + 4);
            Line::from(vec![
                Span::styled(format!("{sign} "), app.theme.of(role)),
                Span::raw(text::pad(&format!("{name}{address}"), room)),
                Span::styled(format!(" {word}"), app.theme.of(role)),
            ])
        }
        Found::Message(kept) => {
            let message = &kept.message;
            let who = text::one_line(app.model.name(&message.peer));
            let when = message::day(app, message.time_ms);
            let head = format!("{when} {} {who}  ", message::clock(app, message.time_ms));
            let words = app.preview(message);
            let head = text::fit(&head, width / 2);
            let room = width.saturating_sub(text::width(&head));
            Line::from(vec![
                Span::styled(head, app.theme.of(Role::Dim)),
                Span::raw(text::pad(&words, room)),
            ])
        }
    }
}

fn question(frame: &mut Frame<'_>, app: &App, area: Rect, pasted: &str) {
    let lines = pasted.trim_end().lines().count().to_string();
    let title = fill(app.words.paste_title, &[&lines]);
    let inside = framed(frame, app, area, &title, app.words.paste_keys);
    let width = usize::from(inside.width);
    let clean = text::clean(pasted);
    let rows: Vec<Line<'static>> = clean
        .lines()
        .take(usize::from(inside.height))
        .map(|l| Line::styled(text::fit(l, width), app.theme.of(Role::Dim)))
        .collect();
    frame.render_widget(Paragraph::new(rows), inside);
}
