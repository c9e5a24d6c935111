-- Since when no entry of the account's `deliver` takes a message: it stays at its source, and people are shown it.
ALTER TABLE messages ADD COLUMN unrouted_at INTEGER;

CREATE INDEX messages_unrouted ON messages (account) WHERE unrouted_at IS NOT NULL;
