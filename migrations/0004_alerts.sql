-- What people are told, so that a restart tells it neither again nor not at all.

-- What the notices of this ledger bear: a poll that finds it in a message carries that message nowhere.
ALTER TABLE ledger ADD COLUMN notice_mark TEXT NOT NULL DEFAULT '';
UPDATE ledger SET notice_mark = lower(hex(randomblob(16)));

-- Polls in a row whose login was refused.
ALTER TABLE accounts ADD COLUMN refused_logins INTEGER NOT NULL DEFAULT 0;

-- 1 once people have been told that it is parked.
ALTER TABLE deliveries ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_untold ON deliveries (account) WHERE state = 'parked' AND told = 0;

-- Messages whose DELE had no effect.
CREATE INDEX messages_undeleted ON messages (account) WHERE deleted_at IS NOT NULL AND last_listing IS NULL;

-- What is wrong at present, and whether that has been told.
CREATE TABLE troubles (
    kind TEXT NOT NULL CHECK (kind IN ('account', 'destination', 'mailbox')),
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- What is still to be told, once for each way to tell it.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    way TEXT NOT NULL CHECK (way IN ('mail', 'url', 'command')),
    made_at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('account', 'destination', 'mailbox', 'parked')),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'over')),
    title TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX notices_way ON notices (way, id);
