-- Two facts that were one: whether slices hide anything still, and whether all that was there before this ledger is known.

-- The epoch from which on whatever is new to the ledger is new: no mailferry whose ledger was lost can have delivered it.
ALTER TABLE accounts ADD COLUMN known_epoch INTEGER NOT NULL DEFAULT 0;

UPDATE accounts SET known_epoch = sliced_epoch;

DROP INDEX messages_deleted;
