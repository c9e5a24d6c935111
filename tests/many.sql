-- A ledger of 1,000 accounts with 1,000 messages each, most of them delivered and a few parked or deferred, and 200 polls.
-- The accounts are named account-0000 to account-0999; the destinations are there already.
PRAGMA synchronous = OFF;
CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY);
WITH RECURSIVE up (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM up WHERE n < 999)
    INSERT INTO numbers SELECT n FROM up;
BEGIN;
INSERT INTO accounts (name, configured_at, source, schedule, next_poll_at, last_poll_at, last_success_at)
    SELECT printf('account-%04d', n), 1, '', '', unixepoch() + 3600, unixepoch() - 60, unixepoch() - 60
    FROM numbers;
INSERT INTO routes (account, destination) SELECT a.id, d.id FROM accounts a, destinations d;
INSERT INTO messages (account, uidl, first_uidl, epoch, first_listing, size)
    SELECT a.id, CAST(n AS BLOB), CAST(n AS BLOB), 1, 1, 1000 FROM accounts a, numbers;
INSERT INTO deliveries (account, message, destination, state, since, retry_at, reason)
    SELECT m.account, m.id, d.id,
        CASE CAST(m.uidl AS INTEGER) % 500 WHEN 1 THEN 'parked' WHEN 2 THEN 'deferred' ELSE 'delivered' END, m.id,
        iif(CAST(m.uidl AS INTEGER) % 500 = 2, unixepoch() + 3600, NULL), 'no room'
    FROM messages m, destinations d;
INSERT INTO polls (account, started, ended, new, delivered, deleted, bytes)
    SELECT a.id, unixepoch() - n * 300, unixepoch() - n * 300 + 2, 5, 5, 0, 5000 FROM numbers, accounts a
    WHERE n < 200 ORDER BY n DESC;
COMMIT;
