//! What Gmail may have without having said so. Of messages with one Message-ID it keeps one, and its API names that whenever
//! another comes: whose id that is can be told only while no more than one of them may be there unnamed. So the others wait
//! until it has been named.
//!
//! A message is unanswered from its attempt on until it is delivered or refused for what it is. Whatever else comes of an
//! attempt, an earlier one may have brought it there.

use std::collections::HashSet;

use sqlx::SqliteConnection;

use super::{Attempt, DeliveryId};

/// Those that must not go now, as another message with the same Message-ID is unanswered since before. What is attempted
/// together is sent in this order, each when the one before has its answer: there nothing is held up.
pub(super) async fn held_up(
    connection: &mut SqliteConnection,
    attempts: &[Attempt],
) -> sqlx::Result<HashSet<DeliveryId>> {
    let (mut going, mut held_up) = (HashSet::new(), HashSet::new());
    for attempt in attempts {
        let before = unanswered_before(connection, attempt).await?;
        let may_go = before.iter().all(|id| going.contains(id));
        if may_go { &mut going } else { &mut held_up }.insert(attempt.delivery);
    }
    Ok(held_up)
}

/// The deliveries of other messages with its Message-ID, to the same mailbox, that may be there sooner than it.
async fn unanswered_before(
    connection: &mut SqliteConnection,
    attempt: &Attempt,
) -> sqlx::Result<Vec<DeliveryId>> {
    let (Some(gist), Some(message_id)) = (&attempt.mark.gist, &attempt.mark.message_id) else {
        return Ok(Vec::new());
    };
    let sql = "
        SELECT o.id FROM deliveries d
        JOIN destinations t ON t.id = d.destination
        JOIN deliveries o ON o.mailbox = t.mailbox AND o.mark_message_id = $2
        WHERE d.id = $1 AND o.unanswered IS NOT NULL AND (o.gist <> $3 OR o.body IS NOT $4)
            AND (d.unanswered IS NULL OR o.unanswered < d.unanswered)";
    sqlx::query_scalar(sql)
        .bind(attempt.delivery)
        .bind(message_id)
        .bind(&gist.header[..])
        .bind(&gist.body[..])
        .fetch_all(connection)
        .await
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
