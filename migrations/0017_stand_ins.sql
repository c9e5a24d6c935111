-- 1 where a server handed out a notice in the place of a message that it could not convert: it stays at its source, as the
-- message itself may yet come.
ALTER TABLE messages ADD COLUMN stands_in INTEGER NOT NULL DEFAULT 0;
