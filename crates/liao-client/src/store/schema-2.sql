-- How a person left each conversation: what was read, what was begun, what is pinned or silent.
CREATE TABLE conversation (
    account TEXT NOT NULL,
    peer TEXT NOT NULL,
    -- message.n of the newest message that was read.
    read_n INTEGER NOT NULL DEFAULT 0,
    draft TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    muted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, peer)
) STRICT, WITHOUT ROWID;
-- What came before this table was seen when it came.
INSERT INTO conversation (account, peer, read_n) SELECT account, peer, max(n) FROM message GROUP BY account, peer;

-- How the views should look and behave: a word and its value.
CREATE TABLE preference (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
