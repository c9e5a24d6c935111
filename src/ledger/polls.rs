//! When an account is due, what its next poll has to know, and what a poll was like.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{DAY, digest, int, moment, small, unsigned};
use super::deliveries::forget_marks;
use super::open::{crashed, end_impossible_waits, interrupted};
use super::setup::account_id;
use super::unanswered::wake;
use super::{Class, Error, Ledger, Outlives, Shortcut};
use crate::message::{AccountName, DestinationName, unix};

/// When an account wants what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agenda {
    pub account: AccountName,
    pub next_poll_at: DateTime<Utc>,
    /// The earliest look-up that is due without a session.
    pub look_up_at: Option<DateTime<Utc>>,
    /// The earliest moment at which a delivery of a listed message wants to be sent; it may have passed. For a
    /// destination that has to show that it is well again, one account is enough.
    pub work_at: Option<DateTime<Utc>>,
    /// Its last poll failed, so that only `next_poll_at` counts.
    pub failing: bool,
}

/// What a poll has to know of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Grows whenever the account's user or host changes.
    pub epoch: i64,
    /// Nothing has been listed yet, or nothing since the account's user or host changed.
    pub first_listing: bool,
    /// When the account was first configured: where `import = "new"` begins.
    pub cut_off: DateTime<Utc>,
    /// What the last listing was like, if one equal to it means nothing new.
    pub shortcut: Option<Shortcut>,
    pub no_pipelining: bool,
    /// Of a mailbox that is shown in slices the last one has been seen.
    pub slices_carried: bool,
    /// See [`Slice::hidden`](super::Slice::hidden).
    pub sliced_hash: Option<[u8; 32]>,
    /// Since when that should be hidden.
    pub sliced_at: Option<DateTime<Utc>>,
    /// What is new to the ledger is new.
    pub is_known: bool,
    /// The last listing was of what is recent.
    pub was_recent: bool,
    pub first_poll: Option<DateTime<Utc>>,
    /// When the last poll ended.
    pub last_poll: Option<DateTime<Utc>>,
    /// When a poll last found new mail.
    pub last_mail: Option<DateTime<Utc>>,
    pub failures_in_a_row: u32,
    /// See [`PollRecord::deletions_cut`].
    pub deletions_cut: u32,
}

/// What a poll was like, and when the next one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollRecord {
    pub account: AccountName,
    pub started: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub new: u64,
    pub delivered: u64,
    pub deleted: u64,
    /// Octets retrieved.
    pub bytes: u64,
    pub error: Option<(Class, String)>,
    /// The error is that the login was refused.
    pub login_refused: bool,
    /// Mail came before the error, so that it is the first in a row.
    pub brought_mail: bool,
    /// And the server has asked for patience, which is no failure that lasts.
    pub fails_anew: bool,
    pub next_poll_at: DateTime<Utc>,
    /// What was learned of the server; `None` leaves it as it is.
    pub no_pipelining: Option<bool>,
    /// Sessions that broke off with overdue deletions, less those whose deletions took effect: their count, from 0 to 16,
    /// is to change by as much.
    pub deletions_cut: i32,
}

impl Ledger {
    /// Every configured account, by name.
    pub async fn agenda(&self, now: DateTime<Utc>) -> Result<Vec<Agenda>, Error> {
        let rows: Vec<AgendaRow> = sqlx::query_as(AGENDA)
            .bind(unix(now))
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        Ok(rows.into_iter().filter_map(AgendaRow::into_agenda).collect())
    }

    /// Deliveries of listed messages that are still to be made, to the destinations that the account has now.
    pub async fn pending(&self, account: &AccountName) -> Result<u64, Error> {
        let sql = "
            SELECT count(*) FROM deliveries d
            JOIN messages m ON m.id = d.message
            JOIN accounts a ON a.id = d.account
            JOIN routes r ON r.account = d.account AND r.destination = d.destination
            WHERE a.name = $1 AND d.state IN ('due', 'attempting', 'deferred') AND m.last_listing IS NULL";
        let count: i64 = sqlx::query_scalar(sql)
            .bind(account.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(self.sql_error())?;
        Ok(unsigned(count))
    }

    /// Whether a destination takes all mail: it is not known to be failing, paused or disabled.
    pub async fn is_well(&self, destination: &DestinationName) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM destinations WHERE name = $1 AND state = 'ok')";
        sqlx::query_scalar(sql)
            .bind(destination.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(self.sql_error())
    }

    /// What is known of an account before it is polled.
    pub async fn past(&self, account: &AccountName) -> Result<Past, Error> {
        let sql = "
            SELECT epoch, listed_epoch <> epoch AS first_listing, configured_at, shortcut_hash, shortcut_count,
                shortcut_octets, no_pipelining, sliced_epoch = epoch AS slices_carried, sliced_hash, sliced_at,
                known_epoch = epoch AS is_known, recent_epoch = epoch AS was_recent, first_poll_at, last_poll_at, last_mail_at, failures,
                deletions_cut
            FROM accounts WHERE name = $1";
        let row: PastRow = sqlx::query_as(sql)
            .bind(account.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(self.sql_error())?;
        Ok(row.into())
    }

    /// A poll has panicked: what was in its batches is handled as after a crash, one message at a time.
    pub async fn panicked(&self, account: &AccountName, now: DateTime<Utc>) -> Result<(), Error> {
        let (account, terms) = (account.clone(), self.terms);
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let account = account_id(connection, &account).await?;
                interrupted(connection, Some(account), now).await?;
                crashed(connection, Some(account), terms, now).await
            })
        })
        .await
    }

    /// Ends a poll: keeps what it was like, and settles what it left open.
    pub async fn record_poll(&self, record: PollRecord) -> Result<(), Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { record_poll(connection, &record).await })
        })
        .await
    }
}

/// A due delivery may go as soon as its destination takes mail, a deferred one when its time has come as
/// well; one that waits for another is woken. While a destination is being tried nobody else need come for it; one that was
/// removed cannot be asked.
const AGENDA: &str = "
    WITH waiting AS (
        SELECT r.account, r.destination, CASE
            WHEN EXISTS (
                SELECT 1 FROM deliveries d JOIN messages m ON m.id = d.message
                WHERE d.account = r.account AND d.state = 'due' AND d.destination = r.destination
                    AND m.last_listing IS NULL
            ) THEN $1
            ELSE (
                SELECT min(d.retry_at) FROM deliveries d JOIN messages m ON m.id = d.message
                WHERE d.account = r.account AND d.state = 'deferred' AND d.destination = r.destination
                    AND m.last_listing IS NULL AND d.waits_for IS NULL
            )
        END AS at
        FROM routes r
    )
    SELECT a.name, a.next_poll_at,
        (SELECT min(d.look_up_at) FROM deliveries d JOIN destinations t ON t.id = d.destination
            WHERE d.account = a.id AND d.state = 'attempting' AND t.configured = 1) AS look_up_at,
        (SELECT min(max(w.at, coalesce(t.rest_until, 0), coalesce(t.asked_until, 0)))
            FROM waiting w JOIN destinations t ON t.id = w.destination
            WHERE w.account = a.id AND (t.state = 'ok' OR t.state <> 'disabled' AND t.probe IS NULL AND a.id = (
                SELECT min(o.account) FROM waiting o JOIN accounts b ON b.id = o.account
                WHERE o.destination = w.destination AND o.at IS NOT NULL AND b.failures = 0 AND b.configured = 1
            ))) AS work_at,
        a.failures > 0 AS failing
    FROM accounts a WHERE a.configured = 1 ORDER BY a.name";

#[derive(FromRow)]
struct AgendaRow {
    name: String,
    next_poll_at: i64,
    look_up_at: Option<i64>,
    work_at: Option<i64>,
    failing: bool,
}

impl AgendaRow {
    fn into_agenda(self) -> Option<Agenda> {
        Some(Agenda {
            account: AccountName::new(&self.name)?,
            next_poll_at: moment(self.next_poll_at),
            look_up_at: self.look_up_at.map(moment),
            work_at: self.work_at.map(moment),
            failing: self.failing,
        })
    }
}

#[derive(FromRow)]
struct PastRow {
    epoch: i64,
    first_listing: bool,
    configured_at: i64,
    shortcut_hash: Option<Vec<u8>>,
    shortcut_count: i64,
    shortcut_octets: i64,
    no_pipelining: bool,
    slices_carried: bool,
    sliced_hash: Option<Vec<u8>>,
    sliced_at: Option<i64>,
    is_known: bool,
    was_recent: bool,
    first_poll_at: Option<i64>,
    last_poll_at: Option<i64>,
    last_mail_at: Option<i64>,
    failures: i64,
    deletions_cut: i64,
}

impl From<PastRow> for Past {
    fn from(row: PastRow) -> Past {
        let shortcut = row.shortcut_hash.map(|hash| Shortcut {
            hash: digest(&hash),
            count: unsigned(row.shortcut_count),
            octets: unsigned(row.shortcut_octets),
        });
        Past {
            epoch: row.epoch,
            first_listing: row.first_listing,
            cut_off: moment(row.configured_at),
            shortcut,
            no_pipelining: row.no_pipelining,
            slices_carried: row.slices_carried,
            sliced_hash: row.sliced_hash.map(|hash| digest(&hash)),
            sliced_at: row.sliced_at.map(moment),
            is_known: row.is_known,
            was_recent: row.was_recent,
            first_poll: row.first_poll_at.map(moment),
            last_poll: row.last_poll_at.map(moment),
            last_mail: row.last_mail_at.map(moment),
            failures_in_a_row: small(row.failures),
            deletions_cut: small(row.deletions_cut),
        }
    }
}

async fn record_poll(connection: &mut SqliteConnection, record: &PollRecord) -> sqlx::Result<()> {
    let account = account_id(connection, &record.account).await?;
    let poll = "
        INSERT INTO polls (account, started, ended, new, delivered, deleted, bytes, error, took)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query(poll)
        .bind(account)
        .bind(unix(record.started))
        .bind(unix(record.ended))
        .bind(int(record.new))
        .bind(int(record.delivered))
        .bind(int(record.deleted))
        .bind(int(record.bytes))
        .bind(record.error.as_ref().map(|(_, text)| text))
        .bind((record.ended - record.started).num_milliseconds())
        .execute(&mut *connection)
        .await?;
    forget_idle(connection, record.ended).await?;
    note_outcome(connection, account, record).await?;
    close_all(connection, account, record.ended).await?;
    forget_marks(connection, record.ended).await?;
    prune(connection, record.ended).await
}

/// Most polls find nothing, and after two days nobody asks for those any more. Each poll makes room for itself and two
/// others, so that a ledger full of them empties without anybody waiting for it.
async fn forget_idle(connection: &mut SqliteConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "
        DELETE FROM polls WHERE id IN (
            SELECT id FROM polls
            WHERE new = 0 AND delivered = 0 AND deleted = 0 AND bytes = 0 AND error IS NULL AND ended < $1
            ORDER BY ended LIMIT 3
        )";
    sqlx::query(sql).bind(unix(now) - 2 * DAY).execute(connection).await?;
    Ok(())
}

async fn note_outcome(
    connection: &mut SqliteConnection,
    account: i64,
    record: &PollRecord,
) -> sqlx::Result<()> {
    let (class, text) = match &record.error {
        Some((class, text)) => (class.as_str(), text.as_str()),
        None => ("", ""),
    };
    let sql = "
        UPDATE accounts SET
            next_poll_at = $2,
            first_poll_at = coalesce(first_poll_at, $3),
            last_poll_at = $4,
            last_mail_at = CASE WHEN $5 > 0 THEN $4 ELSE last_mail_at END,
            no_pipelining = coalesce($6, no_pipelining),
            deletions_cut = min(max(deletions_cut + $12, 0), 16),
            last_success_at = CASE WHEN $7 = '' THEN $4 ELSE last_success_at END,
            failing_since = CASE WHEN $7 = '' THEN NULL WHEN $10 THEN $4 ELSE coalesce(failing_since, $4) END,
            failures = CASE WHEN $7 = '' THEN 0 WHEN $11 THEN 1 ELSE failures + 1 END,
            refused_logins = CASE WHEN $9 THEN refused_logins + 1 ELSE 0 END,
            error_class = $7,
            error_text = $8
        WHERE id = $1";
    sqlx::query(sql)
        .bind(account)
        .bind(unix(record.next_poll_at))
        .bind(unix(record.started))
        .bind(unix(record.ended))
        .bind(int(record.new))
        .bind(record.no_pipelining)
        .bind(class)
        .bind(text)
        .bind(record.login_refused)
        .bind(record.fails_anew)
        .bind(record.brought_mail)
        .bind(record.deletions_cut)
        .execute(connection)
        .await?;
    Ok(())
}

/// A poll that broke off, or panicked, leaves nothing open: what recovery does after a crash is done for its
/// account.
async fn close_all(connection: &mut SqliteConnection, account: i64, now: DateTime<Utc>) -> sqlx::Result<()> {
    let close = "UPDATE messages SET opened = 0 WHERE account = $1 AND opened > 0";
    sqlx::query(close).bind(account).execute(&mut *connection).await?;
    let release = "
        UPDATE destinations SET probe = NULL
        WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = probe AND d.account = $1)";
    sqlx::query(release).bind(account).execute(&mut *connection).await?;
    interrupted(connection, Some(account), now).await?;
    wake(connection, now).await
}

/// Once a day, and when the clock was set back: messages go 400 days after they were last listed, polls after 90,
/// answered requests after one.
async fn prune(connection: &mut SqliteConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let due = "UPDATE ledger SET pruned_at = $1 WHERE pruned_at < $2 OR pruned_at > $1";
    let due = sqlx::query(due).bind(unix(now)).bind(unix(now) - DAY).execute(&mut *connection).await?;
    if due.rows_affected() == 0 {
        return Ok(());
    }
    end_impossible_waits(connection, now).await?;
    for (sql, days) in [
        (
            "
            DELETE FROM messages
            WHERE last_listing IS NOT NULL AND last_listed_at < $1 AND NOT EXISTS (
                SELECT 1 FROM messages o
                WHERE o.account = messages.account AND o.uidl = messages.uidl AND o.last_listing IS NULL
            )",
            400,
        ),
        ("DELETE FROM polls WHERE ended < $1", 90),
        ("DELETE FROM requests WHERE made_at < $1 AND answer IS NOT NULL", 1),
    ] {
        sqlx::query(sql).bind(unix(now) - days * DAY).execute(&mut *connection).await?;
    }
    Ok(())
}
