-- Of messages with one Message-ID Gmail keeps one, and its API names that one whenever another comes. A message that may be there
-- without having been named yet has a number here, in the order in which such messages were sent: others with its Message-ID wait.
ALTER TABLE deliveries ADD COLUMN unanswered INTEGER;
CREATE INDEX deliveries_unanswered ON deliveries (destination, mark_message_id) WHERE unanswered IS NOT NULL;
