//! Every bound of the server, with its name and its reason (DESIGN section 9), and which of them an administrator
//! may change (`[limits]` in the configuration).

/// Bytes of one stanza from an authenticated client: a 256 KiB message with room for its envelope.
pub const STANZA_BYTES: usize = 512 * 1024;
/// Bytes of one element before authentication: SASL needs no more (RFC 6120 section 13.12 asks for 10,000 or more).
pub const STANZA_BYTES_UNAUTHENTICATED: usize = 16 * 1024;
/// Elements open at once in one stanza: deeper trees are attacks on recursive readers.
pub const STANZA_DEPTH: usize = 64;
/// Connections from one address: a household or an office behind one NAT fits, a flood does not.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_000;
/// Seconds that a TLS handshake of HTTPS may take: two round trips over the slowest network.
pub const HANDSHAKE_S: u64 = 10;
/// Seconds in which the header of an HTTP request must be there, the first one and each later one of a connection:
/// longer than the pauses of a browser or of BOSH, so that slow senders do not hold places for ever.
pub const HTTP_HEADER_S: u64 = 30;
/// Seconds for a form to arrive and to be answered.
pub const HTTP_FORM_S: u64 = 30;
/// Seconds until a connection must have bound a resource.
pub const UNAUTHENTICATED_S: u64 = 30;
/// Wrong passwords on one connection (RFC 6120 section 6.4.5: 2 to 5 tries).
pub const AUTH_TRIES: u32 = 5;
/// Wrong passwords for one account in [`AUTH_WINDOW_S`]; then tries are refused for 1, 2, 4 … seconds.
pub const AUTH_FAILURES: u32 = 5;
/// How many times that for one address: many people may sit behind one.
pub const AUTH_ADDRESS_FACTOR: u32 = 10;
/// Seconds after which a failed login is forgotten.
pub const AUTH_WINDOW_S: u64 = 15 * 60;
/// The longest pause after failed logins, in seconds: a guesser gets 1,440 tries a day, a person a coffee.
pub const AUTH_PAUSE_S: u64 = 60;
/// Logins of one account at the same moment: all of its devices may come back at once, a flood of guesses may not.
pub const AUTH_AT_ONCE: u32 = 50;
/// Accounts and addresses whose failed logins are remembered, about 100 bytes each.
pub const AUTH_REMEMBERED: usize = 50_000;
/// Bytes that wait for one session. From a quarter of it on what is archived waits in the archive; who does not read
/// what is in no archive loses the session, not the others.
pub const MAILBOX_BYTES: usize = 2 * 1024 * 1024;
/// What reaches a session out of the archive within so many milliseconds, and came while the session was there, is not
/// called delayed (XEP-0203): it only went round a page that was being read.
pub const LIVE_MS: i64 = 5_000;
/// Bytes of a session's own stanzas that are being worked on; then its socket is not read. It is what stands before
/// another's message when somebody floods: so a flood is slowed to the disk's speed and the others hardly notice.
pub const IN_FLIGHT_BYTES: usize = 64 * 1024;
/// The same for all sessions of one account together: more sessions do not make a flood larger.
pub const IN_FLIGHT_ACCOUNT_BYTES: usize = 4 * IN_FLIGHT_BYTES;
/// What each further stanza that comes of one counts as meanwhile: about what it takes in memory.
pub const FAN_OUT_BYTES: usize = 256;
/// Bytes that wait on each side of a BOSH session (XEP-0124).
pub const BOSH_BYTES: usize = 1024 * 1024;
/// Contacts in one roster. All of them must also fit in half a mailbox, as the list is given in one stanza.
pub const ROSTER_SIZE: usize = 5_000;
/// Bytes of a name or a group in a roster (RFC 6121 section 2.3.3 leaves the bound to the server).
pub const ROSTER_NAME_BYTES: usize = 1_023;
/// Groups of one contact.
pub const ROSTER_GROUPS: usize = 50;
/// Bytes of a vCard: a picture of 150 KB in base64, and words.
pub const VCARD_BYTES: usize = 256 * 1024;
/// Bytes of one account's private storage (XEP-0049): bookmarks and settings of several clients.
pub const PRIVATE_BYTES: usize = 1024 * 1024;
/// Bytes of the last words of somebody who left (XEP-0012); longer ones are not kept.
pub const FAREWELL_BYTES: usize = 1_023;
/// Logins of one account whose time is remembered.
pub const LOGINS_REMEMBERED: usize = 60;
/// Addresses that one account blocks (XEP-0191).
pub const BLOCKED_PER_ACCOUNT: usize = 1_000;
/// Reports of spam and abuse that are kept of one account's (XEP-0377).
pub const REPORTS_PER_ACCOUNT: usize = 100;
/// Bytes of the words in a report, and messages that it names.
pub const REPORT_BYTES: usize = 4_096;
/// Commands that somebody is in the middle of, or has just ended (XEP-0050); the oldest are forgotten.
pub const COMMAND_SESSIONS: usize = 1_000;
/// Seconds for which a command's form may be filled in.
pub const COMMAND_SESSION_S: u64 = 30 * 60;
/// Accounts in one answer of a command (XEP-0133 section 4.18); more do not fit in a stanza.
pub const COMMAND_LIST: usize = 5_000;
/// Addresses that one command handles, and entries of the server's own lists.
pub const COMMAND_ADDRESSES: usize = 1_000;
/// Bytes of an announcement, a message of the day or a welcome.
pub const NOTICE_BYTES: usize = 16 * 1024;
/// Seconds without a stanza after which somebody who is online counts as idle: longer than clients are silent by nature.
pub const IDLE_USER_S: u64 = 600;
/// Messages that a report names.
pub const REPORT_MESSAGES: usize = 50;
/// Removed contacts that are remembered, for clients that were away (RFC 6121 section 2.6.3); then they get the whole list.
pub const ROSTER_REMOVED: usize = 100;
/// Bytes of a stream's language, which is written on each stanza; the longest in use have 35 (RFC 5646 section 4.4.1).
pub const LANGUAGE_BYTES: usize = 64;
/// Resources of one account at once.
pub const RESOURCES_PER_ACCOUNT: usize = 50;
/// Addresses to which one session may have sent directed presence (RFC 6121 section 4.6).
pub const DIRECTED_PRESENCE: usize = 500;
/// Entities kept in memory in one shard when nobody is connected to them.
pub const ENTITIES_PER_SHARD: usize = 10_000;
/// Items that wait for an entity whose state is being read.
pub const PARKED_PER_ENTITY: usize = 10_000;
/// Kept messages read from the archive at once.
pub const OFFLINE_PAGE: usize = 64;
/// Messages that one archive query gives at most (XEP-0313 section 4.3.1), and if it does not say how many.
pub const ARCHIVE_PAGE: usize = 250;
/// See [`ARCHIVE_PAGE`].
pub const ARCHIVE_PAGE_DEFAULT: usize = 50;
/// Bytes of stanzas in one page: a quarter of the least mailbox that is of use, so that a page always fits.
pub const ARCHIVE_PAGE_BYTES: usize = 512 * 1024;
/// Archive queries of one session that wait at once; a client that pages asks one after the other.
pub const ARCHIVE_QUERIES: usize = 64;
/// Stanzas that one query looks at where the index cannot tell (XEP-0313 section 4.1.1, a full address).
pub const ARCHIVE_SCAN: usize = 20_000;
/// Seconds that a page waits for room in the mailbox of who asked.
pub const ARCHIVE_PATIENCE_S: u64 = 60;
/// Addresses in each list of archiving preferences (XEP-0441).
pub const ARCHIVE_PREFS: usize = 1_000;
/// Seconds between two looks for messages that are too old (retention).
pub const RETENTION_S: u64 = 3_600;
/// Offline messages of one account; then the sender is told (XEP-0160 section 3, step 2).
pub const OFFLINE_MESSAGES: usize = 100_000;
/// Seconds that a write to a client may stand still.
pub const WRITE_STALL_S: u64 = 60;
/// Seconds without a byte after which a client is asked with a ping, and again until it counts as gone.
pub const IDLE_PING_S: u64 = 300;
/// Seconds that connections get for their last words when the server stops.
pub const SHUTDOWN_S: u64 = 5;
/// Addresses whose registrations are counted, about 50 bytes each; at the bound the oldest are forgotten.
pub const REGISTRATIONS_REMEMBERED: usize = 10_000;
/// Bytes that are thrown away of who gets a stream error and still sends, so that the error arrives.
pub const LAST_WORDS_BYTES: usize = 16 * 1024 * 1024;
/// Registrations by one address in ten minutes.
pub const REGISTRATIONS_PER_ADDRESS: u32 = 20;
/// Seconds for which a session outlives its connection (XEP-0198 section 5): a tunnel, a change of network, a reboot.
pub const RESUME_S: u64 = 600;
/// Ended streams whose `h` is remembered, for a truthful `<failed h/>`.
pub const ENDED_STREAMS: usize = 10_000;
/// Seconds that a component with a wrong secret waits for the answer: a guesser gets one try in each.
pub const COMPONENT_PAUSE_S: u64 = 1;
/// Callers of the sockets gateway at once, TCP and UDP together.
pub const GATEWAY_CALLERS: usize = 256;
/// Seconds for which a slot waits for its file (XEP-0363 section "Implementation Notes" recommends 300).
pub const UPLOAD_SLOT_S: u64 = 300;
/// Slots of one account that wait for their file: an album goes out one picture after the other.
pub const UPLOAD_SLOTS: u32 = 50;
/// How often one account may ask for a slot in [`UPLOAD_RATE_S`], refusals included.
pub const UPLOAD_SLOTS_RATE: u32 = 500;
/// Seconds after which they are counted anew.
pub const UPLOAD_RATE_S: u64 = 600;
/// Files of one account: each costs a few rows and a name in a folder.
pub const UPLOAD_FILES: u32 = 20_000;
/// Bytes of one file for a profile: a picture of oneself, not an album.
pub const UPLOAD_PROFILE_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of all files for a profile; the oldest go, as what they showed was replaced.
pub const UPLOAD_PROFILE_BYTES: u64 = 32 * 1024 * 1024;
/// Files on their way at once, up and down: each holds [`UPLOAD_CHUNK_BYTES`] and the buffers of a connection.
pub const UPLOAD_TRANSFERS: usize = 256;
/// How many of them with one address.
pub const UPLOAD_TRANSFERS_PER_ADDRESS: usize = 64;
/// Bytes read from or written to the disk at once.
pub const UPLOAD_CHUNK_BYTES: usize = 128 * 1024;
/// Seconds in which [`TRANSFER_WINDOW_BYTES`] of an upload must arrive, or it has failed.
pub const TRANSFER_WINDOW_S: u64 = 60;
/// The slowest network that counts as one: 1 KiB in a second.
pub const TRANSFER_WINDOW_BYTES: u64 = 60 * 1024;
/// Seconds between two looks for files whose time is over; they are not given out meanwhile.
pub const UPLOAD_SWEEP_S: u64 = 600;
/// Files that are cleared away before others get their turn at the disk.
pub const UPLOAD_SWEEP: usize = 64;
/// Accounts whose sums of files are kept in memory, about 200 bytes each.
pub const UPLOAD_ACCOUNTS: usize = 20_000;

/// One of [`BOUNDS`].
#[derive(Debug)]
pub struct Bound {
    /// Its option: `limits.NAME`.
    pub key: &'static str,
    /// As it is if nobody changes it.
    pub default: u64,
    /// Below this the server would be of no use.
    pub least: u64,
    /// Above this one client could take the whole machine.
    pub most: u64,
}

/// Makes the struct, the table and the reader from one list.
macro_rules! bounds {
    ($($name:ident: $type:ty = $default:ident, $least:expr, $most:expr;)*) => {
        /// The bounds in force, of those that can be changed.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Bounds {
            $(#[doc = concat!("[`", stringify!($default), "`] by default.")] pub $name: $type,)*
        }

        /// The bounds that an administrator may change.
        pub static BOUNDS: &[Bound] = &[$(Bound {
            key: concat!("limits.", stringify!($name)),
            default: $default as u64,
            least: $least,
            most: $most,
        },)*];

        impl Bounds {
            /// From their values by key.
            pub fn read(get: impl Fn(&str) -> Option<u64>) -> Bounds {
                Bounds {
                    $($name: get(concat!("limits.", stringify!($name)))
                        .and_then(|n| n.try_into().ok())
                        .unwrap_or($default),)*
                }
            }
        }
    };
}

bounds! {
    // RFC 6120 section 13.12 sets the least of stanza_bytes.
    stanza_bytes: usize = STANZA_BYTES, 10_000, 16 * 1024 * 1024;
    mailbox_bytes: usize = MAILBOX_BYTES, 64 * 1024, 256 * 1024 * 1024;
    connections_per_address: usize = CONNECTIONS_PER_ADDRESS, 5, 1_000_000;
    unauthenticated_s: u64 = UNAUTHENTICATED_S, 5, 600;
    auth_failures: u32 = AUTH_FAILURES, 3, 1_000;
    registrations_per_address: u32 = REGISTRATIONS_PER_ADDRESS, 1, 10_000;
    resources_per_account: usize = RESOURCES_PER_ACCOUNT, 2, 1_000;
    roster_size: usize = ROSTER_SIZE, 10, 100_000;
    offline_messages: usize = OFFLINE_MESSAGES, 10, 10_000_000;
    idle_ping_s: u64 = IDLE_PING_S, 15, 3_600;
    resume_s: u64 = RESUME_S, 1, 86_400;
    gateway_callers: usize = GATEWAY_CALLERS, 1, 10_000;
    transfer_window_s: u64 = TRANSFER_WINDOW_S, 1, 3_600;
}
