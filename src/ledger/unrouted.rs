//! What no entry of its account's `deliver` takes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};

use super::columns::{list, moment, unsigned};
use super::deliveries::settled;
use super::report::rfc3339;
use super::{DeliveryId, Error, Ledger, MessageId, Outlives, Report, Settled};
use crate::message::{AccountName, DestinationName, Uidl, unix};

/// A message that goes nowhere. It stays at its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unrouted {
    /// What `retry`, `give-up` and `export` take.
    pub id: i64,
    pub account: String,
    /// Bytes outside printable ASCII are `\xNN`.
    pub uidl: String,
    pub size: Option<u64>,
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<DateTime<Utc>>,
}

impl Ledger {
    /// By the config these deliveries are not to be made. A message that is left with none, made or still to be made, is
    /// unrouted. Returns what became of them.
    pub async fn not_routed(
        &self,
        deliveries: Vec<DeliveryId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { not_routed(connection, &deliveries, now).await })
        })
        .await
    }
}

impl Report {
    /// What is unrouted among what was listed last, the oldest first, at most `limit`: of one account or all.
    pub async fn unrouted(&self, account: Option<&AccountName>, limit: u32) -> Result<Vec<Unrouted>, Error> {
        let sql = "
            SELECT m.id, a.name AS account, m.uidl, coalesce(m.size, m.octets) AS size, m.unrouted_at
            FROM accounts a CROSS JOIN messages m ON m.account = a.id
            WHERE m.unrouted_at IS NOT NULL AND m.last_listing IS NULL AND a.name = coalesce($1, a.name)
            ORDER BY m.unrouted_at, m.id LIMIT $2";
        let rows: Vec<UnroutedRow> = sqlx::query_as(sql)
            .bind(account.map(AccountName::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(self.fault())?;
        Ok(rows.into_iter().map(Unrouted::from).collect())
    }
}

#[derive(FromRow)]
struct UnroutedRow {
    id: i64,
    account: String,
    uidl: Vec<u8>,
    size: Option<i64>,
    unrouted_at: i64,
}

impl From<UnroutedRow> for Unrouted {
    fn from(row: UnroutedRow) -> Unrouted {
        Unrouted {
            id: row.id,
            account: row.account,
            uidl: Uidl::new(&row.uidl).to_string(),
            size: row.size.map(unsigned),
            since: Some(moment(row.unrouted_at)),
        }
    }
}

async fn not_routed(
    connection: &mut SqliteConnection,
    deliveries: &[DeliveryId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let ids = list(deliveries.iter().copied());
    let skip = "
        UPDATE deliveries SET state = 'skipped', since = $2, retry_at = NULL, asked_until = NULL,
            reason = 'the config sends it elsewhere'
        WHERE id IN (SELECT value FROM json_each($1)) AND state IN ('due', 'deferred')";
    // Where one of them was to try a destination, another one can.
    let release = "UPDATE destinations SET probe = NULL WHERE probe IN (SELECT value FROM json_each($1))";
    let unrouted = "
        UPDATE messages SET unrouted_at = $2
        WHERE id IN (SELECT message FROM deliveries WHERE id IN (SELECT value FROM json_each($1)))
            AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id AND d.state <> 'skipped')";
    sqlx::query(skip).bind(&ids).bind(unix(now)).execute(&mut *connection).await?;
    sqlx::query(release).bind(&ids).execute(&mut *connection).await?;
    sqlx::query(unrouted).bind(&ids).bind(unix(now)).execute(&mut *connection).await?;
    settled(connection, deliveries).await
}

/// The config is asked anew where these messages go, those destinations included that were added since: in a ledger that
/// was restored nobody knows whether it was asked before, so they are looked for, from where they were to be when they were
/// listed first. Returns how many deliveries are due by that.
pub(super) async fn route_again(
    connection: &mut SqliteConnection,
    account: Option<&AccountName>,
    id: Option<MessageId>,
    destination: Option<&DestinationName>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let sql = "
        SELECT m.id FROM accounts a CROSS JOIN messages m ON m.account = a.id
        WHERE m.unrouted_at IS NOT NULL AND a.name = coalesce($1, a.name) AND m.id = coalesce($2, m.id)";
    let messages: Vec<MessageId> = sqlx::query_scalar(sql)
        .bind(account.map(AccountName::as_str))
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
    let messages = list(messages.iter().copied());
    let due = "
        INSERT INTO deliveries (account, message, destination, state, since, look_validity, look_uid)
        SELECT m.account, m.id, r.destination, 'due', $2,
            CASE t.kind WHEN 'imap' THEN coalesce(f.start_validity, 0) END,
            CASE t.kind WHEN 'imap' THEN coalesce(f.start_uid_next, 1) END
        FROM json_each($1) j
        JOIN messages m ON m.id = j.value
        JOIN routes r ON r.account = m.account
        JOIN destinations t ON t.id = r.destination
        LEFT JOIN deliveries d ON d.message = m.id AND d.destination = t.id
        LEFT JOIN folders f ON f.destination = t.id AND f.folder = d.folder
        WHERE t.name = coalesce($3, t.name)
        ON CONFLICT (message, destination) DO UPDATE SET
            state = 'due', since = excluded.since, attempts = 0, refusals = 0, streak = 0, probes = 0,
            look_validity = CASE WHEN look_uid IS NULL THEN excluded.look_validity ELSE look_validity END,
            look_uid = coalesce(look_uid, excluded.look_uid)
        WHERE state = 'skipped'";
    let routed = "
        UPDATE messages SET unrouted_at = NULL
        WHERE id IN (SELECT value FROM json_each($1))
            AND EXISTS (SELECT 1 FROM deliveries d WHERE d.message = messages.id AND d.state = 'due')";
    let due = sqlx::query(due).bind(&messages).bind(unix(now)).bind(destination.map(DestinationName::as_str));
    let due = due.execute(&mut *connection).await?.rows_affected();
    sqlx::query(routed).bind(&messages).execute(connection).await?;
    Ok(due)
}

/// Nobody wants to be shown it any more. Returns whether anybody was.
pub(super) async fn give_up_unrouted(connection: &mut SqliteConnection, id: MessageId) -> sqlx::Result<u64> {
    let sql = "UPDATE messages SET unrouted_at = NULL WHERE id = $1 AND unrouted_at IS NOT NULL";
    Ok(sqlx::query(sql).bind(id).execute(connection).await?.rows_affected())
}
