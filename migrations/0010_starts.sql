-- Where a folder was when the process that holds the ledger started: what an earlier life of the ledger may have delivered
-- lies above that, however much has been delivered since. From its beginning where the folder was not known then.
ALTER TABLE folders ADD COLUMN start_validity INTEGER NOT NULL DEFAULT 0;
ALTER TABLE folders ADD COLUMN start_uid_next INTEGER NOT NULL DEFAULT 1;
