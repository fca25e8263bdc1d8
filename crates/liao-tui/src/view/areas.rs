//! Where the parts of the screen are: two panes, or one when it is narrow.

use crate::app::{App, Focus};
use ratatui::layout::Rect;

/// Fewer columns have room for one pane only.
const TWO_PANES: u16 = 60;
/// Rows that words under way may take.
const INPUT_ROWS: u16 = 8;
/// Columns before the words under way.
const PROMPT: u16 = 2;
/// Less than this shows nothing.
pub const LEAST: (u16, u16) = (20, 6);

/// The parts; those that are not shown are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Areas {
    /// Above the list.
    pub tabs: Rect,
    /// The list.
    pub list: Rect,
    /// Between the panes.
    pub divider: Rect,
    /// Above the conversation.
    pub title: Rect,
    /// The conversation.
    pub chat: Rect,
    /// Above the words under way.
    pub rule: Rect,
    /// The words under way, without the prompt.
    pub input: Rect,
    /// The last row.
    pub status: Rect,
    /// What lies over the rest.
    pub overlay: Rect,
}

/// Divides the screen.
pub fn areas(app: &App) -> Areas {
    let (columns, rows) = app.size;
    if columns < LEAST.0 || rows < LEAST.1 {
        return Areas::default();
    }
    let two = columns >= TWO_PANES;
    let body = rows - 2;
    let mut areas = Areas {
        status: Rect::new(0, rows - 1, columns, 1),
        ..Areas::default()
    };
    let (left, list) = match (two, app.focus) {
        (true, _) => {
            let list = (columns * 3 / 10).clamp(24, 48);
            (list + 1, list)
        }
        (false, Focus::List) => (columns, columns),
        (false, Focus::Chat) => (0, 0),
    };
    if list > 0 {
        areas.tabs = Rect::new(0, 0, list, 1);
        areas.list = Rect::new(0, 1, list, body);
    }
    if two {
        areas.divider = Rect::new(list, 0, 1, body + 1);
    }
    if left < columns {
        let width = columns - left;
        let most = INPUT_ROWS.min(body / 3).max(1);
        let text = usize::from(width - PROMPT - 1);
        let wanted = u16::try_from(app.composer.rows(text).0.len()).unwrap_or(most);
        let input = wanted.clamp(1, most);
        let chat = body.saturating_sub(input + 1);
        areas.title = Rect::new(left, 0, width, 1);
        areas.chat = Rect::new(left, 1, width, chat);
        areas.rule = Rect::new(left, 1 + chat, width, 1);
        areas.input = Rect::new(left + PROMPT, 2 + chat, width - PROMPT - 1, input);
    }
    let margin = if columns >= 80 { columns / 10 } else { 0 };
    areas.overlay = Rect::new(margin, 1, columns - 2 * margin, rows - 2);
    areas
}
