-- The page: its password, who is signed in, and a count that would take too long to make at each look.

CREATE TABLE page (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    -- Argon2id as a PHC string; NULL until somebody has chosen one.
    password TEXT
) STRICT;

INSERT INTO page (only_row) VALUES (1);

CREATE TABLE sessions (
    -- SHA-256 of what the browser has.
    token BLOB PRIMARY KEY CHECK (length(token) = 32),
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many deliveries of the account are delivered: kept by the triggers below, whoever changes a delivery.
ALTER TABLE accounts ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;

UPDATE accounts SET delivered =
    (SELECT count(*) FROM deliveries d WHERE d.account = accounts.id AND d.state = 'delivered');

CREATE TRIGGER deliveries_born AFTER INSERT ON deliveries WHEN NEW.state = 'delivered' BEGIN
    UPDATE accounts SET delivered = delivered + 1 WHERE id = NEW.account;
END;

CREATE TRIGGER deliveries_turned AFTER UPDATE OF state ON deliveries
WHEN (OLD.state = 'delivered') <> (NEW.state = 'delivered') BEGIN
    UPDATE accounts SET delivered = delivered + iif(NEW.state = 'delivered', 1, -1) WHERE id = NEW.account;
END;

CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries WHEN OLD.state = 'delivered' BEGIN
    UPDATE accounts SET delivered = delivered - 1 WHERE id = OLD.account;
END;
