//! Side by side: the use cases of XEP-0133 section 4 and the table of commands, so that none is forgotten; and each has
//! its place in a talk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use liao_server::modules::commands::table::{ALL, For};
use std::path::Path;

/// Section, topic, and the node of the text; none: the text retracts it.
#[rustfmt::skip]
const TEXT: &[(&str, &str, Option<&str>)] = &[
    ("4.1", "Add User", Some("add-user")),
    ("4.2", "Delete User", Some("delete-user")),
    ("4.3", "Disable User", Some("disable-user")),
    ("4.4", "Re-Enable User", Some("reenable-user")),
    ("4.5", "End User Session", Some("end-user-session")),
    ("4.6", "Get User Password", None),
    ("4.7", "Change User Password", Some("change-user-password")),
    ("4.8", "Get User Roster", Some("get-user-roster")),
    ("4.9", "Get User Last Login Time", Some("get-user-lastlogin")),
    ("4.10", "Get User Statistics", Some("user-stats")),
    ("4.11", "Edit Blacklist", Some("edit-blacklist")),
    ("4.12", "Edit Whitelist", Some("edit-whitelist")),
    ("4.13", "Get Number of Registered Users", Some("get-registered-users-num")),
    ("4.14", "Get Number of Disabled Users", Some("get-disabled-users-num")),
    ("4.15", "Get Number of Online Users", Some("get-online-users-num")),
    ("4.16", "Get Number of Active Users", Some("get-active-users-num")),
    ("4.17", "Get Number of Idle Users", Some("get-idle-users-num")),
    ("4.18", "Get List of Registered Users", Some("get-registered-users-list")),
    ("4.19", "Get List of Disabled Users", Some("get-disabled-users-list")),
    ("4.20", "Get List of Online Users", Some("get-online-users-list")),
    ("4.21", "Get List of Active Users", Some("get-active-users")),
    ("4.22", "Get List of Idle Users", Some("get-idle-users")),
    ("4.23", "Send Announcement to Online Users", Some("announce")),
    ("4.24", "Set Message of the Day", Some("set-motd")),
    ("4.25", "Edit Message of the Day", Some("edit-motd")),
    ("4.26", "Delete Message of the Day", Some("delete-motd")),
    ("4.27", "Set Welcome Message", Some("set-welcome")),
    ("4.28", "Delete Welcome Message", Some("delete-welcome")),
    ("4.29", "Edit Admin List", Some("edit-admin")),
    ("4.30", "Restart Service", Some("restart")),
    ("4.31", "Shut Down Service", Some("shutdown")),
];

#[test]
fn xep_0133_section_4_every_use_case_has_its_command_and_its_talk() {
    let talk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/talks/administration.talk");
    let talk = std::fs::read_to_string(talk).unwrap();
    let prefix = "http://jabber.org/protocol/admin#";
    let mut have = ALL.iter().filter_map(|c| c.node.strip_prefix(prefix));
    let (mut table, mut wrong) = (String::new(), 0);
    for (section, topic, node) in TEXT {
        let found = node.and_then(|_| have.next());
        let told = talk.contains(&format!("# Section {section}, "))
            || talk.contains(&format!(" section {section}, "));
        let fine = found == *node && told;
        wrong += u32::from(!fine);
        let mark = if fine { " " } else { "!" };
        let (wanted, found) = (node.unwrap_or("(retracted)"), found.unwrap_or("-"));
        table += &format!("{mark} {section:5} {topic:34} {wanted:28} {found:28} {told}\n");
    }
    let more: Vec<&str> = have.collect();
    assert!(wrong == 0 && more.is_empty(), "{table}more: {more:?}");
}

#[test]
fn xep_0133_section_6_administration_is_for_administrators() {
    for command in ALL {
        let admin = command.node.starts_with("http://jabber.org/protocol/admin");
        assert_eq!(admin, command.who == For::Admins, "{}", command.node);
    }
}
