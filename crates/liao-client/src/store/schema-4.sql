-- What a message has beside its words, as JSON; '': nothing.
ALTER TABLE message ADD COLUMN more TEXT NOT NULL DEFAULT '';

-- What we do to messages (edit, recall, react), until the server has it: whole stanzas, which may be sent twice.
CREATE TABLE action (
    n INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    xml TEXT NOT NULL
) STRICT;

-- What was done to messages that are not here yet.
CREATE TABLE early_change (
    n INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    peer TEXT NOT NULL,
    -- The id of the message.
    target TEXT NOT NULL,
    who TEXT NOT NULL,
    outgoing INTEGER NOT NULL,
    change TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX early_change_target ON early_change (account, peer, target);
