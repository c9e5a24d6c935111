-- What a name was, how long a poll took, and how many rows are worth keeping.

-- The name that the account had when this was first sent to a webhook, if it was renamed since: the id and the body of a
-- request stay what they were, so that a receiver knows it again.
ALTER TABLE deliveries ADD COLUMN sent_as TEXT;

-- In milliseconds; NULL where that was not measured yet.
ALTER TABLE polls ADD COLUMN took INTEGER;

-- Polls of which nobody will want to know after two days.
CREATE INDEX polls_idle ON polls (ended)
WHERE new = 0 AND delivered = 0 AND deleted = 0 AND bytes = 0 AND error IS NULL;
