//! `:smile:` and the like: the sign for a name's beginning.

/// The sign whose name is this, else the first whose name begins so, shorter names first.
pub fn complete(code: &str) -> Option<&'static str> {
    let code = code.trim_end_matches(':').to_lowercase();
    if let Some(exact) = emojis::get_by_shortcode(&code) {
        return Some(exact.as_str());
    }
    let named = emojis::iter().flat_map(|e| e.shortcodes().map(move |c| (c, e)));
    let fitting = named.filter(|(c, _)| c.starts_with(&code));
    fitting
        .min_by_key(|(c, _)| c.len())
        .map(|(_, e)| e.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_its_beginning_is_a_sign() {
        assert_eq!(complete("smile"), Some("😄"));
        assert_eq!(complete("rocket:"), Some("🚀"));
        assert_eq!(complete("rocke"), Some("🚀"));
        assert_eq!(complete("no such thing"), None);
    }
}
