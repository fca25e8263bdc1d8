//! THE table of commands, for the screen and the plain form: help, completion and parsing come from it.

use crate::i18n::{Lang, Text, Words, fill};
use liao_client::{Command, Contact, Show};

/// Where a command makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// With an account on a server.
    Account,
    /// With plain sockets.
    Sockets,
    /// Everywhere.
    Both,
}

/// In which form of the client a command makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines.
    Plain,
    /// The screen.
    Screen,
    /// Both.
    Any,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Say it to the current peer.
    Say(String),
    /// Say it to a named one.
    SayTo(String, String),
    /// Choose the current peer.
    To(String),
    /// Who is there.
    Who,
    /// The address book.
    Book,
    /// Name an address.
    BookAdd(String, String),
    /// Forget a name.
    BookRemove(String),
    /// Ask to be a friend, with a remark name.
    Befriend(String, Option<String>),
    /// Answer a request.
    Answer(String, bool),
    /// Forget a contact.
    Remove(String),
    /// Own availability.
    Presence(Option<Show>, Option<String>),
    /// The last messages.
    History(usize),
    /// What somebody wrote was read.
    Read(String),
    /// Something beside saying something.
    Act(Act),
    /// Messages with these words.
    Search(String),
    /// Keep the conversation on top, or no longer.
    Pin,
    /// Make no noise for the conversation, or again.
    Mute,
    /// Dark or light.
    Theme(String),
    /// How to be told of messages.
    Notify(String),
    /// Whether the mouse is ours.
    Mouse,
    /// What was told so far.
    Notices,
    /// This table.
    Help,
    /// The end.
    Quit,
    /// There is no such command.
    Unknown(String),
    /// A command without what it needs: how it goes.
    Usage(&'static Row),
}

/// What is done to the last messages of the one who is talked to, or to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Other words for our last message.
    Edit(String),
    /// Take our last message back.
    Recall,
    /// Answer their last message.
    Reply(String),
    /// React to their last message; nothing takes it away.
    React(Option<String>),
    /// Shake their window.
    Nudge,
    /// Give them a file.
    File(String),
    /// Fetch and keep their last file.
    SaveFile,
    /// Stop the files that are under way.
    StopFiles,
    /// Hear nothing of somebody any more, or again.
    Block(String, bool),
    /// Call somebody otherwise; nothing: by their address.
    Name(String, Option<String>),
    /// Put somebody into other groups of friends.
    Groups(String, Vec<String>),
}

impl Act {
    /// What makes a contact as it shall be, of what it is; `None`: that is not what is to be done.
    pub fn arranges(&self, is: Contact) -> Option<Command> {
        let (to, name, groups) = (is.peer, is.name, is.groups);
        Some(match self {
            Act::Name(_, name) => Command::Arrange {
                to,
                name: name.clone(),
                groups,
            },
            Act::Groups(_, groups) => Command::Arrange {
                to,
                name,
                groups: groups.clone(),
            },
            _ => return None,
        })
    }
}

type Parse = fn(&str) -> Option<Line>;

/// One command.
pub struct Row {
    /// Its name and its Chinese alias.
    pub names: [&'static str; 2],
    /// Where it makes sense.
    pub place: Place,
    /// In which form.
    pub form: Form,
    /// What stands behind the name: words in capitals are explained by [`Row::usage`].
    pub arguments: &'static str,
    /// What it does.
    pub what: Text,
    parse: Parse,
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.names == other.names
    }
}

impl Eq for Row {}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
}

impl Row {
    /// Its name in a language.
    pub fn name(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.names[0],
            Lang::Zh => self.names[1],
        }
    }

    /// How it goes, in a language.
    pub fn usage(&self, words: &Words) -> String {
        let mut arguments = self.arguments.to_owned();
        for (sign, word) in [
            ("ADDRESS", words.a_address),
            ("NEW-NAME", words.a_new_name),
            ("GROUP", words.a_group),
            ("NAME", words.a_name),
            ("TEXT", words.a_text),
            ("WORDS", words.a_words),
            ("NUMBER", words.a_number),
            ("PATH", words.a_path),
        ] {
            arguments = arguments.replace(sign, word);
        }
        let usage = format!("/{} {arguments}", self.name(words.lang));
        usage.trim_end().to_owned()
    }

    /// It can be used here.
    pub fn fits(&self, place: Place, form: Form) -> bool {
        (self.place == Place::Both || self.place == place)
            && (self.form == Form::Any || self.form == form)
    }
}

fn two(text: &str) -> Option<(String, String)> {
    let (a, b) = text.split_once(char::is_whitespace)?;
    let b = b.trim();
    (!b.is_empty()).then(|| (a.to_owned(), b.to_owned()))
}

fn one(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// THE table.
pub static ALL: &[Row] = &[
    Row {
        names: ["to", "对"],
        place: Place::Both,
        form: Form::Any,
        arguments: "NAME [TEXT]",
        what: |w| w.c_to,
        parse: |t| match two(t) {
            Some((name, text)) => Some(Line::SayTo(name, text)),
            None => one(t).map(Line::To),
        },
    },
    Row {
        names: ["who", "好友"],
        place: Place::Both,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_who,
        parse: |_| Some(Line::Who),
    },
    Row {
        names: ["add", "加"],
        place: Place::Account,
        form: Form::Any,
        arguments: "ADDRESS [NAME]",
        what: |w| w.c_add,
        parse: |t| match two(t) {
            Some((address, name)) => Some(Line::Befriend(address, Some(name))),
            None => one(t).map(|a| Line::Befriend(a, None)),
        },
    },
    Row {
        names: ["accept", "同意"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME",
        what: |w| w.c_accept,
        parse: |t| one(t).map(|n| Line::Answer(n, true)),
    },
    Row {
        names: ["decline", "拒绝"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME",
        what: |w| w.c_decline,
        parse: |t| one(t).map(|n| Line::Answer(n, false)),
    },
    Row {
        names: ["remove", "删除"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME",
        what: |w| w.c_remove,
        parse: |t| one(t).map(Line::Remove),
    },
    Row {
        names: ["name", "备注"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME [NEW-NAME]",
        what: |w| w.c_name,
        parse: |t| match two(t) {
            Some((who, name)) => Some(Line::Act(Act::Name(who, Some(name)))),
            None => one(t).map(|who| Line::Act(Act::Name(who, None))),
        },
    },
    Row {
        names: ["move", "分组"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME [GROUP, GROUP]",
        what: |w| w.c_move,
        parse: |t| {
            let (who, groups) = two(t).or_else(|| one(t).map(|who| (who, String::new())))?;
            let groups = groups.split([',', '，', '、']).map(|g| g.trim().to_owned());
            let groups = groups.filter(|g| !g.is_empty()).collect();
            Some(Line::Act(Act::Groups(who, groups)))
        },
    },
    Row {
        names: ["online", "在线"],
        place: Place::Account,
        form: Form::Any,
        arguments: "[WORDS]",
        what: |w| w.c_online,
        parse: |t| Some(Line::Presence(None, one(t))),
    },
    Row {
        names: ["away", "离开"],
        place: Place::Account,
        form: Form::Any,
        arguments: "[WORDS]",
        what: |w| w.c_away,
        parse: |t| Some(Line::Presence(Some(Show::Away), one(t))),
    },
    Row {
        names: ["busy", "忙碌"],
        place: Place::Account,
        form: Form::Any,
        arguments: "[WORDS]",
        what: |w| w.c_busy,
        parse: |t| Some(Line::Presence(Some(Show::Dnd), one(t))),
    },
    Row {
        names: ["history", "记录"],
        place: Place::Account,
        form: Form::Plain,
        arguments: "[NUMBER]",
        what: |w| w.c_history,
        parse: |t| match t {
            "" => Some(Line::History(20)),
            t => t.parse().ok().map(Line::History),
        },
    },
    Row {
        names: ["read", "已读"],
        place: Place::Account,
        form: Form::Plain,
        arguments: "NAME",
        what: |w| w.c_read,
        parse: |t| one(t).map(Line::Read),
    },
    Row {
        names: ["edit", "改"],
        place: Place::Account,
        form: Form::Any,
        arguments: "TEXT",
        what: |w| w.c_edit,
        parse: |t| one(t).map(|t| Line::Act(Act::Edit(t))),
    },
    Row {
        names: ["recall", "撤回"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_recall,
        parse: |_| Some(Line::Act(Act::Recall)),
    },
    Row {
        names: ["reply", "回复"],
        place: Place::Account,
        form: Form::Any,
        arguments: "TEXT",
        what: |w| w.c_reply,
        parse: |t| one(t).map(|t| Line::Act(Act::Reply(t))),
    },
    Row {
        names: ["react", "回应"],
        place: Place::Account,
        form: Form::Any,
        arguments: "[👍]",
        what: |w| w.c_react,
        parse: |t| Some(Line::Act(Act::React(one(t)))),
    },
    Row {
        names: ["nudge", "抖动"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_nudge,
        parse: |_| Some(Line::Act(Act::Nudge)),
    },
    Row {
        names: ["block", "屏蔽"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME",
        what: |w| w.c_block,
        parse: |t| one(t).map(|t| Line::Act(Act::Block(t, true))),
    },
    Row {
        names: ["unblock", "解除屏蔽"],
        place: Place::Account,
        form: Form::Any,
        arguments: "NAME",
        what: |w| w.c_unblock,
        parse: |t| one(t).map(|t| Line::Act(Act::Block(t, false))),
    },
    Row {
        names: ["file", "文件"],
        place: Place::Account,
        form: Form::Any,
        arguments: "PATH",
        what: |w| w.c_file,
        parse: |t| one(t).map(|t| Line::Act(Act::File(t))),
    },
    Row {
        names: ["save", "保存"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_save,
        parse: |_| Some(Line::Act(Act::SaveFile)),
    },
    Row {
        names: ["stop", "停止"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_stop,
        parse: |_| Some(Line::Act(Act::StopFiles)),
    },
    Row {
        names: ["search", "搜索"],
        place: Place::Account,
        form: Form::Any,
        arguments: "TEXT",
        what: |w| w.c_search,
        parse: |t| one(t).map(Line::Search),
    },
    Row {
        names: ["pin", "置顶"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_pin,
        parse: |_| Some(Line::Pin),
    },
    Row {
        names: ["mute", "免打扰"],
        place: Place::Account,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_mute,
        parse: |_| Some(Line::Mute),
    },
    Row {
        names: ["book", "地址簿"],
        place: Place::Sockets,
        form: Form::Any,
        arguments: "[add NAME HOST:PORT | remove NAME]",
        what: |w| w.c_book,
        parse: book,
    },
    Row {
        names: ["theme", "主题"],
        place: Place::Both,
        form: Form::Screen,
        arguments: "dark|light",
        what: |w| w.c_theme,
        parse: |t| matches!(t, "dark" | "light").then(|| Line::Theme(t.to_owned())),
    },
    Row {
        names: ["notify", "提醒"],
        place: Place::Both,
        form: Form::Screen,
        arguments: "on|hide|off",
        what: |w| w.c_notify,
        parse: |t| matches!(t, "on" | "hide" | "off").then(|| Line::Notify(t.to_owned())),
    },
    Row {
        names: ["mouse", "鼠标"],
        place: Place::Both,
        form: Form::Screen,
        arguments: "",
        what: |w| w.c_mouse,
        parse: |_| Some(Line::Mouse),
    },
    Row {
        names: ["notices", "通知"],
        place: Place::Both,
        form: Form::Screen,
        arguments: "",
        what: |w| w.c_notices,
        parse: |_| Some(Line::Notices),
    },
    Row {
        names: ["help", "帮助"],
        place: Place::Both,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_help,
        parse: |_| Some(Line::Help),
    },
    Row {
        names: ["quit", "退出"],
        place: Place::Both,
        form: Form::Any,
        arguments: "",
        what: |w| w.c_quit,
        parse: |_| Some(Line::Quit),
    },
];

fn book(text: &str) -> Option<Line> {
    match two(text) {
        None if text.is_empty() => Some(Line::Book),
        None => None,
        Some((verb, rest)) => match verb.as_str() {
            "add" => two(&rest).map(|(name, address)| Line::BookAdd(name, address)),
            "remove" => Some(Line::BookRemove(rest)),
            _ => None,
        },
    }
}

/// Reads a line. In a pipe an unknown `/word` is text: programs say what they say.
pub fn parse(line: &str, place: Place, form: Form, pipe: bool) -> Line {
    // In the screen of an account `q` may be an answer to somebody; Ctrl+Q ends.
    if line == "q" && (form == Form::Plain || place == Place::Sockets) {
        return Line::Quit;
    }
    if let Some(rest) = line.strip_prefix('@')
        && let Some((name, text)) = two(rest)
    {
        return Line::SayTo(name, text);
    }
    let Some(rest) = line.strip_prefix('/') else {
        return Line::Say(line.to_owned());
    };
    if rest.starts_with('/') {
        return Line::Say(rest.to_owned());
    }
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let row = ALL
        .iter()
        .find(|r| r.names.contains(&name) && r.fits(place, form));
    match row {
        Some(row) => (row.parse)(arguments.trim()).unwrap_or(Line::Usage(row)),
        None if pipe => Line::Say(line.to_owned()),
        None => Line::Unknown(name.to_owned()),
    }
}

/// The words about a line that could not be done.
pub fn complaint(line: &Line, words: &Words) -> Option<String> {
    match line {
        Line::Unknown(name) => Some(fill(words.no_such_command, &[name])),
        Line::Usage(row) => Some(fill(words.it_goes_like, &[&row.usage(words)])),
        _ => None,
    }
}

/// A command's name in a language, by its English one.
pub fn name_of(name: &'static str, lang: Lang) -> &'static str {
    let row = ALL.iter().find(|r| r.names[0] == name);
    row.map_or(name, |r| r.name(lang))
}

/// What is written of the path that a command is about.
pub fn path_argument(before: &str) -> Option<&str> {
    let (command, rest) = before.strip_prefix('/')?.split_once(' ')?;
    let row = ALL.iter().find(|r| r.names.contains(&command))?;
    (row.arguments == "PATH").then(|| rest.trim_start())
}

/// The names of commands that begin so, in the order of the table.
pub fn complete(beginning: &str, place: Place) -> Vec<&'static str> {
    let fitting = ALL.iter().filter(|r| r.fits(place, Form::Screen));
    fitting
        .flat_map(|r| r.names)
        .filter(|n| n.starts_with(beginning))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_the_table_says() {
        let on = |line| parse(line, Place::Sockets, Form::Plain, false);
        assert_eq!(on("hello @you"), Line::Say("hello @you".into()));
        assert_eq!(
            on("@tom  good day "),
            Line::SayTo("tom".into(), "good day".into())
        );
        assert_eq!(on("@tom"), Line::Say("@tom".into()));
        assert_eq!(on("//etc"), Line::Say("/etc".into()));
        assert_eq!(on("/etc"), Line::Unknown("etc".into()));
        assert!(
            matches!(on("/add a@x"), Line::Unknown(_)),
            "no friends among sockets"
        );
        assert_eq!(
            parse("/etc/passwd x", Place::Sockets, Form::Plain, true),
            Line::Say("/etc/passwd x".into())
        );
        assert_eq!(
            on("/book add tom 1.2.3.4:5"),
            Line::BookAdd("tom".into(), "1.2.3.4:5".into())
        );
        assert_eq!(on("/地址簿"), Line::Book);
        assert_eq!(on("q"), Line::Quit);
        let complaint = complaint(&on("/book add tom"), Lang::En.words()).unwrap();
        assert!(complaint.contains("/book [add NAME"), "{complaint}");
        let account = |line| parse(line, Place::Account, Form::Screen, false);
        assert_eq!(
            account("/add a@x 小明"),
            Line::Befriend("a@x".into(), Some("小明".into()))
        );
        assert_eq!(account("q"), Line::Say("q".into()));
        assert!(matches!(account("/theme blue"), Line::Usage(_)));
        assert!(matches!(account("/history"), Line::Unknown(_)));
    }

    #[test]
    fn names_are_unique_and_complete_in_both_languages() {
        for (i, row) in ALL.iter().enumerate() {
            for other in &ALL[i + 1..] {
                assert!(
                    row.names.iter().all(|n| !other.names.contains(n)),
                    "{row:?} {other:?}"
                );
            }
            for lang in [Lang::En, Lang::Zh] {
                assert!(!(row.what)(lang.words()).is_empty());
            }
        }
        assert_eq!(complete("se", Place::Account), ["search"]);
        assert_eq!(complete("置", Place::Account), ["置顶"]);
        assert!(complete("add", Place::Sockets).is_empty());
    }
}
