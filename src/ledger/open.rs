//! Opening the file, bringing its schema up to date, and recovering from however the last process ended.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use super::deliveries::{ENDED_BY_IT, defer};
use super::lock::private_file;
use super::notices::answer_lost;
use super::{DeliveryId, Error, Terms};
use crate::message::unix;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// `PRAGMA application_id` of a ledger, see the first migration.
const APPLICATION_ID: i64 = 1_835_426_418;

/// The holder's connection, with the schema up to date.
pub(super) async fn for_writing(path: &Path) -> Result<SqliteConnection, Error> {
    // A file that is there stays unopened: closing it would end SQLite's own locks on it, of a visitor in this
    // process.
    if !path.exists() {
        private_file(path).map_err(|e| Error::io(path, &e))?;
    }
    let fault = |e| Error::sql(path, &e);
    let mut connection = options(path).connect().await.map_err(fault)?;
    if !is_ours(&mut connection).await.map_err(fault)? {
        return Err(Error::NotALedger(path.to_owned()));
    }
    // Only now: the mode is written into the file.
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(fault)?;
    bring_up_to_date(&mut connection).await.map_err(|e| migration_error(path, e))?;
    check_after_a_crash(&mut connection, path).await?;
    sqlx::raw_sql(SCRATCH).execute(&mut connection).await.map_err(fault)?;
    Ok(connection)
}

/// A visitor's connection: to a ledger that exists and has just the schema we know.
pub(super) async fn for_visiting(path: &Path) -> Result<SqliteConnection, Error> {
    if !path.try_exists().map_err(|e| Error::io(path, &e))? {
        return Err(Error::Missing(path.to_owned()));
    }
    let fault = |e| Error::sql(path, &e);
    let mut connection = options(path).connect().await.map_err(fault)?;
    if !is_ours(&mut connection).await.map_err(fault)? {
        return Err(Error::NotALedger(path.to_owned()));
    }
    let ours = MIGRATIONS.iter().map(|migration| migration.version).max();
    match version(&mut connection).await.map_err(fault)? {
        theirs if theirs > ours => Err(Error::Newer(path.to_owned())),
        theirs if theirs < ours => Err(Error::Older(path.to_owned())),
        _ => Ok(connection),
    }
}

/// For reading only; a connection is opened when somebody reads.
pub(super) fn readers(path: &Path) -> SqlitePool {
    let options = options(path).read_only(true).pragma("cache_size", "-1024");
    SqlitePoolOptions::new()
        .max_connections(2)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
        .connect_lazy_with(options)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        // A backup, a shell or a visitor may hold the lock for a moment.
        .busy_timeout(Duration::from_secs(30))
        .pragma("cache_size", "-4096")
        // A listing is compared in a temporary table, and a container may have no /tmp.
        .pragma("temp_store", "MEMORY")
        .pragma("journal_size_limit", "16777216")
        .disable_statement_logging()
}

/// An empty file is ours to fill.
async fn is_ours(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(id == APPLICATION_ID || (id == 0 && tables == 0))
}

/// All that is missing in one transaction: the ledger of a process that ends in the middle of it is as it was, and a new
/// one costs one sync of the disk instead of two for each migration.
async fn bring_up_to_date(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    // A migration begins a transaction of its own: inside of another one that is a savepoint.
    let mut upgrade = connection.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATIONS.run(&mut *upgrade).await?;
    Ok(upgrade.commit().await?)
}

/// See [`Ledger::notice_mark`](super::Ledger::notice_mark).
pub(super) async fn notice_mark(connection: &mut SqliteConnection) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT notice_mark FROM ledger").fetch_one(connection).await
}

async fn version(connection: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut *connection).await? == 0 {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await
}

fn migration_error(path: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Error::Newer(path.to_owned()),
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => match Error::sql(path, &e) {
            // Each fits what the one before has left: what is there is something else.
            Error::Statement(reason) => Error::Broken { path: path.to_owned(), reason },
            error => error,
        },
        // No migration that has landed is ever edited: the record of it is damaged.
        damaged @ (MigrateError::VersionMismatch(_) | MigrateError::Dirty(_)) => {
            Error::Broken { path: path.to_owned(), reason: damaged.to_string() }
        }
        other => Error::Statement(other.to_string()),
    }
}

/// A full check reads the whole file: only where the last process did not end in order.
async fn check_after_a_crash(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let fault = |e| Error::sql(path, &e);
    let held: i64 =
        sqlx::query_scalar("SELECT held FROM ledger").fetch_one(&mut *connection).await.map_err(fault)?;
    if held == 0 {
        return Ok(());
    }
    let verdict: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(fault)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(Error::Broken { path: path.to_owned(), reason: verdict }),
    }
}

/// Where a listing, and what another program had seen of it, is compared with the ledger, part by part: lives as long as
/// the writer's connection.
const SCRATCH: &str = "
    CREATE TEMP TABLE listing (
        position INTEGER PRIMARY KEY,
        uidl BLOB NOT NULL,
        size INTEGER,
        -- Its group, where UIDL and size do not tell it apart from others, and which of them it is.
        alike INTEGER,
        nth INTEGER,
        wanted INTEGER NOT NULL DEFAULT 1,
        message INTEGER
    ) STRICT;
    CREATE INDEX temp.listing_alike ON listing (alike, nth) WHERE alike IS NOT NULL;
    CREATE TEMP TABLE seen (position INTEGER PRIMARY KEY, since INTEGER NOT NULL, header BLOB) STRICT;";

/// Settles what an earlier process left open. Nothing has been sent since, and nothing will be before this is
/// committed.
pub(super) async fn recover(
    connection: &mut SqliteConnection,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut transaction = Connection::begin_with(connection, "BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE ledger SET held = 1").execute(&mut *transaction).await?;
    sqlx::query("UPDATE destinations SET probe = NULL").execute(&mut *transaction).await?;
    interrupted(&mut transaction, None, now).await?;
    crashed(&mut transaction, None, terms, now).await?;
    note_starts(&mut transaction).await?;
    doubt(&mut transaction).await?;
    answer_lost(&mut transaction, None, now).await?;
    end_impossible_waits(&mut transaction, now).await?;
    transaction.commit().await
}

/// From here on [`doubt`] and first listings look, whatever has been delivered by then.
async fn note_starts(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let sql = "UPDATE folders SET start_validity = uid_validity, start_uid_next = uid_next";
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

/// This may be an old copy of the ledger, and what waits in it may have been delivered since: it is looked for before it
/// is sent, from the UIDNEXT on that this copy recorded last.
async fn doubt(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let look = "
        UPDATE deliveries SET
            look_validity = coalesce(f.start_validity, 0), look_uid = coalesce(f.start_uid_next, 1)
        FROM deliveries d
        JOIN destinations t ON t.id = d.destination AND t.kind = 'imap'
        LEFT JOIN folders f ON f.destination = d.destination AND f.folder = d.folder
        WHERE d.id = deliveries.id AND d.look_uid IS NULL AND d.account IN (SELECT id FROM accounts)
            AND d.state IN ('due', 'deferred', 'parked')";
    sqlx::query(look).execute(connection).await?;
    Ok(())
}

/// No wait of ours is longer, in seconds: the schedule's longest and the longest Retry-After are a day, and jitter.
const LONGEST_WAIT: i64 = 2 * 24 * 3600;

/// Whoever wrote these times had a clock that was ahead. Only what is still to be done waits for a time, and an index
/// finds it: what was delivered may be a million rows.
pub(super) async fn end_impossible_waits(
    connection: &mut SqliteConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let retries = "
        UPDATE deliveries SET
            retry_at = iif(retry_at > $1 + $2, $1, retry_at),
            asked_until = iif(asked_until > $1 + $2, NULL, asked_until)
        WHERE account IN (SELECT id FROM accounts) AND state = 'deferred'
            AND (retry_at > $1 + $2 OR asked_until > $1 + $2)";
    let look_ups = "
        UPDATE deliveries SET
            look_up_at = iif(look_up_at > $1 + $2, $1, look_up_at),
            sent_at = iif(sent_at > $1 + $2, $1, sent_at)
        WHERE account IN (SELECT id FROM accounts) AND state = 'attempting'
            AND (look_up_at > $1 + $2 OR sent_at > $1 + $2)";
    let budgets = "UPDATE destinations SET budget_until = $1 WHERE budget_until > $1 + $2";
    let rests = "UPDATE destinations SET rest_until = NULL WHERE rest_until > $1 + $2";
    let asked = "UPDATE destinations SET asked_until = NULL WHERE asked_until > $1 + $2";
    for sql in [retries, look_ups, budgets, rests, asked] {
        sqlx::query(sql).bind(unix(now)).bind(LONGEST_WAIT).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What was in an open batch goes by itself from now on.
pub(super) async fn crashed(
    connection: &mut SqliteConnection,
    account: Option<i64>,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    crashed_alone(connection, account, terms, now).await?;
    let in_a_batch = "
        UPDATE messages SET alone = 1, opened = 0 WHERE opened > 0 AND account = coalesce($1, account)";
    sqlx::query(in_a_batch).bind(account).execute(connection).await?;
    Ok(())
}

/// Deliveries whose outcome nobody is waiting for any more. A folder can be asked; a webhook cannot, and gets
/// the same id and the same bytes again.
pub(super) async fn interrupted(
    connection: &mut SqliteConnection,
    account: Option<i64>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    // Where the answer was lost earlier, the times are known already. The account is asked for in a way that an index
    // can serve, for one and for all: this runs at the end of every poll.
    let ask = "
        UPDATE deliveries SET
            reason = CASE WHEN sent_at IS NULL THEN $3 ELSE reason END,
            sent_at = coalesce(sent_at, $1),
            look_up_at = coalesce(look_up_at, $1)
        WHERE state = 'attempting' AND account IN (SELECT id FROM accounts WHERE id = $2 OR $2 IS NULL)
            AND destination IN (SELECT id FROM destinations WHERE kind = 'imap')";
    let why = "it was interrupted before the answer came";
    sqlx::query(ask).bind(unix(now)).bind(account).bind(why).execute(&mut *connection).await?;
    let again = "
        UPDATE deliveries SET state = 'due', since = $1
        WHERE state = 'attempting' AND account IN (SELECT id FROM accounts WHERE id = $2 OR $2 IS NULL)
            AND destination NOT IN (SELECT id FROM destinations WHERE kind = 'imap')";
    sqlx::query(again).bind(unix(now)).bind(account).execute(connection).await?;
    Ok(())
}

/// A message that was by itself when the process ended may have ended it. If it may have been sent, that is
/// looked into first. (`opened > 0` are the words of the index.)
async fn crashed_alone(
    connection: &mut SqliteConnection,
    account: Option<i64>,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let suspects = "
        SELECT d.id FROM messages m JOIN deliveries d ON d.message = m.id
        WHERE m.opened = 2 AND m.opened > 0 AND m.account = coalesce($1, m.account)
            AND d.state IN ('due', 'deferred')";
    let suspects: Vec<DeliveryId> =
        sqlx::query_scalar(suspects).bind(account).fetch_all(&mut *connection).await?;
    for suspect in suspects {
        defer(connection, suspect, ENDED_BY_IT, None, terms, now).await?;
    }
    let perhaps_sent = "
        UPDATE deliveries SET suspect = 1, reason = $2
        WHERE state = 'attempting' AND account IN (SELECT id FROM accounts WHERE id = $1 OR $1 IS NULL)
            AND message IN (SELECT id FROM messages WHERE opened = 2 AND opened > 0)";
    sqlx::query(perhaps_sent).bind(account).bind(ENDED_BY_IT).execute(connection).await?;
    Ok(())
}
