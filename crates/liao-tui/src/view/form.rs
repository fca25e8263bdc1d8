//! The first run's form.

use super::cursor;
use crate::app::{App, Form, ROLES, Step};
use crate::i18n::fill;
use crate::text;
use crate::theme::Role;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// Columns of the form, at most.
const WIDTH: u16 = 72;

/// A form's rows, and where the cursor is in them.
struct Page {
    rows: Vec<Line<'static>>,
    cursor: Option<(usize, usize)>,
    width: usize,
}

impl Page {
    fn say(&mut self, words: &str, style: ratatui::style::Style) {
        for line in words.split('\n') {
            for range in text::wrap(line, self.width) {
                self.rows.push(Line::styled(line[range].to_owned(), style));
            }
        }
    }

    fn gap(&mut self) {
        self.rows.push(Line::default());
    }
}

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, app: &App, form: &Form) {
    let area = frame.area();
    let width = area.width.saturating_sub(2).min(WIDTH);
    let page = page(app, form, usize::from(width));
    let height = u16::try_from(page.rows.len()).unwrap_or(area.height);
    let above = area.height.saturating_sub(height + 1) / 3;
    // The cursor's row is on the screen, whatever else is not.
    let room = usize::from(area.height.saturating_sub(above + 1));
    let skip = page.cursor.map_or(0, |(_, y)| (y + 2).saturating_sub(room));
    let place = Rect::new(
        (area.width - width) / 2,
        above,
        width,
        area.height - above - 1,
    );
    let rows: Vec<Line<'static>> = page.rows.into_iter().skip(skip).collect();
    frame.render_widget(Paragraph::new(rows), place);
    if let Some((x, y)) = page.cursor {
        let (x, y) = (
            u16::try_from(x).unwrap_or(0),
            u16::try_from(y - skip).unwrap_or(0),
        );
        cursor(frame, place.x + x, place.y + y);
    }
    let bar = app.theme.of(Role::Bar);
    let keys = match form.step {
        Step::Link => app.words.form_first_keys,
        Step::Sockets(_) => app.words.form_role_keys,
        _ => app.words.form_keys,
    };
    let keys = text::pad(&format!(" {keys}"), usize::from(area.width));
    let last = Rect::new(0, area.height - 1, area.width, 1);
    frame.render_widget(Line::styled(keys, bar), last);
}

fn page(app: &App, form: &Form, width: usize) -> Page {
    let (words, dim) = (app.words, app.theme.of(Role::Dim));
    let bold = app.theme.of(Role::Accent);
    let mut page = Page {
        rows: Vec::new(),
        cursor: None,
        width,
    };
    page.say("liao 聊", bold);
    page.gap();
    match &form.step {
        Step::Link => {
            page.say(words.welcome, app.theme.of(Role::Plain));
            page.gap();
        }
        Step::Account(invitation) => {
            let domain = match &invitation.name {
                Some(name) => format!("{name}@{}", invitation.domain),
                None => invitation.domain.clone(),
            };
            page.say(&fill(words.invited, &[&domain]), app.theme.of(Role::Good));
            page.gap();
        }
        Step::LogIn(jid) => {
            page.say(&fill(words.login_as, &[jid]), app.theme.of(Role::Plain));
            page.gap();
        }
        Step::Sockets(chosen) => {
            page.say(words.sockets_form, app.theme.of(Role::Plain));
            page.gap();
            for (role, label) in ROLES {
                let on = role == *chosen;
                let sign = if on { "(•)" } else { "( )" };
                let style = if on { bold } else { app.theme.of(Role::Plain) };
                page.say(&format!("{sign} {}", label(words)), style);
            }
            page.gap();
        }
    }
    for (i, _) in form.fields.iter().enumerate() {
        field(app, form, i, &mut page);
    }
    if let Some(error) = &form.error {
        page.say(
            &format!("✗ {}", text::clean(error)),
            app.theme.of(Role::Error),
        );
    } else if form.busy {
        page.say(words.working, app.theme.of(Role::Absent));
    } else if let Some(notice) = app.current_notice() {
        page.say(&text::clean(&notice.words), dim);
    }
    if matches!(form.step, Step::Link) {
        page.gap();
        page.say(words.server_help, dim);
    }
    page
}

fn field(app: &App, form: &Form, index: usize, page: &mut Page) {
    let field = &form.fields[index];
    let on = index == form.at;
    let style = if on {
        app.theme.of(Role::Accent)
    } else {
        app.theme.of(Role::Plain)
    };
    page.say((field.label)(app.words), style);
    let hide = |text: &str| {
        if field.secret && !form.shown {
            "•".repeat(unicode_segmentation::UnicodeSegmentation::graphemes(text, true).count())
        } else {
            text::one_line(text)
        }
    };
    let (before, all) = (hide(field.input.before()), hide(field.input.text()));
    let room = page.width.saturating_sub(3).max(4);
    // A long answer shows the part with the cursor.
    let skip = text::width(&before).saturating_sub(room - 1);
    let shown = skip_columns(&all, skip);
    let shown = text::pad(&text::fit(shown, room + 1), room + 1);
    if on && !form.busy {
        let column = text::width(skip_columns(&before, skip));
        page.cursor = Some((2 + column, page.rows.len()));
    }
    let edge = if on { "▌ " } else { "│ " };
    page.rows.push(Line::styled(
        format!("{edge}{shown}"),
        if on {
            style.remove_modifier(Modifier::BOLD)
        } else {
            style
        },
    ));
    if let Some(help) = field.help {
        page.say(help(app.words), app.theme.of(Role::Dim));
    }
    page.gap();
}

fn skip_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, cluster) in unicode_segmentation::UnicodeSegmentation::grapheme_indices(text, true) {
        if used >= columns {
            return &text[at..];
        }
        used += text::width(cluster);
    }
    if columns == 0 { text } else { "" }
}
