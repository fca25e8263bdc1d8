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
    let role = match state {
        State::Queued | State::Waiting { .. } | State::Sent => Role::Dim,
        State::Delivered | State::Read => Role::Good,
        State::Failed { .. } => Role::Error,
    };
    (text::mark(state), app.theme.of(role))
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

/// Columns before the words.
struct Gutter {
    /// Time and name stand beside the words, not above.
    beside: bool,
    /// Columns of a name.
    column: usize,
    /// All of it.
    indent: usize,
}

fn gutter(app: &App, line: &Said, width: usize) -> Gutter {
    let beside = width >= GUTTER;
    let other = text::width(app.model.name(&line.message.peer));
    let column = other.max(text::width(app.words.me)).min(NAME);
    Gutter {
        beside,
        column,
        indent: if beside { 6 + column + 2 } else { 0 },
    }
}

/// Who said it, and when; the words; how far they have come.
fn words(app: &App, line: &Said, before: Option<&Said>, width: usize) -> Vec<Line<'static>> {
    let gutter = gutter(app, line, width);
    let again = before.is_some_and(|b| {
        let pause = line.message.time_ms - b.message.time_ms;
        b.message.outgoing == line.message.outgoing && pause < PAUSE_MS
    });
    let mut rows = Vec::new();
    if !gutter.beside && !again {
        let (name, colour) = who(app, line);
        rows.push(Line::from(vec![
            Span::styled(text::fit(&name, width.saturating_sub(7)), colour),
            Span::raw(" "),
            time(app, line),
        ]));
    }
    quoted(app, line, &gutter, width, &mut rows);
    said(app, line, again, &gutter, width, &mut rows);
    felt(app, line, &gutter, width, &mut rows);
    if line.message.outgoing {
        come(app, line, &gutter, width, &mut rows);
    }
    if let Some(words) = app.transfer(&line.message) {
        let indent = " ".repeat(gutter.indent);
        for range in text::wrap(&words, width.saturating_sub(gutter.indent).max(8)) {
            let style = app.theme.of(Role::Accent);
            rows.push(Line::styled(format!("{indent}{}", &words[range]), style));
        }
    }
    rows
}

/// What is answered, in one row (XEP-0461).
fn quoted(app: &App, line: &Said, gutter: &Gutter, width: usize, rows: &mut Vec<Line<'static>>) {
    let Some(reply) = &line.message.more.reply else {
        return;
    };
    let quote = text::one_line(&reply.quote);
    let quote = text::fit(&quote, width.saturating_sub(gutter.indent + MARKS + 2));
    let words = format!("{}┌ {quote}", " ".repeat(gutter.indent));
    rows.push(Line::styled(words, app.theme.of(Role::Quote)));
}

/// What people feel about it: each sign with how many they are (XEP-0444).
fn felt(app: &App, line: &Said, gutter: &Gutter, width: usize, rows: &mut Vec<Line<'static>>) {
    let mut signs: Vec<(String, usize)> = Vec::new();
    for emoji in line.message.more.reactions.iter().flat_map(|r| &r.emojis) {
        let emoji = text::one_line(emoji);
        match signs.iter_mut().find(|(s, _)| *s == emoji) {
            Some((_, count)) => *count += 1,
            None => signs.push((emoji, 1)),
        }
    }
    if signs.is_empty() {
        return;
    }
    let signs: Vec<String> = signs.iter().map(|(s, n)| format!("{s} {n}")).collect();
    let words = text::fit(
        &signs.join("  "),
        width.saturating_sub(gutter.indent + MARKS),
    );
    let words = format!("{}{words}", " ".repeat(gutter.indent));
    rows.push(Line::styled(words, app.theme.of(Role::Absent)));
}

/// Whose words they are, and their colour.
fn who(app: &App, line: &Said) -> (String, Style) {
    let message = &line.message;
    if message.outgoing {
        let colour = app.theme.person(&app.account);
        return (app.words.me.to_owned(), colour);
    }
    let name = text::one_line(app.model.name(&message.peer));
    (name, app.theme.person(&message.peer))
}

fn time(app: &App, line: &Said) -> Span<'static> {
    let time = clock(app, line.message.time_ms);
    Span::styled(time, app.theme.of(Role::Dim))
}

/// The rows of the words; `again`: the name stands above already.
fn said(
    app: &App,
    line: &Said,
    again: bool,
    gutter: &Gutter,
    width: usize,
    rows: &mut Vec<Line<'static>>,
) {
    let (name, colour) = who(app, line);
    let more = &line.message.more;
    let text = match &more.file {
        Some(file) => text::file(file),
        None => text::clean(&line.message.text),
    };
    // What somebody does (XEP-0245), or did to a message.
    let (mut said, does) = match text.strip_prefix("/me ") {
        _ if more.recalled && line.message.outgoing => (app.words.recalled_mine.to_owned(), true),
        _ if more.recalled => (fill(app.words.took_back, &[&name]), true),
        Some(does) => (format!("* {name} {does}"), true),
        None => (text, false),
    };
    if more.edited_ms.is_some() && !more.recalled {
        said = format!("{said} {}", app.words.edited_mark);
    }
    let marks = if more.file.is_some() {
        vec![mark::LINK; said.len()]
    } else if does {
        vec![mark::EMPHASIS; said.len()]
    } else {
        markup::marks(&said)
    };
    let room = width.saturating_sub(gutter.indent + MARKS).max(8);
    let ranges = text::wrap(&said, room);
    let long = ranges.len() > ROWS;
    for (i, range) in ranges.into_iter().take(ROWS).enumerate() {
        let row = said[range.clone()].trim_end_matches(' ');
        let mut spans = vec![Span::raw(" ".repeat(gutter.indent))];
        if gutter.beside && i == 0 {
            let hidden = again || does;
            let name = text::fit(if hidden { "" } else { &name }, gutter.column);
            let gap = " ".repeat(gutter.column.saturating_sub(text::width(&name)));
            spans = vec![
                time(app, line),
                Span::raw(format!(" {gap}")),
                Span::styled(name, colour),
                Span::raw("  "),
            ];
        }
        let of_row = &marks[range.start..range.start + row.len()];
        spans.extend(styled(app, row, of_row));
        rows.push(Line::from(spans));
    }
    if long {
        let words = format!("{}…", " ".repeat(gutter.indent));
        rows.push(Line::styled(words, app.theme.of(Role::Dim)));
    }
}

/// How far our own words have come: a sign behind them, and words where they have not arrived.
fn come(app: &App, line: &Said, gutter: &Gutter, width: usize, rows: &mut Vec<Line<'static>>) {
    if let Some(last) = rows.last_mut() {
        let (sign, style) = state_mark(app, &line.state);
        let gap = width.saturating_sub(last.width() + text::width(sign));
        last.push_span(" ".repeat(gap));
        last.push_span(Span::styled(sign, style));
    }
    if let Some((words, style)) = trouble(app, line) {
        let indent = " ".repeat(gutter.indent);
        for range in text::wrap(&words, width.saturating_sub(gutter.indent).max(8)) {
            rows.push(Line::styled(format!("{indent}{}", &words[range]), style));
        }
    }
}
