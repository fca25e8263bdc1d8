//! The interface's languages: every text is a field of [`Words`], each language fills all of them in its own file.

mod en;
mod zh;

/// Declares the texts once, so that a language that lacks one does not compile.
macro_rules! texts {
    ($($name:ident),* $(,)?) => {
        /// All texts of the interface in one language; `{0}`, `{1}` are filled in by [`fill`].
        pub struct Words {
            /// Which language.
            pub lang: Lang,
            $(#[allow(missing_docs)] pub $name: &'static str,)*
        }
    };
}

texts! {
    // Names of things on the screen.
    chats, friends, people, notices, nothing_noticed, me, new, failed, online, offline, away, long_away, busy,
    glad, asks, asked, draft, muted, no_group, nobody_yet, nothing_said, greeting_screen, greeting_sockets,
    beginning, newer_below, read_until_here, today, yesterday, months, weekdays, day_line, not_sent, waiting,
    of_pieces, too_small, chat_hint, list_hint, list_hint_sockets, request_hint, select_hint,
    // First run.
    welcome, link_or_address, link_help, server_help, invited, choose_name, choose_password, your_password,
    password_kept, login_as, server_field, server_field_help, form_first_keys, form_keys, form_role_keys,
    working, no_link, empty_name, empty_password, sockets_form, sockets_address, role_tcp_client,
    role_tcp_server, role_udp_client, role_udp_server,
    // Over the screen.
    help_title, help_marks, marks, help_keys, help_commands, help_close, switch_to, switch_keys, search_here,
    search_all, search_keys, nothing_found, once_more, were_different, paste_title, paste_keys,
    // What is told.
    empty_line, to_whom, nobody_is_here, kept, copied, no_link_here, opened, quit_again, is_friend_request,
    accepted, declined, removed, online_as, connecting, offline_because, closed_because, pinned_now,
    unpinned_now, muted_now, unmuted_now, theme_now, notify_now, mouse_now, on, off, no_unread, said_not_sent,
    wrote, no_such_command, it_goes_like, book_empty, book_removed, book_missing, nobody_here, several_called,
    or, who_lists, who_or_book,
    // Lines.
    line_help, greeting, you_talk_to, nobody_listed, no_friends, here, not_here, asks_friend, asked_friend,
    is_here, is_gone, is_state, how_to_answer, older_there,
    edited, took_back, reacted, nudged, nothing_to_change,
    // Files.
    stops_it, saved_as, not_saved, no_file_here, no_file_under_way, file_begins, file_left, file_speed,
    // What a message has beside its words.
    recalled_mine, about_reply, about_edit, about_react, k_reply, k_edit, k_recall, k_react, edited_mark, types_now,
    // The table of commands.
    a_name, a_text, a_address, a_words, a_number, a_path, c_to, c_who, c_add, c_accept, c_decline, c_remove, c_online,
    c_away, c_busy, c_history, c_read, c_edit, c_recall, c_reply, c_react, c_nudge, c_block, c_unblock, c_name, c_move, a_new_name, a_group, not_a_friend, k_quoted, k_return, quoted_not_here, no_quote_here, nothing_to_return_to, c_file, c_save, c_stop, c_search, c_pin, c_mute, c_book, c_theme, c_notify, c_mouse, c_notices, c_help,
    c_quit,
    // The table of keys.
    k_anywhere, k_writing, k_in_list, k_on_message, k_in_choice, k_in_form, k_in_question, k_help, k_quit,
    k_switch, k_search, k_next_unread, k_first_unread, k_previous, k_next, k_number, k_list, k_page_up,
    k_page_down, k_bottom, k_redraw, k_back, k_send, k_newline, k_complete, k_select, k_editor, k_clear, k_up,
    k_down, k_left, k_right, k_word_left, k_word_right, k_home, k_end, k_backspace, k_delete, k_cut_word,
    k_cut_word_after, k_cut_line, k_paste, k_open, k_tab, k_fold, k_unfold, k_pin, k_mute, k_accept, k_decline,
    k_link, k_copy, k_again, k_choose, k_confirm, k_show, k_sockets, k_paste_send, k_paste_edit, k_paste_file, k_save, k_stop,
}

/// Which text, of whatever language.
pub type Text = fn(&Words) -> &'static str;

/// A language of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// 中文.
    Zh,
}

impl Lang {
    /// The language of the environment: `LC_ALL`, else `LC_MESSAGES`, else `LANG` (POSIX, section 8.2).
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Lang {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|v| !v.is_empty()));
        match set {
            Some(value) if value.starts_with("zh") => Lang::Zh,
            _ => Lang::En,
        }
    }

    /// Its texts.
    pub fn words(self) -> &'static Words {
        match self {
            Lang::En => &en::WORDS,
            Lang::Zh => &zh::WORDS,
        }
    }
}

/// Puts values in a text's places.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (number, after) = after.split_once('}').unwrap_or((after, ""));
        let value = number.parse::<usize>().ok().and_then(|n| values.get(n));
        out.push_str(value.copied().unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses_the_language() {
        let with = |all: &[(&str, &str)]| {
            let all: Vec<(String, String)> = all
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            Lang::detect(move |name| {
                let found = all.iter().find(|(n, _)| n == name);
                found.map(|(_, v)| v.clone())
            })
        };
        assert_eq!(with(&[]), Lang::En);
        assert_eq!(with(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(with(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(
            with(&[("LANG", "C"), ("LC_ALL", ""), ("LC_MESSAGES", "zh_TW")]),
            Lang::Zh
        );
    }

    #[test]
    fn places_are_filled_in_any_order() {
        assert_eq!(fill("{1} of {0}", &["a", "b"]), "b of a");
        assert_eq!(fill("no places", &["a"]), "no places");
        assert_eq!(fill("{0}{2}", &["{1}"]), "{1}");
    }
}
