//! The words of the plain interface, in one place.

/// What `/help` shows before the table of commands.
pub const HELP: &str =
    "A line is said to the one you talk to. @NAME TEXT says it to somebody else, q ends.";
/// Said once at a terminal.
pub const GREETING: &str =
    "/who lists people, /to NAME talks to one, /help the rest, q ends (/help 帮助)";
/// A line without words.
pub const EMPTY: &str = "an empty line is not sent";
/// Nobody was chosen yet (accounts).
pub const TO_WHOM: &str = "to whom? /to NAME chooses, @NAME TEXT says one thing; /who lists people";
/// Nobody is there yet (sockets).
pub const NOBODY: &str = "nobody is here yet; it goes to the first who speaks";
/// Nobody has called or been called (sockets).
pub const NOBODY_YET: &str = "nobody yet";
/// No contacts (accounts).
pub const NO_FRIENDS: &str = "nobody yet: /add NAME@SERVER asks somebody; `liao admin invite --from YOU@SERVER` makes a link for a friend";
/// Said once while there is no connection.
pub const KEPT: &str = "kept: it goes out as soon as the connection is back";
/// The invitation to the first run.
pub const FIRST: &str = "Welcome to liao 聊. You have no account here yet.\n\
    欢迎使用 liao 聊。这里还没有账号。\n\
    Paste an invite link (https://… or xmpp:…), or type your address (name@server).\n\
    No server yet? Run `liao serve` and paste the link that it shows.";
