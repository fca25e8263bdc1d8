//! The words that are being written: a cursor between grapheme clusters, rows as they are shown, readline's keys.

use crate::text;
use unicode_segmentation::UnicodeSegmentation;

/// What a person writes, and where the cursor is.
#[derive(Debug, Clone, Default)]
pub struct Composer {
    text: String,
    /// In bytes, always at a cluster's edge.
    cursor: usize,
    /// What was cut last.
    cut: String,
}

impl Composer {
    /// Begins with words, the cursor behind them.
    pub fn with(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    /// The words.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words before the cursor.
    pub fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// Takes the words out.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes other words.
    pub fn set(&mut self, text: &str) {
        self.take();
        self.insert(text);
    }

    /// Writes at the cursor.
    pub fn insert(&mut self, text: &str) {
        // Only line ends and tabs of all control characters are words.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text
            .chars()
            .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
            .collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // A combining mark joins what stands before it.
        self.cursor = self.edge(self.cursor);
    }

    /// Replaces the last bytes before the cursor.
    pub fn replace_before(&mut self, bytes: usize, with: &str) {
        let from = self.cursor.saturating_sub(bytes);
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
        self.insert(with);
    }

    /// The next edge at or after a byte.
    fn edge(&self, at: usize) -> usize {
        let edges = self.text.grapheme_indices(true).map(|(i, _)| i);
        edges
            .into_iter()
            .find(|i| *i >= at)
            .unwrap_or(self.text.len())
    }

    fn previous(&self) -> usize {
        let last = self.before().grapheme_indices(true).next_back();
        last.map_or(0, |(i, _)| i)
    }

    fn next(&self) -> usize {
        let first = self.text[self.cursor..].graphemes(true).next();
        self.cursor + first.map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let mut words = self.before().unicode_word_indices();
        words.next_back().map_or(0, |(i, _)| i)
    }

    fn word_after(&self) -> usize {
        let mut words = self.text[self.cursor..].unicode_word_indices();
        words
            .next()
            .map_or(self.text.len(), |(i, w)| self.cursor + i + w.len())
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |i| i + 1)
    }

    fn line_end(&self) -> usize {
        let end = self.text[self.cursor..].find('\n');
        end.map_or(self.text.len(), |i| self.cursor + i)
    }

    /// One cluster back.
    pub fn left(&mut self) {
        self.cursor = self.previous();
    }

    /// One cluster on.
    pub fn right(&mut self) {
        self.cursor = self.next();
    }

    /// To a word's beginning.
    pub fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    /// To a word's end.
    pub fn word_right(&mut self) {
        self.cursor = self.word_after();
    }

    /// To the line's beginning.
    pub fn home(&mut self) {
        self.cursor = self.line_start();
    }

    /// To the line's end.
    pub fn end(&mut self) {
        self.cursor = self.line_end();
    }

    fn remove(&mut self, from: usize, to: usize) -> String {
        let gone = self.text[from..to].to_owned();
        self.text.replace_range(from..to, "");
        self.cursor = self.edge(from);
        gone
    }

    /// Takes one cluster away before the cursor.
    pub fn backspace(&mut self) {
        self.remove(self.previous(), self.cursor);
    }

    /// Takes one cluster away after the cursor.
    pub fn delete(&mut self) {
        self.remove(self.cursor, self.next());
    }

    /// Cuts a word before the cursor.
    pub fn cut_word(&mut self) {
        let from = self.word_before();
        self.cut = self.remove(from, self.cursor);
    }

    /// Cuts a word after the cursor.
    pub fn cut_word_after(&mut self) {
        let to = self.word_after();
        self.cut = self.remove(self.cursor, to);
    }

    /// Cuts to the line's beginning.
    pub fn cut_line(&mut self) {
        let from = self.line_start();
        self.cut = self.remove(from, self.cursor);
    }

    /// Writes what was cut last.
    pub fn paste(&mut self) {
        let cut = self.cut.clone();
        self.insert(&cut);
    }

    /// The rows as they are shown, and the cursor's column and row.
    pub fn rows(&self, columns: usize) -> (Vec<&str>, (usize, usize)) {
        let ranges = text::wrap(&self.text, columns);
        let row = ranges
            .iter()
            .rposition(|r| r.start <= self.cursor)
            .unwrap_or(0);
        let column = ranges.get(row).map_or(0, |r| {
            text::width(&self.text[r.start..self.cursor.min(r.end)])
        });
        let mut rows: Vec<&str> = ranges.into_iter().map(|r| &self.text[r]).collect();
        // A full row: the cursor stands at the beginning of the next one, which is there for it.
        if column >= columns.max(2) {
            if row + 1 == rows.len() {
                rows.push("");
            }
            return (rows, (0, row + 1));
        }
        (rows, (column, row))
    }

    /// A row up; `false` in the first one.
    pub fn up(&mut self, columns: usize) -> bool {
        let (_, (column, row)) = self.rows(columns);
        row > 0 && self.go(columns, column, row - 1)
    }

    /// A row down; `false` in the last one.
    pub fn down(&mut self, columns: usize) -> bool {
        let (rows, (column, row)) = self.rows(columns);
        row + 1 < rows.len() && self.go(columns, column, row + 1)
    }

    /// To the place nearest to a column in a row.
    pub fn go(&mut self, columns: usize, column: usize, row: usize) -> bool {
        let Some(range) = text::wrap(&self.text, columns).into_iter().nth(row) else {
            return false;
        };
        let mut used = 0;
        self.cursor = range.end;
        for (at, cluster) in self.text[range.clone()].grapheme_indices(true) {
            used += text::width(cluster);
            if used > column {
                self.cursor = range.start + at;
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_moves_and_removes_whole_clusters() {
        let mut c = Composer::with("a👨‍👩‍👧e\u{301}汉");
        c.left();
        c.left();
        assert_eq!(c.before(), "a👨‍👩‍👧");
        c.backspace();
        assert_eq!(c.text(), "ae\u{301}汉");
        c.delete();
        assert_eq!(c.text(), "a汉");
        c.insert("\u{301}");
        assert_eq!(c.before(), "a\u{301}");
        c.insert("x\x1b\r\ny");
        assert_eq!(c.text(), "a\u{301}x\ny汉");
    }

    #[test]
    fn words_and_lines_are_cut_and_come_back() {
        let mut c = Composer::with("one two 三");
        c.cut_word();
        c.cut_word();
        assert_eq!(c.text(), "one ");
        c.paste();
        assert_eq!(c.text(), "one two ");
        c.home();
        c.word_right();
        assert_eq!(c.before(), "one");
        c.cut_line();
        assert_eq!(c.text(), " two ");
        c.cut_word_after();
        assert_eq!(c.text(), " ");
        c.set("a\nb");
        c.home();
        assert_eq!(c.before(), "a\n");
        c.end();
        assert_eq!(c.before(), "a\nb");
        c.replace_before(1, "😀");
        assert_eq!(c.text(), "a\n😀");
    }

    #[test]
    fn the_cursor_is_where_the_next_character_will_stand() {
        let mut c = Composer::with("你好");
        assert_eq!(c.rows(10).1, (4, 0));
        c.left();
        assert_eq!(c.rows(10).1, (2, 0));
        let mut c = Composer::with("今天天气");
        assert_eq!(c.rows(6), (vec!["今天天", "气"], (2, 1)));
        assert!(c.up(6) && !c.up(6));
        assert_eq!(c.before(), "今");
        assert!(c.down(6) && !c.down(6));
        assert_eq!(c.before(), "今天天气");
        let c = Composer::with("abcd");
        assert_eq!(c.rows(4), (vec!["abcd", ""], (0, 1)));
        let mut c = Composer::with("ab\n\ncd");
        assert!(c.up(9) && c.up(9) && !c.up(9));
        assert_eq!(c.before(), "");
    }
}
