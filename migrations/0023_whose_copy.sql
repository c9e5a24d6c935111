-- Whose copy is it? mark_hash and mark_message_id outlive a delivery for a while where no answer has named its UID: of equal
-- messages, or of some with one Message-ID, each copy proves one delivery.
-- What is being sent is not in these indexes: nearly all of it has a UID a moment later.
CREATE INDEX deliveries_marks ON deliveries (destination, mark_hash)
WHERE mark_hash IS NOT NULL AND folder <> '' AND state <> 'attempting';
CREATE INDEX deliveries_names ON deliveries (destination, mark_message_id)
WHERE mark_message_id IS NOT NULL AND folder <> '' AND state <> 'attempting';
-- When the mark was kept.
ALTER TABLE deliveries ADD COLUMN marked_at INTEGER;

-- Whose mailbox an IMAP destination leads to: its UIDs are nobody else's.
UPDATE destinations SET mailbox = lower(rtrim(rtrim(fingerprint, '0123456789'), ':'))
WHERE kind = 'imap' AND fingerprint <> '';

-- 1 where, at its attempt, another message with its Message-ID might be in Gmail which nobody was to send any more.
ALTER TABLE deliveries ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;

-- Sessions that have broken off with overdue deletions, less those whose deletions have taken effect since.
ALTER TABLE accounts ADD COLUMN deletions_cut INTEGER NOT NULL DEFAULT 0;
