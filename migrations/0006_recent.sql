-- Gmail shows a mailbox a slice at a time, and all of the last 30 days to whoever asks for what is recent.

-- The epoch in which all slices have been carried, so that the account is polled by what is recent; 0: none.
ALTER TABLE accounts ADD COLUMN sliced_epoch INTEGER NOT NULL DEFAULT 0;

-- The hash of the last slice, if all of it was retrieved and QUIT was answered: shown again, it hides nothing.
ALTER TABLE accounts ADD COLUMN sliced_hash BLOB;

-- The epoch of the latest listing if it was one of what is recent; 0: it was not.
ALTER TABLE accounts ADD COLUMN recent_epoch INTEGER NOT NULL DEFAULT 0;

-- Since when there has always been mail that waits, as far as that was looked for at the beginning of a poll by what is
-- recent.
ALTER TABLE accounts ADD COLUMN waiting_since INTEGER;

CREATE INDEX messages_deleted ON messages (account, deleted_at) WHERE deleted_at IS NOT NULL;
