-- What people know a parked message by, where `web.subjects` is true; only while it is parked.
ALTER TABLE deliveries ADD COLUMN subject TEXT;

CREATE INDEX deliveries_subject ON deliveries (id) WHERE subject IS NOT NULL;

CREATE TRIGGER deliveries_unparked AFTER UPDATE OF state ON deliveries
WHEN OLD.subject IS NOT NULL AND NEW.state <> 'parked'
BEGIN
    UPDATE deliveries SET subject = NULL WHERE id = NEW.id;
END;
