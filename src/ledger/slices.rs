//! Mailboxes that are shown a slice at a time: whether all slices have been carried.

use chrono::{DateTime, Utc};

use super::{Error, Ledger, Outlives};
use crate::message::{AccountName, unix};

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
            UPDATE accounts SET waiting_since = CASE WHEN EXISTS (
                SELECT 1 FROM deliveries d JOIN messages m ON m.id = d.message
                WHERE d.account = accounts.id AND d.state IN ('due', 'attempting', 'deferred')
                    AND m.last_listing IS NULL
            ) THEN coalesce(waiting_since, $2) END
            WHERE name = $1";
        let missed = "
            UPDATE accounts SET sliced_epoch = 0
            WHERE name = $1 AND (coalesce(listed_at, 0) <= $2 OR waiting_since <= $2)";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let waiting = sqlx::query(waiting).bind(account.as_str()).bind(unix(now));
                waiting.execute(&mut *connection).await?;
                let missed = sqlx::query(missed).bind(account.as_str()).bind(unix(since));
                Ok(missed.execute(connection).await?.rows_affected() == 0)
            })
        })
        .await
    }
}
