-- People are told before a sign-in ends: two more kinds, for which the tables are made anew.

CREATE TABLE troubles_new (
    kind TEXT NOT NULL
        CHECK (kind IN ('account', 'destination', 'mailbox', 'account_sign_in', 'destination_sign_in')),
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO troubles_new (kind, name, since, told) SELECT kind, name, since, told FROM troubles;
DROP TABLE troubles;
ALTER TABLE troubles_new RENAME TO troubles;

CREATE TABLE notices_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    way TEXT NOT NULL CHECK (way IN ('mail', 'url', 'command')),
    made_at INTEGER NOT NULL,
    kind TEXT NOT NULL
        CHECK (kind IN ('account', 'destination', 'mailbox', 'parked', 'account_sign_in', 'destination_sign_in')),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'over')),
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    doubts INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER NOT NULL DEFAULT 0,
    deliveries TEXT
) STRICT;
INSERT INTO notices_new (id, way, made_at, kind, name, state, title, text, doubts, sent_at, deliveries)
    SELECT id, way, made_at, kind, name, state, title, text, doubts, sent_at, deliveries FROM notices;
-- No id is ever used again: a mail whose answer was lost is known by those that it bears.
DELETE FROM sqlite_sequence WHERE name = 'notices_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'notices_new', seq FROM sqlite_sequence WHERE name = 'notices';
DROP TABLE notices;
ALTER TABLE notices_new RENAME TO notices;
CREATE INDEX notices_way ON notices (way, id);
