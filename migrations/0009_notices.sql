-- What shows that a trouble is over, and what became of a notice whose answer was lost.

-- When a destination last took a message.
ALTER TABLE destinations ADD COLUMN delivered_at INTEGER;

-- Notices that are being sent to an IMAP destination, or were when the answer was lost: where they are looked for before
-- anything is sent there again.
CREATE TABLE notice_attempts (
    -- Its name. One mail at a time holds all that waits.
    destination TEXT PRIMARY KEY,
    -- The ids of the notices, a JSON list.
    notices TEXT NOT NULL,
    folder TEXT NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    message_id TEXT,
    -- When its last byte may have gone out.
    sent_at INTEGER NOT NULL,
    -- Look-ups in a row that found nothing, and that could not be made.
    absences INTEGER NOT NULL DEFAULT 0,
    blind INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
