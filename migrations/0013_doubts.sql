-- What nobody knows of a notice on its way, and what it is about.

-- How often it may have been told without a sign of it, and when it last went out.
ALTER TABLE notices ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN sent_at INTEGER NOT NULL DEFAULT 0;

-- Of one about what was parked: the ids of the deliveries, a JSON list.
ALTER TABLE notices ADD COLUMN deliveries TEXT;
