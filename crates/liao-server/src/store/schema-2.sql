-- Version 2. A message's row also says how far its sender's stream had come (XEP-0198), and whether the recipient has
-- it only until it is delivered. The index knows sizes, for retention, and finds the messages with one peer.
ALTER TABLE messages ADD COLUMN stream INTEGER;
ALTER TABLE messages ADD COLUMN h INTEGER;
ALTER TABLE messages ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owner_index ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owner_index ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
CREATE INDEX owner_peer ON owner_index (owner, peer, seq);
CREATE TABLE streams (stream INTEGER PRIMARY KEY, h INTEGER NOT NULL, time_ms INTEGER NOT NULL);
-- owner_head.seq now is also a floor: what lies at or below it is gone; `purged` says how far its rows are, too.
ALTER TABLE owner_head ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
-- The highest number, where its entry is gone because it was only kept.
ALTER TABLE owner_head ADD COLUMN head INTEGER NOT NULL DEFAULT 0;
UPDATE owner_head SET purged = seq;
UPDATE owner_index SET bytes = COALESCE((SELECT length(stanza) FROM messages WHERE id = message), 0);
