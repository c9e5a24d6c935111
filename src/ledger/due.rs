//! What is to be sent now, in the server's order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{list, small, unsigned};
use super::destinations::Open;
use super::setup::account_id;
use super::{DeliveryId, Error, Ledger, MessageId, Outlives};
use crate::message::{AccountName, DestinationName, Uidl, unix};

/// Whose mail is asked for, and where it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub account: AccountName,
    /// Rows of other destinations wait.
    pub routes: Vec<DestinationName>,
    /// Messages, at most.
    pub limit: usize,
    /// `fetch`: our own back-off does not count, a Retry-After does.
    pub regardless: bool,
}

/// A message with deliveries that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: MessageId,
    /// What it is listed under now.
    pub uidl: Uidl,
    /// Octets according to LIST.
    pub size: Option<u64>,
    /// Its content is known: it was retrieved before.
    pub identified: bool,
    /// It goes in a batch of its own: it was in an open one when mailferry ended.
    pub alone: bool,
    pub deliveries: Vec<DueDelivery>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    pub id: DeliveryId,
    pub destination: DestinationName,
    /// Attempts that count so far.
    pub attempts: u32,
    /// UIDVALIDITY (0 if none is known) and UID from where to look for an earlier delivery before it is sent,
    /// because this ledger may not know of it.
    pub look_from: Option<(u32, u32)>,
    /// The folder whose UIDs these are.
    pub look_in: String,
    /// The account's name when this was first sent to a webhook, if it has another one now.
    pub sent_as: Option<AccountName>,
}

impl Ledger {
    /// The messages of the latest listing with deliveries that may go now: new ones in the server's order,
    /// and for every three of them one that is tried again (see [`Ledger::withheld`]). A destination that is failing or
    /// paused gets one message for all accounts, and the next one only after that is settled or its poll recorded.
    pub async fn due(&self, ask: &Ask, now: DateTime<Utc>) -> Result<Vec<Due>, Error> {
        let ask = ask.clone();
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move { due(connection, &ask, now).await })
        })
        .await
    }

    /// Notes that these are being handled; one by itself if it is the only one. What is found open at the
    /// next start may have ended this process.
    pub async fn open_batch(&self, ids: &[MessageId]) -> Result<(), Error> {
        self.set_opened(ids, if ids.len() == 1 { 2 } else { 1 }).await
    }

    /// The batch is over, whatever became of it.
    pub async fn close_batch(&self, ids: &[MessageId]) -> Result<(), Error> {
        self.set_opened(ids, 0).await
    }

    async fn set_opened(&self, ids: &[MessageId], opened: i64) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "UPDATE messages SET opened = $2 WHERE id IN (SELECT value FROM json_each($1))";
                sqlx::query(sql).bind(ids).bind(opened).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn due(connection: &mut SqliteConnection, ask: &Ask, now: DateTime<Utc>) -> sqlx::Result<Vec<Due>> {
    let account = account_id(connection, &ask.account).await?;
    let mut open = Open::to(connection, ask, now).await?;
    let probed = choose_probes(connection, account, &mut open, ask.regardless, now).await?;
    let limit = i64::try_from(ask.limit).unwrap_or(i64::MAX);
    // Ids grow in the order of listings, and within one in the server's order.
    let new = "
        SELECT DISTINCT d.message FROM deliveries d JOIN messages m ON m.id = d.message
        WHERE d.account = $1 AND d.state = 'due' AND d.destination IN (SELECT value FROM json_each($2))
            AND m.last_listing IS NULL AND m.opened = 0
        ORDER BY d.message LIMIT $3";
    let new: Vec<MessageId> = sqlx::query_scalar(new)
        .bind(account)
        .bind(&open.destinations)
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
    // What was withheld has waited for no time. It comes last, so that no other waits for it, and in turn.
    let old = "
        SELECT d.message FROM deliveries d JOIN messages m ON m.id = d.message
        WHERE d.account = $1 AND d.state = 'deferred' AND d.destination IN (SELECT value FROM json_each($2))
            AND m.last_listing IS NULL AND m.opened = 0
            AND (d.retry_at <= $4 OR $5) AND coalesce(d.asked_until, 0) <= $4
        GROUP BY d.message
        ORDER BY max(CASE WHEN d.retry_at > d.since THEN 0 ELSE d.retry_at END), d.message LIMIT $3";
    let old: Vec<MessageId> = sqlx::query_scalar(old)
        .bind(account)
        .bind(&open.destinations)
        .bind(limit)
        .bind(unix(now))
        .bind(ask.regardless)
        .fetch_all(&mut *connection)
        .await?;
    let ids = interleave(probed, &new, &old, ask.limit);
    load(connection, &ids, &open, ask.regardless, now).await
}

/// Three of `new`, one of `old`, and so on; what is chosen as a probe goes first.
fn interleave(probed: Vec<MessageId>, new: &[MessageId], old: &[MessageId], limit: usize) -> Vec<MessageId> {
    let mut seen = HashSet::new();
    let mut ids = probed;
    let (mut new, mut old) = (new.chunks(3), old.chunks(1));
    loop {
        let (new, old) = (new.next(), old.next());
        if new.is_none() && old.is_none() {
            break;
        }
        ids.extend(new.into_iter().chain(old).flatten());
    }
    ids.retain(|id| seen.insert(*id));
    ids.truncate(limit);
    ids
}

#[derive(FromRow)]
struct Probe {
    id: DeliveryId,
    message: MessageId,
}

/// For each destination that has yet to be tried: another message each time, the smallest untried first. One that waits for
/// another shows nothing, and what was withheld may never come so far: it is chosen last, and in turn.
async fn choose_probes(
    connection: &mut SqliteConnection,
    account: i64,
    open: &mut Open,
    regardless: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<MessageId>> {
    let mut messages = Vec::new();
    for destination in std::mem::take(&mut open.to_probe) {
        let sql = "
            SELECT d.id, d.message FROM deliveries d JOIN messages m ON m.id = d.message
            WHERE d.account = $1 AND d.destination = $2 AND m.last_listing IS NULL AND m.opened = 0
                AND (d.state = 'due' OR (d.state = 'deferred'
                    AND (d.retry_at <= $3 OR $4) AND coalesce(d.asked_until, 0) <= $3 AND d.waits_for IS NULL))
            ORDER BY CASE WHEN d.state = 'deferred' AND d.retry_at <= d.since THEN d.retry_at ELSE 0 END,
                d.probes, coalesce(m.size, m.octets), d.id LIMIT 1";
        let probe: Option<Probe> = sqlx::query_as(sql)
            .bind(account)
            .bind(destination)
            .bind(unix(now))
            .bind(regardless)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(probe) = probe {
            let reserve = "UPDATE destinations SET probe = $2 WHERE id = $1";
            sqlx::query(reserve).bind(destination).bind(probe.id).execute(&mut *connection).await?;
            open.probes.push(probe.id);
            messages.push(probe.message);
        }
    }
    Ok(messages)
}

#[derive(FromRow)]
struct DueRow {
    message: MessageId,
    uidl: Vec<u8>,
    size: Option<i64>,
    identified: bool,
    alone: bool,
    delivery: DeliveryId,
    destination: String,
    attempts: i64,
    look_validity: Option<i64>,
    look_uid: Option<i64>,
    folder: String,
    sent_as: Option<String>,
}

/// Of these messages, the deliveries that may go now, in the order of `ids`.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    ids: &[MessageId],
    open: &Open,
    regardless: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Due>> {
    let sql = "
        SELECT m.id AS message, m.uidl, m.size, m.content IS NOT NULL AS identified, m.alone,
            d.id AS delivery, t.name AS destination, d.attempts, d.look_validity, d.look_uid,
            d.folder, d.sent_as
        FROM json_each($1) j
        JOIN messages m ON m.id = j.value
        JOIN deliveries d ON d.message = m.id
        JOIN destinations t ON t.id = d.destination
        WHERE (d.destination IN (SELECT value FROM json_each($2)) OR d.id IN (SELECT value FROM json_each($3)))
            AND (d.state = 'due' OR (d.state = 'deferred'
                AND (d.retry_at <= $4 OR $5) AND coalesce(d.asked_until, 0) <= $4))
        ORDER BY j.key, d.id";
    let rows: Vec<DueRow> = sqlx::query_as(sql)
        .bind(list(ids.iter().copied()))
        .bind(&open.destinations)
        .bind(list(open.probes.iter().copied()))
        .bind(unix(now))
        .bind(regardless)
        .fetch_all(connection)
        .await?;
    Ok(group(rows))
}

fn group(rows: Vec<DueRow>) -> Vec<Due> {
    let mut all: Vec<Due> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        let Some(destination) = DestinationName::new(&row.destination) else { continue };
        let look_from = row.look_validity.zip(row.look_uid);
        let delivery = DueDelivery {
            id: row.delivery,
            destination,
            attempts: small(row.attempts),
            look_from: look_from.map(|(validity, uid)| (small(validity), small(uid))),
            look_in: row.folder,
            sent_as: row.sent_as.as_deref().and_then(AccountName::new),
        };
        let place = *places.entry(row.message).or_insert_with(|| {
            all.push(Due {
                id: row.message,
                uidl: Uidl::new(&row.uidl),
                size: row.size.map(unsigned),
                identified: row.identified,
                alone: row.alone,
                deliveries: Vec::new(),
            });
            all.len() - 1
        });
        all[place].deliveries.push(delivery);
    }
    all
}
