//! From retrieved bytes to the row they belong to. Content decides; UIDL and size only promise.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{hex, int, list, names};
use super::destinations::Open;
use super::due::{Due, load};
use super::{Ask, DueDelivery, Error, Ledger, MessageId, Outlives};
use crate::message::{Content, DestinationName, Uidl, unix};

/// A message that was retrieved for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrieved {
    pub id: MessageId,
    pub content: Content,
    pub header: Content,
    /// Its true length.
    pub octets: u64,
}

/// The row that a retrieved message really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: MessageId,
    /// What it was first listed under: that stays, even when the mailbox is renumbered.
    pub uidl: Uidl,
    /// Due now. Empty if all is settled, or the same message is already in a batch: it leaves this one.
    pub deliveries: Vec<DueDelivery>,
}

impl Ledger {
    /// Finds the row of each retrieved message, in the same order.
    pub async fn identify(
        &self,
        retrieved: Vec<Retrieved>,
        ask: &Ask,
        now: DateTime<Utc>,
    ) -> Result<Vec<Identity>, Error> {
        let ask = ask.clone();
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move { identify(connection, &retrieved, &ask, now).await })
        })
        .await
    }

    /// Just before its DELE the bytes were not the row's: what is listed is another message. It gets a row of
    /// its own, due to `routes`; the old row counts as no longer listed. Returns the new row.
    pub async fn mistaken(
        &self,
        id: MessageId,
        routes: &[DestinationName],
        now: DateTime<Utc>,
    ) -> Result<MessageId, Error> {
        let routes = routes.to_vec();
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { replace(connection, id, &routes, now).await })
        })
        .await
    }
}

async fn identify(
    connection: &mut SqliteConnection,
    retrieved: &[Retrieved],
    ask: &Ask,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Identity>> {
    let plain = unheard_of(connection, retrieved).await?;
    keep_contents(connection, &plain).await?;
    let plain: HashSet<MessageId> = plain.iter().map(|message| message.id).collect();
    let mut found = Vec::with_capacity(retrieved.len());
    for message in retrieved {
        found.push(match plain.contains(&message.id) {
            true => Match { id: message.id, elsewhere: false },
            false => recognise(connection, message, &ask.routes, now).await?,
        });
    }
    identities(connection, &found, ask, now).await
}

struct Match {
    id: MessageId,
    /// The same message is in another open batch, or earlier in this one.
    elsewhere: bool,
}

/// Those without a content so far whose content is nowhere in the account, and once only in the batch: nearly
/// all, nearly always. They need no comparing.
async fn unheard_of(
    connection: &mut SqliteConnection,
    retrieved: &[Retrieved],
) -> sqlx::Result<Vec<Retrieved>> {
    let row = |m: &Retrieved| json!([m.id.0, hex(&m.content.0), hex(&m.header.0)]);
    let rows: Value = retrieved.iter().map(row).collect();
    let sql = "
        SELECT m.id FROM json_each($1) j JOIN messages m ON m.id = j.value ->> 0
        WHERE m.content IS NULL AND NOT EXISTS (
            SELECT 1 FROM messages o WHERE o.account = m.account AND o.content = unhex(j.value ->> 1)
        ) AND NOT EXISTS (
            SELECT 1 FROM messages o
            WHERE o.account = m.account AND o.uidl = m.uidl AND o.id <> m.id
                AND o.content IS NULL AND o.header = unhex(j.value ->> 2)
        )";
    let ids: Vec<MessageId> = sqlx::query_scalar(sql).bind(rows.to_string()).fetch_all(connection).await?;
    let ids: HashSet<MessageId> = ids.into_iter().collect();
    let mut bearers: HashMap<Content, usize> = HashMap::new();
    for message in retrieved {
        *bearers.entry(message.content).or_default() += 1;
    }
    let is_plain = |m: &&Retrieved| ids.contains(&m.id) && bearers.get(&m.content) == Some(&1);
    Ok(retrieved.iter().filter(is_plain).copied().collect())
}

async fn keep_contents(connection: &mut SqliteConnection, messages: &[Retrieved]) -> sqlx::Result<()> {
    let row = |m: &Retrieved| json!([m.id.0, hex(&m.content.0), hex(&m.header.0), int(m.octets)]);
    let rows: Value = messages.iter().map(row).collect();
    let sql = "
        UPDATE messages SET
            content = unhex(j.value ->> 1), header = unhex(j.value ->> 2), octets = j.value ->> 3, refused = 0
        FROM json_each($1) j WHERE messages.id = j.value ->> 0";
    sqlx::query(sql).bind(rows.to_string()).execute(connection).await?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    id: MessageId,
    account: i64,
    uidl: Vec<u8>,
    content: Option<Vec<u8>>,
    first_listing: i64,
}

impl Row {
    async fn of(connection: &mut SqliteConnection, id: MessageId) -> sqlx::Result<Option<Row>> {
        let sql = "SELECT id, account, uidl, content, first_listing FROM messages WHERE id = $1";
        sqlx::query_as(sql).bind(id).fetch_optional(connection).await
    }
}

/// One message, compared with all that the account has had.
async fn recognise(
    connection: &mut SqliteConnection,
    message: &Retrieved,
    routes: &[DestinationName],
    now: DateTime<Utc>,
) -> sqlx::Result<Match> {
    let as_it_was = Match { id: message.id, elsewhere: false };
    let Some(mut row) = Row::of(connection, message.id).await? else { return Ok(as_it_was) };
    match &row.content {
        Some(content) if *content == message.content.0 => {
            let sql = "UPDATE messages SET refused = 0 WHERE id = $1 AND refused > 0";
            sqlx::query(sql).bind(message.id).execute(connection).await?;
            return Ok(as_it_was);
        }
        // The UIDL was used again, for another message.
        Some(_) => {
            let id = replace(connection, message.id, routes, now).await?;
            let Some(new) = Row::of(connection, id).await? else { return Ok(as_it_was) };
            row = new;
        }
        None => {}
    }
    let old = match same_key(connection, &row, message).await? {
        None => renamed(connection, &row, message.content).await?,
        known => known,
    };
    match old {
        Some(old) => take_over(connection, &row, &old).await,
        None => {
            keep_contents(connection, &[Retrieved { id: row.id, ..*message }]).await?;
            stand_apart(connection, &row, message.content).await?;
            Ok(Match { id: row.id, elsewhere: false })
        }
    }
}

/// A twin that was hidden may have lent its first UIDL to the one that was taken for it. To a receiver the two would be
/// one message, so they have changed names: this one gets the UIDL that the other goes by. The names stay among those
/// that were listed, so that a receiver knows both again after the ledger is lost.
async fn stand_apart(connection: &mut SqliteConnection, row: &Row, content: Content) -> sqlx::Result<()> {
    let sql = "
        WITH RECURSIVE
            twins AS MATERIALIZED (
                SELECT uidl, first_uidl FROM messages WHERE account = $2 AND content = $3 AND id <> $1
            ),
            -- UNION, so that a ring of names ends.
            names (uidl) AS (
                SELECT $4 UNION SELECT t.uidl FROM names n JOIN twins t ON t.first_uidl = n.uidl
            )
        UPDATE messages SET first_uidl = names.uidl
        FROM names
        WHERE messages.id = $1 AND names.uidl NOT IN (SELECT first_uidl FROM twins)";
    sqlx::query(sql)
        .bind(row.id)
        .bind(row.account)
        .bind(content.0.to_vec())
        .bind(&row.uidl)
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct Old {
    id: MessageId,
    opened: i64,
}

/// A message's key is account, UIDL and content; its header stands for that of one which another program delivered.
async fn same_key(
    connection: &mut SqliteConnection,
    row: &Row,
    message: &Retrieved,
) -> sqlx::Result<Option<Old>> {
    let sql = "
        WITH alike AS MATERIALIZED (
            SELECT id, uidl, opened, last_listing FROM messages WHERE account = $1 AND content = $3
            UNION ALL
            SELECT id, uidl, opened, last_listing FROM messages
            WHERE account = $1 AND uidl = $2 AND content IS NULL AND header = $4
        )
        SELECT id, opened FROM alike WHERE uidl = $2 AND id <> $5
        ORDER BY last_listing IS NOT NULL, id LIMIT 1";
    sqlx::query_as(sql)
        .bind(row.account)
        .bind(&row.uidl)
        .bind(message.content.0.to_vec())
        .bind(message.header.0.to_vec())
        .bind(row.id)
        .fetch_optional(connection)
        .await
}

/// Renamed, not new: it had left before this one came, and not because we deleted it. The row found is listed
/// from then on, so it is found once.
async fn renamed(
    connection: &mut SqliteConnection,
    row: &Row,
    content: Content,
) -> sqlx::Result<Option<Old>> {
    let sql = "
        SELECT id, opened FROM messages
        WHERE account = $1 AND content = $2 AND id <> $3 AND uidl <> $4
            AND last_listing < $5 AND deleted_at IS NULL
        ORDER BY id LIMIT 1";
    sqlx::query_as(sql)
        .bind(row.account)
        .bind(content.0.to_vec())
        .bind(row.id)
        .bind(&row.uidl)
        .bind(row.first_listing)
        .fetch_optional(connection)
        .await
}

/// The old row is what is listed as `row`, which vanishes. Its deliveries stay as they are.
async fn take_over(connection: &mut SqliteConnection, row: &Row, old: &Old) -> sqlx::Result<Match> {
    let identify = "
        UPDATE messages SET
            uidl = n.uidl, size = n.size, epoch = n.epoch, opened = max(messages.opened, n.opened),
            last_listing = NULL, last_listed_at = NULL, deleted_at = NULL, refused = 0,
            not_shown_at = NULL
        FROM (SELECT uidl, size, epoch, opened FROM messages WHERE id = $2) n
        WHERE messages.id = $1";
    sqlx::query(identify).bind(old.id).bind(row.id).execute(&mut *connection).await?;
    hand_over_probes(connection, row.id, old.id).await?;
    sqlx::query("DELETE FROM messages WHERE id = $1").bind(row.id).execute(connection).await?;
    Ok(Match { id: old.id, elsewhere: old.opened > 0 })
}

/// What was chosen to try a destination has turned out to be `to`.
async fn hand_over_probes(
    connection: &mut SqliteConnection,
    from: MessageId,
    to: MessageId,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE destinations SET probe = (
            SELECT d.id FROM deliveries d WHERE d.message = $1 AND d.destination = destinations.id
        )
        WHERE probe IN (SELECT id FROM deliveries WHERE message = $2)";
    sqlx::query(sql).bind(to).bind(from).execute(connection).await?;
    Ok(())
}

/// What is listed as `old` is another message: gives it a row of its own. That is looked for as what is first listed after
/// a start: nobody knows whether an earlier life of the ledger has met it already.
async fn replace(
    connection: &mut SqliteConnection,
    old: MessageId,
    routes: &[DestinationName],
    now: DateTime<Utc>,
) -> sqlx::Result<MessageId> {
    let new = "
        INSERT INTO messages (account, uidl, first_uidl, size, epoch, first_listing, opened, alone)
        SELECT m.account, m.uidl, m.uidl, m.size, m.epoch, a.listing, m.opened, m.alone
        FROM messages m JOIN accounts a ON a.id = m.account WHERE m.id = $1
        RETURNING id";
    let new: MessageId = sqlx::query_scalar(new).bind(old).fetch_one(&mut *connection).await?;
    let deliveries = "
        INSERT INTO deliveries (account, message, destination, state, since, folder, look_validity, look_uid)
        SELECT m.account, m.id, t.id, 'due', $2, coalesce(d.folder, ''),
            CASE t.kind WHEN 'imap' THEN coalesce(d.look_validity, f.start_validity, 0) END,
            CASE t.kind WHEN 'imap' THEN coalesce(d.look_uid, f.start_uid_next, 1) END
        FROM messages m
        JOIN destinations t ON t.name IN (SELECT value FROM json_each($3))
        LEFT JOIN deliveries d ON d.message = $4 AND d.destination = t.id
        LEFT JOIN folders f ON f.destination = t.id AND f.folder = d.folder
        WHERE m.id = $1";
    sqlx::query(deliveries)
        .bind(new)
        .bind(unix(now))
        .bind(names(routes))
        .bind(old)
        .execute(&mut *connection)
        .await?;
    let leaves = "
        UPDATE messages SET
            last_listing = (SELECT a.listing - 1 FROM accounts a WHERE a.id = messages.account),
            last_listed_at = $2, opened = 0
        WHERE id = $1";
    sqlx::query(leaves).bind(old).bind(unix(now)).execute(&mut *connection).await?;
    hand_over_probes(connection, old, new).await?;
    Ok(new)
}

/// Puts together what may go now, and closes what leaves the batch.
async fn identities(
    connection: &mut SqliteConnection,
    found: &[Match],
    ask: &Ask,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Identity>> {
    let ids: Vec<MessageId> = found.iter().map(|found| found.id).collect();
    let first_uidls = "
        SELECT m.id, m.first_uidl FROM json_each($1) j JOIN messages m ON m.id = j.value";
    let uidls: Vec<(MessageId, Vec<u8>)> =
        sqlx::query_as(first_uidls).bind(list(ids.iter().copied())).fetch_all(&mut *connection).await?;
    let uidls: HashMap<MessageId, Vec<u8>> = uidls.into_iter().collect();
    let open = Open::to(connection, ask, now).await?;
    let due = load(connection, &distinct(&ids), &open, ask.regardless, now).await?;
    let mut due: HashMap<MessageId, Vec<DueDelivery>> =
        due.into_iter().map(|Due { id, deliveries, .. }| (id, deliveries)).collect();
    let elsewhere: HashSet<MessageId> = found.iter().filter(|m| m.elsewhere).map(|m| m.id).collect();
    let identity = |found: &Match| Identity {
        id: found.id,
        uidl: Uidl::new(uidls.get(&found.id).map_or(&[], Vec::as_slice)),
        deliveries: if found.elsewhere { Vec::new() } else { due.remove(&found.id).unwrap_or_default() },
    };
    let identities: Vec<Identity> = found.iter().map(identity).collect();
    let settled = identities.iter().filter(|one| one.deliveries.is_empty() && !elsewhere.contains(&one.id));
    leave_batch(connection, &settled.map(|one| one.id).collect::<Vec<_>>()).await?;
    Ok(identities)
}

fn distinct(ids: &[MessageId]) -> Vec<MessageId> {
    let mut seen = HashSet::new();
    ids.iter().copied().filter(|id| seen.insert(*id)).collect()
}

/// Nothing of these is to be sent: where one of them was to try a destination, another one can.
async fn leave_batch(connection: &mut SqliteConnection, ids: &[MessageId]) -> sqlx::Result<()> {
    let ids = list(ids.iter().copied());
    let close = "UPDATE messages SET opened = 0 WHERE id IN (SELECT value FROM json_each($1))";
    let release = "
        UPDATE destinations SET probe = NULL WHERE probe IN (
            SELECT id FROM deliveries WHERE message IN (SELECT value FROM json_each($1))
        )";
    for sql in [close, release] {
        sqlx::query(sql).bind(&ids).execute(&mut *connection).await?;
    }
    Ok(())
}
