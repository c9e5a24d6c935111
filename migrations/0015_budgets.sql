-- What destinations with a daily budget were sent: octets by the hour (Unix time / 3600).
CREATE TABLE spent (
    destination INTEGER NOT NULL REFERENCES destinations (id) ON DELETE CASCADE,
    hour INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    PRIMARY KEY (destination, hour)
) STRICT, WITHOUT ROWID;

-- Where one is paused only because its budget is used up: until when.
ALTER TABLE destinations ADD COLUMN budget_until INTEGER;
