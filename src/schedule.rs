//! When: the next poll, the next retry, the wait after trouble. Pure: the time is an argument, and so is chance.
//!
//! Every `jitter` is a random number from 0 up to, but not including, 1.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// When an account is polled: the config's `every`, or `cron` and `time_zone`.
#[derive(Clone, Debug)]
pub enum Schedule {
    Every(Duration),
    /// Often while mail arrives, seldom while none does: 2 to 60 minutes.
    Auto,
    /// crontab(5), by the clock on the wall in `zone`.
    Cron {
        cron: Box<Cron>,
        zone: Tz,
    },
}

/// The shortest and the longest `every`.
pub const SHORTEST_EVERY: Duration = Duration::from_secs(5);
pub const LONGEST_EVERY: Duration = Duration::from_secs(28 * 24 * 3600);

/// What [`Schedule::Auto`] goes by, as the ledger knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// When a poll last found new mail.
    pub last_mail: Option<DateTime<Utc>>,
    /// When the account was first polled.
    pub first_poll: Option<DateTime<Utc>>,
}

impl Schedule {
    /// Reads a crontab line without its command.
    ///
    /// # Errors
    /// Where `text` is no such line, or names a day that no year has. The text can follow a quotation of it.
    pub fn cron(text: &str, zone: Tz) -> Result<Schedule, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&both_days(text)?);
        let cron = cron.map_err(|e| format!("is not a crontab(5) line: {}", bare(&e)))?;
        match cron.find_next_occurrence(&DateTime::UNIX_EPOCH.with_timezone(&zone), false) {
            Ok(_) => Ok(Schedule::Cron { cron: Box::new(cron), zone }),
            Err(_) => Err("never comes round; check the day of month and the month".into()),
        }
    }

    /// The next regular poll after one at `now`: always later than `now`.
    pub fn next(&self, now: DateTime<Utc>, recent: &Recent, jitter: f64) -> DateTime<Utc> {
        match self {
            Schedule::Every(interval) => now + spread(*interval, jitter),
            Schedule::Auto => now + spread(adaptive(now, recent), jitter),
            // No jitter: who writes down a minute means that minute.
            Schedule::Cron { cron, zone } => next_by_clock(cron, *zone, now),
        }
    }

    /// The longest wait that [`Schedule::next`] can ask for at `now`. A regular poll planned later than that was
    /// planned by another schedule, or by a clock that has been set back since: it is due now.
    pub fn longest(&self, now: DateTime<Utc>) -> Duration {
        match self {
            Schedule::Every(interval) => spread(*interval, 1.0),
            Schedule::Auto => spread(LONGEST_AUTO, 1.0),
            Schedule::Cron { cron, zone } => {
                (next_by_clock(cron, *zone, now) - now).to_std().unwrap_or_default()
            }
        }
    }

    /// The same text for the same schedule, to tell that it has been edited.
    pub fn text(&self) -> String {
        match self {
            Schedule::Every(interval) => format!("every {}s", interval.as_secs()),
            Schedule::Auto => "auto".into(),
            Schedule::Cron { cron, zone } => format!("cron {} {}", cron.as_str(), zone.name()),
        }
    }
}

/// `text` with the two fields for days as croner wants them. For crontab(5) either day is enough only if neither
/// field begins with a star; for croner `*/2` is no star, but a `+` before the day of week asks for both.
fn both_days(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    match fields[..] {
        [nickname] if nickname.starts_with('@') => Ok(nickname.to_owned()),
        [minute, hour, day, month, weekday] => {
            let is_stepped_star = |field: &str| field.starts_with('*') && field != "*";
            let is_both = is_stepped_star(day) || is_stepped_star(weekday);
            let both = if is_both && !weekday.starts_with('+') { "+" } else { "" };
            Ok(format!("{minute} {hour} {day} {month} {both}{weekday}"))
        }
        _ => Err("does not have the five fields of crontab(5): \
                  minute, hour, day of month, month, day of week"
            .into()),
    }
}

/// The crate's reason without its "Component error: " and full stop.
fn bare(error: &CronError) -> String {
    let text = error.to_string();
    let reason = text.rsplit(": ").next().unwrap_or(&text).trim_end_matches('.');
    reason.to_lowercase()
}

/// Up to a tenth more, at most a minute, so that accounts with the same interval drift apart.
fn spread(interval: Duration, jitter: f64) -> Duration {
    interval + (interval / 10).min(Duration::from_secs(60)).mul_f64(jitter)
}

const SHORTEST_AUTO: Duration = Duration::from_secs(2 * 60);
const FIRST_AUTO: Duration = Duration::from_secs(5 * 60);
/// With what is spread on top, an hour.
const LONGEST_AUTO: Duration = Duration::from_secs(59 * 60);

/// A twelfth of the time that it has been quiet: 2 minutes until 24 minutes after the last mail, about an hour from
/// 12 hours after it. An account that never had mail is not polled more often than every 5 minutes.
fn adaptive(now: DateTime<Utc>, recent: &Recent) -> Duration {
    let quiet = |since: DateTime<Utc>| (now - since).to_std().unwrap_or_default() / 12;
    match (recent.last_mail, recent.first_poll) {
        (Some(last_mail), _) => quiet(last_mail).clamp(SHORTEST_AUTO, LONGEST_AUTO),
        (None, Some(first_poll)) => quiet(first_poll).clamp(FIRST_AUTO, LONGEST_AUTO),
        (None, None) => FIRST_AUTO,
    }
}

fn next_by_clock(cron: &Cron, zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
    match cron.find_next_occurrence(&now.with_timezone(&zone), false) {
        Ok(next) if next > now => next.with_timezone(&Utc),
        // Schedule::cron has seen it come round, so only a clock near the year 5000 gets here.
        _ => now + Duration::from_secs(24 * 3600),
    }
}

/// How long a delivery waits after its n-th failure: the example of Standard Webhooks.
const RETRIES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How long a delivery waits after `failures` failed attempts (at least 1), within 20 % either way.
/// `None` once all retries are used up: it is parked.
pub fn retry_after(failures: u32, jitter: f64) -> Option<Duration> {
    let wait = RETRIES.get(usize::try_from(failures.saturating_sub(1)).ok()?)?;
    Some(wait.mul_f64(0.8 + 0.4 * jitter))
}

/// What kept a poll from its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The login was refused: a person must act, but some servers also say so when they are busy.
    Refused,
    /// Another session has the mailbox open (IN-USE, RFC 2449 section 8.1.2).
    InUse,
    /// After the login the server refused to go on, and said that this will pass.
    Withheld,
    /// The server wants this long between two logins (LOGIN-DELAY, RFC 2449 section 8.1.1).
    LoginDelay(Duration),
    Network,
    Certificate,
    Protocol,
    /// This machine: its disk, its ledger.
    Local,
}

/// The longest wait after trouble, unless the regular interval is longer still.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(6 * 3600);

/// How long an account waits after its n-th failed poll in a row, counted from 1; never less than `regular`,
/// what is left until its next regular poll.
pub fn back_off(trouble: Trouble, failures_in_a_row: u32, regular: Duration, jitter: f64) -> Duration {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let doubling = |first: Duration, longest: Duration| {
        let doublings = failures_in_a_row.saturating_sub(1).min(16);
        (first * 2_u32.pow(doublings)).min(longest)
    };
    let wait = match trouble {
        Trouble::Refused => minutes(60),
        Trouble::InUse | Trouble::Withheld => doubling(minutes(1), minutes(10)),
        Trouble::LoginDelay(delay) => delay.min(LONGEST_BACK_OFF),
        Trouble::Network => doubling(minutes(1), LONGEST_BACK_OFF),
        Trouble::Certificate => doubling(minutes(15), LONGEST_BACK_OFF),
        Trouble::Protocol => doubling(minutes(5), LONGEST_BACK_OFF),
        Trouble::Local => doubling(minutes(1), minutes(60)),
    };
    spread(wait, jitter).min(LONGEST_BACK_OFF).max(regular)
}

#[cfg(test)]
mod tests;
