//! Styling in messages, with its signs left in place (XEP-0393), and links.

/// Marks of a byte of text; several may hold.
pub mod mark {
    /// `*strong*`.
    pub const STRONG: u8 = 1;
    /// `_emphasis_`.
    pub const EMPHASIS: u8 = 2;
    /// `~gone~`.
    pub const STRIKE: u8 = 4;
    /// Preformatted.
    pub const CODE: u8 = 8;
    /// A quoted line.
    pub const QUOTE: u8 = 16;
    /// A link.
    pub const LINK: u8 = 32;
}

/// The marks of each byte of a text (XEP-0393 sections 6 and 7).
pub fn marks(text: &str) -> Vec<u8> {
    let mut out = vec![0; text.len()];
    // How deeply quoted the open preformatted block is.
    let mut fence: Option<usize> = None;
    let mut from = 0;
    for line in text.split('\n') {
        let mut at = 0;
        let mut depth = 0;
        while fence.is_none_or(|quoted| depth < quoted) && line[at..].starts_with('>') {
            depth += 1;
            at += 1;
            at += line[at..]
                .chars()
                .next()
                .filter(|c| c.is_whitespace())
                .map_or(0, char::len_utf8);
        }
        if fence.is_some_and(|quoted| depth < quoted) {
            // The end of the quotation ends what was preformatted in it.
            fence = None;
        }
        let content = &line[at..];
        let quote = if depth > 0 { mark::QUOTE } else { 0 };
        out[from..from + line.len()].fill(quote);
        let code = &mut out[from + at..from + line.len()];
        if fence.is_some() {
            code.fill(quote | mark::CODE);
            if content == "```" {
                fence = None;
            }
        } else if content.starts_with("```") {
            code.fill(quote | mark::CODE);
            fence = Some(depth);
        } else {
            spans(content, 0, code);
            links(content, code);
        }
        from += line.len() + 1;
    }
    out
}

/// The mark of a styling directive.
fn directive(c: char) -> Option<u8> {
    match c {
        '*' => Some(mark::STRONG),
        '_' => Some(mark::EMPHASIS),
        '~' => Some(mark::STRIKE),
        '`' => Some(mark::CODE),
        _ => None,
    }
}

/// Spans of one block, or of one span: lazily, from the beginning (XEP-0393 section 7).
fn spans(text: &str, inherited: u8, out: &mut [u8]) {
    let mut before: Option<char> = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        let opens = match before {
            None => true,
            Some(b) => b.is_whitespace() || (b != c && directive(b).is_some()),
        };
        let followed = text[next..]
            .chars()
            .next()
            .is_some_and(|f| !f.is_whitespace());
        if let (Some(sign), true, true) = (directive(c), opens, followed)
            && let Some(close) = closing(&text[next..], c)
        {
            let end = next + close;
            out[at..=end]
                .iter_mut()
                .for_each(|m| *m |= sign | inherited);
            if sign != mark::CODE {
                spans(&text[next..end], inherited | sign, &mut out[next..end]);
            }
            before = Some(c);
            at = end + 1;
            continue;
        }
        before = Some(c);
        at = next;
    }
}

/// Where the nearest sign is that can close.
fn closing(text: &str, sign: char) -> Option<usize> {
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        if c == sign {
            match before {
                // Nothing between the two: neither is a directive.
                None => return None,
                Some(b) if !b.is_whitespace() => return Some(at),
                Some(_) => {}
            }
        }
        before = Some(c);
    }
    None
}

/// The links of a text: where each begins and ends.
fn found_links(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let starts = ["https://", "http://", "xmpp:", "mailto:"];
    let words = text.split(|c: char| c.is_whitespace() || "<>\"“”（）「」，。".contains(c));
    words.filter_map(move |word| {
        let at = starts
            .iter()
            .filter_map(|s| word.find(s).map(|i| (i, s.len())))
            .min()?;
        let begin = word.as_ptr() as usize - text.as_ptr() as usize + at.0;
        // A sentence's end is not the link's, nor is a bracket around it.
        let link = word[at.0..].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
        (link.len() > at.1).then(|| (begin, begin + link.len()))
    })
}

fn links(text: &str, out: &mut [u8]) {
    for (begin, end) in found_links(text) {
        out[begin..end]
            .iter_mut()
            .for_each(|m| *m = (*m & mark::QUOTE) | mark::LINK);
    }
}

/// The first link of a text.
pub fn link(text: &str) -> Option<&str> {
    found_links(text)
        .next()
        .map(|(begin, end)| &text[begin..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with the marks of each character under it.
    fn drawn(text: &str) -> String {
        let marks = marks(text);
        let sign = |m: u8| match m {
            0 => '.',
            mark::STRONG => 'B',
            mark::EMPHASIS => 'I',
            mark::STRIKE => 'S',
            mark::CODE => 'C',
            mark::QUOTE => 'Q',
            mark::LINK => 'L',
            _ => '+',
        };
        text.char_indices()
            .map(|(i, c)| if c == '\n' { '/' } else { sign(marks[i]) })
            .collect()
    }

    #[test]
    fn spans_are_those_of_the_specification() {
        // The examples of XEP-0393 section 7.
        for (text, expected) in [
            ("plain span", ".........."),
            ("*strong span*", "BBBBBBBBBBBBB"),
            ("plain _emphasis_ plain", "......IIIIIIIIII......"),
            ("`pre` plain *strong*", "CCCCC.......BBBBBBBB"),
            ("*strong*plain*", "BBBBBBBB......"),
            ("* plain *strong*", "........BBBBBBBB"),
            ("not strong*", "..........."),
            ("*not strong", "..........."),
            ("*not \n strong*", "...../........"),
            ("*not *strong", "............"),
            ("**", ".."),
            ("***", "..."),
            ("****", "...."),
            ("*`monospace and bold`*", "B++++++++++++++++++++B"),
            ("`*mono*`", "CCCCCCCC"),
            ("a*b*c", "....."),
            ("~一二~ 三", "SSSS.."),
        ] {
            assert_eq!(drawn(text), expected, "{text}");
        }
    }

    #[test]
    fn blocks_are_those_of_the_specification() {
        assert_eq!(drawn("```x\n*a*\n```\n*b*"), "CCCC/CCC/CCC/BBB");
        assert_eq!(drawn("> a *b*\nc"), "QQQQ+++/.");
        assert_eq!(drawn(">> a\n> ```\n> x\ny"), "QQQQ/QQ+++/QQ+/.");
    }

    #[test]
    fn links_end_where_the_sentence_goes_on() {
        assert_eq!(
            link("see https://example.org/a_b_c."),
            Some("https://example.org/a_b_c")
        );
        assert_eq!(link("(http://x.org/?q=1) yes"), Some("http://x.org/?q=1"));
        assert_eq!(
            link("看https://例子.org/路，好"),
            Some("https://例子.org/路")
        );
        assert_eq!(link("https:// alone"), None);
        assert_eq!(drawn("a http://b_c_ d"), "..LLLLLLLLLLL..");
    }
}
