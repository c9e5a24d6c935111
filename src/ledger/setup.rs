//! What is configured: accounts, destinations, and which account's mail goes where.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::columns::{int, names};
use super::destinations::enable;
use super::{Error, Ledger, Outlives};
use crate::message::{AccountName, DestinationName, unix};

/// An account as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSetup {
    pub name: AccountName,
    /// `user@host`: after a change the mailbox may be another one.
    pub source: String,
    /// The schedule as text: an edit makes the account due now.
    pub schedule: String,
    /// The longest wait that the schedule or a back-off can ask for; a later time is due now.
    pub longest: Duration,
    pub routes: Vec<DestinationName>,
}

/// A destination as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSetup {
    pub name: DestinationName,
    /// `imap` or `webhook`.
    pub kind: &'static str,
    /// A digest of all its settings: after a change it is tried afresh, whatever its state.
    pub fingerprint: String,
    /// Octets that it may be sent in any 24 hours.
    pub daily_budget: Option<u64>,
    /// Which of Gmail's mailboxes it leads to by the API; others may lead there too.
    pub mailbox: Option<String>,
}

impl Ledger {
    /// Makes the config known. What is not in it any more keeps its rows, but is on no agenda.
    ///
    /// # Errors
    /// Only those of the disk, as of every call below.
    pub async fn configure(
        &self,
        accounts: Vec<AccountSetup>,
        destinations: Vec<DestinationSetup>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { configure(connection, &accounts, &destinations, now).await })
        })
        .await
    }

    /// Notes what the config names but cannot be used, and why, so that commands that read no secrets can tell.
    pub async fn note_broken(
        &self,
        accounts: Vec<(AccountName, String)>,
        destinations: Vec<(DestinationName, String)>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move { note_broken(connection, &accounts, &destinations, now).await })
        })
        .await
    }
}

pub(super) async fn account_id(connection: &mut SqliteConnection, name: &AccountName) -> sqlx::Result<i64> {
    let sql = "SELECT id FROM accounts WHERE name = $1";
    sqlx::query_scalar(sql).bind(name.as_str()).fetch_one(connection).await
}

async fn configure(
    connection: &mut SqliteConnection,
    accounts: &[AccountSetup],
    destinations: &[DestinationSetup],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE destinations SET configured = 0").execute(&mut *connection).await?;
    for destination in destinations {
        configure_destination(connection, destination).await?;
    }
    sqlx::query("UPDATE accounts SET configured = 0").execute(&mut *connection).await?;
    for account in accounts {
        configure_one(connection, account, &[], now).await?;
    }
    Ok(())
}

/// Makes one account known, and where its mail goes; all others stay as they are.
pub(super) async fn configure_one(
    connection: &mut SqliteConnection,
    account: &AccountSetup,
    destinations: &[DestinationSetup],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for destination in destinations {
        configure_destination(connection, destination).await?;
    }
    configure_account(connection, account, now).await?;
    configure_routes(connection, account).await
}

/// Keeps why these cannot be used, for whoever asks how they are; an account that was never polled has no row yet.
async fn note_broken(
    connection: &mut SqliteConnection,
    accounts: &[(AccountName, String)],
    destinations: &[(DestinationName, String)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let account = "
        UPDATE accounts SET failing_since = coalesce(failing_since, $2), error_class = 'account', error_text = $3
        WHERE name = $1";
    for (name, reason) in accounts {
        sqlx::query(account)
            .bind(name.as_str())
            .bind(unix(now))
            .bind(reason)
            .execute(&mut *connection)
            .await?;
    }
    let destination = "UPDATE destinations SET state = 'failing', error = $2 WHERE name = $1";
    for (name, reason) in destinations {
        sqlx::query(destination).bind(name.as_str()).bind(reason).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn configure_destination(
    connection: &mut SqliteConnection,
    destination: &DestinationSetup,
) -> sqlx::Result<()> {
    let budget = destination.daily_budget.map(int);
    let changed = "
        SELECT id FROM destinations WHERE name = $1
            AND (fingerprint <> $2 OR budget_until IS NOT NULL AND daily_budget IS NOT $3)";
    let changed: Option<i64> = sqlx::query_scalar(changed)
        .bind(destination.name.as_str())
        .bind(&destination.fingerprint)
        .bind(budget)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = changed {
        enable(connection, id).await?;
    }
    let old = "SELECT id FROM destinations WHERE name = $1 AND mailbox <> $2";
    let old: Option<i64> = sqlx::query_scalar(old)
        .bind(destination.name.as_str())
        .bind(&destination.mailbox)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = old {
        forget_mailbox(connection, id).await?;
    }
    let keep = "
        INSERT INTO destinations (name, kind, fingerprint, daily_budget, mailbox) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (name) DO UPDATE
        SET kind = excluded.kind, fingerprint = excluded.fingerprint, daily_budget = excluded.daily_budget,
            mailbox = coalesce(excluded.mailbox, mailbox), configured = 1";
    sqlx::query(keep)
        .bind(destination.name.as_str())
        .bind(destination.kind)
        .bind(&destination.fingerprint)
        .bind(budget)
        .bind(&destination.mailbox)
        .execute(&mut *connection)
        .await?;
    if destination.mailbox.is_none() {
        return Ok(());
    }
    // What was sent there before anybody could tell which mailbox that is: an index leads to each.
    for what in ["kept_as", "unanswered"] {
        let sql = format!(
            "UPDATE deliveries SET mailbox = $2 WHERE {what} IS NOT NULL AND mailbox IS NULL \
             AND destination = (SELECT id FROM destinations WHERE name = $1)"
        );
        let known =
            sqlx::query(AssertSqlSafe(sql)).bind(destination.name.as_str()).bind(&destination.mailbox);
        known.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The destination leads to another mailbox now: UIDs of the old one say nothing of it, even where its UIDVALIDITY is the
/// same. What may have been stored in the old one is looked for in the new one from its beginning, and sent there.
async fn forget_mailbox(connection: &mut SqliteConnection, destination: i64) -> sqlx::Result<()> {
    for sql in [
        "DELETE FROM folders WHERE destination = $1",
        "UPDATE deliveries SET uid_validity = NULL, uid = NULL WHERE destination = $1 AND uid IS NOT NULL",
        "UPDATE deliveries SET mark_hash = NULL, mark_message_id = NULL
         WHERE destination = $1 AND mark_hash IS NOT NULL AND folder <> '' AND state <> 'attempting'
             AND state = 'delivered'",
        "UPDATE deliveries SET mark_validity = 0, mark_uid_next = 1, marked_at = NULL
         WHERE destination = $1 AND mark_hash IS NOT NULL AND folder <> ''",
        "UPDATE deliveries SET look_validity = 0, look_uid = 1
         WHERE destination = $1 AND account IN (SELECT id FROM accounts)
             AND state IN ('due', 'deferred', 'parked') AND look_uid IS NOT NULL",
        "UPDATE notice_attempts SET uid_validity = 0, uid_next = 1
         WHERE destination = (SELECT name FROM destinations WHERE id = $1)",
    ] {
        sqlx::query(sql).bind(destination).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn configure_account(
    connection: &mut SqliteConnection,
    account: &AccountSetup,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        INSERT INTO accounts (name, configured_at, source, schedule, next_poll_at) VALUES ($1, $2, $3, $4, $2)
        ON CONFLICT (name) DO UPDATE SET
            configured = 1,
            epoch = epoch + (source <> excluded.source),
            shortcut_hash = CASE WHEN source = excluded.source THEN shortcut_hash END,
            next_poll_at = CASE
                WHEN schedule <> excluded.schedule OR source <> excluded.source THEN $2
                WHEN next_poll_at > $5 THEN $2
                -- No poll has failed: it could not be used as it was configured, and now it can.
                WHEN failures = 0 AND failing_since IS NOT NULL THEN $2
                ELSE next_poll_at
            END,
            source = excluded.source,
            schedule = excluded.schedule";
    sqlx::query(sql)
        .bind(account.name.as_str())
        .bind(unix(now))
        .bind(&account.source)
        .bind(&account.schedule)
        .bind(unix(now).saturating_add(int(account.longest.as_secs())))
        .execute(connection)
        .await?;
    Ok(())
}

async fn configure_routes(connection: &mut SqliteConnection, account: &AccountSetup) -> sqlx::Result<()> {
    let account_id = account_id(connection, &account.name).await?;
    sqlx::query("DELETE FROM routes WHERE account = $1").bind(account_id).execute(&mut *connection).await?;
    let sql = "
        INSERT INTO routes (account, destination)
        SELECT DISTINCT $1, id FROM destinations WHERE name IN (SELECT value FROM json_each($2))";
    sqlx::query(sql).bind(account_id).bind(names(&account.routes)).execute(connection).await?;
    Ok(())
}
