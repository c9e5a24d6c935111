-- The holder can be asked to read the config again, and to forget an account that is no longer in it.
-- Requests live for seconds: those of an older mailferry have their answers or nobody to wait for them.
DROP TABLE requests;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('poll', 'retry', 'give-up', 'reload', 'forget')),
    account TEXT,
    message INTEGER,
    destination TEXT,
    made_at INTEGER NOT NULL,
    answer TEXT
) STRICT;

CREATE INDEX requests_open ON requests (id) WHERE answer IS NULL;
