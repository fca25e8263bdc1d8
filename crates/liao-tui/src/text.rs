//! Text on a screen: width and wrapping by grapheme cluster (UAX 29), and nothing that plays tricks on a terminal.

use crate::i18n::{Words, fill};
use liao_client::{FileLink, State};
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// How far a message of ours has come, as a sign.
pub fn mark(state: &State) -> &'static str {
    match state {
        State::Queued | State::Waiting { .. } => "…",
        State::Sent => "✓",
        State::Delivered => "✓✓",
        State::Read => "✓✓✓",
        State::Failed { .. } => "✗",
    }
}

/// So many bytes, for people.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// A file that a message brings: its name, and its size if it is known.
pub fn file(file: &FileLink) -> String {
    let size = file
        .size
        .map_or(String::new(), |n| format!(" ({})", size(n)));
    format!("📎 {}{size}", one_line(&file.name))
}

/// How far a file is: part, speed, and the time that is left.
pub fn progress(done: u64, of: u64, speed: u64, words: &Words) -> String {
    if done == 0 {
        return words.file_begins.to_owned();
    }
    let mut said = match of {
        0 => size(done),
        of => format!(
            "{} % ({} / {})",
            done.min(of) * 100 / of,
            size(done),
            size(of)
        ),
    };
    if speed > 0 {
        said = format!("{said}  {}", fill(words.file_speed, &[&size(speed)]));
        if of > done {
            let left = (of - done) / speed;
            let left = match left {
                0..60 => format!("{left} s"),
                60..3600 => format!("{}:{:02}", left / 60, left % 60),
                _ => format!("{}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60),
            };
            said = format!("{said}  {}", fill(words.file_left, &[&left]));
        }
    }
    said
}

/// Marks without width that may follow each other; beyond that they only pile up over the lines around.
const MARKS: usize = 16;
/// Columns from one tab stop to the next.
const TAB: usize = 4;

/// Control characters and bidirectional overrides become a sign that does nothing; line ends become `newline`.
pub fn harmless(text: &str, newline: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        marks = match unicode_width::UnicodeWidthChar::width(c) {
            Some(0) => marks + 1,
            _ => 0,
        };
        match c {
            '\n' => out.push_str(newline),
            '\t' => out.push(c),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            _ if marks > MARKS => {}
            c => out.push(c),
        }
    }
    out
}

/// The same for a screen: line ends stay, tabs are spaces.
pub fn clean(text: &str) -> String {
    let text = harmless(&text.replace("\r\n", "\n"), "\n");
    if !text.contains('\t') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for (i, part) in line.split('\t').enumerate() {
            if i > 0 {
                let column = width(&out[out.rfind('\n').map_or(0, |n| n + 1)..]);
                out.extend(std::iter::repeat_n(' ', TAB - column % TAB));
            }
            out.push_str(part);
        }
    }
    out
}

/// The same on one line, for names and previews.
pub fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// What must not begin a row, by the custom of Chinese typesetting (UAX 14, class CL and its like).
fn hangs(cluster: &str) -> bool {
    "，。、；：？！）》」』】〉”’…,.;:?!)]}".contains(cluster)
}

/// The rows of a text, as ranges of bytes; a row's line end is in no range. Words stay whole where they fit; between
/// Chinese characters any place will do. Spaces at a row's end may stand beyond the width.
pub fn wrap(text: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(2);
    let mut rows = Vec::new();
    let mut from = 0;
    for line in text.split('\n') {
        wrap_line(line, from, columns, &mut rows);
        from += line.len() + 1;
    }
    rows
}

fn wrap_line(line: &str, offset: usize, columns: usize, rows: &mut Vec<Range<usize>>) {
    let (mut start, mut used) = (0, 0);
    // The last place where the row may end, and the columns up to it.
    let mut place: Option<(usize, usize)> = None;
    let mut before = "";
    for (at, cluster) in line.grapheme_indices(true) {
        let wide = width(cluster);
        let space = cluster.chars().all(char::is_whitespace);
        let after_space = before.ends_with(char::is_whitespace);
        let between = width(before) > 1 || wide > 1;
        if at > start && !space && (after_space || (between && !hangs(cluster))) {
            place = Some((at, used));
        }
        if used + wide > columns && !space {
            let (end, columns_before) = match place {
                Some(place) if place.0 > start => place,
                _ => (at, used),
            };
            rows.push(offset + start..offset + end);
            used -= columns_before;
            start = end;
            place = None;
        }
        used += wide;
        before = cluster;
    }
    rows.push(offset + start..offset + line.len());
}

/// As much as fits, with a sign that something is missing.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        used += width(cluster);
        if used + 1 > columns {
            break;
        }
        out.push_str(cluster);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Fits, and fills up with spaces.
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, columns: usize) -> Vec<&str> {
        wrap(text, columns)
            .into_iter()
            .map(|r| text[r].trim_end())
            .collect()
    }

    #[test]
    fn a_message_cannot_play_tricks_on_the_terminal() {
        assert_eq!(
            harmless("a\x1b[2Jb\u{202E}c\nd", " / "),
            "a\u{FFFD}[2Jb\u{FFFD}c / d"
        );
        assert_eq!(harmless("汉字 👨‍👩‍👧 é\t.", ""), "汉字 👨‍👩‍👧 é\t.");
        let tower = format!("a{}", "\u{301}".repeat(500));
        assert_eq!(harmless(&tower, "").chars().count(), 1 + MARKS);
        assert_eq!(clean("a\tb\r\n\tc"), "a   b\n    c");
    }

    #[test]
    fn rows_end_between_words_between_characters_and_never_inside_a_cluster() {
        assert_eq!(
            rows("good morning to you", 9),
            ["good", "morning", "to you"]
        );
        assert_eq!(rows("今天天气很好。走吧", 12), ["今天天气很", "好。走吧"]);
        assert_eq!(rows("a长b文", 3), ["a长", "b文"]);
        assert_eq!(rows("abcdefgh", 3), ["abc", "def", "gh"]);
        let family = "👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧";
        assert_eq!(rows(family, 4), ["👨‍👩‍👧👨‍👩‍👧", "👨‍👩‍👧"]);
        assert_eq!(
            rows("e\u{301}e\u{301}e\u{301}", 2),
            ["e\u{301}e\u{301}", "e\u{301}"]
        );
        assert_eq!(rows("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(rows("", 5), [""]);
        assert_eq!(rows("汉", 1), ["汉"], "something must fit");
        let text = "one two  three 四五 ";
        let all: usize = wrap(text, 6).iter().map(Range::len).sum();
        assert_eq!(all, text.len(), "nothing is lost");
    }

    #[test]
    fn names_are_cut_between_clusters() {
        assert_eq!(fit("小明同学", 8), "小明同学");
        assert_eq!(fit("小明同学", 7), "小明同…");
        assert_eq!(fit("小明同学", 6), "小明…");
        assert_eq!(pad("小", 4), "小  ");
        assert_eq!(fit("x", 0), "");
    }
}
