//! Daily budgets: how much a destination may be sent in any 24 hours, and when it may be sent more. Whose quota that
//! is, is the user at the server: what other destinations with a budget have sent there counts, too.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::SqliteConnection;

use super::columns::{DAY, int, moment, unsigned};
use super::{Error, Ledger, Outlives};
use crate::message::{DestinationName, unix};

/// In seconds: what is spent is kept by the hour.
const HOUR: i64 = 3600;

impl Ledger {
    /// Takes `octets` out of a destination's daily budget. Where they are not left, `Err` says so in a sentence, and the
    /// destination is paused until they are, which nobody need be told of. Without anything spent, any message fits.
    pub async fn spend(
        &self,
        destination: &DestinationName,
        octets: u64,
        now: DateTime<Utc>,
    ) -> Result<Result<(), String>, Error> {
        let name = destination.clone();
        self.write(Outlives::Power, move |connection| {
            Box::pin(async move {
                // By the config as it is now: the poll that asks may have begun under another one.
                let sql = "SELECT id, daily_budget FROM destinations WHERE name = $1";
                let (id, budget): (i64, Option<i64>) =
                    sqlx::query_as(sql).bind(name.as_str()).fetch_one(&mut *connection).await?;
                match budget {
                    Some(budget) => spend(connection, id, octets, unsigned(budget), now).await,
                    None => Ok(Ok(())),
                }
            })
        })
        .await
    }

    /// Puts back into a destination's budget what was taken out for messages that were then not sent.
    pub async fn give_back(&self, destination: &DestinationName, octets: u64) -> Result<(), Error> {
        let name = destination.clone();
        self.write(Outlives::Process, move |connection| {
            Box::pin(async move {
                let sql = "
                    UPDATE spent SET octets = max(octets - $2, 0)
                    FROM (
                        SELECT t.id, max(s.hour) AS hour FROM destinations t JOIN spent s ON s.destination = t.id
                        WHERE t.name = $1 GROUP BY t.id
                    ) last
                    WHERE spent.destination = last.id AND spent.hour = last.hour";
                sqlx::query(sql).bind(name.as_str()).bind(int(octets)).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn spend(
    connection: &mut SqliteConnection,
    destination: i64,
    octets: u64,
    budget: u64,
    now: DateTime<Utc>,
) -> sqlx::Result<Result<(), String>> {
    // An hour counts until its last second is a day old. One that is yet to come is of a clock that was wrong.
    let forget = "DELETE FROM spent WHERE (hour + 1) * $1 + $2 <= $3 OR hour * $1 > $3 + $1";
    let forget = sqlx::query(forget).bind(HOUR).bind(DAY).bind(unix(now));
    forget.execute(&mut *connection).await?;
    let hours = "
        SELECT s.hour, sum(s.octets) FROM spent s JOIN destinations t ON t.id = s.destination
        WHERE t.fingerprint = (SELECT fingerprint FROM destinations WHERE id = $1)
        GROUP BY s.hour ORDER BY s.hour";
    let hours: Vec<(i64, i64)> = sqlx::query_as(hours).bind(destination).fetch_all(&mut *connection).await?;
    match room_at(&hours, octets, budget) {
        Some(hour) => {
            let until = moment((hour + 1) * HOUR + DAY);
            Ok(Err(pause(connection, destination, budget, until).await?))
        }
        None => {
            let take = "
                INSERT INTO spent (destination, hour, octets) VALUES ($1, $2, $3)
                ON CONFLICT (destination, hour) DO UPDATE SET octets = octets + excluded.octets";
            let take = sqlx::query(take).bind(destination).bind(unix(now) / HOUR).bind(int(octets));
            take.execute(connection).await?;
            Ok(Ok(()))
        }
    }
}

/// The hour that must have gone by before so many octets fit into the budget beside what was spent in `hours`, the oldest
/// first; `None` where they fit now.
fn room_at(hours: &[(i64, i64)], octets: u64, budget: u64) -> Option<i64> {
    let mut spent: u64 = hours.iter().map(|(_, octets)| unsigned(*octets)).sum();
    let mut waited_for = None;
    for (hour, freed) in hours {
        if spent.saturating_add(octets) <= budget {
            break;
        }
        spent -= unsigned(*freed);
        waited_for = Some(*hour);
    }
    waited_for
}

async fn pause(
    connection: &mut SqliteConnection,
    destination: i64,
    budget: u64,
    until: DateTime<Utc>,
) -> sqlx::Result<String> {
    let megabytes = budget.div_ceil(1_000_000);
    let until_text = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    let reason =
        format!("its daily budget of {megabytes} MB is used up; it goes on by itself at {until_text}");
    let sql = "
        UPDATE destinations
        SET state = 'paused', error = $2, rests = 0, rest_until = $3, asked_until = $3, budget_until = $3
        WHERE id = $1 AND state <> 'disabled'";
    sqlx::query(sql).bind(destination).bind(&reason).bind(unix(until)).execute(connection).await?;
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_as_many_hours_as_it_takes() {
        let hours = [(10, 100), (11, 50), (20, 200)];
        assert_eq!(room_at(&hours, 50, 400), None);
        assert_eq!(room_at(&hours, 51, 400), Some(10));
        assert_eq!(room_at(&hours, 151, 400), Some(11));
        assert_eq!(room_at(&hours, 400, 400), Some(20));
        assert_eq!(room_at(&hours, 999, 400), Some(20), "then nothing is spent, and anything fits");
        assert_eq!(room_at(&[], 999, 400), None);
    }
}
