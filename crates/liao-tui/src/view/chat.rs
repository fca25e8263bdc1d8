//! The conversation: its title, and the stretch of it that is looked at, built from the bottom row upwards.

use super::areas::Areas;
use super::{list, message};
use crate::app::App;
use crate::i18n::fill;
use crate::text;
use crate::theme::Role;
use liao_client::Person;
use ratatui::Frame;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Draws title and conversation.
pub fn draw(frame: &mut Frame<'_>, app: &App, areas: &Areas) {
    if areas.chat.height == 0 {
        return;
    }
    let bar = app.theme.of(Role::Bar);
    let title = title(app, usize::from(areas.title.width));
    frame.render_widget(Paragraph::new(title).style(bar), areas.title);
    let banner = banner(app, usize::from(areas.chat.width));
    let rows = rows(app, areas);
    let height = usize::from(areas.chat.height);
    let mut lines: Vec<Line<'static>> = Vec::new();
    if rows.is_empty() {
        lines.extend(banner);
        let words = match (app.open.is_some(), app.chat.loading) {
            (true, true) => app.words.working,
            (true, false) => app.words.nothing_said,
            (false, _) => hint(app),
        };
        for line in words.split('\n') {
            for range in text::wrap(line, usize::from(areas.chat.width).saturating_sub(2)) {
                lines.push(Line::styled(
                    format!(" {}", &line[range]),
                    app.theme.of(Role::Dim),
                ));
            }
        }
        let area = areas.chat;
        return frame.render_widget(Paragraph::new(lines), area);
    }
    // Few messages stand above the words under way, as in any chat.
    lines.extend(std::iter::repeat_n(
        Line::default(),
        height.saturating_sub(rows.len()),
    ));
    lines.extend(rows.into_iter().map(|(_, row)| row));
    for (line, row) in lines.iter_mut().zip(banner) {
        *line = row;
    }
    frame.render_widget(Paragraph::new(lines), areas.chat);
}

/// Whoever asks to be a friend: their words, and how to answer; over the oldest rows, as it is for now only.
fn banner(app: &App, width: usize) -> Vec<Line<'static>> {
    let person = app
        .open
        .as_ref()
        .and_then(|peer| app.model.people.get(peer));
    let Some(person) = person.filter(|p| p.requests) else {
        return Vec::new();
    };
    let greeting = person.greeting.as_deref().map(text::one_line);
    let greeting = greeting.map_or(String::new(), |g| format!(" ({g})"));
    let name = text::one_line(&person.contact.peer);
    let words = format!("? {}", fill(app.words.how_to_answer, &[&name, &greeting]));
    let style = app.theme.of(Role::Unread);
    let ranges = text::wrap(&words, width.saturating_sub(1).max(8));
    let row = |range: std::ops::Range<usize>| {
        let row = text::pad(words[range].trim_end(), width.saturating_sub(1));
        Line::styled(format!(" {row}"), style)
    };
    ranges.into_iter().map(row).collect()
}

fn hint(app: &App) -> &'static str {
    use crate::commands::Place;
    match app.talk {
        Place::Sockets => app.words.greeting_sockets,
        _ => app.words.greeting_screen,
    }
}

/// The rows on the screen, each with the key of its message.
fn rows(app: &App, areas: &Areas) -> Vec<(u64, Line<'static>)> {
    let Some(person) = app
        .open
        .as_ref()
        .and_then(|peer| app.model.people.get(peer))
    else {
        return Vec::new();
    };
    let lines = person.window.lines();
    let (height, width) = (
        usize::from(areas.chat.height),
        usize::from(areas.chat.width),
    );
    let anchor = app
        .chat
        .anchor
        .and_then(|a| Some((person.window.index(a.key)?, a.below)));
    let (last, below) = anchor.unwrap_or((lines.len().saturating_sub(1), 0));
    let mut upwards: Vec<(u64, Line<'static>)> = Vec::new();
    for index in (0..lines.len()).take(last + 1).rev() {
        let block = message::block(app, person, index, width);
        let hidden = if index == last { below } else { 0 };
        let key = lines[index].key;
        upwards.extend(block.into_iter().rev().skip(hidden).map(|row| (key, row)));
        if upwards.len() >= height {
            break;
        }
    }
    let all_above = upwards.len() < height;
    upwards.truncate(height);
    upwards.reverse();
    if all_above
        && !upwards.is_empty()
        && !person.window.older
        && app.talk == crate::commands::Place::Account
    {
        let words = Line::styled(app.words.beginning, app.theme.of(Role::Dim)).centered();
        upwards.insert(0, (lines.front().map_or(0, |l| l.key), words));
    }
    upwards
}

/// The message in a row of the screen.
pub fn line_at(app: &App, row: u16) -> Option<u64> {
    let areas = app.areas();
    let rows = rows(app, &areas);
    let empty = usize::from(areas.chat.height).saturating_sub(rows.len());
    let at = usize::from(row.checked_sub(areas.chat.y)?).checked_sub(empty)?;
    rows.get(at).map(|(key, _)| *key)
}

/// With whom, and how they are.
fn title(app: &App, width: usize) -> Line<'static> {
    let Some(peer) = &app.open else {
        return Line::from(" liao 聊");
    };
    let name = text::one_line(app.model.name(peer));
    let mut spans = vec![Span::raw(" ")];
    let Some(person) = app.model.people.get(peer) else {
        return Line::from(format!(" {}", text::fit(&name, width.saturating_sub(2))));
    };
    let (sign, word, role) = list::presence(app, person);
    let mut rest = String::new();
    // A caller's address stands where friends have their groups.
    let address = match &person.contact.groups[..] {
        [address] if app.model.only_memory() => address,
        _ => peer,
    };
    if name != *address {
        rest = format!("  {}", text::one_line(address));
    }
    let status = person
        .status
        .as_deref()
        .map(text::one_line)
        .filter(|s| !s.is_empty());
    let status = status.map_or(String::new(), |s| format!(": {s}"));
    let below = if app.chat.anchor.is_some() {
        app.words.newer_below
    } else {
        ""
    };
    let head = format!("{name} — ");
    let state = if app.types(peer) {
        format!("{sign} {}", app.words.types_now)
    } else {
        format!("{sign} {word}{status}")
    };
    let room = width.saturating_sub(2 + text::width(below));
    let head = text::fit(&head, room);
    let room = room.saturating_sub(text::width(&head));
    let state = text::fit(&state, room);
    let room = room.saturating_sub(text::width(&state));
    spans.push(Span::styled(
        head,
        app.theme
            .of(Role::Bar)
            .add_modifier(ratatui::style::Modifier::BOLD),
    ));
    spans.push(Span::styled(
        state,
        app.theme.of(Role::Bar).patch(app.theme.of(role)),
    ));
    let rest = if room > text::width(&rest) + 1 {
        rest
    } else {
        String::new()
    };
    let gap = room.saturating_sub(text::width(&rest));
    spans.push(Span::raw(rest));
    spans.push(Span::raw(" ".repeat(gap)));
    spans.push(Span::styled(
        below,
        app.theme.of(Role::Bar).patch(app.theme.of(Role::Unread)),
    ));
    Line::from(spans)
}

/// Unread messages in words.
pub fn unread(app: &App, person: &Person) -> String {
    fill(app.words.new, &[&person.unread.to_string()])
}
