-- What happened: which messages were seen, and what became of each at each destination.
-- Times are seconds of Unix time. NULL means "none" or "not known".

PRAGMA application_id = 1835426418; -- "mfer": how a ledger is told from any other SQLite file

CREATE TABLE ledger (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- 1 while a process holds the ledger: found so at the next start, that process did not end in order.
    held INTEGER NOT NULL DEFAULT 0,
    pruned_at INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO ledger (only_row) VALUES (1);

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    -- 0 once it is no longer in the config.
    configured INTEGER NOT NULL DEFAULT 1,
    -- The cut-off of `import = "new"`.
    configured_at INTEGER NOT NULL,
    -- user@host; with every change the epoch grows, and rows of an older epoch are compared by content.
    source TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 1,
    schedule TEXT NOT NULL,
    next_poll_at INTEGER NOT NULL,
    -- Sequence number, time and epoch of the latest listing.
    listing INTEGER NOT NULL DEFAULT 0,
    listed_at INTEGER,
    listed_epoch INTEGER NOT NULL DEFAULT 0,
    -- What the next listing must equal to count as unchanged.
    config_text TEXT NOT NULL DEFAULT '',
    shortcut_hash BLOB,
    shortcut_count INTEGER NOT NULL DEFAULT 0,
    shortcut_octets INTEGER NOT NULL DEFAULT 0,
    no_pipelining INTEGER NOT NULL DEFAULT 0,
    first_poll_at INTEGER,
    last_poll_at INTEGER,
    last_success_at INTEGER,
    last_mail_at INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    error_class TEXT NOT NULL DEFAULT '',
    error_text TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE destinations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    configured INTEGER NOT NULL DEFAULT 1,
    kind TEXT NOT NULL,
    -- Of its settings: a change re-enables it.
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'failing', 'paused', 'disabled')),
    error TEXT NOT NULL DEFAULT '',
    -- How often in a row it had to rest, and until when it does.
    rests INTEGER NOT NULL DEFAULT 0,
    rest_until INTEGER,
    -- Until when it asked to be left alone (Retry-After).
    asked_until INTEGER,
    -- The one delivery that is trying whether it has recovered.
    probe INTEGER
) STRICT;

-- Where the deliveries of an account go at present.
CREATE TABLE routes (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    destination INTEGER NOT NULL REFERENCES destinations (id),
    PRIMARY KEY (account, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE folders (
    destination INTEGER NOT NULL REFERENCES destinations (id),
    folder TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    PRIMARY KEY (destination, folder)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    uidl BLOB NOT NULL,
    -- What it was first listed under; it stays when the mailbox is renumbered.
    first_uidl BLOB NOT NULL,
    -- Octets according to LIST.
    size INTEGER,
    -- SHA-256 of the whole and of the header, and the true length: known once it was retrieved.
    content BLOB CHECK (length(content) = 32),
    header BLOB CHECK (length(header) = 32),
    octets INTEGER NOT NULL DEFAULT 0,
    -- The account's epoch when it was last matched with a listed message.
    epoch INTEGER NOT NULL,
    first_listing INTEGER NOT NULL,
    -- NULL while it is in the latest listing, so that a listing writes only what has changed.
    last_listing INTEGER,
    last_listed_at INTEGER,
    -- When its DELE was about to be sent.
    deleted_at INTEGER,
    -- 1 while it is in an open batch, 2 while it is alone in one.
    opened INTEGER NOT NULL DEFAULT 0,
    -- It was in an open batch when the process ended: from then on it goes by itself.
    alone INTEGER NOT NULL DEFAULT 0,
    -- Sessions in a row in which its RETR was refused.
    refused INTEGER NOT NULL DEFAULT 0
) STRICT;

-- With the size, so that a million messages under one UIDL cost no more than under as many.
CREATE INDEX messages_uidl ON messages (account, uidl, coalesce(size, -1));
CREATE INDEX messages_content ON messages (account, content) WHERE content IS NOT NULL;
CREATE INDEX messages_listed ON messages (account) WHERE last_listing IS NULL;
CREATE INDEX messages_opened ON messages (account) WHERE opened > 0;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    destination INTEGER NOT NULL REFERENCES destinations (id),
    state TEXT NOT NULL CHECK (
        state IN ('due', 'attempting', 'delivered', 'deferred', 'parked', 'skipped', 'given up')
    ),
    -- Since when it has been in that state.
    since INTEGER NOT NULL,
    -- Attempts that count, and how many of them were refusals.
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    -- Until when the destination asked us to wait with it (Retry-After).
    asked_until INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    -- 1: one of the refusals in a row that may be the endpoint's fault.
    streak INTEGER NOT NULL DEFAULT 0,
    -- How often it has tried whether its destination has recovered.
    probes INTEGER NOT NULL DEFAULT 0,
    -- The mark of the oldest attempt whose outcome is not known; valid while marked is 1.
    marked INTEGER NOT NULL DEFAULT 0,
    folder TEXT NOT NULL DEFAULT '',
    mark_validity INTEGER NOT NULL DEFAULT 0,
    mark_uid_next INTEGER NOT NULL DEFAULT 0,
    mark_octets INTEGER NOT NULL DEFAULT 0,
    mark_hash BLOB,
    mark_message_id TEXT,
    -- The last byte was out no later than this.
    sent_at INTEGER,
    look_up_at INTEGER,
    -- Look-ups that did not find it, and look-ups in a row that could not be made.
    absences INTEGER NOT NULL DEFAULT 0,
    blind INTEGER NOT NULL DEFAULT 0,
    -- 1: mailferry ended during this attempt, and nothing else was in the batch.
    suspect INTEGER NOT NULL DEFAULT 0,
    -- 1: sent again although nobody could tell whether it had arrived.
    unverified INTEGER NOT NULL DEFAULT 0,
    -- Unknown past: where an earlier delivery of it would be found.
    look_validity INTEGER,
    look_uid INTEGER,
    receipt TEXT NOT NULL DEFAULT '',
    uid_validity INTEGER,
    uid INTEGER,
    -- The account's leave_copy at delivery, in seconds; NULL is for ever.
    leave_copy INTEGER,
    UNIQUE (message, destination)
) STRICT;

CREATE INDEX deliveries_state ON deliveries (account, state, message);
CREATE INDEX deliveries_receipts ON deliveries (destination, uid_validity, uid) WHERE uid IS NOT NULL;
CREATE INDEX deliveries_streak ON deliveries (destination) WHERE streak = 1;
CREATE INDEX deliveries_probes ON deliveries (destination) WHERE probes > 0;
CREATE INDEX deliveries_look_up ON deliveries (look_up_at) WHERE look_up_at IS NOT NULL;

CREATE TABLE polls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    new INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    error TEXT
) STRICT;

CREATE INDEX polls_account ON polls (account, id);
CREATE INDEX polls_ended ON polls (ended);

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('poll', 'retry', 'give-up')),
    account TEXT,
    message INTEGER,
    destination TEXT,
    made_at INTEGER NOT NULL,
    answer TEXT
) STRICT;

CREATE INDEX requests_open ON requests (id) WHERE answer IS NULL;
