//! Notices on their way by mail: as with every message, the ledger says so before a byte goes out, and where the answer is
//! lost they are looked for before they are sent again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::alerts::doubt;
use super::columns::{digest, int, list, small, unsigned};
use super::{Error, Ledger, Outlives};
use crate::message::{DestinationName, Found, Mark, Verdict, unix};

/// A mail of notices of which nobody knows whether it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeAttempt {
    pub mark: Mark,
    /// As for [`LookUp`](super::LookUp).
    pub taken: Vec<(u32, u32)>,
}

/// What a look-up says of such a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedUp {
    /// It is there: so many notices have been told.
    Stored(usize),
    /// It is not there, or nobody will ever know: what waits may be sent, in that case after a while.
    Over,
    /// It is to be looked for again, after so long.
    Again(Duration),
}

/// After so many look-ups that told nothing nobody will ever know.
const MOST_BLIND: i64 = 4;

/// How long until a look-up that told nothing is made again.
const BLIND: Duration = Duration::from_secs(5 * 60);

impl Ledger {
    /// Notices are about to be sent to a destination, as one mail.
    pub async fn attempting_notices(
        &self,
        destination: &DestinationName,
        notices: &[i64],
        mark: Mark,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (destination, notices) = (destination.clone(), list(notices.iter().copied()));
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move { attempting(connection, &destination, &notices, &mark, now).await })
        })
        .await
    }

    /// The mail to that destination whose answer was lost.
    pub async fn notice_attempt(
        &self,
        destination: &DestinationName,
    ) -> Result<Option<NoticeAttempt>, Error> {
        let sql = "
            SELECT folder, uid_validity, uid_next, octets, hash, message_id
            FROM notice_attempts WHERE destination = $1";
        let row: Option<AttemptRow> = sqlx::query_as(sql)
            .bind(destination.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(self.sql_error())?;
        let Some(row) = row else { return Ok(None) };
        let mark = row.mark();
        let taken = self.taken_since(destination, &mark).await?;
        Ok(Some(NoticeAttempt { mark, taken }))
    }

    /// Whether a destination has taken a message since then.
    pub async fn has_delivered_since(
        &self,
        destination: &DestinationName,
        time: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM destinations WHERE name = $1 AND delivered_at > $2)";
        sqlx::query_scalar(sql)
            .bind(destination.as_str())
            .bind(unix(time))
            .fetch_one(&self.readers)
            .await
            .map_err(self.sql_error())
    }

    /// Takes in what became of the attempt. Notices that were delivered are told.
    pub async fn settle_notices(
        &self,
        destination: &DestinationName,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (destination, verdict) = (destination.clone(), verdict.clone());
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                match verdict {
                    Verdict::Delivered { .. } => stored(connection, &destination).await.map(drop),
                    Verdict::Unknown { .. } => answer_lost(connection, Some(&destination), now).await,
                    // A definite no of any kind: it is not there.
                    _ => end(connection, &destination).await,
                }
            })
        })
        .await
    }

    /// Takes in what a look-up found, on the terms of any other: what is not there is absent only at the second look, and
    /// long enough after the last byte.
    pub async fn settle_notice_look_up(
        &self,
        destination: &DestinationName,
        found: &Found,
        now: DateTime<Utc>,
    ) -> Result<LookedUp, Error> {
        let (destination, found) = (destination.clone(), found.clone());
        let absent_after = self.terms.absent_after;
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                match found {
                    // No other message has its Message-ID.
                    Found::Found { .. } | Found::Changed { .. } => {
                        Ok(LookedUp::Stored(stored(connection, &destination).await?))
                    }
                    Found::Absent => absent(connection, &destination, absent_after, now).await,
                    Found::CannotSay { .. } => cannot_say(connection, &destination, now).await,
                    Found::Unreachable { .. } => Ok(LookedUp::Again(BLIND)),
                }
            })
        })
        .await
    }
}

async fn attempting(
    connection: &mut SqliteConnection,
    destination: &DestinationName,
    notices: &str,
    mark: &Mark,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        INSERT OR REPLACE INTO notice_attempts
            (destination, notices, folder, uid_validity, uid_next, octets, hash, message_id, sent_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query(sql)
        .bind(destination.as_str())
        .bind(notices)
        .bind(&mark.folder)
        .bind(mark.uid_validity)
        .bind(mark.uid_next)
        .bind(int(mark.octets))
        .bind(&mark.hash[..])
        .bind(&mark.message_id)
        .bind(unix(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns how many notices the mail held.
async fn stored(connection: &mut SqliteConnection, destination: &DestinationName) -> sqlx::Result<usize> {
    let told = "
        DELETE FROM notices WHERE way = 'mail' AND id IN (
            SELECT j.value FROM notice_attempts a, json_each(a.notices) j WHERE a.destination = $1
        )";
    let told = sqlx::query(told).bind(destination.as_str()).execute(&mut *connection).await?;
    end(connection, destination).await?;
    Ok(usize::try_from(told.rows_affected()).unwrap_or(usize::MAX))
}

async fn end(connection: &mut SqliteConnection, destination: &DestinationName) -> sqlx::Result<()> {
    let sql = "DELETE FROM notice_attempts WHERE destination = $1";
    sqlx::query(sql).bind(destination.as_str()).execute(connection).await?;
    Ok(())
}

/// The last byte may have gone out just now. Without a destination: of all, as when a process begins that finds them.
pub(super) async fn answer_lost(
    connection: &mut SqliteConnection,
    destination: Option<&DestinationName>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        UPDATE notice_attempts SET sent_at = $2, absences = 0, blind = 0
        WHERE destination = coalesce($1, destination)";
    sqlx::query(sql)
        .bind(destination.map(DestinationName::as_str))
        .bind(unix(now))
        .execute(connection)
        .await?;
    Ok(())
}

async fn absent(
    connection: &mut SqliteConnection,
    destination: &DestinationName,
    absent_after: Duration,
    now: DateTime<Utc>,
) -> sqlx::Result<LookedUp> {
    let believe = "
        DELETE FROM notice_attempts WHERE destination = $1 AND absences > 0 AND sent_at + $2 <= $3";
    let wait = int(absent_after.as_secs());
    let believed = sqlx::query(believe).bind(destination.as_str()).bind(wait).bind(unix(now));
    if believed.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(LookedUp::Over);
    }
    let again = "
        UPDATE notice_attempts SET absences = absences + 1, blind = 0 WHERE destination = $1
        RETURNING max(sent_at + $2 - $3, 1)";
    let again: Option<i64> = sqlx::query_scalar(again)
        .bind(destination.as_str())
        .bind(wait)
        .bind(unix(now))
        .fetch_optional(connection)
        .await?;
    Ok(again.map_or(LookedUp::Over, |seconds| LookedUp::Again(Duration::from_secs(unsigned(seconds)))))
}

async fn cannot_say(
    connection: &mut SqliteConnection,
    destination: &DestinationName,
    now: DateTime<Utc>,
) -> sqlx::Result<LookedUp> {
    let sql = "UPDATE notice_attempts SET blind = blind + 1 WHERE destination = $1 RETURNING blind";
    let blind: Option<i64> =
        sqlx::query_scalar(sql).bind(destination.as_str()).fetch_optional(&mut *connection).await?;
    if blind.is_some_and(|blind| blind < MOST_BLIND) {
        return Ok(LookedUp::Again(BLIND));
    }
    let notices = "SELECT notices FROM notice_attempts WHERE destination = $1";
    let notices: Option<String> =
        sqlx::query_scalar(notices).bind(destination.as_str()).fetch_optional(&mut *connection).await?;
    if let Some(notices) = notices {
        doubt(connection, &notices, now).await?;
    }
    end(connection, destination).await?;
    Ok(LookedUp::Over)
}

#[derive(FromRow)]
struct AttemptRow {
    folder: String,
    uid_validity: i64,
    uid_next: i64,
    octets: i64,
    hash: Vec<u8>,
    message_id: Option<String>,
}

impl AttemptRow {
    fn mark(self) -> Mark {
        Mark {
            folder: self.folder,
            uid_validity: small(self.uid_validity),
            uid_next: small(self.uid_next),
            octets: unsigned(self.octets),
            hash: digest(&self.hash),
            message_id: self.message_id,
            gist: None,
        }
    }
}
