//! THE table of keys: help and the file of one's own keys come from it.

use crate::i18n::Text;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::HashMap;

/// Where a key works. What is nearer wins over [`Place::Anywhere`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Everywhere but in forms and questions.
    Anywhere,
    /// While writing.
    Writing,
    /// In the list of chats and friends.
    List,
    /// On a selected message.
    Message,
    /// In the switcher and in the search.
    Choice,
    /// In the first run's form.
    Form,
    /// Before an answer that must be given.
    Question,
}

/// All places, with the title that the help gives them.
pub static PLACES: &[(Place, Text)] = &[
    (Place::Anywhere, |w| w.k_anywhere),
    (Place::Writing, |w| w.k_writing),
    (Place::List, |w| w.k_in_list),
    (Place::Message, |w| w.k_on_message),
    (Place::Choice, |w| w.k_in_choice),
    (Place::Form, |w| w.k_in_form),
    (Place::Question, |w| w.k_in_question),
];

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // why: each is explained by its row's text
pub enum Action {
    Quit,
    Help,
    Switch,
    Search,
    NextUnread,
    FirstUnread,
    PreviousChat,
    NextChat,
    Number,
    Redraw,
    List,
    Send,
    Newline,
    Editor,
    Complete,
    PageUp,
    PageDown,
    Bottom,
    Select,
    Back,
    Clear,
    Up,
    Down,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Backspace,
    Delete,
    CutWord,
    CutWordAfter,
    CutLine,
    Paste,
    Open,
    Tab,
    Fold,
    Unfold,
    Pin,
    Mute,
    Accept,
    Decline,
    Link,
    Copy,
    Again,
    Reply,
    Edit,
    Recall,
    React,
    Show,
    Sockets,
    PasteSend,
    PasteEdit,
    PasteFile,
    Save,
    Stop,
    Quoted,
    Return,
}

/// One row.
pub struct Row {
    /// Where it works.
    pub place: Place,
    /// The keys, as they are written in the help and in a file of one's own.
    pub keys: &'static [&'static str],
    /// What it does.
    pub action: Action,
    /// Its name in a file of one's own.
    pub name: &'static str,
    /// What it does, in words.
    pub what: Text,
}

macro_rules! rows {
    ($($place:ident $name:literal $action:ident [$($key:literal),*] $what:ident;)*) => {
        &[$(Row {
            place: Place::$place,
            keys: &[$($key),*],
            action: Action::$action,
            name: $name,
            what: |w| w.$what,
        }),*]
    };
}

/// THE table.
pub static ALL: &[Row] = rows! {
    Anywhere "help"          Help          ["F1"]                              k_help;
    Anywhere "quit"          Quit          ["Ctrl+Q"]                          k_quit;
    Anywhere "switch"        Switch        ["Ctrl+K"]                          k_switch;
    Anywhere "search"        Search        ["Ctrl+F"]                          k_search;
    Anywhere "next-unread"   NextUnread    ["Alt+a"]                           k_next_unread;
    Anywhere "first-unread"  FirstUnread   ["Alt+u"]                           k_first_unread;
    Anywhere "previous-chat" PreviousChat  ["Alt+Up"]                          k_previous;
    Anywhere "next-chat"     NextChat      ["Alt+Down"]                        k_next;
    Anywhere "chat-number"   Number        ["Alt+1", "Alt+2", "Alt+3", "Alt+4", "Alt+5", "Alt+6", "Alt+7", "Alt+8", "Alt+9"] k_number;
    Anywhere "list"          List          ["F2"]                              k_list;
    Anywhere "page-up"       PageUp        ["PageUp"]                          k_page_up;
    Anywhere "page-down"     PageDown      ["PageDown"]                        k_page_down;
    Anywhere "bottom"        Bottom        ["Ctrl+End"]                        k_bottom;
    Anywhere "redraw"        Redraw        ["Ctrl+L"]                          k_redraw;
    Anywhere "back"          Back          ["Esc"]                             k_back;

    Writing  "send"          Send          ["Enter"]                           k_send;
    Writing  "newline"       Newline       ["Alt+Enter", "Ctrl+J"]             k_newline;
    Writing  "complete"      Complete      ["Tab"]                             k_complete;
    Writing  "select"        Select        ["Ctrl+Up"]                         k_select;
    Writing  "editor"        Editor        ["Ctrl+G"]                          k_editor;
    Writing  "clear"         Clear         ["Ctrl+C"]                          k_clear;
    Writing  "up"            Up            ["Up"]                              k_up;
    Writing  "down"          Down          ["Down"]                            k_down;
    Writing  "left"          Left          ["Left", "Ctrl+B"]                  k_left;
    Writing  "right"         Right         ["Right"]                           k_right;
    Writing  "word-left"     WordLeft      ["Ctrl+Left", "Alt+b", "Alt+Left"]  k_word_left;
    Writing  "word-right"    WordRight     ["Ctrl+Right", "Alt+f", "Alt+Right"] k_word_right;
    Writing  "home"          Home          ["Home", "Ctrl+A"]                  k_home;
    Writing  "end"           End           ["End", "Ctrl+E"]                   k_end;
    Writing  "backspace"     Backspace     ["Backspace", "Ctrl+H"]             k_backspace;
    Writing  "delete"        Delete        ["Delete", "Ctrl+D"]                k_delete;
    Writing  "cut-word"      CutWord       ["Ctrl+W", "Alt+Backspace"]         k_cut_word;
    Writing  "cut-word-after" CutWordAfter ["Alt+d"]                           k_cut_word_after;
    Writing  "cut-line"      CutLine       ["Ctrl+U"]                          k_cut_line;
    Writing  "paste"         Paste         ["Ctrl+Y"]                          k_paste;

    List     "open"          Open          ["Enter"]                           k_open;
    List     "tab"           Tab           ["Tab"]                             k_tab;
    List     "up"            Up            ["Up", "k"]                         k_up;
    List     "down"          Down          ["Down", "j"]                       k_down;
    List     "home"          Home          ["Home"]                            k_home;
    List     "end"           End           ["End"]                             k_end;
    List     "fold"          Fold          ["Left"]                            k_fold;
    List     "unfold"        Unfold        ["Right"]                           k_unfold;
    List     "pin"           Pin           ["p"]                               k_pin;
    List     "mute"          Mute          ["m"]                               k_mute;
    List     "accept"        Accept        ["a"]                               k_accept;
    List     "decline"       Decline       ["x"]                               k_decline;

    Message  "up"            Up            ["Up", "Ctrl+Up", "k"]              k_up;
    Message  "down"          Down          ["Down", "Ctrl+Down", "j"]          k_down;
    Message  "open-link"     Link          ["o", "Enter"]                      k_link;
    Message  "copy"          Copy          ["y"]                               k_copy;
    Message  "reply"         Reply         ["r"]                               k_reply;
    Message  "edit"          Edit          ["e"]                               k_edit;
    Message  "recall"        Recall        ["d"]                               k_recall;
    Message  "react"         React         ["="]                               k_react;
    Message  "quoted"        Quoted        ["g"]                               k_quoted;
    Message  "return"        Return        ["b"]                               k_return;
    Message  "save"          Save          ["w"]                               k_save;
    Message  "stop"          Stop          ["x"]                               k_stop;
    Message  "again"         Again         ["s"]                               k_again;

    Choice   "choose"        Open          ["Enter"]                           k_choose;
    Choice   "up"            Up            ["Up", "Ctrl+P"]                    k_up;
    Choice   "down"          Down          ["Down", "Ctrl+N"]                  k_down;
    Choice   "left"          Left          ["Left"]                            k_left;
    Choice   "right"         Right         ["Right"]                           k_right;
    Choice   "home"          Home          ["Home", "Ctrl+A"]                  k_home;
    Choice   "end"           End           ["End", "Ctrl+E"]                   k_end;
    Choice   "backspace"     Backspace     ["Backspace", "Ctrl+H"]             k_backspace;
    Choice   "delete"        Delete        ["Delete"]                          k_delete;
    Choice   "cut-word"      CutWord       ["Ctrl+W"]                          k_cut_word;
    Choice   "cut-line"      CutLine       ["Ctrl+U"]                          k_cut_line;
    Choice   "tab"           Tab           ["Tab"]                             k_tab;

    Form     "confirm"       Send          ["Enter"]                           k_confirm;
    Form     "down"          Down          ["Down", "Tab"]                     k_down;
    Form     "up"            Up            ["Up", "BackTab"]                   k_up;
    Form     "back"          Back          ["Esc"]                             k_back;
    Form     "quit"          Quit          ["Ctrl+Q", "Ctrl+C"]                k_quit;
    Form     "show"          Show          ["F3"]                              k_show;
    Form     "sockets"       Sockets       ["F2"]                              k_sockets;
    Form     "left"          Left          ["Left"]                            k_left;
    Form     "right"         Right         ["Right"]                           k_right;
    Form     "home"          Home          ["Home", "Ctrl+A"]                  k_home;
    Form     "end"           End           ["End", "Ctrl+E"]                   k_end;
    Form     "backspace"     Backspace     ["Backspace", "Ctrl+H"]             k_backspace;
    Form     "delete"        Delete        ["Delete", "Ctrl+D"]                k_delete;
    Form     "cut-word"      CutWord       ["Ctrl+W"]                          k_cut_word;
    Form     "cut-line"      CutLine       ["Ctrl+U"]                          k_cut_line;
    Form     "redraw"        Redraw        ["Ctrl+L"]                          k_redraw;

    Question "paste-send"    PasteSend     ["s", "Enter"]                      k_paste_send;
    Question "paste-edit"    PasteEdit     ["e"]                               k_paste_edit;
    Question "paste-file"    PasteFile     ["f"]                               k_paste_file;
    Question "cancel"        Back          ["Esc", "c"]                        k_back;
};

type Chord = (KeyCode, KeyModifiers);

/// Reads a key as it is written: `Ctrl+K`, `Alt+Enter`, `F1`, `x`.
pub fn chord(text: &str) -> Option<Chord> {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = text;
    loop {
        let (modifier, after) = if let Some(after) = rest.strip_prefix("Ctrl+") {
            (KeyModifiers::CONTROL, after)
        } else if let Some(after) = rest.strip_prefix("Alt+") {
            (KeyModifiers::ALT, after)
        } else if let Some(after) = rest.strip_prefix("Shift+") {
            (KeyModifiers::SHIFT, after)
        } else {
            break;
        };
        modifiers |= modifier;
        rest = after;
    }
    let code = match rest {
        "Enter" => KeyCode::Enter,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Esc" => KeyCode::Esc,
        "Backspace" => KeyCode::Backspace,
        "Delete" => KeyCode::Delete,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PageUp" => KeyCode::PageUp,
        "PageDown" => KeyCode::PageDown,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Space" => KeyCode::Char(' '),
        _ => {
            let mut signs = rest.chars();
            let (first, second) = (signs.next()?, signs.next());
            match (first, second) {
                (c, None) if modifiers.contains(KeyModifiers::CONTROL) => {
                    KeyCode::Char(c.to_ascii_lowercase())
                }
                (c, None) => KeyCode::Char(c),
                ('F', Some(_)) => {
                    KeyCode::F(rest[1..].parse().ok().filter(|n| (1..=24).contains(n))?)
                }
                _ => return None,
            }
        }
    };
    Some((code, modifiers))
}

/// The key of an event, written in one way however a terminal sends it.
fn normal(key: &KeyEvent) -> Chord {
    let mut modifiers =
        key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
    let code = match key.code {
        KeyCode::Char(c) => {
            // Shift is in the character.
            modifiers -= KeyModifiers::SHIFT;
            if modifiers.contains(KeyModifiers::CONTROL) {
                KeyCode::Char(c.to_ascii_lowercase())
            } else {
                KeyCode::Char(c)
            }
        }
        KeyCode::BackTab => {
            modifiers -= KeyModifiers::SHIFT;
            KeyCode::BackTab
        }
        code => code,
    };
    (code, modifiers)
}

/// The keys in force.
pub struct Keys {
    by_key: HashMap<(Place, Chord), Action>,
    written: HashMap<(Place, Action), Vec<String>>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys::with(&[])
    }
}

impl Keys {
    fn with(own: &[(Place, Action, Vec<String>)]) -> Keys {
        let mut keys = Keys {
            by_key: HashMap::new(),
            written: HashMap::new(),
        };
        // One's own keys last: they take a key away from whatever had it.
        for row in ALL {
            if !own
                .iter()
                .any(|(p, a, _)| (*p, *a) == (row.place, row.action))
            {
                let names = row.keys.iter().map(|k| (*k).to_owned()).collect();
                keys.put(row.place, row.action, names);
            }
        }
        for (place, action, names) in own {
            keys.put(*place, *action, names.clone());
        }
        keys
    }

    fn put(&mut self, place: Place, action: Action, names: Vec<String>) {
        for chord in names.iter().filter_map(|n| chord(n)) {
            self.by_key.insert((place, chord), action);
        }
        self.written.insert((place, action), names);
    }

    /// Reads a file of one's own: tables named as places, `name = "Ctrl+X"` or `name = ["F5", "Alt+x"]`.
    pub fn read(file: &str) -> Result<Keys, String> {
        let places: Vec<(&str, Place)> = vec![
            ("anywhere", Place::Anywhere),
            ("writing", Place::Writing),
            ("list", Place::List),
            ("message", Place::Message),
            ("choice", Place::Choice),
            ("form", Place::Form),
            ("question", Place::Question),
        ];
        let tables: toml::Table = file.parse().map_err(|e: toml::de::Error| e.to_string())?;
        let mut own = Vec::new();
        for (title, table) in &tables {
            let names: Vec<&str> = places.iter().map(|(n, _)| *n).collect();
            let place = places.iter().find(|(n, _)| n == title);
            let (Some((_, place)), Some(table)) = (place, table.as_table()) else {
                return Err(format!(
                    "[{title}] is no place; there are {}",
                    names.join(", ")
                ));
            };
            for (name, value) in table {
                let row = ALL.iter().find(|r| r.place == *place && r.name == name);
                let Some(row) = row else {
                    let known = ALL.iter().filter(|r| r.place == *place);
                    let known: Vec<&str> = known.map(|r| r.name).collect();
                    return Err(format!(
                        "[{title}] has no {name}; it has {}",
                        known.join(", ")
                    ));
                };
                let keys: Vec<String> = match value {
                    toml::Value::String(key) => vec![key.clone()],
                    toml::Value::Array(all) => all
                        .iter()
                        .filter_map(|k| k.as_str().map(str::to_owned))
                        .collect(),
                    _ => Vec::new(),
                };
                if keys.is_empty() || keys.iter().any(|k| chord(k).is_none()) {
                    return Err(format!(
                        "[{title}] {name} = {value}: no key such as \"Ctrl+X\" or \"F5\""
                    ));
                }
                own.push((*place, row.action, keys));
            }
        }
        Ok(Keys::with(&own))
    }

    /// What a key does in a place.
    pub fn action(&self, place: Place, key: &KeyEvent) -> Option<Action> {
        let chord = normal(key);
        let here = self.by_key.get(&(place, chord)).copied();
        if here.is_some() || matches!(place, Place::Form | Place::Question) {
            return here;
        }
        self.by_key.get(&(Place::Anywhere, chord)).copied()
    }

    /// How the keys of a row are written.
    pub fn written(&self, row: &Row) -> String {
        match self.written.get(&(row.place, row.action)) {
            // Nine keys in a row.
            Some(keys) if keys.len() > 5 => {
                format!("{} … {}", keys[0], keys[keys.len() - 1])
            }
            Some(keys) => keys.join(", "),
            None => String::new(),
        }
    }

    /// The first key of an action, for hints.
    pub fn hint(&self, place: Place, action: Action) -> &str {
        let keys = self.written.get(&(place, action));
        keys.and_then(|k| k.first()).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(text: &str) -> KeyEvent {
        let (code, modifiers) = chord(text).unwrap();
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn every_row_has_keys_that_are_its_own() {
        let mut seen = HashMap::new();
        for row in ALL {
            for key in row.keys {
                let chord = chord(key).unwrap_or_else(|| panic!("{key} is a key"));
                let other = seen.insert((row.place, chord), row.name);
                assert!(other.is_none(), "{key}: {} and {other:?}", row.name);
            }
        }
        let keys = Keys::default();
        for row in ALL {
            for key in row.keys {
                assert_eq!(
                    keys.action(row.place, &press(key)),
                    Some(row.action),
                    "{key}"
                );
            }
        }
    }

    #[test]
    fn one_s_own_keys_win_and_mistakes_are_explained() {
        let keys = Keys::read("[anywhere]\nsearch = \"Ctrl+S\"\n[list]\npin = [\"F5\", \"Alt+p\"]")
            .unwrap();
        let does = |place, key: &str| keys.action(place, &press(key));
        assert_eq!(does(Place::Writing, "Ctrl+S"), Some(Action::Search));
        assert_eq!(does(Place::Writing, "Ctrl+F"), None);
        assert_eq!(does(Place::List, "Alt+p"), Some(Action::Pin));
        for (file, words) in [
            ("[nowhere]\na = \"b\"", "no place"),
            ("[list]\nfly = \"F5\"", "has no fly; it has open"),
            ("[list]\npin = \"Hyper+Q\"", "no key such as"),
            ("[list", "expected"),
        ] {
            let error = Keys::read(file).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn shift_is_in_the_character_and_control_has_no_case() {
        let keys = Keys::default();
        let key = KeyEvent::new(
            KeyCode::Char('K'),
            KeyModifiers::CONTROL | KeyModifiers::SHIFT,
        );
        assert_eq!(keys.action(Place::Writing, &key), Some(Action::Switch));
        let key = KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(keys.action(Place::Form, &key), Some(Action::Up));
    }
}
