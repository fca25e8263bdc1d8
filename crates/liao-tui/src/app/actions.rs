//! Keys, paste and mouse: what each does where it is.

use super::about::What;
use super::{App, Effect, Focus, Overlay, PASTE_LINES, Row};
use crate::commands;
use crate::composer::Composer;
use crate::i18n::fill;
use crate::keys::{Action, Place};
use crate::view::markup;
use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

/// Rows of one turn of the mouse wheel.
const WHEEL: isize = 3;

/// Readline's keys, in any line that is written.
pub(super) fn edit(composer: &mut Composer, action: Action) -> bool {
    match action {
        Action::Left => composer.left(),
        Action::Right => composer.right(),
        Action::WordLeft => composer.word_left(),
        Action::WordRight => composer.word_right(),
        Action::Home => composer.home(),
        Action::End => composer.end(),
        Action::Backspace => composer.backspace(),
        Action::Delete => composer.delete(),
        Action::CutWord => composer.cut_word(),
        Action::CutWordAfter => composer.cut_word_after(),
        Action::CutLine => composer.cut_line(),
        Action::Paste => composer.paste(),
        _ => return false,
    }
    true
}

/// The character of a key that is only a character.
fn typed(key: &KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(c) if (key.modifiers - KeyModifiers::SHIFT).is_empty() => Some(c),
        _ => None,
    }
}

impl App {
    pub(super) fn key(&mut self, key: &KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let place = self.place();
        let action = self.keys.action(place, key);
        if action != Some(Action::Clear) {
            self.leaving = false;
        }
        match (action, typed(key)) {
            (Some(action), _) if place == Place::Form => self.form_key(action),
            (Some(Action::Number), Some(_)) => {}
            (Some(Action::Number), None) => self.number(key),
            (Some(action), _) => self.act(place, action),
            (None, Some(c)) => self.character(place, c),
            (None, None) => {}
        }
    }

    fn number(&mut self, key: &KeyEvent) {
        let KeyCode::Char(c) = key.code else { return };
        let place = c.to_digit(10).and_then(|d| (d as usize).checked_sub(1));
        if let Some(peer) = place.and_then(|p| self.list.chats.get(p)).cloned() {
            self.show(&peer);
        }
    }

    fn character(&mut self, place: Place, c: char) {
        match place {
            Place::Form => self.form_text(c.encode_utf8(&mut [0; 4])),
            Place::Writing => self.composer.insert(c.encode_utf8(&mut [0; 4])),
            Place::Choice => {
                if let Some(Overlay::Choice(choice)) = &mut self.overlay {
                    choice.input.insert(c.encode_utf8(&mut [0; 4]));
                    self.look();
                }
            }
            // A command can be begun anywhere.
            Place::List if c == '/' => {
                self.focus = Focus::Chat;
                self.composer.insert("/");
            }
            Place::List | Place::Message | Place::Question | Place::Anywhere => {}
        }
    }

    fn act(&mut self, place: Place, action: Action) {
        match action {
            Action::Quit => return self.quit(),
            Action::Help => {
                let open = matches!(self.overlay, Some(Overlay::Help(_)));
                self.overlay = (!open).then_some(Overlay::Help(0));
                return;
            }
            Action::Switch => return self.switcher(),
            Action::Search => return self.search(""),
            Action::NextUnread => return self.next_unread(),
            Action::FirstUnread => return self.first_unread(),
            Action::PreviousChat => return self.neighbour(-1),
            Action::NextChat => return self.neighbour(1),
            Action::Redraw => return self.effects.push(Effect::Redraw),
            Action::Back => return self.back(place),
            _ => {}
        }
        match place {
            Place::List => self.in_list(action),
            Place::Writing => self.while_writing(action),
            Place::Message => self.on_message(action),
            Place::Choice => self.in_choice(action),
            Place::Question => self.in_question(action),
            Place::Anywhere | Place::Form => {}
        }
    }

    fn page_rows(&self) -> isize {
        isize::try_from(self.areas().chat.height.saturating_sub(2).max(1)).unwrap_or(1)
    }

    fn back(&mut self, place: Place) {
        match place {
            Place::Choice | Place::Question => self.overlay = None,
            Place::Message => self.chat.selected = None,
            Place::Writing if self.about_words().is_some() => self.drop_about(),
            Place::Writing if self.chat.anchor.is_some() => self.go_to_end(),
            Place::Writing => self.show_list(),
            Place::List if self.open.is_some() => self.focus = Focus::Chat,
            Place::List | Place::Form | Place::Anywhere => {}
        }
    }

    fn in_list(&mut self, action: Action) {
        let page = isize::try_from(self.areas().list.height).unwrap_or(1);
        match action {
            Action::Open => self.list_open(),
            Action::Tab => self.next_tab(),
            Action::Up => self.list_move(-1),
            Action::Down => self.list_move(1),
            Action::PageUp => self.list_move(-page),
            Action::PageDown => self.list_move(page),
            Action::Home => self.list_move(isize::MIN),
            Action::End => self.list_move(isize::MAX),
            Action::Fold => self.fold(true),
            Action::Unfold => self.fold(false),
            Action::List => self.back(Place::List),
            action => {
                let Some(peer) = self.under_cursor() else {
                    return;
                };
                let asks = self.model.people.get(&peer).is_some_and(|p| p.requests);
                match action {
                    Action::Pin => self.pin(&peer),
                    Action::Mute => self.mute(&peer),
                    Action::Accept if asks => self.answer(&peer, true),
                    Action::Decline if asks => self.answer(&peer, false),
                    _ => {}
                }
            }
        }
    }

    fn while_writing(&mut self, action: Action) {
        let columns = usize::from(self.areas().input.width);
        match action {
            Action::Send => self.enter(),
            Action::Newline => self.composer.insert("\n"),
            Action::Complete => self.complete(),
            Action::Select => self.select(-1),
            Action::List => self.show_list(),
            Action::PageUp => self.scroll(-self.page_rows()),
            Action::PageDown => self.scroll(self.page_rows()),
            Action::Bottom => self.go_to_end(),
            Action::Editor => self
                .effects
                .push(Effect::Editor(self.composer.text().to_owned())),
            Action::Clear if !self.composer.text().is_empty() => drop(self.composer.take()),
            Action::Clear if self.leaving => self.quit(),
            Action::Clear => {
                self.leaving = true;
                self.say(self.words.quit_again);
            }
            Action::Delete if self.composer.text().is_empty() => self.quit(),
            Action::Up if self.composer.text().is_empty() && self.about_words().is_none() => {
                self.edit_last();
            }
            Action::Up => drop(self.composer.up(columns)),
            Action::Down => drop(self.composer.down(columns)),
            action => drop(edit(&mut self.composer, action)),
        }
    }

    fn on_message(&mut self, action: Action) {
        match action {
            Action::Up => self.select(-1),
            Action::Down => self.select(1),
            Action::PageUp => self.select(-5),
            Action::PageDown => self.select(5),
            Action::Bottom => {
                self.chat.selected = None;
                self.go_to_end();
            }
            Action::List => {
                self.chat.selected = None;
                self.show_list();
            }
            Action::Reply => self.begin_about(What::Reply),
            Action::Edit => self.begin_about(What::Edit),
            Action::React => self.begin_about(What::React),
            Action::Recall => self.recall(),
            Action::Again => self.again(),
            Action::Quoted => self.go_to_quoted(),
            Action::Return => self.go_back(),
            Action::Save | Action::Stop => {
                if let Some((_, (message, _))) = self.selected_message() {
                    match action {
                        Action::Save => self.save_file(&message),
                        _ => self.stop_file(&message),
                    }
                }
            }
            Action::Copy => {
                if let Some((_, (message, _))) = self.selected_message() {
                    self.effects.push(Effect::Copy(message.text));
                    self.chat.selected = None;
                    self.say(self.words.copied);
                }
            }
            Action::Link => {
                let found = self
                    .selected_message()
                    .and_then(|(_, (message, _))| markup::link(&message.text).map(str::to_owned));
                match found {
                    Some(link) => {
                        self.say(fill(self.words.opened, &[&link]));
                        self.effects.push(Effect::Open(link));
                    }
                    None => self.say(self.words.no_link_here),
                }
            }
            _ => {}
        }
    }

    fn in_choice(&mut self, action: Action) {
        let page = usize::from(self.areas().overlay.height.saturating_sub(4)).max(1);
        let step = match action {
            Action::Up => -1,
            Action::Down => 1,
            Action::PageUp => -(page as isize),
            Action::PageDown => page as isize,
            _ => 0,
        };
        match &mut self.overlay {
            Some(Overlay::Help(at) | Overlay::Notices(at)) => match action {
                Action::Home => *at = 0,
                Action::Open => self.overlay = None,
                _ => *at = at.saturating_add_signed(step),
            },
            Some(Overlay::Choice(choice)) => match action {
                Action::Open => self.take_choice(),
                Action::Tab => self.widen(),
                Action::Up | Action::Down | Action::PageUp | Action::PageDown => {
                    let last = choice.found.len().saturating_sub(1);
                    choice.at = choice.at.saturating_add_signed(step).min(last);
                }
                action => {
                    let before = choice.input.text().len();
                    edit(&mut choice.input, action);
                    if choice.input.text().len() != before {
                        self.look();
                    }
                }
            },
            Some(Overlay::Paste(_)) | None => {}
        }
    }

    fn in_question(&mut self, action: Action) {
        let Some(Overlay::Paste(text)) = self.overlay.take() else {
            return;
        };
        if action == Action::PasteFile {
            return self.effects.push(Effect::Paste(text));
        }
        self.composer.insert(&text);
        if action == Action::PasteSend {
            self.enter();
        }
    }

    pub(super) fn paste(&mut self, text: String) {
        match self.place() {
            Place::Form => self.form_text(text.trim()),
            Place::Choice => {
                if let Some(Overlay::Choice(choice)) = &mut self.overlay {
                    choice.input.insert(&text.replace(['\n', '\r'], " "));
                    self.look();
                }
            }
            Place::Question => {}
            _ => {
                self.chat.selected = None;
                self.focus = Focus::Chat;
                let lines = text
                    .trim_end()
                    .lines()
                    .count()
                    .max(text.matches('\r').count());
                if lines > PASTE_LINES {
                    self.overlay = Some(Overlay::Paste(text));
                } else {
                    self.composer.insert(&text);
                }
            }
        }
    }

    /// Completes a command, a name or an `:emoji:`; again and again it goes on to the next.
    fn complete(&mut self) {
        let before = self.composer.before().to_owned();
        let word = before
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let first = word.len() == before.len();
        if let Some(path) = commands::path_argument(&before) {
            return self.effects.push(Effect::Complete(path.to_owned()));
        }
        let found: Option<(usize, String)> =
            if let (true, Some(name)) = (first, word.strip_prefix('/')) {
                let all = commands::complete(name, self.talk);
                all.first().map(|name| (word.len(), format!("/{name} ")))
            } else if let Some(code) = word.strip_prefix(':').filter(|c| !c.is_empty()) {
                crate::emoji::complete(code).map(|sign| (word.len(), sign.to_owned()))
            } else if let (true, Some(name)) = (first, word.strip_prefix('@')) {
                self.name_like(name)
                    .map(|name| (word.len(), format!("@{name} ")))
            } else if let Some(name) = self.command_argument(&before) {
                self.name_like(name)
                    .map(|found| (name.len(), format!("{found} ")))
            } else {
                None
            };
        if let Some((bytes, with)) = found {
            self.composer.replace_before(bytes, &with);
        }
    }

    /// What is written of the name that a command is about.
    fn command_argument<'a>(&self, before: &'a str) -> Option<&'a str> {
        let (command, rest) = before.strip_prefix('/')?.split_once(' ')?;
        let row = commands::ALL.iter().find(|r| r.names.contains(&command))?;
        let fits = row.arguments.starts_with("NAME") && !rest.contains(char::is_whitespace);
        fits.then_some(rest)
    }

    /// The name of somebody that begins so, in one word; else the address.
    fn name_like(&self, beginning: &str) -> Option<String> {
        let wanted = beginning.to_lowercase();
        let fitting = |peer: &&String| {
            let name = self.model.name(peer).to_lowercase();
            name.starts_with(&wanted) || peer.to_lowercase().starts_with(&wanted)
        };
        let peer = self.list.chats.iter().find(fitting)?;
        let name = self.model.name(peer);
        let one_word = !name.contains(char::is_whitespace);
        Some(if one_word {
            name.to_owned()
        } else {
            peer.clone()
        })
    }

    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        if self.form.is_some() {
            return;
        }
        let areas = self.areas();
        let at = (mouse.column, mouse.row).into();
        let step = match mouse.kind {
            MouseEventKind::ScrollUp => -WHEEL,
            MouseEventKind::ScrollDown => WHEEL,
            MouseEventKind::Down(MouseButton::Left) => 0,
            _ => return,
        };
        if let Some(overlay) = &mut self.overlay {
            match overlay {
                Overlay::Help(row) | Overlay::Notices(row) => {
                    *row = row.saturating_add_signed(step)
                }
                Overlay::Choice(choice) => {
                    let last = choice.found.len().saturating_sub(1);
                    choice.at = choice.at.saturating_add_signed(step).min(last);
                }
                Overlay::Paste(_) => {}
            }
        } else if areas.list.contains(at) && step != 0 {
            self.list_move(step);
        } else if areas.list.contains(at) {
            let row = usize::from(mouse.row - areas.list.y) + crate::view::list::first(self);
            if let Some(found) = self.list.rows.get(row).cloned() {
                self.list.at = row;
                match found {
                    Row::Person(peer) => self.show(&peer),
                    Row::Group(..) => self.list_open(),
                }
            }
        } else if areas.tabs.contains(at) && step == 0 {
            self.next_tab();
        } else if areas.input.contains(at) && step == 0 {
            self.focus = Focus::Chat;
            let (x, y) = (mouse.column - areas.input.x, mouse.row - areas.input.y);
            let row = usize::from(y) + crate::view::input::first(self);
            self.composer
                .go(usize::from(areas.input.width), usize::from(x), row);
        } else if areas.chat.contains(at) && step != 0 {
            self.scroll(step);
        } else if areas.chat.contains(at) {
            self.chat.selected = crate::view::chat::line_at(self, mouse.row);
        }
    }
}
