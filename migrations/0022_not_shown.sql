-- When a message was last asked for before its deletion, and did not come.
ALTER TABLE messages ADD COLUMN not_shown_at INTEGER;
