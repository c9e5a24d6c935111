-- What Gmail has named for which message is known by the mailbox: several destinations may lead to one, and one destination to
-- another than before. A delivery has the mailbox that it was sent to.
ALTER TABLE destinations ADD COLUMN mailbox TEXT;
UPDATE destinations SET mailbox = lower(substr(fingerprint, 1, instr(fingerprint, ' ') - 1))
WHERE kind = 'gmail' AND instr(fingerprint, ' ') > 1;
UPDATE destinations SET mailbox = replace(substr(mailbox, 1, instr(mailbox, '@') - 1), '.', '') || '@gmail.com'
WHERE mailbox LIKE '%@gmail.com' OR mailbox LIKE '%@googlemail.com';
ALTER TABLE deliveries ADD COLUMN mailbox TEXT;
UPDATE deliveries SET mailbox = (SELECT t.mailbox FROM destinations t WHERE t.id = deliveries.destination)
WHERE kept_as IS NOT NULL OR unanswered IS NOT NULL;
DROP INDEX deliveries_kept;
CREATE INDEX deliveries_kept ON deliveries (mailbox, kept_as) WHERE kept_as IS NOT NULL;
DROP INDEX deliveries_unanswered;
CREATE INDEX deliveries_unanswered ON deliveries (mailbox, mark_message_id) WHERE unanswered IS NOT NULL;

-- Of messages with one Message-ID and one header it keeps the first, whatever their bodies say: what tells those apart, and
-- whether it keeps another body than that of this message, which stays at its source then.
ALTER TABLE deliveries ADD COLUMN body BLOB CHECK (length(body) = 32);
ALTER TABLE deliveries ADD COLUMN differs INTEGER NOT NULL DEFAULT 0;

-- A number in `unanswered` outlives an attempt only where the answer to it, or to one before (lost = 1), has not come.
ALTER TABLE deliveries ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
-- The delivery that this one waits for, while it does.
ALTER TABLE deliveries ADD COLUMN waits_for INTEGER;
CREATE INDEX deliveries_waiting ON deliveries (waits_for) WHERE waits_for IS NOT NULL;
