//! What people decide: retry, give up, rename, forget.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::columns::unsigned;
use super::destinations::enable;
use super::unanswered::wake;
use super::unrouted::{give_up_unrouted, route_again};
use super::{Error, Ledger, MessageId, Outlives};
use crate::auth::Holder;
use crate::message::{AccountName, DestinationName, unix};

impl Ledger {
    /// Makes deferred and parked deliveries due now, as if never tried, and tries their destinations again:
    /// of one account or all, of one message or all, to one destination or all. What is unrouted is asked anew where it
    /// goes. Returns how many deliveries are due then, those included that were due already and waited for their
    /// destination.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::NoSuchMessage`].
    pub async fn retry(
        &self,
        account: Option<&AccountName>,
        id: Option<MessageId>,
        destination: Option<&DestinationName>,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        if let Some(account) = account {
            self.report().must_know(account).await?;
        }
        if let Some(id) = id {
            self.must_have(account, id).await?;
        }
        let (account, destination) = (account.cloned(), destination.cloned());
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { retry(connection, account.as_ref(), id, destination.as_ref(), now).await })
        })
        .await
    }

    /// Ends the parked deliveries of a message, and those to destinations that its account no longer has;
    /// with `destination` whatever is not delivered there. One that is unrouted is shown no more. Returns how many
    /// deliveries that is.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`].
    pub async fn give_up(
        &self,
        id: MessageId,
        destination: Option<&DestinationName>,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        self.must_have(None, id).await?;
        let destination = destination.cloned();
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { give_up(connection, id, destination.as_ref(), now).await })
        })
        .await
    }

    /// Moves an account's rows to a new name. A new account of that name that has no messages yet makes room.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`], [`Error::AccountExists`].
    pub async fn rename(&self, old: &AccountName, new: &AccountName) -> Result<(), Error> {
        self.report().must_know(old).await?;
        if old == new {
            return Ok(());
        }
        let names = (old.clone(), new.clone());
        let renamed = self
            .write(Outlives::Power, move |connection| {
                Box::pin(async move { rename(connection, &names.0, &names.1).await })
            })
            .await?;
        if renamed { Ok(()) } else { Err(Error::AccountExists(new.to_string())) }
    }

    /// Drops an account and all that is known of it. Returns how many messages that were.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub async fn forget(&self, account: &AccountName) -> Result<u64, Error> {
        self.report().must_know(account).await?;
        let account = account.clone();
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { forget(connection, &account).await })
        })
        .await
    }

    async fn must_have(&self, account: Option<&AccountName>, id: MessageId) -> Result<(), Error> {
        match self.report().find(account, id).await? {
            Some(_) => Ok(()),
            None => Err(Error::NoSuchMessage(id.0)),
        }
    }
}

async fn retry(
    connection: &mut SqliteConnection,
    account: Option<&AccountName>,
    id: Option<MessageId>,
    destination: Option<&DestinationName>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    // One that nothing waits for at the moment would refuse what comes next.
    let destinations = "
        SELECT d.destination FROM deliveries d
        JOIN accounts a ON a.id = d.account JOIN destinations t ON t.id = d.destination
        WHERE a.name = coalesce($1, a.name) AND d.message = coalesce($2, d.message)
            AND t.name = coalesce($3, t.name) AND d.state IN ('due', 'deferred', 'parked')
        UNION
        SELECT r.destination FROM routes r
        JOIN accounts a ON a.id = r.account JOIN destinations t ON t.id = r.destination
        WHERE a.name = coalesce($1, a.name) AND t.name = coalesce($3, t.name) AND $2 IS NULL";
    let fresh = "
        UPDATE messages SET refused = 0
        WHERE refused > 0 AND id = coalesce($2, id)
            AND account IN (SELECT id FROM accounts WHERE name = coalesce($1, name))
            AND EXISTS (
                SELECT 1 FROM deliveries d JOIN destinations t ON t.id = d.destination
                WHERE d.message = messages.id AND t.name = coalesce($3, t.name)
            )";
    let due = "
        UPDATE deliveries SET
            state = 'due', since = $4, attempts = 0, refusals = 0, retry_at = NULL, asked_until = NULL,
            streak = 0, probes = 0, waits_for = NULL
        WHERE state IN ('deferred', 'parked') AND message = coalesce($2, message)
            AND account IN (SELECT id FROM accounts WHERE name = coalesce($1, name))
            AND destination IN (SELECT id FROM destinations WHERE name = coalesce($3, name))";
    let waiting = "
        SELECT count(*) FROM deliveries d
        JOIN messages m ON m.id = d.message
        JOIN accounts a ON a.id = d.account
        JOIN destinations t ON t.id = d.destination
        JOIN routes r ON r.account = d.account AND r.destination = d.destination
        WHERE d.state = 'due' AND m.last_listing IS NULL AND t.name = coalesce($3, t.name)
            AND a.name = coalesce($1, a.name) AND d.message = coalesce($2, d.message)";
    let names = (account, destination);
    let (account, destination) = (account.map(AccountName::as_str), destination.map(DestinationName::as_str));
    let waiting: i64 = sqlx::query_scalar(waiting)
        .bind(account)
        .bind(id)
        .bind(destination)
        .fetch_one(&mut *connection)
        .await?;
    let destinations: Vec<i64> = sqlx::query_scalar(destinations)
        .bind(account)
        .bind(id)
        .bind(destination)
        .fetch_all(&mut *connection)
        .await?;
    for destination in destinations {
        enable(connection, destination).await?;
    }
    let fresh = sqlx::query(fresh).bind(account).bind(id).bind(destination);
    fresh.execute(&mut *connection).await?;
    let due = sqlx::query(due).bind(account).bind(id).bind(destination).bind(unix(now));
    let due = due.execute(&mut *connection).await?.rows_affected();
    Ok(unsigned(waiting) + due + route_again(connection, names.0, id, names.1, now).await?)
}

/// An attempt whose answer was lost can be given up; one that is under way cannot.
async fn give_up(
    connection: &mut SqliteConnection,
    id: MessageId,
    destination: Option<&DestinationName>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let sql = "
        UPDATE deliveries SET
            state = 'given up', since = $2, retry_at = NULL, look_up_at = NULL, streak = 0, waits_for = NULL
        WHERE message = $1
            AND (state IN ('due', 'deferred', 'parked') OR state = 'attempting' AND look_up_at IS NOT NULL)
            AND CASE
            WHEN $3 IS NOT NULL THEN destination = (SELECT id FROM destinations WHERE name = $3)
            ELSE state = 'parked'
                OR destination NOT IN (SELECT r.destination FROM routes r WHERE r.account = deliveries.account)
        END";
    let ended = sqlx::query(sql)
        .bind(id)
        .bind(unix(now))
        .bind(destination.map(DestinationName::as_str))
        .execute(&mut *connection)
        .await?;
    wake(connection, now).await?;
    let unrouted = if destination.is_none() { give_up_unrouted(connection, id).await? } else { 0 };
    Ok(ended.rows_affected() + unrouted)
}

/// Returns whether there was room under the new name.
async fn rename(
    connection: &mut SqliteConnection,
    old: &AccountName,
    new: &AccountName,
) -> sqlx::Result<bool> {
    let taken = "
        SELECT EXISTS (SELECT 1 FROM messages m JOIN accounts a ON a.id = m.account WHERE a.name = $1)";
    if sqlx::query_scalar(taken).bind(new.as_str()).fetch_one(&mut *connection).await? {
        return Ok(false);
    }
    let room = "DELETE FROM accounts WHERE name = $1";
    sqlx::query(room).bind(new.as_str()).execute(&mut *connection).await?;
    // What a webhook may have taken must bear the same name when it comes again.
    let sent = "
        UPDATE deliveries SET sent_as = $1
        WHERE account = (SELECT id FROM accounts WHERE name = $1)
            AND state IN ('due', 'attempting', 'deferred', 'parked') AND mark_hash IS NOT NULL AND sent_as IS NULL
            AND destination IN (SELECT id FROM destinations WHERE kind = 'webhook')";
    sqlx::query(sent).bind(old.as_str()).execute(&mut *connection).await?;
    let rename = "UPDATE accounts SET name = $2 WHERE name = $1";
    sqlx::query(rename).bind(old.as_str()).bind(new.as_str()).execute(&mut *connection).await?;
    let troubles = "
        UPDATE OR REPLACE troubles SET name = $2 WHERE name = $1 AND kind IN ('account', 'mailbox', 'account_sign_in')";
    sqlx::query(troubles).bind(old.as_str()).bind(new.as_str()).execute(connection).await?;
    Ok(true)
}

async fn forget(connection: &mut SqliteConnection, account: &AccountName) -> sqlx::Result<u64> {
    let messages = "DELETE FROM messages WHERE account = (SELECT id FROM accounts WHERE name = $1)";
    let messages = sqlx::query(messages).bind(account.as_str()).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM accounts WHERE name = $1")
        .bind(account.as_str())
        .execute(&mut *connection)
        .await?;
    let tokens = sqlx::query("DELETE FROM tokens WHERE holder = $1")
        .bind(Holder::account(account).as_str().to_owned());
    tokens.execute(connection).await?;
    Ok(messages.rows_affected())
}
