-- Everything that the client keeps. Times are milliseconds since 1970, UTC.
CREATE TABLE account (
    jid TEXT PRIMARY KEY,
    password TEXT NOT NULL,
    -- HOST:PORT or https://HOST:PORT where its server was found, if not by its name alone.
    server TEXT,
    used_ms INTEGER NOT NULL
) STRICT;

-- Whom we trust to be a domain: a certificate's SHA-256, or that the system's roots vouched for it.
CREATE TABLE pin (
    domain TEXT PRIMARY KEY,
    trust TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;

-- Messages of all accounts; those with outgoing = 1 and state = 0 are the outbox.
CREATE TABLE message (
    n INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    peer TEXT NOT NULL,
    outgoing INTEGER NOT NULL,
    id TEXT NOT NULL,
    -- The server's id of the message (XEP-0359), if it gave one.
    stanza_id TEXT,
    body TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    -- 0 queued, 1 sent, 2 delivered, 3 failed.
    state INTEGER NOT NULL,
    why TEXT
) STRICT;
CREATE INDEX message_by_peer ON message (account, peer, n);
CREATE INDEX message_unsent ON message (account, n) WHERE outgoing = 1 AND state = 0;
CREATE UNIQUE INDEX message_outgoing ON message (account, id) WHERE outgoing = 1;
CREATE UNIQUE INDEX message_stanza_id ON message (account, peer, stanza_id) WHERE stanza_id IS NOT NULL;

-- The address book of plain sockets: a name for HOST:PORT.
CREATE TABLE book (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    address TEXT NOT NULL
) STRICT;
