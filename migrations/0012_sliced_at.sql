-- Since when all that sliced_hash stands for should be hidden: a server may take its time for that.
ALTER TABLE accounts ADD COLUMN sliced_at INTEGER;
