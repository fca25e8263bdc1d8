//! THE table of commands: every one of XEP-0133 section 4 that is not retracted, and the invite of XEP-0401.

use super::{access, invite, lists, look, notices, stop, users};
use crate::server::{Server, is_local};
use liao_proto::jid::Jid;
use liao_proto::minidom::Element;
use liao_proto::ns;
use liao_proto::stanza::ErrorKind;
use liao_proto::xep::forms::{Answers, Field};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Something in English and in Chinese.
pub(super) type Words = (&'static str, &'static str);

/// A language of forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// The one that an `xml:lang` means, if it is one of ours.
    pub fn of(tag: &str) -> Option<Lang> {
        match tag.split('-').next()?.to_ascii_lowercase().as_str() {
            "en" => Some(Lang::En),
            "zh" => Some(Lang::Zh),
            _ => None,
        }
    }

    /// The words in it.
    pub fn pick(self, words: Words) -> &'static str {
        match self {
            Lang::En => words.0,
            Lang::Zh => words.1,
        }
    }
}

/// What a command is given.
pub(super) struct Run {
    /// The server.
    pub server: Arc<Server>,
    /// Who executes it.
    pub from: Jid,
    /// The form.
    pub answers: Answers,
    /// The language of what is said.
    pub lang: Lang,
}

/// What a command gives.
#[derive(Default)]
pub(super) struct Done {
    /// Fields of a form of type `result`.
    pub fields: Vec<Field>,
    /// Elements in that form (XEP-0133 section 4.8).
    pub inside: Vec<Element>,
    /// A word on it.
    pub note: Option<Words>,
}

/// What becomes of an execution.
pub(super) type Outcome = Result<Done, ErrorKind>;
type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// For whom a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Administrators alone (XEP-0133 section 6).
    Admins,
    /// Every account, unless registration is closed.
    Everyone,
}

/// One command.
pub struct Command {
    /// Its node.
    pub node: &'static str,
    /// For whom.
    pub who: For,
    /// What lists call it, and its form's title.
    pub(super) name: Words,
    /// The form's instructions.
    pub(super) hint: Words,
    /// The form's fields; `None`: it is executed at once.
    pub(super) ask: Option<fn(&Server, Lang) -> Vec<Field>>,
    /// The work.
    pub(super) run: fn(Run) -> Work,
}

impl Command {
    /// Whether somebody may execute it.
    pub fn is_for(&self, server: &Server, who: &Jid) -> bool {
        match self.who {
            For::Admins => server.accounts.is_admin(&who.to_bare()),
            For::Everyone => {
                is_local(server, who) && server.config().registration_mode() != "closed"
            }
        }
    }

    pub(super) fn form_type(&self) -> &'static str {
        match self.who {
            For::Admins => ns::ADMIN,
            For::Everyone => ns::INVITATION,
        }
    }
}

/// A row: node, form, work, words.
macro_rules! command {
    ($node:literal, $run:path, $ask:expr, $en:literal / $zh:literal, $hint_en:literal / $hint_zh:literal) => {
        Command {
            node: concat!("http://jabber.org/protocol/admin#", $node),
            who: For::Admins,
            name: ($en, $zh),
            hint: ($hint_en, $hint_zh),
            ask: $ask,
            run: |run| Box::pin($run(run)),
        }
    };
}

/// All commands, in the order of XEP-0133 section 4.
#[rustfmt::skip]
pub static ALL: &[Command] = &[
    command!("add-user", users::add, Some(users::ask_add), "Add an account" / "添加账号",
        "The name and the password of the new account; the rest goes into its vCard." / "填写新账号的名字和密码；其余内容写入它的名片。"),
    command!("delete-user", users::delete, Some(users::ask_accounts), "Delete accounts" / "删除账号",
        "They go with all that they own." / "账号和它的所有数据都会删除。"),
    command!("disable-user", users::disable, Some(users::ask_accounts), "Disable accounts" / "停用账号",
        "They are logged out and cannot log in; nothing of theirs is lost." / "账号会下线，不能再登录；数据都保留。"),
    command!("reenable-user", users::reenable, Some(users::ask_accounts), "Re-enable accounts" / "恢复账号",
        "They can log in again." / "账号可以重新登录。"),
    command!("end-user-session", users::end, Some(users::ask_sessions), "End sessions" / "强制下线",
        "An address with a resource ends that session, one without ends all." / "带资源的地址只结束那一个会话，不带资源则结束全部。"),
    // why not get-user-password: retracted; and nobody here could tell it.
    command!("change-user-password", users::password, Some(users::ask_password), "Change a password" / "修改密码",
        "The account and its new password." / "填写账号和新密码。"),
    command!("get-user-roster", look::roster, Some(users::ask_accounts), "Show contacts" / "查看联系人",
        "Whose contacts?" / "查看谁的联系人？"),
    command!("get-user-lastlogin", look::last_login, Some(users::ask_accounts), "Show last logins" / "查看上次登录时间",
        "Whose?" / "查看谁的？"),
    command!("user-stats", look::statistics, Some(users::ask_account), "Show an account's figures" / "查看账号统计",
        "Whose?" / "查看谁的？"),
    command!("edit-blacklist", access::blocked, Some(access::ask_blocked), "Edit the block list" / "编辑屏蔽名单",
        "Nobody here communicates with these addresses and domains." / "本服务器上的任何人都不与这些地址和域名通信。"),
    command!("edit-whitelist", access::allowed, Some(access::ask_allowed), "Edit the allow list" / "编辑允许名单",
        "If there are any, people here communicate with nobody else outside." / "只要不为空，就只与名单上的外部地址和域名通信。"),
    command!("get-registered-users-num", lists::registered_number, None, "Number of accounts" / "账号总数", "" / ""),
    command!("get-disabled-users-num", lists::disabled_number, None, "Number of disabled accounts" / "停用账号数", "" / ""),
    command!("get-online-users-num", lists::online_number, None, "Number of accounts online" / "在线人数", "" / ""),
    command!("get-active-users-num", lists::active_number, None, "Number of active accounts" / "活跃人数", "" / ""),
    command!("get-idle-users-num", lists::idle_number, None, "Number of idle accounts" / "空闲人数", "" / ""),
    command!("get-registered-users-list", lists::registered, Some(lists::ask), "List accounts" / "账号列表",
        "How many?" / "显示多少个？"),
    command!("get-disabled-users-list", lists::disabled, Some(lists::ask), "List disabled accounts" / "停用账号列表",
        "How many?" / "显示多少个？"),
    command!("get-online-users-list", lists::online, Some(lists::ask), "List accounts online" / "在线列表",
        "How many?" / "显示多少个？"),
    command!("get-active-users", lists::active, Some(lists::ask), "List active accounts" / "活跃列表",
        "How many?" / "显示多少个？"),
    command!("get-idle-users", lists::idle, Some(lists::ask), "List idle accounts" / "空闲列表",
        "How many?" / "显示多少个？"),
    command!("announce", notices::announce, Some(notices::ask_announcement), "Announce something" / "发公告",
        "Everyone who is online is told at once." / "立即通知所有在线的人。"),
    command!("set-motd", notices::set_motd, Some(notices::ask_motd), "Set the message of the day" / "设置每日消息",
        "Everyone is told once: who is online now, the others when they come." / "每人收到一次：在线的马上收到，其余的上线时收到。"),
    command!("edit-motd", notices::edit_motd, Some(notices::ask_edit_motd), "Edit the message of the day" / "修改每日消息",
        "Who has had it is not told again." / "已经收到过的人不会再收到。"),
    command!("delete-motd", notices::delete_motd, None, "Delete the message of the day" / "删除每日消息", "" / ""),
    command!("set-welcome", notices::set_welcome, Some(notices::ask_welcome), "Set the welcome" / "设置欢迎语",
        "New people are told at their first login." / "新用户第一次登录时收到。"),
    command!("delete-welcome", notices::delete_welcome, None, "Delete the welcome" / "删除欢迎语", "" / ""),
    command!("edit-admin", access::admins, Some(access::ask_admins), "Edit the administrators" / "编辑管理员名单",
        "Who may administer this server; one at least." / "谁可以管理本服务器；至少要有一个。"),
    command!("restart", stop::restart, Some(stop::ask), "Restart the server" / "重启服务器",
        "Everyone online is told; the server restarts after the delay." / "通知所有在线的人，到时间后重启。"),
    command!("shutdown", stop::shutdown, Some(stop::ask), "Shut the server down" / "关闭服务器",
        "Everyone online is told; the server stops after the delay." / "通知所有在线的人，到时间后关闭。"),
    Command {
        node: ns::INVITE,
        who: For::Everyone,
        name: ("Invite somebody", "邀请朋友"),
        hint: ("", ""),
        ask: None,
        run: |run| Box::pin(invite::invite(run)),
    },
];
