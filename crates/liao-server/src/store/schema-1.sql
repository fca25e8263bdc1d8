-- Version 1. One appended row a message is all that a commit writes; the owners' index is derived from it.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE kv (
    owner TEXT NOT NULL, collection TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (owner, collection, key)
) WITHOUT ROWID;
CREATE INDEX kv_by_collection ON kv (collection, owner, key);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_owner INTEGER, from_seq INTEGER, to_owner INTEGER, to_seq INTEGER,
    from_peer INTEGER NOT NULL, to_peer INTEGER NOT NULL,
    time_ms INTEGER NOT NULL, dedup BLOB, stanza BLOB NOT NULL
);
CREATE TABLE owner_index (
    owner INTEGER NOT NULL, seq INTEGER NOT NULL, message INTEGER NOT NULL,
    incoming INTEGER NOT NULL, peer INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (owner, seq)
) WITHOUT ROWID;
CREATE TABLE dedup (hash BLOB PRIMARY KEY, time_ms INTEGER NOT NULL) WITHOUT ROWID;
-- The highest number an owner ever had: numbers are not used again after erasing.
CREATE TABLE owner_head (owner INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
