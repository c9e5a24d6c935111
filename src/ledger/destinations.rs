//! Which destination takes mail now: a failing one rests, and is then tried with one message at a time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, SqliteConnection};

use super::columns::{int, list, names, small};
use super::{Ask, DeliveryId};
use crate::message::{DestinationName, unix};

#[derive(Clone, Debug, FromRow)]
pub(super) struct Destination {
    pub(super) id: i64,
    pub(super) kind: String,
    /// ok, failing, paused or disabled.
    pub(super) state: String,
    rests: i64,
    rest_until: Option<i64>,
    asked_until: Option<i64>,
    /// It is paused for nothing but its budget.
    budget_until: Option<i64>,
    probe: Option<DeliveryId>,
}

/// What a destination may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    All,
    /// One message, to see whether it has recovered: this one, or one that is yet to be chosen.
    Probe(Option<DeliveryId>),
    Nothing,
}

impl Destination {
    pub(super) async fn named(
        connection: &mut SqliteConnection,
        names_wanted: &[DestinationName],
    ) -> sqlx::Result<Vec<Destination>> {
        let sql = "
            SELECT id, kind, state, rests, rest_until, asked_until, budget_until, probe
            FROM destinations WHERE name IN (SELECT value FROM json_each($1)) ORDER BY id";
        sqlx::query_as(sql).bind(names(names_wanted)).fetch_all(connection).await
    }

    /// Nothing more is to be sent there for now.
    pub(super) fn is_closed(&self, now: DateTime<Utc>) -> bool {
        self.takes(false, unix(now)) == Takes::Nothing
    }

    /// It is failing or paused, and what it is sent is to show whether it still is.
    pub(super) fn is_tried(&self) -> bool {
        !matches!(self.state.as_str(), "ok" | "disabled") && self.budget_until.is_none()
    }

    /// `regardless` overrules our own back-off, not what the destination asked for.
    fn takes(&self, regardless: bool, now: i64) -> Takes {
        let asked = self.asked_until.is_some_and(|until| until > now);
        let rests = self.rest_until.is_some_and(|until| until > now);
        match self.state.as_str() {
            "disabled" => Takes::Nothing,
            _ if asked || (rests && !regardless) => Takes::Nothing,
            "ok" => Takes::All,
            _ if self.budget_until.is_some() => Takes::All,
            _ => Takes::Probe(self.probe),
        }
    }
}

/// The destinations of an [`Ask`] as SQL takes them: JSON lists of ids.
#[derive(Debug)]
pub(super) struct Open {
    /// Destinations that take all.
    pub(super) destinations: String,
    /// Deliveries chosen to try the others.
    pub(super) probes: Vec<DeliveryId>,
    /// Destinations for which none is chosen yet.
    pub(super) to_probe: Vec<i64>,
}

impl Open {
    pub(super) async fn to(
        connection: &mut SqliteConnection,
        ask: &Ask,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Open> {
        let mut all: Vec<Value> = Vec::new();
        let (mut probes, mut to_probe) = (Vec::new(), Vec::new());
        for destination in Destination::named(connection, &ask.routes).await? {
            match destination.takes(ask.regardless, unix(now)) {
                Takes::All => all.push(destination.id.into()),
                Takes::Probe(Some(delivery)) => probes.push(delivery),
                Takes::Probe(None) => to_probe.push(destination.id),
                Takes::Nothing => {}
            }
        }
        Ok(Open { destinations: list(all), probes, to_probe })
    }
}

/// Longest Retry-After that is believed.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// When a wait that a destination asked for ends.
pub(super) fn asked_until(retry_after: Option<Duration>, now: DateTime<Utc>) -> Option<i64> {
    retry_after.map(|wait| unix(now) + int(wait.min(LONGEST_ASKED).as_secs()))
}

/// It has taken a message. One success ends failing and pausing, and what led there; a disabled one waits for a person,
/// and one whose budget the next batch has found used up for its time.
pub(super) async fn recovered(
    connection: &mut SqliteConnection,
    destination: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let taken = "UPDATE destinations SET delivered_at = $2 WHERE id = $1";
    sqlx::query(taken).bind(destination).bind(unix(now)).execute(&mut *connection).await?;
    let state = "
        UPDATE destinations
        SET state = 'ok', error = '', rests = 0, rest_until = NULL, asked_until = NULL, budget_until = NULL
        WHERE id = $1 AND state IN ('failing', 'paused') AND coalesce(budget_until, 0) <= $2";
    sqlx::query(state).bind(destination).bind(unix(now)).execute(&mut *connection).await?;
    forget_failures(connection, destination).await
}

/// A person, or a changed config, says that it is worth another try. That shows nothing: see `delivered_at`.
pub(super) async fn enable(connection: &mut SqliteConnection, destination: i64) -> sqlx::Result<()> {
    let state = "
        UPDATE destinations
        SET state = 'ok', error = '', rests = 0, rest_until = NULL, asked_until = NULL, budget_until = NULL,
            probe = NULL
        WHERE id = $1";
    sqlx::query(state).bind(destination).execute(&mut *connection).await?;
    forget_failures(connection, destination).await
}

async fn forget_failures(connection: &mut SqliteConnection, destination: i64) -> sqlx::Result<()> {
    let streak = "UPDATE deliveries SET streak = 0 WHERE destination = $1 AND streak = 1";
    let probes = "UPDATE deliveries SET probes = 0 WHERE destination = $1 AND probes > 0";
    for sql in [streak, probes] {
        sqlx::query(sql).bind(destination).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Lets a destination rest: 5 s after its first failure, four times that after each further one, at most 15
/// min; longer if it asks for it. Several failures at once, of one outage, count once.
pub(super) async fn rest(
    connection: &mut SqliteConnection,
    destination: i64,
    state: &str,
    reason: &str,
    retry_after: Option<Duration>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let sql = "
        SELECT id, kind, state, rests, rest_until, asked_until, budget_until, probe
        FROM destinations WHERE id = $1";
    let row: Destination = sqlx::query_as(sql).bind(destination).fetch_one(&mut *connection).await?;
    let now_s = unix(now);
    if row.budget_until.is_some_and(|until| until > now_s) {
        return Ok(());
    }
    let (rests, wait_until) = match row.rest_until {
        Some(until) if until > now_s => (row.rests, until),
        _ => (row.rests + 1, now_s + int(back_off(small(row.rests)).as_secs())),
    };
    let asked = asked_until(retry_after, now).max(row.asked_until.filter(|&until| until > now_s));
    let sql = "
        UPDATE destinations
        SET state = $2, error = $3, rests = $4, rest_until = $5, asked_until = $6, budget_until = NULL
        WHERE id = $1 AND state <> 'disabled'";
    sqlx::query(sql)
        .bind(destination)
        .bind(state)
        .bind(reason)
        .bind(rests)
        .bind(asked.map_or(wait_until, |asked| asked.max(wait_until)))
        .bind(asked)
        .execute(connection)
        .await?;
    Ok(())
}

fn back_off(rests_before: u32) -> Duration {
    Duration::from_secs(5 * 4_u64.pow(rests_before.min(4))).min(Duration::from_secs(15 * 60))
}

pub(super) async fn disable(
    connection: &mut SqliteConnection,
    destination: i64,
    reason: &str,
) -> sqlx::Result<()> {
    let sql = "UPDATE destinations SET state = 'disabled', error = $2, budget_until = NULL WHERE id = $1";
    sqlx::query(sql).bind(destination).bind(reason).execute(connection).await?;
    Ok(())
}

/// Different messages in a row that were not taken: a fault of the destination, not of the messages.
const STREAK: i64 = 3;

/// Where the destination takes nothing: lets it rest, and takes back what that cost the messages. One that was parked
/// because it waited for too long stays so.
pub(super) async fn rest_if_it_takes_none(
    connection: &mut SqliteConnection,
    destination: &Destination,
    state: &str,
    reason: &str,
    retry_after: Option<Duration>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Destination { id, kind, .. } = destination;
    let sql = "SELECT count(*) FROM deliveries WHERE destination = $1 AND streak = 1";
    let streak: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(&mut *connection).await?;
    if streak < STREAK {
        return Ok(());
    }
    let told = match state {
        "paused" => refuses_all(kind, reason),
        _ => takes_none(reason),
    };
    rest(connection, *id, state, &told, retry_after, now).await?;
    // They stay in the streak: while it lasts, nothing counts.
    let uncount = "
        UPDATE deliveries
        SET state = 'due', since = $2, refusals = 0, retry_at = NULL,
            attempts = CASE
                WHEN refusals > 0 THEN attempts - refusals
                WHEN state = 'deferred' THEN max(attempts - 1, 0)
                ELSE attempts END
        WHERE destination = $1 AND streak = 1
            AND (state IN ('due', 'deferred') OR state = 'parked' AND refusals > 0)";
    sqlx::query(uncount).bind(id).bind(unix(now)).execute(connection).await?;
    Ok(())
}

/// `reason` is that of the last one, which speaks of one message.
fn takes_none(reason: &str) -> String {
    let cause = reason.rsplit_once("; ").map_or(reason, |(cause, _)| cause);
    format!(
        "{STREAK} messages in a row came to nothing ({cause}); all wait, and one at a time will be tried again"
    )
}

/// `reason` is that of the last refusal, which speaks of one message.
fn refuses_all(kind: &str, reason: &str) -> String {
    let (cause, check) = match kind {
        // What follows the last semicolon says what to do about one message.
        "webhook" => (
            reason.rsplit_once("; ").map_or(reason, |(cause, _)| cause),
            "that the endpoint takes what `format` sends",
        ),
        "gmail" => {
            (reason.rsplit_once("; ").map_or(reason, |(cause, _)| cause), "what Gmail has against them")
        }
        _ => (reason, "what the server has against them"),
    };
    format!("{STREAK} messages in a row were refused ({cause}); check {check}, then `mailferry retry`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_longer_each_time_up_to_a_quarter_of_an_hour() {
        let seconds: Vec<u64> = (0..7).map(|rests| back_off(rests).as_secs()).collect();
        assert_eq!(seconds, [5, 20, 80, 320, 900, 900, 900]);
    }

    #[test]
    fn says_that_it_is_not_about_one_message() {
        let told = refuses_all("webhook", "HTTP 415 from app: \"a; b\"; the endpoint refuses this message");
        let expected = "3 messages in a row were refused (HTTP 415 from app: \"a; b\"); \
                        check that the endpoint takes what `format` sends, then `mailferry retry`";
        assert_eq!(told, expected);
        assert!(refuses_all("imap", "NO a; b").contains("refused (NO a; b); check what the server"));
        assert_eq!(
            takes_none("HTTP 503 from app; it will be tried again"),
            "3 messages in a row came to nothing (HTTP 503 from app); all wait, and one at a time will be tried again"
        );
    }

    #[test]
    fn believes_no_endless_wait() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(asked_until(Some(Duration::MAX), now), Some(24 * 3600));
        assert_eq!(asked_until(None, now), None);
    }
}
