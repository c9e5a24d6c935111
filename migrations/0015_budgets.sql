-- Octets that a destination may be sent in any 24 hours, by the config; NULL: as many as there are.
ALTER TABLE destinations ADD COLUMN daily_budget INTEGER;

-- Where it is paused only because that is used up: until when.
ALTER TABLE destinations ADD COLUMN budget_until INTEGER;

-- What destinations with a daily budget were sent: octets by the hour (Unix time / 3600).
CREATE TABLE spent (
    destination INTEGER NOT NULL REFERENCES destinations (id) ON DELETE CASCADE,
    hour INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    PRIMARY KEY (destination, hour)
) STRICT, WITHOUT ROWID;
