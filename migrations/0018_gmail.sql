-- Of messages with one Message-ID Gmail keeps the first, and its API names that one whenever another comes: under which id it
-- keeps a message, and what tells that message from others with its Message-ID.
ALTER TABLE deliveries ADD COLUMN kept_as TEXT;
ALTER TABLE deliveries ADD COLUMN gist BLOB CHECK (length(gist) = 32);
CREATE INDEX deliveries_kept ON deliveries (destination, kept_as) WHERE kept_as IS NOT NULL;
