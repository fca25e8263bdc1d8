//! Answers that quote what they answer (XEP-0461), with words for programs that do not know it (XEP-0428).

use crate::backend::Reply;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::Stanza;
use liao_proto::xml::escape;

/// Of what is quoted so many characters go along.
const QUOTE: usize = 300;

/// The beginning of a message's words.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The quote as other programs show it.
fn fallback(reply: &Reply) -> String {
    let lines = reply.quote.lines().map(|l| format!("> {l}\n"));
    lines.collect()
}

/// The body and the payload of an answer (section 3).
pub fn answer(reply: &Reply, text: &str) -> String {
    let quoted = fallback(reply);
    let to = reply
        .to
        .as_ref()
        .map_or(String::new(), |to| format!(" to='{}'", escape(to)));
    format!(
        "<body>{}{}</body><reply xmlns='{reply_ns}'{to} id='{}'/><fallback xmlns='{}' for='{reply_ns}'><body start='0' end='{}'/></fallback>",
        escape(&quoted),
        escape(text),
        escape(&reply.id),
        ns::FALLBACK,
        quoted.chars().count(),
        reply_ns = ns::REPLY,
    )
}

/// The range, in characters, of the body that is only for programs that do not know answers (section 3.1).
fn fallback_range(stanza: &Stanza) -> Option<(usize, usize)> {
    let is_ours = |e: &Element| e.attr("for") == Some(ns::REPLY);
    let fallback = stanza
        .children()
        .iter()
        .filter(|c| c.name == "fallback" && c.ns == ns::FALLBACK)
        .filter_map(|c| stanza.parse(c))
        .find(is_ours)?;
    let body = fallback.get_child("body", ns::FALLBACK)?;
    let number = |name| body.attr(name)?.parse::<usize>().ok();
    Some((number("start")?, number("end")?))
}

/// The words of a message without what is only quoted for programs that do not know answers.
pub fn words(stanza: &Stanza) -> Option<String> {
    let body = stanza.text_of("body", ns::CLIENT)?;
    let range = stanza
        .has("reply", ns::REPLY)
        .then(|| fallback_range(stanza));
    let Some((start, end)) = range.flatten().filter(|(start, end)| start <= end) else {
        return Some(body);
    };
    let kept = body.chars().enumerate();
    let kept = kept.filter(|(at, _)| *at < start || *at >= end);
    Some(kept.map(|(_, c)| c).collect())
}

/// What a message answers.
pub fn read(stanza: &Stanza) -> Option<Reply> {
    let reply = stanza.get("reply", ns::REPLY)?;
    let quoted = fallback_range(stanza).and_then(|(start, end)| {
        let body = stanza.text_of("body", ns::CLIENT)?;
        let quoted: String = body.chars().take(end).skip(start).collect();
        let lines = quoted
            .lines()
            .map(|l| l.strip_prefix('>').unwrap_or(l).trim_start());
        Some(lines.collect::<Vec<_>>().join("\n"))
    });
    Some(Reply {
        id: reply.attr("id")?.to_owned(),
        to: reply.attr("to").map(str::to_owned),
        quote: quote(quoted.unwrap_or_default().trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::stanza;

    #[test]
    fn an_answer_goes_and_comes_with_its_quote_apart_from_its_words() {
        let reply = Reply {
            id: "1".into(),
            to: Some("b@y".into()),
            quote: "蛋糕?\nor <pie>".into(),
        };
        let xml = format!(
            "<message from='b@y'>{}</message>",
            answer(&reply, "好 & yes")
        );
        let got = stanza(&xml);
        assert_eq!(words(&got).as_deref(), Some("好 & yes"));
        assert_eq!(read(&got), Some(reply));
        let body = got.text_of("body", ns::CLIENT).unwrap();
        assert_eq!(body, "> 蛋糕?\n> or <pie>\n好 & yes");
    }

    #[test]
    fn a_range_that_lies_takes_nothing_away() {
        let of = |range: &str| {
            words(&stanza(&format!(
                "<message from='b@y'><body>abc</body><reply xmlns='urn:xmpp:reply:0' id='1'/>\
                 <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body {range}/></fallback></message>"
            )))
        };
        assert_eq!(of("start='2' end='1'").as_deref(), Some("abc"));
        assert_eq!(of("start='x' end='1'").as_deref(), Some("abc"));
        assert_eq!(of("start='1' end='99999999999'").as_deref(), Some("a"));
        assert_eq!(of("").as_deref(), Some("abc"));
    }
}
