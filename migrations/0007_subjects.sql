-- What people know a parked message by, where `web.subjects` is true.
ALTER TABLE deliveries ADD COLUMN subject TEXT;
