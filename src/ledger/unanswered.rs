//! What Gmail may have without having said so. Of messages with one Message-ID it keeps one, and its API names that whenever
//! another comes: whose id that is can be told only while no more than one of them may be there unnamed. So the others wait
//! until it has been named.
//!
//! A message is unanswered from its attempt on until it is delivered or refused for what it is. What else an answer
//! shows not to be there is so no longer, unless the answer to an earlier attempt was lost: that may have brought it there.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, SqliteConnection};

use super::columns::hex;
use super::{Attempt, DeliveryId};
use crate::message::unix;

/// Those that must not go now, as another message with the same Message-ID is unanswered since before. What is attempted
/// together is sent in this order, each when the one before has its answer: there nothing is held up.
pub(super) async fn held_up(
    connection: &mut SqliteConnection,
    attempts: &[Attempt],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<DeliveryId>> {
    note(connection, attempts).await?;
    let (mut going, mut held_up) = (HashSet::new(), HashSet::new());
    for attempt in attempts.iter().filter(|attempt| attempt.mark.gist.is_some()) {
        let before = unanswered_before(connection, attempt.delivery, now).await?;
        let may_go = before.iter().all(|other| going.contains(&other.delivery));
        if may_go { &mut going } else { &mut held_up }.insert(attempt.delivery);
        if may_go && is_doubtful(connection, attempt.delivery, now).await? {
            // Whoever is to send the other one again by the time of the answer.
            let sql = "UPDATE deliveries SET doubtful = 1 WHERE id = $1";
            sqlx::query(sql).bind(attempt.delivery).execute(&mut *connection).await?;
        }
    }
    Ok(held_up)
}

/// Keeps what tells these from others with their Message-IDs, and where they go.
async fn note(connection: &mut SqliteConnection, attempts: &[Attempt]) -> sqlx::Result<()> {
    let row = |Attempt { delivery, mark, .. }: &Attempt| {
        let gist = mark.gist?;
        Some(json!([delivery.0, mark.message_id, hex(&gist.header), hex(&gist.body)]))
    };
    let rows: Vec<Value> = attempts.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "
        UPDATE deliveries SET
            mark_message_id = j.value ->> 1, gist = unhex(j.value ->> 2), body = unhex(j.value ->> 3),
            mailbox = (SELECT t.mailbox FROM destinations t WHERE t.id = deliveries.destination)
        FROM json_each($1) j
        WHERE deliveries.id = j.value ->> 0 AND deliveries.state IN ('due', 'deferred')";
    sqlx::query(sql).bind(Value::from(rows).to_string()).execute(connection).await?;
    Ok(())
}

/// A delivery of another message, which may be there.
#[derive(FromRow)]
struct Other {
    delivery: DeliveryId,
    message: i64,
    destination: String,
}

/// Whether nobody will send `o` again, so that nobody will hear whether it is there: a person has given it up, the
/// config sends it elsewhere, or it has not been listed for a day. `$1` is now.
const IS_OVER: &str = "
    (o.state IN ('given up', 'skipped') OR NOT EXISTS (
        SELECT 1 FROM messages om
        JOIN accounts oa ON oa.id = om.account
        LEFT JOIN routes r ON r.account = oa.id AND r.destination = o.destination
        WHERE om.id = o.message AND CASE
            WHEN oa.configured = 1 AND r.destination IS NULL THEN 0
            WHEN oa.configured = 1 AND om.last_listing IS NULL THEN 1
            ELSE coalesce(om.last_listed_at, oa.listed_at) > $1 - 86400
        END
    ))";

/// The deliveries of other messages with its Message-ID, to the same mailbox, that may be there sooner than it.
async fn unanswered_before(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Other>> {
    let sql = format!(
        "
        SELECT o.id AS delivery, o.message, t.name AS destination FROM deliveries d
        JOIN deliveries o ON o.mailbox = d.mailbox AND o.mark_message_id = d.mark_message_id
        JOIN destinations t ON t.id = o.destination
        WHERE d.id = $2 AND o.unanswered IS NOT NULL AND NOT {IS_OVER}
            AND (o.gist <> d.gist OR o.body IS NOT d.body)
            AND (d.unanswered IS NULL OR o.unanswered < d.unanswered)
        ORDER BY o.unanswered"
    );
    sqlx::query_as(AssertSqlSafe(sql)).bind(unix(now)).bind(id).fetch_all(connection).await
}

/// Whether another message with its Message-ID, which nobody will send again, may be there: the id that is named may be that
/// one's.
pub(super) async fn is_doubtful(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let sql = format!(
        "
        SELECT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = $2 AND d.doubtful = 1) OR EXISTS (
            SELECT 1 FROM deliveries d
            JOIN deliveries o ON o.mailbox = d.mailbox AND o.mark_message_id = d.mark_message_id
            WHERE d.id = $2 AND o.unanswered IS NOT NULL AND {IS_OVER}
                AND (o.gist <> d.gist OR o.body IS NOT d.body)
        )"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(unix(now)).bind(id).fetch_one(connection).await
}

/// The number of the next attempt.
pub(super) async fn next(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let sql = "SELECT coalesce(max(unanswered), 0) + 1 FROM deliveries WHERE unanswered IS NOT NULL";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// It is not there, and never will be.
pub(super) async fn answered(connection: &mut SqliteConnection, id: DeliveryId) -> sqlx::Result<()> {
    let sql = "UPDATE deliveries SET unanswered = NULL WHERE id = $1 AND unanswered IS NOT NULL";
    sqlx::query(sql).bind(id).execute(connection).await?;
    Ok(())
}

/// What is under way of it has brought it nowhere.
pub(super) async fn not_there(connection: &mut SqliteConnection, id: DeliveryId) -> sqlx::Result<()> {
    let sql = "
        UPDATE deliveries SET unanswered = NULL
        WHERE id = $1 AND state = 'attempting' AND unanswered IS NOT NULL AND lost = 0";
    sqlx::query(sql).bind(id).execute(connection).await?;
    Ok(())
}

/// How long one waits until a poll that is made anyhow looks at it again, in seconds: it is woken sooner.
const PATIENCE: i64 = 3600;

/// It waits for another one, which costs it nothing.
pub(super) async fn wait(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let other = unanswered_before(connection, id, now).await?.into_iter().next();
    let reason = other.as_ref().map(|Other { message, destination, .. }| {
        format!(
            "it waits for message {message}, which has the same Message-ID and may be in Gmail: nobody could tell which of the two \
             Gmail keeps; it goes on when that one is delivered, gone from its mailbox for a day, or given up (`mailferry give-up {message} --destination \
             {destination}`)"
        )
    });
    let sql = "
        UPDATE deliveries SET
            state = CASE WHEN $3 IS NULL THEN 'due' ELSE 'deferred' END,
            since = $2, waits_for = $3, reason = coalesce($4, reason), retry_at = iif($3 IS NULL, NULL, $2 + $5)
        WHERE id = $1 AND state IN ('due', 'attempting', 'deferred')";
    sqlx::query(sql)
        .bind(id)
        .bind(unix(now))
        .bind(other.map(|other| other.delivery))
        .bind(reason)
        .bind(PATIENCE)
        .execute(connection)
        .await?;
    Ok(())
}

/// Those that wait for one that need not be waited for any more are due.
pub(super) async fn wake(connection: &mut SqliteConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = format!(
        "
        UPDATE deliveries SET state = 'due', since = $1, retry_at = NULL, waits_for = NULL
        WHERE waits_for IS NOT NULL AND state = 'deferred' AND NOT EXISTS (
            SELECT 1 FROM deliveries o
            WHERE o.id = deliveries.waits_for AND o.unanswered IS NOT NULL AND NOT {IS_OVER}
        )"
    );
    sqlx::query(AssertSqlSafe(sql)).bind(unix(now)).execute(connection).await?;
    Ok(())
}
