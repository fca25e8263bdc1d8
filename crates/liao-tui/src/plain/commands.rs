//! THE table of commands: help and parsing come from it.

use liao_client::Show;

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
    /// This table.
    Help,
    /// The end.
    Quit,
    /// It makes no sense; the words say why.
    Wrong(String),
}

type Parse = fn(&str) -> Option<Line>;

/// One command.
pub struct Row {
    /// Its name and its Chinese alias.
    pub names: [&'static str; 2],
    pub place: Place,
    pub usage: &'static str,
    pub what: &'static str,
    parse: Parse,
}

fn two(text: &str) -> Option<(String, String)> {
    let (a, b) = text.split_once(char::is_whitespace)?;
    let b = b.trim();
    (!b.is_empty()).then(|| (a.to_owned(), b.to_owned()))
}

fn one(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn words(text: &str) -> Option<String> {
    one(text)
}

/// THE table.
pub static ALL: &[Row] = &[
    Row {
        names: ["to", "对"],
        place: Place::Both,
        usage: "/to NAME [TEXT]",
        what: "talk to NAME from now on",
        parse: |t| match two(t) {
            Some((name, text)) => Some(Line::SayTo(name, text)),
            None => one(t).map(Line::To),
        },
    },
    Row {
        names: ["who", "好友"],
        place: Place::Both,
        usage: "/who",
        what: "who is there, and who wrote",
        parse: |_| Some(Line::Who),
    },
    Row {
        names: ["add", "加"],
        place: Place::Account,
        usage: "/add ADDRESS [NAME]",
        what: "ask to be friends; NAME is how you call them",
        parse: |t| match two(t) {
            Some((address, name)) => Some(Line::Befriend(address, Some(name))),
            None => one(t).map(|a| Line::Befriend(a, None)),
        },
    },
    Row {
        names: ["accept", "同意"],
        place: Place::Account,
        usage: "/accept NAME",
        what: "accept a friend request",
        parse: |t| one(t).map(|n| Line::Answer(n, true)),
    },
    Row {
        names: ["decline", "拒绝"],
        place: Place::Account,
        usage: "/decline NAME",
        what: "decline it",
        parse: |t| one(t).map(|n| Line::Answer(n, false)),
    },
    Row {
        names: ["remove", "删除"],
        place: Place::Account,
        usage: "/remove NAME",
        what: "no longer be friends",
        parse: |t| one(t).map(Line::Remove),
    },
    Row {
        names: ["online", "在线"],
        place: Place::Account,
        usage: "/online [WORDS]",
        what: "be available, with a status line",
        parse: |t| Some(Line::Presence(None, words(t))),
    },
    Row {
        names: ["away", "离开"],
        place: Place::Account,
        usage: "/away [WORDS]",
        what: "be away",
        parse: |t| Some(Line::Presence(Some(Show::Away), words(t))),
    },
    Row {
        names: ["busy", "忙碌"],
        place: Place::Account,
        usage: "/busy [WORDS]",
        what: "do not disturb",
        parse: |t| Some(Line::Presence(Some(Show::Dnd), words(t))),
    },
    Row {
        names: ["history", "记录"],
        place: Place::Account,
        usage: "/history [N]",
        what: "your last N messages [20]",
        parse: |t| {
            if t.is_empty() {
                Some(Line::History(20))
            } else {
                t.parse().ok().map(Line::History)
            }
        },
    },
    Row {
        names: ["book", "地址簿"],
        place: Place::Sockets,
        usage: "/book [add NAME HOST:PORT | remove NAME]",
        what: "the address book: a name for an address",
        parse: book,
    },
    Row {
        names: ["help", "帮助"],
        place: Place::Both,
        usage: "/help",
        what: "this",
        parse: |_| Some(Line::Help),
    },
    Row {
        names: ["quit", "退出"],
        place: Place::Both,
        usage: "/quit, or q",
        what: "say goodbye and end",
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
pub fn parse(line: &str, place: Place, pipe: bool) -> Line {
    if line == "q" {
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
        .find(|r| r.names.contains(&name) && (r.place == Place::Both || r.place == place));
    match row {
        Some(row) => (row.parse)(arguments.trim())
            .unwrap_or_else(|| Line::Wrong(format!("it goes like this: {}", row.usage))),
        None if pipe => Line::Say(line.to_owned()),
        None => Line::Wrong(format!(
            "there is no /{name}; /help lists what there is, //{name} says it as text"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_the_table_says() {
        let on = |line| parse(line, Place::Sockets, false);
        assert_eq!(on("hello @you"), Line::Say("hello @you".into()));
        assert_eq!(
            on("@tom  good day "),
            Line::SayTo("tom".into(), "good day".into())
        );
        assert_eq!(on("@tom"), Line::Say("@tom".into()));
        assert_eq!(on("//etc"), Line::Say("/etc".into()));
        assert!(matches!(on("/etc"), Line::Wrong(_)));
        assert!(
            matches!(on("/add a@x"), Line::Wrong(_)),
            "no friends among sockets"
        );
        assert_eq!(
            parse("/etc/passwd x", Place::Sockets, true),
            Line::Say("/etc/passwd x".into())
        );
        assert_eq!(
            on("/book add tom 1.2.3.4:5"),
            Line::BookAdd("tom".into(), "1.2.3.4:5".into())
        );
        assert_eq!(on("/地址簿"), Line::Book);
        assert_eq!(on("q"), Line::Quit);
        assert!(matches!(on("/book add tom"), Line::Wrong(w) if w.contains("/book")));
        assert_eq!(
            parse("/add a@x 小明", Place::Account, false),
            Line::Befriend("a@x".into(), Some("小明".into()))
        );
    }
}
