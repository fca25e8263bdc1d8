//! Telling of messages outside of the screen: the bell, the terminal's own notices (OSC 9, OSC 777), the title.

/// What the terminal understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notices {
    /// `OSC 9 ; words`.
    Osc9,
    /// `OSC 777 ; notify ; title ; words`.
    Osc777,
    /// The bell only.
    Bell,
}

impl Notices {
    /// Finds out from the environment. Both at once would tell twice where a terminal knows both.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Notices {
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        let term = variable("TERM").unwrap_or_default();
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|n| program.contains(n) || term.contains(n))
        };
        if is(&["iTerm", "kitty", "WezTerm", "ghostty"]) || variable("WT_SESSION").is_some() {
            Notices::Osc9
        } else if is(&["rxvt", "foot", "contour"]) {
            Notices::Osc777
        } else {
            Notices::Bell
        }
    }

    /// What is written to the terminal for a message.
    pub fn message(self, title: &str, words: &str) -> String {
        let (title, words) = (plain(title), plain(words));
        match self {
            Notices::Osc9 => format!("\x07\x1b]9;{title}: {words}\x07"),
            Notices::Osc777 => format!("\x07\x1b]777;notify;{title};{words}\x07"),
            Notices::Bell => "\x07".to_owned(),
        }
    }
}

/// What is written to the terminal so that its title counts what is unread.
pub fn title(unread: usize) -> String {
    match unread {
        0 => "\x1b]0;liao\x07".to_owned(),
        unread => format!("\x1b]0;({unread}) liao\x07"),
    }
}

/// Nothing that ends the sequence early or means something in it.
fn plain(text: &str) -> String {
    let text = text.chars().map(|c| if c == ';' { ',' } else { c });
    text.filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_end_the_sequence_it_is_told_in() {
        let sent = Notices::Osc777.message("a;b", "x\x07\x1b]0;evil\x07y");
        assert_eq!(sent, "\x07\x1b]777;notify;a,b;x]0,evily\x07");
        assert_eq!(Notices::Bell.message("a", "b"), "\x07");
        assert_eq!(title(3), "\x1b]0;(3) liao\x07");
    }

    #[test]
    fn a_terminal_is_told_once() {
        let with = |name: &'static str, value: &'static str| {
            Notices::detect(move |n| (n == name).then(|| value.to_owned()))
        };
        assert_eq!(with("TERM", "xterm-kitty"), Notices::Osc9);
        assert_eq!(with("TERM", "rxvt-unicode-256color"), Notices::Osc777);
        assert_eq!(with("WT_SESSION", "x"), Notices::Osc9);
        assert_eq!(with("TERM", "xterm-256color"), Notices::Bell);
    }
}
