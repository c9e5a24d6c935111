//! An attempt and its verdict.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::columns::{digest, hex, int, leave_copy as age, list, moment, small};
use super::destinations::{Destination, asked_until, disable, recovered, rest, rest_if_it_takes_none};
use super::look_ups::SIDE_BY_SIDE;
use super::unanswered::{self, answered};
use super::{DeliveryId, Error, Ledger, MessageId, Outlives, Settled, Settlement, State, Terms};
use crate::message::{DestinationName, LeaveCopy, MERGED, Mark, Receipt, Verdict, unix};

/// A delivery that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub delivery: DeliveryId,
    pub mark: Mark,
    /// It may have been delivered in an unknown past, and the destination could not say.
    pub unverified: bool,
}

impl Ledger {
    /// Must have returned before the first byte of any of these goes out. Where an earlier attempt at the
    /// same folder is unresolved, its UIDs are kept. Returns those that must not go out now ([`Verdict::HeldUp`]).
    pub async fn attempting(
        &self,
        attempts: Vec<Attempt>,
        now: DateTime<Utc>,
    ) -> Result<HashSet<DeliveryId>, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { attempting(connection, &attempts, now).await })
        })
        .await
    }

    /// Takes in what `destination` said, in the order in which it said it. `leave_copy` is the account's, as
    /// it is now.
    pub async fn settle(
        &self,
        destination: &DestinationName,
        verdicts: Vec<(DeliveryId, Verdict)>,
        leave_copy: LeaveCopy,
        now: DateTime<Utc>,
    ) -> Result<Settlement, Error> {
        let (destination, terms) = (destination.clone(), self.terms);
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { settle(connection, &destination, &verdicts, leave_copy, terms, now).await })
        })
        .await
    }

    /// Its RETR was refused: what is due waits; after three sessions it is parked. Returns what became of its
    /// deliveries, as do all that follow.
    pub async fn not_retrieved(
        &self,
        id: MessageId,
        reason: String,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        let terms = self.terms;
        self.write(Outlives::Power, move |connection| {
            Box::pin(
                async move { not_retrieved(connection, id, &reason, REFUSED_SESSIONS, terms, now).await },
            )
        })
        .await
    }

    /// The connection ended at its RETR, which may be its fault or nobody's; or the server refused many with the same
    /// words, or this one alone and said that it will pass: what is due waits, so that the next session does not begin
    /// with it; it is parked when the schedule of retries is exhausted.
    pub async fn cut_short(
        &self,
        id: MessageId,
        reason: String,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        let terms = self.terms;
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { not_retrieved(connection, id, &reason, u32::MAX, terms, now).await })
        })
        .await
    }

    /// The server hands out nothing now, and has said so of these: what is due of them comes after what else is due,
    /// and nothing is counted.
    pub async fn withheld(
        &self,
        refused: Vec<(MessageId, String)>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                let mut settled = Vec::new();
                for (id, reason) in &refused {
                    settled.extend(put_behind(connection, *id, reason, now).await?);
                }
                Ok(settled)
            })
        })
        .await
    }

    /// The connection ended before any of these came, and nobody knows at which: from now on each goes by itself.
    pub async fn go_alone(&self, ids: &[MessageId]) -> Result<(), Error> {
        let ids = list(ids.iter().copied());
        let sql = "UPDATE messages SET alone = 1 WHERE id IN (SELECT value FROM json_each($1))";
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                sqlx::query(sql).bind(ids).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Parks what is due of a message that cannot be taken at all (larger than the config allows).
    pub async fn park(
        &self,
        id: MessageId,
        reason: String,
        now: DateTime<Utc>,
    ) -> Result<Vec<Settled>, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { put_off(connection, id, &reason, None, now).await })
        })
        .await
    }

    /// A message that is not to be carried: a notice of ours.
    pub async fn skip(&self, id: MessageId, now: DateTime<Utc>) -> Result<Vec<Settled>, Error> {
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { skip(connection, id, now).await })
        })
        .await
    }
}

async fn attempting(
    connection: &mut SqliteConnection,
    attempts: &[Attempt],
    now: DateTime<Utc>,
) -> sqlx::Result<HashSet<DeliveryId>> {
    let held_up = unanswered::held_up(connection, attempts, now).await?;
    let going = || attempts.iter().filter(|attempt| !held_up.contains(&attempt.delivery));
    let row = |Attempt { delivery, mark, unverified }: &Attempt| {
        let Mark { folder, uid_validity, uid_next, octets, hash, message_id, gist } = mark;
        let (unverified, has_gist) = (i64::from(*unverified), gist.map(|_| true));
        let octets = int(*octets);
        json!([
            delivery.0,
            folder,
            uid_validity,
            uid_next,
            octets,
            hex(hash),
            message_id,
            unverified,
            has_gist
        ])
    };
    let rows = going().map(row).collect::<Value>().to_string();
    let sql = "
        UPDATE deliveries SET
            state = 'attempting', since = $2,
            mark_validity = CASE
                WHEN marked AND folder = j.value ->> 1 THEN mark_validity ELSE j.value ->> 2 END,
            mark_uid_next = CASE
                WHEN marked AND folder = j.value ->> 1 THEN mark_uid_next ELSE j.value ->> 3 END,
            marked_at = CASE WHEN marked AND folder = j.value ->> 1 THEN marked_at ELSE $2 END,
            folder = j.value ->> 1, mark_octets = j.value ->> 4, mark_hash = unhex(j.value ->> 5),
            mark_message_id = j.value ->> 6, marked = 1, unverified = max(unverified, j.value ->> 7),
            lost = unanswered IS NOT NULL,
            unanswered = CASE
                WHEN j.value ->> 6 IS NOT NULL AND j.value ->> 8 IS NOT NULL
                THEN coalesce(unanswered, $3 + j.key) END,
            waits_for = NULL,
            sent_at = NULL, look_up_at = NULL, absences = 0, blind = 0, suspect = 0,
            look_validity = NULL, look_uid = NULL,
            probes = probes + (SELECT t.state <> 'ok' FROM destinations t WHERE t.id = deliveries.destination)
        FROM json_each($1) j
        WHERE deliveries.id = j.value ->> 0 AND deliveries.state IN ('due', 'deferred')";
    let number = unanswered::next(connection).await?;
    sqlx::query(sql).bind(&rows).bind(unix(now)).bind(number).execute(&mut *connection).await?;
    let next = |attempt: &Attempt| (attempt.delivery, attempt.mark.uid_validity, attempt.mark.uid_next);
    note_folders(connection, going().map(next).filter(|(_, validity, _)| *validity > 0)).await?;
    // A person may have given one up since it was chosen.
    let ended = "
        SELECT j.value FROM json_each($1) j JOIN deliveries d ON d.id = j.value WHERE d.state <> 'attempting'";
    let ids = list(going().map(|attempt| attempt.delivery));
    let ended: Vec<DeliveryId> = sqlx::query_scalar(ended).bind(ids).fetch_all(connection).await?;
    Ok(held_up.into_iter().chain(ended).collect())
}

/// Keeps what the folders of these deliveries were last known to have reached: UIDVALIDITY and UIDNEXT.
pub(super) async fn note_folders(
    connection: &mut SqliteConnection,
    reached: impl Iterator<Item = (DeliveryId, u32, u32)>,
) -> sqlx::Result<()> {
    let rows: Value = reached.map(|(id, validity, next)| json!([id.0, validity, next])).collect();
    let sql = "
        INSERT INTO folders (destination, folder, uid_validity, uid_next)
        SELECT d.destination, d.folder, j.value ->> 1, max(j.value ->> 2)
        FROM json_each($1) j JOIN deliveries d ON d.id = j.value ->> 0
        GROUP BY 1, 2, 3
        ON CONFLICT (destination, folder) DO UPDATE SET
            uid_next = CASE uid_validity
                WHEN excluded.uid_validity THEN max(uid_next, excluded.uid_next) ELSE excluded.uid_next END,
            uid_validity = excluded.uid_validity";
    sqlx::query(sql).bind(rows.to_string()).execute(connection).await?;
    Ok(())
}

async fn settle(
    connection: &mut SqliteConnection,
    destination: &DestinationName,
    verdicts: &[(DeliveryId, Verdict)],
    leave_copy: LeaveCopy,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<Settlement> {
    let name = std::slice::from_ref(destination);
    let found = Destination::named(connection, name).await?;
    let destination = found.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    let verdicts = without_merged(connection, verdicts, now).await?;
    let verdicts = &without_taken(connection, verdicts).await?;
    let both_delivered =
        |one: &(_, Verdict), next: &(_, Verdict)| is_delivered(&one.1) && is_delivered(&next.1);
    // Nearly all is delivered, and that in one statement.
    for run in verdicts.chunk_by(both_delivered) {
        let receipts: Vec<(DeliveryId, &Receipt)> = run.iter().filter_map(receipt).collect();
        if !receipts.is_empty() {
            delivered(connection, &receipts, Proof::Answer, leave_copy, now).await?;
            recovered(connection, destination.id, now).await?;
        }
        for (id, verdict) in run {
            settle_the_rest(connection, &destination, *id, verdict, terms, now).await?;
        }
    }
    unanswered::wake(connection, now).await?;
    sqlx::query("UPDATE destinations SET probe = NULL WHERE id = $1")
        .bind(destination.id)
        .execute(&mut *connection)
        .await?;
    let ids: Vec<DeliveryId> = verdicts.iter().map(|(id, _)| *id).collect();
    let after = Destination::named(connection, name).await?.into_iter().next();
    let is_closed = after.as_ref().is_some_and(|after| after.is_closed(now));
    let turned = after.filter(|after| after.state != destination.state).map(|after| after.state);
    Ok(Settlement { deliveries: settled(connection, &ids).await?, turned, is_closed })
}

/// Where Gmail's API names a message that it has named before, for another message, that other one is what it keeps:
/// this one is at its source alone, unless the two differ in their bodies only.
async fn without_merged(
    connection: &mut SqliteConnection,
    verdicts: &[(DeliveryId, Verdict)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(DeliveryId, Verdict)>> {
    let mut judged = verdicts.to_vec();
    for (delivery, verdict) in &mut judged {
        let Verdict::Delivered { receipt: Receipt::Gmail { id, gist, first } } = verdict else { continue };
        let kept = named_for(connection, *delivery, id).await?.unwrap_or((first.header, Some(first.body)));
        if kept.0 != gist.header {
            let reason = MERGED.to_owned();
            *verdict = Verdict::Rejected { reason, park_after: 1, counts_for_destination: false };
        } else if kept.1 != Some(gist.body) || unanswered::is_doubtful(connection, *delivery, now).await? {
            let receipt = Receipt::Gmail { id: id.clone(), gist: *gist, first: *first };
            *verdict = Verdict::Delivered { receipt: Receipt::Alike(Box::new(receipt)) };
        }
    }
    Ok(judged)
}

/// A copy that was found in a folder's past may have become the proof of an equal message's delivery since: then this one
/// is looked for anew. An answer names a UID that is nobody else's.
async fn without_taken(
    connection: &mut SqliteConnection,
    mut verdicts: Vec<(DeliveryId, Verdict)>,
) -> sqlx::Result<Vec<(DeliveryId, Verdict)>> {
    let named = verdicts.iter().filter_map(receipt).filter_map(|(id, receipt)| match receipt {
        Receipt::Uid { uid_validity, uid } => Some(json!([id.0, uid_validity, uid])),
        _ => None,
    });
    let named: Vec<Value> = named.collect();
    if named.is_empty() {
        return Ok(verdicts);
    }
    let sql = "
        SELECT d.id FROM json_each($1) j CROSS JOIN deliveries d CROSS JOIN deliveries o
        WHERE d.id = j.value ->> 0 AND d.state IN ('due', 'deferred', 'parked')
            AND o.destination = d.destination AND o.uid_validity = j.value ->> 1 AND o.uid = j.value ->> 2
            AND o.folder = d.folder AND o.id <> d.id";
    let taken: Vec<DeliveryId> =
        sqlx::query_scalar(sql).bind(Value::from(named).to_string()).fetch_all(connection).await?;
    for (_, verdict) in verdicts.iter_mut().filter(|(id, _)| taken.contains(id)) {
        let reason = "the copy in the folder is that of an equal message".to_owned();
        *verdict = Verdict::Deferred { reason, retry_after: None, counts_for_destination: false };
    }
    Ok(verdicts)
}

/// The gist, header and body, of the message for which the mailbox of this delivery has first named that id. The body
/// is nobody's where all that is known is a message that differs from what is kept.
async fn named_for(
    connection: &mut SqliteConnection,
    delivery: DeliveryId,
    id: &str,
) -> sqlx::Result<Option<([u8; 32], Option<[u8; 32]>)>> {
    let sql = "
        SELECT gist, CASE WHEN NOT differs THEN body END FROM deliveries
        WHERE mailbox = (SELECT d.mailbox FROM deliveries d WHERE d.id = $1) AND kept_as = $2 AND gist IS NOT NULL
        ORDER BY differs, since, id LIMIT 1";
    let gist: Option<(Vec<u8>, Option<Vec<u8>>)> =
        sqlx::query_as(sql).bind(delivery).bind(id).fetch_optional(connection).await?;
    Ok(gist.map(|(header, body)| (digest(&header), body.as_deref().map(digest))))
}

fn is_delivered(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Delivered { .. } | Verdict::Last { .. })
}

fn receipt((id, verdict): &(DeliveryId, Verdict)) -> Option<(DeliveryId, &Receipt)> {
    match verdict {
        Verdict::Delivered { receipt } | Verdict::Last { receipt, .. } => Some((*id, receipt)),
        _ => None,
    }
}

/// What has shown that a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Where it names a UID, that copy is nobody else's.
    Answer,
    /// The copy that was found may be an equal message's.
    LookUp,
}

/// Whatever state they were in: what a destination confirms has happened. Where the copy may be another's, what was sent is
/// kept for a while ([`forget_marks`]).
pub(super) async fn delivered(
    connection: &mut SqliteConnection,
    receipts: &[(DeliveryId, &Receipt)],
    proof: Proof,
    leave_copy: LeaveCopy,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let row = |(id, receipt): &(DeliveryId, &Receipt)| {
        let text = receipt.to_string();
        let (kept, differs) = match receipt {
            Receipt::Alike(kept) => (&**kept, 1),
            kept => (*kept, 0),
        };
        match kept {
            Receipt::Uid { uid_validity, uid } => {
                json!([id.0, text, uid_validity, uid, null, null, null, differs])
            }
            Receipt::Gmail { id: kept_as, gist, .. } => {
                json!([id.0, text, null, null, kept_as, hex(&gist.header), hex(&gist.body), differs])
            }
            Receipt::Stored | Receipt::Http(_) | Receipt::Alike(_) => {
                json!([id.0, text, null, null, null, null, null, differs])
            }
        }
    };
    let rows = receipts.iter().map(row).collect::<Value>().to_string();
    let sql = "
        UPDATE deliveries SET
            state = 'delivered', since = $2, leave_copy = $3, receipt = j.value ->> 1,
            uid_validity = j.value ->> 2, uid = j.value ->> 3,
            kept_as = j.value ->> 4, gist = unhex(j.value ->> 5), body = unhex(j.value ->> 6),
            differs = j.value ->> 7, reason = '', retry_at = NULL, asked_until = NULL,
            marked = 0,
            mark_hash = CASE
                WHEN folder <> '' AND ($4 OR unverified OR j.value ->> 2 IS NULL) THEN mark_hash END,
            mark_message_id = CASE
                WHEN folder <> '' AND ($4 OR unverified OR j.value ->> 2 IS NULL) THEN mark_message_id END,
            sent_at = NULL, look_up_at = NULL,
            look_validity = NULL, look_uid = NULL, unanswered = NULL
        FROM json_each($1) j WHERE deliveries.id = j.value ->> 0";
    let settled =
        sqlx::query(sql).bind(&rows).bind(unix(now)).bind(age(leave_copy)).bind(proof == Proof::LookUp);
    settled.execute(&mut *connection).await?;
    let next = |(id, receipt): &(DeliveryId, &Receipt)| match receipt {
        Receipt::Uid { uid_validity, uid } => Some((*id, *uid_validity, uid.saturating_add(1))),
        Receipt::Stored | Receipt::Http(_) | Receipt::Gmail { .. } | Receipt::Alike(_) => None,
    };
    note_folders(connection, receipts.iter().filter_map(next)).await
}

/// What was sent to a folder is forgotten an hour after its delivery, where no unknown attempt at that destination began so
/// soon that it may have been under way at that time.
pub(super) async fn forget_marks(connection: &mut SqliteConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let sql = "
        WITH unknown AS MATERIALIZED (
            SELECT o.destination, min(coalesce(o.marked_at, 0)) - $2 AS since
            FROM accounts a CROSS JOIN deliveries o
            WHERE a.configured = 1 AND o.account = a.id AND o.state IN ('attempting', 'due', 'deferred')
                AND o.mark_hash IS NOT NULL AND o.folder <> '' AND o.marked = 1
            GROUP BY 1
        )
        UPDATE deliveries SET mark_hash = NULL, mark_message_id = NULL
        WHERE mark_hash IS NOT NULL AND folder <> '' AND state <> 'attempting' AND state = 'delivered' AND since < $1
            AND since < coalesce((SELECT u.since FROM unknown u WHERE u.destination = deliveries.destination), $1)";
    sqlx::query(sql).bind(unix(now) - 3600).bind(SIDE_BY_SIDE).execute(connection).await?;
    Ok(())
}

/// Whatever a verdict leads to beside a delivery.
async fn settle_the_rest(
    connection: &mut SqliteConnection,
    destination: &Destination,
    id: DeliveryId,
    verdict: &Verdict,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if is_nowhere(verdict) {
        unanswered::not_there(connection, id).await?;
    }
    match verdict {
        Verdict::Delivered { .. } => Ok(()),
        Verdict::HeldUp => unanswered::wait(connection, id, now).await,
        Verdict::Rejected { reason, park_after, counts_for_destination } => {
            resolve(connection, id).await?;
            if !counts_for_destination {
                answered(connection, id).await?;
            }
            refuse(connection, id, reason, *park_after, *counts_for_destination, terms, now).await?;
            match counts_for_destination {
                true => rest_if_it_takes_none(connection, destination, "paused", reason, None, now).await,
                false => Ok(()),
            }
        }
        // It was to show whether the destination is well again, and it is not: that is no fault of this message.
        Verdict::Deferred { reason, retry_after, counts_for_destination: true } if destination.is_tried() => {
            due_again(connection, id, reason, now).await?;
            rest(connection, destination.id, &destination.state, reason, *retry_after, now).await
        }
        Verdict::Deferred { reason, retry_after, counts_for_destination } => {
            resolve(connection, id).await?;
            defer(connection, id, reason, *retry_after, terms, now).await?;
            if !counts_for_destination {
                return Ok(());
            }
            in_the_row(connection, id).await?;
            rest_if_it_takes_none(connection, destination, "failing", reason, *retry_after, now).await
        }
        Verdict::Unreachable { reason, retry_after } => {
            due_again(connection, id, reason, now).await?;
            rest(connection, destination.id, "failing", reason, *retry_after, now).await
        }
        Verdict::Paused { reason, retry_after } => {
            due_again(connection, id, reason, now).await?;
            rest(connection, destination.id, "paused", reason, *retry_after, now).await
        }
        Verdict::Disabled { reason } => {
            due_again(connection, id, reason, now).await?;
            disable(connection, destination.id, reason).await
        }
        Verdict::Last { reason, .. } => disable(connection, destination.id, reason).await,
        // Only IMAP can be asked.
        Verdict::Unknown { reason } if destination.kind != "imap" => {
            defer(connection, id, reason, None, terms, now).await
        }
        Verdict::Unknown { reason } => answer_lost(connection, id, reason, now).await,
    }
}

/// Whether nothing of this attempt is at the destination. A server may break after it has stored a message, or lose the way
/// back.
fn is_nowhere(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Delivered { .. }
        | Verdict::Last { .. }
        | Verdict::Unknown { .. }
        | Verdict::Deferred { counts_for_destination: true, .. } => false,
        Verdict::Rejected { .. }
        | Verdict::Deferred { .. }
        | Verdict::HeldUp
        | Verdict::Unreachable { .. }
        | Verdict::Paused { .. }
        | Verdict::Disabled { .. } => true,
    }
}

/// It is one of those that the destination has not taken since it last took any.
async fn in_the_row(connection: &mut SqliteConnection, id: DeliveryId) -> sqlx::Result<()> {
    sqlx::query("UPDATE deliveries SET streak = 1 WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

/// A definite no of any kind resolves the mark: the message is not there.
async fn resolve(connection: &mut SqliteConnection, id: DeliveryId) -> sqlx::Result<()> {
    sqlx::query("UPDATE deliveries SET marked = 0 WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

async fn due_again(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    resolve(connection, id).await?;
    let sql = "
        UPDATE deliveries SET state = 'due', since = $2, reason = $3, retry_at = NULL, waits_for = NULL
        WHERE id = $1 AND state IN ('due', 'attempting', 'deferred')";
    sqlx::query(sql).bind(id).bind(unix(now)).bind(reason).execute(connection).await?;
    Ok(())
}

async fn refuse(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    park_after: u8,
    counts_for_destination: bool,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE deliveries SET refusals = refusals + 1, streak = max(streak, $2) WHERE id = $1
        RETURNING refusals";
    let refusals: Option<i64> = sqlx::query_scalar(sql)
        .bind(id)
        .bind(counts_for_destination)
        .fetch_optional(&mut *connection)
        .await?;
    let exhausted = refusals >= Some(i64::from(park_after));
    let terms = if exhausted { Terms { retry_after: |_| None, ..terms } } else { terms };
    defer(connection, id, reason, None, terms, now).await
}

/// An attempt that counts: the next one follows the schedule, or what the destination asked for if that is
/// later. When the schedule is exhausted the delivery is parked.
pub(super) async fn defer(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    retry_after: Option<Duration>,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let attempts = "UPDATE deliveries SET attempts = attempts + 1 WHERE id = $1 RETURNING attempts";
    let attempts: Option<i64> =
        sqlx::query_scalar(attempts).bind(id).fetch_optional(&mut *connection).await?;
    let wait = (terms.retry_after)(small(attempts.unwrap_or(1)));
    wait_or_park(connection, id, reason, wait, retry_after, now).await
}

/// Why a message waits that was alone in its batch when the process ended.
pub(super) const ENDED_BY_IT: &str = "mailferry ended while handling this message";

/// An attempt whose outcome nobody knew is over, and nothing came of it. One message may be what its server, or
/// mailferry, breaks at, so from now on it goes by itself. Where it did so already the attempt counts, for the reason
/// that it bears.
pub(super) async fn in_vain(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let alone = "
        UPDATE messages SET alone = 1 WHERE id = (SELECT message FROM deliveries WHERE id = $1)";
    sqlx::query(alone).bind(id).execute(&mut *connection).await?;
    let suspect = "UPDATE deliveries SET suspect = 0 WHERE id = $1 AND suspect = 1 RETURNING reason";
    let reason: Option<String> =
        sqlx::query_scalar(suspect).bind(id).fetch_optional(&mut *connection).await?;
    match reason {
        Some(reason) => defer(connection, id, &reason, None, terms, now).await,
        None => Ok(()),
    }
}

pub(super) async fn wait_or_park(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    wait: Option<Duration>,
    retry_after: Option<Duration>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let asked = asked_until(retry_after, now);
    let retry_at = wait.map(|wait| (unix(now) + int(wait.as_secs())).max(asked.unwrap_or(0)));
    let sql = "
        UPDATE deliveries SET
            state = CASE WHEN $3 IS NULL THEN 'parked' ELSE 'deferred' END,
            since = $2, retry_at = $3, asked_until = $4, reason = $5, waits_for = NULL, told = 0
        WHERE id = $1 AND state IN ('due', 'attempting', 'deferred')";
    sqlx::query(sql)
        .bind(id)
        .bind(unix(now))
        .bind(retry_at)
        .bind(asked)
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(())
}

/// The server may still be storing it: it is looked for in a second, and again later if it is not there then.
async fn answer_lost(
    connection: &mut SqliteConnection,
    id: DeliveryId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE deliveries SET
            since = $2, sent_at = $2, look_up_at = $2 + 1, absences = 0, blind = 0, reason = $3,
            suspect = (SELECT m.alone FROM messages m WHERE m.id = deliveries.message)
        WHERE id = $1 AND state = 'attempting'";
    sqlx::query(sql).bind(id).bind(unix(now)).bind(reason).execute(connection).await?;
    Ok(())
}

/// Sessions in which RETR was refused until a message is parked.
pub(super) const REFUSED_SESSIONS: u32 = 3;

async fn not_retrieved(
    connection: &mut SqliteConnection,
    id: MessageId,
    reason: &str,
    park_after: u32,
    terms: Terms,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let refused = "UPDATE messages SET refused = refused + 1 WHERE id = $1 RETURNING refused";
    let refused: Option<i64> = sqlx::query_scalar(refused).bind(id).fetch_optional(&mut *connection).await?;
    let refused = small(refused.unwrap_or(1));
    let wait = if refused < park_after { (terms.retry_after)(refused) } else { None };
    put_off(connection, id, reason, wait, now).await
}

/// What is to be sent now of a message waits, or all of it is parked. What waits for its time goes on doing so.
async fn put_off(
    connection: &mut SqliteConnection,
    id: MessageId,
    reason: &str,
    wait: Option<Duration>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let until = wait.map(|_| now);
    let waiting = waiting(connection, id, until).await?;
    for delivery in &waiting {
        wait_or_park(connection, *delivery, reason, wait, None, now).await?;
    }
    settled(connection, &waiting).await
}

/// What is to be sent now of a message comes after all else; what waits for its time goes on doing so.
async fn put_behind(
    connection: &mut SqliteConnection,
    id: MessageId,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let sql = "
        UPDATE deliveries SET state = 'deferred', since = $2, retry_at = $2, reason = $3
        WHERE message = $1 AND (state = 'due' OR state = 'deferred' AND retry_at <= $2) RETURNING id";
    let ids: Vec<DeliveryId> =
        sqlx::query_scalar(sql).bind(id).bind(unix(now)).bind(reason).fetch_all(&mut *connection).await?;
    settled(connection, &ids).await
}

async fn skip(
    connection: &mut SqliteConnection,
    id: MessageId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Settled>> {
    let waiting = waiting(connection, id, None).await?;
    let sql = "
        UPDATE deliveries SET state = 'skipped', since = $2, retry_at = NULL
        WHERE id IN (SELECT value FROM json_each($1))";
    let ids = list(waiting.iter().copied());
    sqlx::query(sql).bind(ids).bind(unix(now)).execute(&mut *connection).await?;
    settled(connection, &waiting).await
}

/// What waits of a message, for no longer than `until`.
async fn waiting(
    connection: &mut SqliteConnection,
    id: MessageId,
    until: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<DeliveryId>> {
    let sql = "
        SELECT id FROM deliveries
        WHERE message = $1 AND (state = 'due' OR state = 'deferred' AND ($2 IS NULL OR retry_at <= $2))";
    sqlx::query_scalar(sql).bind(id).bind(until.map(unix)).fetch_all(connection).await
}

#[derive(FromRow)]
struct SettledRow {
    id: DeliveryId,
    message: MessageId,
    state: String,
    text: String,
    retry_at: Option<i64>,
}

/// What these deliveries are now, in the order of `ids`.
pub(super) async fn settled(
    connection: &mut SqliteConnection,
    ids: &[DeliveryId],
) -> sqlx::Result<Vec<Settled>> {
    let sql = "
        SELECT d.id, d.message, d.state, d.retry_at,
            CASE d.state WHEN 'delivered' THEN d.receipt ELSE d.reason END AS text
        FROM json_each($1) j JOIN deliveries d ON d.id = j.value ORDER BY j.key";
    let rows: Vec<SettledRow> =
        sqlx::query_as(sql).bind(list(ids.iter().copied())).fetch_all(connection).await?;
    let settled = rows.into_iter().map(|row| Settled {
        delivery: row.id,
        message: row.message,
        state: State::parse(&row.state),
        text: row.text,
        retry_at: row.retry_at.map(moment),
    });
    Ok(settled.collect())
}
