//! One message as rows: what stands above it (day, first unread), who and when, words, how far it has come.

use super::markup::{self, mark};
use crate::app::App;
use crate::i18n::fill;
use crate::text;
use crate::theme::Role;
use jiff::civil::Date;
use jiff::{Timestamp, Zoned};
use liao_client::{Line as Said, Person, State};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Fewer columns have the name above the words.
const GUTTER: usize = 46;
/// Columns of a name beside the words, at most.
const NAME: usize = 12;
/// Columns of the marks behind our own words.
const MARKS: usize = 3;
/// After so long somebody's next message has the name again, in milliseconds.
const PAUSE_MS: i64 = 5 * 60_000;
/// Rows of one message that are shown; what is longer can be copied or saved.
const ROWS: usize = 500;

fn local(app: &App, ms: i64) -> Option<Zoned> {
    let time = Timestamp::from_millisecond(ms).ok()?;
    Some(time.to_zoned(app.zone.clone()))
}

/// Hours and minutes.
pub fn clock(app: &App, ms: i64) -> String {
    local(app, ms).map_or(String::new(), |t| t.strftime("%H:%M").to_string())
}

/// A day, as it is called today.
pub fn day(app: &App, ms: i64) -> String {
    let (Some(then), Some(now)) = (local(app, ms), local(app, app.now_ms)) else {
        return String::new();
    };
    name_of(app, then.date(), now.date())
}

fn name_of(app: &App, date: Date, today: Date) -> String {
    let words = app.words;
    if date == today {
        return words.today.to_owned();
    }
    if Some(date) == today.yesterday().ok() {
        return words.yesterday.to_owned();
    }
    let nth = |list: &'static str, n: i8| {
        list.split(',')
            .nth(usize::try_from(n).unwrap_or(0))
            .unwrap_or_default()
    };
    let weekday = nth(words.weekdays, date.weekday().to_monday_zero_offset());
    let month = nth(words.months, date.month() - 1);
    let (day, year) = (date.day().to_string(), date.year().to_string());
    fill(words.day_line, &[weekday, &day, month, &year])
}

/// A title in the middle of a line.
fn ruled(words: &str, width: usize, style: Style) -> Line<'static> {
    let words = format!(" {} ", text::fit(words, width.saturating_sub(4)));
    let left = width.saturating_sub(text::width(&words)) / 2;
    let right = width.saturating_sub(left + text::width(&words));
    Line::styled(
        format!("{}{words}{}", "─".repeat(left), "─".repeat(right)),
        style,
    )
}

/// A row of words with their marks.
fn styled(app: &App, text: &str, marks: &[u8]) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let same = marks[from..]
            .iter()
            .take_while(|m| **m == marks[from])
            .count();
        let to = from + same;
        spans.push(Span::styled(
            text[from..to].to_owned(),
            style(app, marks[from]),
        ));
        from = to;
    }
    spans
}

fn style(app: &App, marks: u8) -> Style {
    let mut style = Style::new();
    for (mark, role) in [
        (mark::QUOTE, Role::Quote),
        (mark::CODE, Role::Code),
        (mark::LINK, Role::Link),
    ] {
        if marks & mark != 0 {
            style = style.patch(app.theme.of(role));
        }
    }
    for (mark, modifier) in [
        (mark::STRONG, Modifier::BOLD),
        (mark::EMPHASIS, Modifier::ITALIC),
        (mark::STRIKE, Modifier::CROSSED_OUT),
    ] {
        if marks & mark != 0 {
            style = style.add_modifier(modifier);
        }
    }
    style
}

/// The mark behind our own words.
fn state_mark(app: &App, state: &State) -> (&'static str, Style) {
    match state {
        State::Queued | State::Waiting { .. } => ("…", app.theme.of(Role::Dim)),
        State::Sent => ("✓", app.theme.of(Role::Dim)),
        State::Delivered => ("✓✓", app.theme.of(Role::Good)),
        State::Failed { .. } => ("✗", app.theme.of(Role::Error)),
    }
}

/// What there is to say about a message that has not arrived.
fn trouble(app: &App, line: &Said) -> Option<(String, Style)> {
    let words = app.words;
    match &line.state {
        State::Failed { why } => {
            let why = text::one_line(why);
            Some((
                format!("✗ {}", fill(words.not_sent, &[&why])),
                app.theme.of(Role::Error),
            ))
        }
        State::Waiting { left, of } => {
            let words = fill(words.of_pieces, &[&left.to_string(), &of.to_string()]);
            Some((words, app.theme.of(Role::Absent)))
        }
        State::Queued if app.model.me.is_none() => {
            Some((words.waiting.to_owned(), app.theme.of(Role::Absent)))
        }
        _ => None,
    }
}

/// All rows that belong to the message at `index` of a conversation.
pub fn block(app: &App, person: &Person, index: usize, width: usize) -> Vec<Line<'static>> {
    let lines = person.window.lines();
    let Some(line) = lines.get(index) else {
        return Vec::new();
    };
    let before = index.checked_sub(1).and_then(|b| lines.get(b));
    let mut rows = above(app, person, line, before, width);
    let selected = app.chat.selected == Some(line.key);
    let mut body = words(app, line, before.filter(|_| rows.is_empty()), width);
    if selected {
        for row in &mut body {
            let missing = width.saturating_sub(row.width());
            row.push_span(" ".repeat(missing));
            *row = std::mem::take(row).patch_style(app.theme.of(Role::Selected));
        }
    }
    rows.append(&mut body);
    rows
}

/// What stands between a message and the one before it.
fn above(
    app: &App,
    person: &Person,
    line: &Said,
    before: Option<&Said>,
    width: usize,
) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    let date = |l: &Said| local(app, l.message.time_ms).map(|t| t.date());
    if before.is_none_or(|b| date(b) != date(line)) {
        rows.push(ruled(
            &day(app, line.message.time_ms),
            width,
            app.theme.of(Role::Dim),
        ));
    }
    if person.window.first_unread == Some(line.key) {
        rows.push(ruled(
            app.words.read_until_here,
            width,
            app.theme.of(Role::Unread),
        ));
    }
    rows
}

/// Who said it, and when; the words; how far they have come.
fn words(app: &App, line: &Said, before: Option<&Said>, width: usize) -> Vec<Line<'static>> {
    let message = &line.message;
    let name = if message.outgoing {
        app.words.me.to_owned()
    } else {
        text::one_line(app.model.name(&message.peer))
    };
    let who = if message.outgoing {
        app.account.as_str()
    } else {
        &message.peer
    };
    let colour = app.theme.person(who);
    let again = before.is_some_and(|b| {
        b.message.outgoing == message.outgoing && message.time_ms - b.message.time_ms < PAUSE_MS
    });
    let time = Span::styled(clock(app, message.time_ms), app.theme.of(Role::Dim));
    let beside = width >= GUTTER;
    let own = if message.outgoing {
        app.words.me
    } else {
        app.model.name(&message.peer)
    };
    let column = text::width(own).clamp(text::width(app.words.me), NAME);
    let column = column.max(text::width(app.model.name(&message.peer)).min(NAME));
    let indent = if beside { 6 + column + 2 } else { 0 };
    let room = width.saturating_sub(indent + MARKS).max(8);

    let (said, action) = said(app, line, &name);
    let marks = if action {
        vec![mark::EMPHASIS; said.len()]
    } else {
        markup::marks(&said)
    };
    let ranges = text::wrap(&said, room);
    let more = ranges.len() > ROWS;
    let mut rows: Vec<Line<'static>> = Vec::new();
    if !beside && !again {
        rows.push(Line::from(vec![
            Span::styled(text::fit(&name, width.saturating_sub(7)), colour),
            Span::raw(" "),
            time.clone(),
        ]));
    }
    for (i, range) in ranges.into_iter().take(ROWS).enumerate() {
        let row = said[range.clone()].trim_end_matches(' ');
        let mut spans = match (beside, i) {
            (false, _) => Vec::new(),
            (true, 0) => {
                let name = if again || action {
                    String::new()
                } else {
                    text::fit(&name, column)
                };
                let gap = " ".repeat(column.saturating_sub(text::width(&name)));
                vec![
                    time.clone(),
                    Span::raw(format!(" {gap}")),
                    Span::styled(name, colour),
                    Span::raw("  "),
                ]
            }
            (true, _) => vec![Span::raw(" ".repeat(indent))],
        };
        spans.extend(styled(
            app,
            row,
            &marks[range.start..range.start + row.len()],
        ));
        rows.push(Line::from(spans));
    }
    if more {
        rows.push(Line::styled(
            format!("{}…", " ".repeat(indent)),
            app.theme.of(Role::Dim),
        ));
    }
    if message.outgoing
        && let Some(last) = rows.last_mut()
    {
        let (sign, style) = state_mark(app, &line.state);
        let gap = width.saturating_sub(last.width() + text::width(sign));
        last.push_span(" ".repeat(gap));
        last.push_span(Span::styled(sign, style));
    }
    if let Some((words, style)) = trouble(app, line).filter(|_| message.outgoing) {
        for range in text::wrap(&words, width.saturating_sub(indent).max(8)) {
            rows.push(Line::styled(
                format!("{}{}", " ".repeat(indent), &words[range]),
                style,
            ));
        }
    }
    rows
}

/// The words as they are shown; `true`: what somebody does (XEP-0245).
fn said(app: &App, line: &Said, name: &str) -> (String, bool) {
    let text = text::clean(&line.message.text);
    let _ = app;
    match text.strip_prefix("/me ") {
        Some(does) => (format!("* {name} {does}"), true),
        None => (text, false),
    }
}
