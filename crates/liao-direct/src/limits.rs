//! Every bound of direct mode, with its reason.

use std::time::Duration;

/// A frame of a friend: a message of millions of characters fits; longer words are better sent as a file.
pub const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// A frame of somebody who is not in the address book: a greeting fits.
pub const STRANGER_FRAME_BYTES: usize = 4 * 1024;
/// Strangers who are connected at once; each costs a connection and a line on the screen.
pub const STRANGERS: usize = 32;
/// Strangers who are announced within `ANNOUNCING`; keys cost nothing, the person's attention does.
pub const ANNOUNCEMENTS: usize = 20;
/// See [`ANNOUNCEMENTS`].
pub const ANNOUNCING: Duration = Duration::from_secs(60);
/// Strangers on the local network who are shown; an announcement costs its sender nothing.
pub const LAN_PEOPLE: usize = 1000;
/// Handshakes under way: they cost a signature each, before anyone is known.
pub const HANDSHAKES: usize = 64;
/// Connections with one friend: two cross when both dial at once, an old one may not have ended yet.
pub const CONNECTIONS: usize = 4;
/// Frames that wait to be written to a connection; whoever reads none of so many is cut off.
pub const WRITING: usize = 1024;
/// Messages on their way that the other side has not acknowledged.
pub const WINDOW: usize = 64;
/// The same in bytes of text; one longer message may go alone.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// An announced name; it is shown on one line.
pub const NAME_CHARS: usize = 64;
/// A status line or a greeting.
pub const STATUS_CHARS: usize = 512;
/// The id of a message.
pub const ID_BYTES: usize = 64;
/// Emojis of one person on one message.
pub const EMOJIS: usize = 16;
/// Addresses of one person that are kept and tried.
pub const ADDRESSES: usize = 16;

/// The last millisecond of the year 9999: later times cannot be written (RFC 3339).
pub const LAST_MS: i64 = 253_402_300_799_999;

/// A dial, with the other side's answer to it.
pub const DIAL: Duration = Duration::from_secs(10);
/// Asking an address for its key.
pub const PROBE: Duration = Duration::from_secs(5);
/// A connection without any sign of life is dead; signs come every `KEEP_ALIVE`.
pub const IDLE: Duration = Duration::from_secs(12);
/// Keeps the way through routers open, too.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A friend who does not answer is tried again after this, doubled each time …
pub const RETRY: Duration = Duration::from_secs(2);
/// … up to this.
pub const RETRY_MOST: Duration = Duration::from_secs(60);
/// How long an end waits for acknowledgements of what was said last.
pub const FINISH: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
pub const GOODBYE: Duration = Duration::from_secs(3);
/// Nudges of one person, ours or theirs.
pub const NUDGE: Duration = Duration::from_secs(5);
/// People on the local network who are not connected are asked so often whether they are still there.
pub const VERIFY: Duration = Duration::from_secs(10);
