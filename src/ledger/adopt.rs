//! What another program had seen becomes known, so that it is not delivered again.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::columns::{hex, leave_copy as age, unsigned};
use super::deletions::may_go;
use super::intake::{Account, fill, match_known, returning};
use super::parts::{Part, Parts};
use super::setup::configure_one;
use super::{AccountSetup, DestinationSetup, Error, Ledger, MessageId, Outlives};
use crate::message::{Alike, Content, LeaveCopy, Listed, Listing, unix};

/// A listing, and what of it another program had seen.
#[derive(Clone, Debug)]
pub struct Adoption {
    pub account: AccountSetup,
    /// Those that the account's routes name.
    pub destinations: Vec<DestinationSetup>,
    pub listing: Arc<Listing>,
    /// By message-number.
    pub seen: HashMap<u32, SeenElsewhere>,
    /// The other program.
    pub program: &'static str,
    /// The account's, as it is now.
    pub leave_copy: LeaveCopy,
    /// Nothing is written.
    pub dry_run: bool,
    pub now: DateTime<Utc>,
}

/// A message that another program had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenElsewhere {
    /// Since when, if that is known; else since now.
    pub since: Option<DateTime<Utc>>,
    /// What its header is, if the other program has delivered it and it may be deleted for that: as long as this is its
    /// header.
    pub delivered: Option<Content>,
}

/// What the ledger knows now that it did not know before, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Of those seen.
    pub new: u64,
    /// Of those seen, what was in the ledger before, as skipped, and counts as delivered now.
    pub delivered: u64,
    /// Of those seen, what was in the ledger before and is still to be delivered.
    pub waiting: u64,
    /// Of those seen, what may be deleted at the next poll.
    pub deletable: u64,
    /// Of those seen, what stays skipped, as no header was given for it.
    pub skipped: u64,
    /// Neither seen nor known.
    pub unknown: u64,
}

impl AddAssign for Adopted {
    fn add_assign(&mut self, more: Adopted) {
        self.new += more.new;
        self.delivered += more.delivered;
        self.waiting += more.waiting;
        self.deletable += more.deletable;
        self.skipped += more.skipped;
        self.unknown += more.unknown;
    }
}

impl Ledger {
    /// Takes in what another program had seen. What has a row already keeps it as it is, but for deliveries that were
    /// skipped and have been made by the other program. From then on what is not known is new, whatever its date.
    ///
    /// # Errors
    /// Only those of the disk.
    pub async fn adopt(&self, adoption: Adoption) -> Result<Adopted, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let mut savepoint = connection.begin().await?;
                let adopted = adopt(&mut savepoint, &adoption).await?;
                match adoption.dry_run {
                    true => savepoint.rollback().await?,
                    false => savepoint.commit().await?,
                }
                Ok(adopted)
            })
        })
        .await
    }
}

async fn adopt(connection: &mut SqliteConnection, adoption: &Adoption) -> sqlx::Result<Adopted> {
    configure_one(connection, &adoption.account, &adoption.destinations, adoption.now).await?;
    let account = Account::of(connection, &adoption.account.name).await?;
    let mut adopted = Adopted::default();
    for part in Parts::of(&adoption.listing, &Alike::of(&adoption.listing), None) {
        adopted += adopt_part(connection, &account, adoption, &part).await?;
    }
    Ok(adopted)
}

async fn adopt_part(
    connection: &mut SqliteConnection,
    account: &Account,
    adoption: &Adoption,
    part: &Part,
) -> sqlx::Result<Adopted> {
    fill(connection, part).await?;
    fill_seen(connection, adoption, part).await?;
    match_known(connection, account).await?;
    let delivered = skipped(connection, true).await?;
    let new = add_rows(connection, account, adoption).await?;
    // As the next listing will find them.
    match_known(connection, account).await?;
    add_skipped(connection, account, adoption).await?;
    deliver_skipped(connection, adoption).await?;
    keep_baseline(connection, account).await?;
    Ok(Adopted {
        new,
        delivered,
        skipped: skipped(connection, false).await?,
        waiting: waiting(connection).await?,
        deletable: deletable(connection, adoption).await?,
        unknown: unknown(connection, account).await?,
    })
}

async fn fill_seen(connection: &mut SqliteConnection, adoption: &Adoption, part: &Part) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM seen").execute(&mut *connection).await?;
    let row = |(position, listed): (u32, Listed<'_>)| {
        let seen = adoption.seen.get(&listed.number)?;
        // A clock that was ahead makes nothing younger than new.
        let since = unix(seen.since.map_or(adoption.now, |since| since.min(adoption.now)));
        Some(json!([position, since, seen.delivered.map(|header| hex(&header.0))]))
    };
    let listed = adoption.listing.from(part.places.start).take(part.places.len());
    let rows: Value = (1..).zip(listed).filter_map(row).collect();
    let sql = "
        INSERT INTO seen (position, since, header)
        SELECT value ->> 0, value ->> 1, unhex(value ->> 2) FROM json_each($1)";
    sqlx::query(sql).bind(rows.to_string()).execute(connection).await?;
    Ok(())
}

/// They count as last listed just now, and are matched at the next listing by UIDL and size. Where content alone would
/// tell which of the rows under a UIDL is meant, all of them are known.
async fn add_rows(
    connection: &mut SqliteConnection,
    account: &Account,
    adoption: &Adoption,
) -> sqlx::Result<u64> {
    let sql = "
        INSERT INTO messages (account, uidl, first_uidl, size, epoch, first_listing, last_listing, last_listed_at)
        SELECT $1, l.uidl, l.uidl, l.size, $2, $3, $3, $4
        FROM seen s JOIN listing l ON l.position = s.position
        WHERE l.message IS NULL AND NOT (l.alike IS NOT NULL AND EXISTS (
            SELECT 1 FROM messages m
            WHERE m.account = $1 AND m.epoch = $2 AND m.uidl = l.uidl AND length(m.content) > 0
        ))
        ORDER BY l.position";
    let added = sqlx::query(sql)
        .bind(account.id)
        .bind(account.epoch)
        .bind(account.listing)
        .bind(unix(adoption.now))
        .execute(connection)
        .await?;
    Ok(added.rows_affected())
}

async fn add_skipped(
    connection: &mut SqliteConnection,
    account: &Account,
    adoption: &Adoption,
) -> sqlx::Result<()> {
    let sql = "
        INSERT INTO deliveries (account, message, destination, state, since, reason)
        SELECT r.account, l.message, r.destination, 'skipped', s.since, $2
        FROM seen s JOIN listing l ON l.position = s.position JOIN routes r ON r.account = $1
        WHERE l.message IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = l.message)
        ORDER BY l.message, r.destination";
    sqlx::query(sql)
        .bind(account.id)
        .bind(format!("seen by {}", adoption.program))
        .execute(connection)
        .await?;
    Ok(())
}

/// What the other program has delivered. It was never retrieved here, so its header is all that there is to compare
/// before it is deleted.
async fn deliver_skipped(connection: &mut SqliteConnection, adoption: &Adoption) -> sqlx::Result<()> {
    let headers = "
        UPDATE messages SET header = s.header
        FROM seen s JOIN listing l ON l.position = s.position
        WHERE messages.id = l.message AND s.header IS NOT NULL AND messages.content IS NULL
            AND EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id AND d.state = 'skipped')";
    sqlx::query(headers).execute(&mut *connection).await?;
    let deliveries = "
        UPDATE deliveries SET
            state = 'delivered', since = s.since, leave_copy = $1, receipt = $2, reason = '', unanswered = NULL
        FROM seen s JOIN listing l ON l.position = s.position
        WHERE deliveries.message = l.message AND s.header IS NOT NULL AND deliveries.state = 'skipped'";
    sqlx::query(deliveries)
        .bind(age(adoption.leave_copy))
        .bind(format!("delivered by {}", adoption.program))
        .execute(connection)
        .await?;
    Ok(())
}

/// What is listed and not known is new, as after a first listing: `import = "new"` need not go by dates.
async fn keep_baseline(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<()> {
    let sql = "
        UPDATE accounts SET listed_epoch = epoch
        WHERE id = $1 AND EXISTS (
            SELECT 1 FROM seen s JOIN listing l ON l.position = s.position WHERE l.message IS NOT NULL
        )";
    sqlx::query(sql).bind(account.id).execute(connection).await?;
    Ok(())
}

/// How many of those seen were skipped, and nothing else: those whose header is known, or the others.
async fn skipped(connection: &mut SqliteConnection, with_header: bool) -> sqlx::Result<u64> {
    let sql = "
        SELECT count(*) FROM seen s JOIN listing l ON l.position = s.position
        WHERE (s.header IS NOT NULL) = $1 AND EXISTS (SELECT 1 FROM deliveries d WHERE d.message = l.message)
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = l.message AND d.state <> 'skipped')";
    sqlx::query_scalar(sql).bind(with_header).fetch_one(connection).await.map(unsigned)
}

async fn waiting(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let sql = "
        SELECT count(DISTINCT d.message)
        FROM seen s JOIN listing l ON l.position = s.position JOIN deliveries d ON d.message = l.message
        WHERE d.state IN ('due', 'attempting', 'deferred', 'parked')";
    sqlx::query_scalar(sql).fetch_one(connection).await.map(unsigned)
}

async fn deletable(connection: &mut SqliteConnection, adoption: &Adoption) -> sqlx::Result<u64> {
    let Some(age) = age(adoption.leave_copy) else { return Ok(0) };
    let sql = "
        SELECT m.id FROM seen s JOIN listing l ON l.position = s.position JOIN messages m ON m.id = l.message
        WHERE m.header IS NOT NULL";
    let ids: Vec<MessageId> = sqlx::query_scalar(sql).fetch_all(&mut *connection).await?;
    may_go(connection, &ids, age, adoption.now).await.map(|ids| ids.len() as u64)
}

async fn unknown(connection: &mut SqliteConnection, account: &Account) -> sqlx::Result<u64> {
    let sql = "SELECT count(*) FROM listing WHERE message IS NULL";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    Ok(unsigned(count).saturating_sub(returning(connection, account).await?))
}
