//! Finding somebody by a few letters: of the name, of the address, or of the name's pinyin (`xm` finds 小明).

use pinyin::ToPinyinMulti;

/// How well letters fit a name; `None`: not at all. Higher is better.
pub fn fits(letters: &str, name: &str) -> Option<i64> {
    let wanted: Vec<char> = letters
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    if wanted.is_empty() {
        return Some(0);
    }
    let plain: Vec<Vec<String>> = name
        .to_lowercase()
        .chars()
        .map(|c| vec![c.to_string()])
        .collect();
    let spoken: Vec<Vec<String>> = name.to_lowercase().chars().map(readings).collect();
    // What the name itself has counts a little more than how it is spoken.
    let by_sign = matched(&wanted, &plain).map(|score| score + 5);
    by_sign.max(matched(&wanted, &spoken))
}

/// What a character may be typed as: itself, and its syllables.
fn readings(c: char) -> Vec<String> {
    let mut all = vec![c.to_string()];
    for reading in c.to_pinyin_multi().into_iter().flatten() {
        // ü is typed as v.
        all.push(reading.plain().replace('ü', "v"));
    }
    all
}

/// Letters in order, each word of the name by any beginning of it; near and early is better.
fn matched(wanted: &[char], signs: &[Vec<String>]) -> Option<i64> {
    // best[i]: the best score with the first i letters found so far.
    let mut best: Vec<Option<i64>> = vec![None; wanted.len() + 1];
    let mut last: Vec<usize> = vec![0; wanted.len() + 1];
    best[0] = Some(0);
    for (at, sign) in signs.iter().enumerate() {
        let before = at.checked_sub(1).map(|b| signs[b][0].as_str());
        let begins = before.is_none_or(|b| !b.chars().all(char::is_alphanumeric) || sign.len() > 1);
        for have in (0..wanted.len()).rev() {
            let Some(score) = best[have] else { continue };
            let near = if have > 0 && last[have] + 1 == at {
                4
            } else {
                0
            };
            let begin = if begins { 3 } else { 0 };
            for reading in sign {
                for (n, (letter, wanted)) in reading.chars().zip(&wanted[have..]).enumerate() {
                    if letter != *wanted {
                        break;
                    }
                    let here = score + near + begin + 1 + n as i64 - i64::from(at > 0);
                    let to = have + n + 1;
                    if best[to].is_none_or(|b| b < here) {
                        best[to] = Some(here);
                        last[to] = at;
                    }
                }
            }
        }
    }
    best[wanted.len()].map(|score| score * 4 - signs.len() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_find_names_by_sign_and_by_sound() {
        for (letters, name) in [
            ("bob", "bob"),
            ("bb", "bob"),
            ("xm", "小明"),
            ("xiaom", "小明"),
            ("明", "小明"),
            ("zq", "张强"),
            ("cq", "重庆"),
            ("lv", "绿茶"),
            ("al ex", "alice@example.org"),
            ("", "anyone"),
        ] {
            assert!(fits(letters, name).is_some(), "{letters} {name}");
        }
        assert_eq!(fits("mx", "小明"), None);
        assert_eq!(fits("xyz", "bob"), None);
    }

    #[test]
    fn the_nearest_name_is_first() {
        assert!(fits("bo", "bob") > fits("bo", "abaco"));
        assert!(fits("bob", "bob") > fits("bob", "bobby"));
        assert!(fits("xm", "小明") > fits("xm", "xavier marx the third"));
    }
}
