-- How long a poll took, in milliseconds; NULL where that was not measured yet.
ALTER TABLE polls ADD COLUMN took INTEGER;
