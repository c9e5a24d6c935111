//! Mailboxes that are shown a slice at a time: what of that is over.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::columns::unsigned;
use super::{Error, Ledger, MessageId, Outlives};
use crate::message::{AccountName, Uidl, unix};

impl Ledger {
    /// All slices have been carried. Not believed where a message was deleted after `since`: what still shows it among
    /// the recent ones would show it as if it were new.
    pub async fn slices_carried(&self, account: &AccountName, since: DateTime<Utc>) -> Result<(), Error> {
        let account = account.clone();
        let sql = "
            UPDATE accounts SET sliced_epoch = epoch, waiting_since = NULL
            WHERE name = $1 AND sliced_epoch <> epoch AND NOT EXISTS (
                SELECT 1 FROM messages m WHERE m.account = accounts.id AND m.deleted_at > $2
            )";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(account.as_str()).bind(unix(since)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Whether a message was deleted after `since`, as far as we know.
    pub async fn has_deleted_since(
        &self,
        account: &AccountName,
        since: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let sql = "
            SELECT EXISTS (
                SELECT 1 FROM messages m JOIN accounts a ON a.id = m.account
                WHERE a.name = $1 AND m.deleted_at > $2
            )";
        let found = sqlx::query_scalar(sql).bind(account.as_str()).bind(unix(since));
        found.fetch_one(&self.readers).await.map_err(self.sql_error())
    }

    /// A session with a slice is over. `hash` is that of its listing if all of it will be hidden where the server hides
    /// anything.
    pub async fn note_slice(&self, account: &AccountName, hash: Option<[u8; 32]>) -> Result<(), Error> {
        let account = account.clone();
        let sql = "UPDATE accounts SET sliced_hash = $2 WHERE name = $1 AND sliced_hash IS NOT $2";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let hash = hash.map(|hash| hash.to_vec());
                sqlx::query(sql).bind(account.as_str()).bind(hash).execute(connection).await?;
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
                SELECT 1 FROM deliveries d JOIN messages m ON m.id = d.message
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

    /// The listed messages with deliveries that are still to be made, to the destinations that the account has now.
    pub async fn waiting(&self, account: &AccountName) -> Result<Vec<(MessageId, Uidl, Option<u64>)>, Error> {
        let sql = "
            SELECT DISTINCT m.id, m.uidl, m.size
            FROM accounts a
            JOIN deliveries d ON d.account = a.id
            JOIN messages m ON m.id = d.message
            JOIN routes r ON r.account = d.account AND r.destination = d.destination
            WHERE a.name = $1 AND d.state IN ('due', 'attempting', 'deferred') AND m.last_listing IS NULL";
        let rows: Vec<WaitingRow> = sqlx::query_as(sql)
            .bind(account.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(self.sql_error())?;
        let waiting = |row: WaitingRow| (row.id, Uidl::new(&row.uidl), row.size.map(unsigned));
        Ok(rows.into_iter().map(waiting).collect())
    }
}

#[derive(FromRow)]
struct WaitingRow {
    id: MessageId,
    uidl: Vec<u8>,
    size: Option<i64>,
}
