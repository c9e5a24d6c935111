-- What Gmail has named for which message is known by the mailbox: several destinations may lead to one, and one destination to
-- another than before. A delivery has the mailbox that it was sent to.
ALTER TABLE destinations ADD COLUMN mailbox TEXT;
UPDATE destinations SET mailbox = lower(substr(fingerprint, 1, instr(fingerprint, ' ') - 1)) WHERE kind = 'gmail';
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
