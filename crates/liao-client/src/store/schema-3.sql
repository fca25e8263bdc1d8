-- The place of a message is its n: higher is newer, in the order of the server's archive. Free places between two
-- messages take what turns up later.
UPDATE message SET n = -n;
UPDATE message SET n = -n * 65536;
UPDATE conversation SET read_n = read_n * 65536;

-- The id that the sender's program chose (XEP-0359); of ours it is the id.
ALTER TABLE message ADD COLUMN origin TEXT;
UPDATE message SET origin = id WHERE outgoing = 1;
-- outgoing: said on this device; else: it came by itself, not out of the archive.
ALTER TABLE message ADD COLUMN live INTEGER NOT NULL DEFAULT 1;
-- The sender asks to be told when it was read (XEP-0333).
ALTER TABLE message ADD COLUMN markable INTEGER NOT NULL DEFAULT 0;
-- state 4: read. An id is unique among what this device says, not among what others of the account say.
DROP INDEX message_outgoing;
CREATE INDEX message_outgoing ON message (account, id) WHERE outgoing = 1;
CREATE INDEX message_origin ON message (account, peer, origin) WHERE origin IS NOT NULL;
CREATE INDEX message_unplaced ON message (account, n) WHERE outgoing = 1 AND live = 1 AND stanza_id IS NULL;

-- Up to where an archive (XEP-0313) is here without a hole.
CREATE TABLE archive_mark (
    account TEXT NOT NULL,
    -- Whose archive: the account's own address, or a room's.
    address TEXT NOT NULL,
    -- The archive's id and the place here of the last message of that range ('': the archive was empty); a time not
    -- after it, 0: not known.
    id TEXT NOT NULL,
    n INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    -- What we said up to this place was looked for in the archive.
    said INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, address)
) STRICT, WITHOUT ROWID;

-- Holes: what stands in an archive before a message that is here, and was not fetched.
CREATE TABLE archive_gap (
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    -- The hole's upper end when it was found; names it.
    hole INTEGER NOT NULL,
    -- '': for everyone; else how far the hole was filled for one peer.
    peer TEXT NOT NULL,
    -- The place of the first message after the hole.
    n INTEGER NOT NULL,
    -- The last place before the hole; none: it goes back to the beginning.
    low_n INTEGER,
    -- The archive's id and the time of the first message after the hole.
    before_id TEXT NOT NULL,
    before_ms INTEGER NOT NULL,
    open INTEGER NOT NULL,
    PRIMARY KEY (account, address, hole, peer)
) STRICT, WITHOUT ROWID;

-- The newest message of each peer that the person has read and whose sender wants to know (XEP-0333).
CREATE TABLE marker (
    account TEXT NOT NULL,
    peer TEXT NOT NULL,
    id TEXT NOT NULL,
    n INTEGER NOT NULL,
    told INTEGER NOT NULL,
    PRIMARY KEY (account, peer)
) STRICT, WITHOUT ROWID;
