-- Whose copy is it? mark_hash and mark_message_id outlive a delivery for a day where no answer has named its UID: of equal
-- messages, or of some with one Message-ID, each copy proves one delivery.
CREATE INDEX deliveries_marks ON deliveries (destination, mark_hash) WHERE mark_hash IS NOT NULL AND folder <> '';

-- Whose mailbox an IMAP destination leads to: its UIDs are nobody else's.
UPDATE destinations SET mailbox = rtrim(rtrim(fingerprint, '0123456789'), ':') WHERE kind = 'imap' AND fingerprint <> '';

-- Sessions that have broken off with overdue deletions, less those since that have come to their end.
ALTER TABLE accounts ADD COLUMN deletions_cut INTEGER NOT NULL DEFAULT 0;
