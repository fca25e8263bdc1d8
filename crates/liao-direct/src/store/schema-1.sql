-- Friends and who is blocked: a person is a key.
CREATE TABLE friend (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- JSON: where they were reached, the most recent first.
    addresses TEXT NOT NULL,
    -- We take what they say.
    let_in INTEGER NOT NULL DEFAULT 0,
    blocked INTEGER NOT NULL DEFAULT 0,
    seen_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
