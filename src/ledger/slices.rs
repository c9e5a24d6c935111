//! Mailboxes that are shown a slice at a time: what of that is over.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{list, unsigned};
use super::deliveries::{REFUSED_SESSIONS, wait_or_park};
use super::{DeliveryId, Error, Ledger, MessageId, Outlives};
use crate::message::{AccountName, Uidl, unix};

/// What a session with a slice has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// It hides nothing: there is no other behind it.
    pub is_last: bool,
    /// The hash of its listing, if all of it is hidden now where the server hides anything.
    pub hidden: Option<[u8; 32]>,
}

/// A message in a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: MessageId,
    pub uidl: Uidl,
    pub size: Option<u64>,
    /// It may be at fault that a session ended.
    pub alone: bool,
}

/// What else a slice shows than what is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestOfSlice {
    /// Messages that nobody needs, but not those that could never be retrieved.
    pub settled: Vec<Shown>,
    /// And there are messages that somebody waits for, or more than so many that nobody needs.
    pub is_not_all: bool,
}

/// So many messages of a slice are looked at, at most: a slice has some hundred.
const LARGEST_SLICE: i64 = 10_000;

/// Why a message waits no longer that its source has ceased to show.
const UNSEEN: &str = "its source does not show it any more: it was deleted there, or is no longer among the recent ones; \
    `mailferry retry` if it is shown again";

impl Ledger {
    /// A session with a slice is over. `epoch` is the one that it began in.
    pub async fn note_slice(
        &self,
        account: &AccountName,
        epoch: i64,
        slice: Slice,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let account = account.clone();
        let sql = "
            UPDATE accounts SET
                sliced_hash = $3,
                sliced_at = CASE WHEN sliced_hash = $3 THEN sliced_at ELSE $5 END,
                sliced_epoch = CASE WHEN $4 THEN epoch ELSE 0 END,
                known_epoch = CASE WHEN $4 THEN epoch ELSE known_epoch END,
                waiting_since = CASE WHEN $4 AND sliced_epoch <> epoch THEN NULL ELSE waiting_since END
            WHERE name = $1 AND epoch = $2";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let note = sqlx::query(sql).bind(account.as_str()).bind(epoch);
                let hidden = slice.hidden.map(|hash| hash.to_vec());
                note.bind(hidden).bind(slice.is_last).bind(unix(now)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// All that anybody wants has been listed once: what is new from now on was never delivered. `epoch` is the one that
    /// it was listed in.
    pub async fn note_known(&self, account: &AccountName, epoch: i64) -> Result<(), Error> {
        let account = account.clone();
        let sql = "UPDATE accounts SET known_epoch = epoch WHERE name = $1 AND epoch = $2";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(account.as_str()).bind(epoch).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Whether what came after `since` is all that may be missing: the account was listed after it, and there was a time
    /// after it when none of its mail waited. If not, the slices have to be carried again.
    pub async fn misses_nothing_before(
        &self,
        account: &AccountName,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let account = account.clone();
        let waiting = "
            UPDATE accounts SET waiting_since = CASE WHEN waiting_since IS NULL THEN $2 END
            WHERE name = $1 AND (waiting_since IS NULL) = EXISTS (
                SELECT 1 FROM deliveries d
                JOIN messages m ON m.id = d.message
                JOIN routes r ON r.account = d.account AND r.destination = d.destination
                WHERE d.account = accounts.id AND d.state IN ('due', 'attempting', 'deferred')
                    AND m.last_listing IS NULL
            )";
        let missed = "
            UPDATE accounts SET sliced_epoch = 0
            WHERE name = $1 AND (coalesce(listed_at, 0) <= $2 OR waiting_since <= $2)";
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let waiting = sqlx::query(waiting).bind(account.as_str()).bind(unix(now));
                waiting.execute(&mut *connection).await?;
                let missed = sqlx::query(missed).bind(account.as_str()).bind(unix(since));
                Ok(missed.execute(connection).await?.rows_affected() == 0)
            })
        })
        .await
    }

    /// What the latest listing shows beside what is due at the destinations that the account has now.
    pub async fn rest_of_slice(&self, account: &AccountName) -> Result<RestOfSlice, Error> {
        let sql = "
            SELECT m.id, m.uidl, m.size, m.refused, m.alone, EXISTS (
                SELECT 1 FROM deliveries d
                JOIN routes r ON r.account = d.account AND r.destination = d.destination
                WHERE d.message = m.id AND d.state IN ('due', 'attempting', 'deferred')
            ) AS waits
            FROM accounts a JOIN messages m ON m.account = a.id
            WHERE a.name = $1 AND m.last_listing IS NULL ORDER BY m.id LIMIT $2";
        let rows: Vec<SliceRow> = sqlx::query_as(sql)
            .bind(account.as_str())
            .bind(LARGEST_SLICE)
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        let is_cut = i64::try_from(rows.len()).unwrap_or(LARGEST_SLICE) == LARGEST_SLICE;
        let is_not_all = is_cut || rows.iter().any(|row| row.waits);
        let settled = rows.into_iter().filter(|row| !row.waits && row.refused < i64::from(REFUSED_SESSIONS));
        Ok(RestOfSlice { settled: settled.map(Shown::from).collect(), is_not_all })
    }

    /// These could not be retrieved, although nobody waits for them: after three sessions nobody tries any more to see
    /// what is behind them.
    pub async fn not_handed_out(&self, ids: &[MessageId]) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        let sql = "
            UPDATE messages SET refused = refused + 1 WHERE id IN (SELECT value FROM json_each($1))";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(ids).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Parks what waits and has not been listed since `before`: the source has it still, as far as anybody knows, but
    /// shows it no more.
    pub async fn park_unseen(
        &self,
        account: &AccountName,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        let account = account.clone();
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { park_unseen(connection, &account, before, now).await })
        })
        .await
    }
}

async fn park_unseen(
    connection: &mut SqliteConnection,
    account: &AccountName,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let unseen = "
        SELECT d.id FROM accounts a
        CROSS JOIN deliveries d ON d.account = a.id AND d.state IN ('due', 'deferred')
        JOIN messages m ON m.id = d.message
        JOIN routes r ON r.account = d.account AND r.destination = d.destination
        WHERE a.name = $1 AND m.epoch = a.epoch AND m.deleted_at IS NULL AND m.last_listed_at < $2";
    let unseen: Vec<DeliveryId> = sqlx::query_scalar(unseen)
        .bind(account.as_str())
        .bind(unix(before))
        .fetch_all(&mut *connection)
        .await?;
    for delivery in &unseen {
        wait_or_park(connection, *delivery, UNSEEN, None, None, now).await?;
    }
    Ok(unseen.len() as u64)
}

#[derive(FromRow)]
struct SliceRow {
    id: MessageId,
    uidl: Vec<u8>,
    size: Option<i64>,
    refused: i64,
    alone: bool,
    waits: bool,
}

impl From<SliceRow> for Shown {
    fn from(row: SliceRow) -> Shown {
        let size = row.size.map(unsigned);
        Shown { id: row.id, uidl: Uidl::new(&row.uidl), size, alone: row.alone }
    }
}
