//! The list of conversations and friends: who is there, what is unread, what failed, in signs and words.

use super::areas::Areas;
use super::chat;
use crate::app::{App, Focus, Row, Tab};
use crate::commands::Place as Talk;
use crate::i18n::fill;
use crate::text;
use crate::theme::Role;
use liao_client::{Person, Show};
use ratatui::Frame;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// From this width on a row has the newest message, too.
const PREVIEW: usize = 40;

/// A person's availability: a sign, a word, how it looks.
pub fn presence(app: &App, person: &Person) -> (&'static str, &'static str, Role) {
    availability(app, person.available, person.show)
}

/// The same of anyone, ourselves too.
pub fn availability(
    app: &App,
    available: bool,
    show: Option<Show>,
) -> (&'static str, &'static str, Role) {
    let words = app.words;
    match (available, show) {
        (false, _) => ("○", words.offline, Role::Dim),
        (true, None) => ("●", words.online, Role::Good),
        (true, Some(Show::Chat)) => ("●", words.glad, Role::Good),
        (true, Some(Show::Away)) => ("◐", words.away, Role::Absent),
        (true, Some(Show::Xa)) => ("◐", words.long_away, Role::Absent),
        (true, Some(Show::Dnd)) => ("⊖", words.busy, Role::Absent),
    }
}

/// The first row on the screen.
pub fn first(app: &App) -> usize {
    let height = usize::from(app.areas().list.height).max(1);
    let count = app.list.rows.len();
    let middle = app.list.at.saturating_sub(height / 2);
    middle.min(count.saturating_sub(height))
}

/// Draws tabs, rows, and what separates them from the conversation.
pub fn draw(frame: &mut Frame<'_>, app: &App, areas: &Areas) {
    if areas.list.height > 0 {
        let bar = app.theme.of(Role::Bar);
        let width = usize::from(areas.list.width);
        frame.render_widget(Paragraph::new(tabs(app, width)).style(bar), areas.tabs);
        let from = first(app);
        let rows = app.list.rows.iter().enumerate().skip(from);
        let mut lines: Vec<Line<'static>> = rows
            .take(usize::from(areas.list.height))
            .map(|(i, row)| line(app, i, row, width))
            .collect();
        if lines.is_empty() {
            let nobody = match app.talk {
                Talk::Sockets => app.words.nobody_listed,
                _ => app.words.nobody_yet,
            };
            for range in text::wrap(nobody, width.saturating_sub(2)) {
                let words = format!(" {}", &nobody[range]);
                lines.push(Line::styled(words, app.theme.of(Role::Dim)));
            }
        }
        frame.render_widget(Paragraph::new(lines), areas.list);
    }
    let divider = std::iter::repeat_n(Line::from("│"), usize::from(areas.divider.height));
    let divider = Paragraph::new(divider.collect::<Vec<_>>()).style(app.theme.of(Role::Dim));
    frame.render_widget(divider, areas.divider);
}

fn tabs(app: &App, width: usize) -> Line<'static> {
    let words = app.words;
    let loud = app.model.people.values().filter(|p| !p.muted);
    let unread: usize = loud.map(|p| p.unread).sum();
    let mut chats = words.chats.to_owned();
    if unread > 0 {
        chats = format!("{chats} ({})", fill(words.new, &[&unread.to_string()]));
    }
    let chosen = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    let look = |on| if on { chosen } else { Style::new() };
    if app.talk == Talk::Sockets {
        let chats = text::fit(&format!(" {}", words.people), width);
        return Line::styled(chats, look(true));
    }
    let friends = app.model.people.values().filter(|p| p.is_contact());
    let (online, all) = friends.fold((0, 0), |(o, a), p| (o + usize::from(p.available), a + 1));
    let long = format!("{} {online}/{all}", words.friends);
    let short = words.friends.to_owned();
    let fits = text::width(&chats) + text::width(&long) + 5 <= width;
    let friends = if fits { long } else { short };
    Line::from(vec![
        Span::raw(" "),
        Span::styled(chats, look(app.list.tab == Tab::Chats)),
        Span::raw(" │ "),
        Span::styled(friends, look(app.list.tab == Tab::Friends)),
    ])
}

fn line(app: &App, index: usize, row: &Row, width: usize) -> Line<'static> {
    let mut line = match row {
        Row::Group(name, online, all) => {
            let name = if name.is_empty() {
                app.words.no_group
            } else {
                name
            };
            let sign = if app.list.folded.contains(row_name(row)) {
                "▸"
            } else {
                "▾"
            };
            let words = format!("{sign} {} {online}/{all}", text::one_line(name));
            Line::styled(text::pad(&words, width), app.theme.of(Role::Accent))
        }
        Row::Person(peer) => match app.model.people.get(peer) {
            Some(person) => person_line(app, person, index, width),
            None => Line::default(),
        },
    };
    if index == app.list.at && app.focus == Focus::List {
        line = line.patch_style(app.theme.of(Role::Selected));
    }
    line
}

fn row_name(row: &Row) -> &str {
    match row {
        Row::Group(name, ..) | Row::Person(name) => name,
    }
}

/// What stands at the right end of a person's row.
fn badge(app: &App, person: &Person) -> (String, Role) {
    let words = app.words;
    let peer = &person.contact.peer;
    if person.requests {
        return (words.asks.to_owned(), Role::Unread);
    }
    if person.failed > 0 {
        return (
            fill(words.failed, &[&person.failed.to_string()]),
            Role::Error,
        );
    }
    if person.unread > 0 {
        let role = if person.muted {
            Role::Dim
        } else {
            Role::Unread
        };
        return (chat::unread(app, person), role);
    }
    if app.open.as_ref() != Some(peer) && app.has_draft(peer) {
        return (words.draft.to_owned(), Role::Absent);
    }
    if person.contact.asked {
        return (words.asked.to_owned(), Role::Dim);
    }
    let (_, word, role) = presence(app, person);
    match (person.available, person.muted) {
        (_, true) => (words.muted.to_owned(), Role::Dim),
        (true, false) => (word.to_owned(), role),
        (false, false) => (String::new(), Role::Dim),
    }
}

fn person_line(app: &App, person: &Person, index: usize, width: usize) -> Line<'static> {
    let peer = &person.contact.peer;
    let (sign, _, role) = presence(app, person);
    let sign = if person.requests { "?" } else { sign };
    let here = app.open.as_ref() == Some(peer);
    let cursor = index == app.list.at && app.focus == Focus::List;
    let edge = match (cursor, here) {
        (true, _) => "›",
        (false, true) => "▌",
        (false, false) => " ",
    };
    let (badge, badge_role) = badge(app, person);
    let badge = text::fit(&badge, width / 2);
    let name = text::one_line(app.model.name(peer));
    let name = if person.pinned {
        format!("↑{name}")
    } else {
        name
    };
    let room = width.saturating_sub(4 + text::width(&badge) + usize::from(!badge.is_empty()));
    let preview = person
        .last
        .as_ref()
        .filter(|_| width >= PREVIEW)
        .map(|m| app.preview(m));
    let name_room = if preview.is_some() {
        room.min(16)
    } else {
        room
    };
    let name = text::pad(&name, name_room);
    let loud = person.unread > 0 && !person.muted;
    let name_style = match (loud, here) {
        (true, _) => app.theme.of(Role::Unread),
        (false, true) => Style::new().add_modifier(Modifier::BOLD),
        (false, false) => Style::new(),
    };
    let rest = text::pad(
        &preview.map_or(String::new(), |p| format!(" {p}")),
        room.saturating_sub(name_room),
    );
    let mut spans = vec![
        Span::styled(edge, app.theme.of(Role::Accent)),
        Span::styled(sign, app.theme.of(role)),
        Span::raw(" "),
        Span::styled(name, name_style),
        Span::styled(rest, app.theme.of(Role::Dim)),
    ];
    if !badge.is_empty() {
        spans.push(Span::raw(" "));
        spans.push(Span::styled(badge, app.theme.of(badge_role)));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}
