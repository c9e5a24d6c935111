//! Polls under way, as the daemon tells of them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::words::{count, counted, span};
use crate::message::AccountName;

/// The polls under way.
#[derive(Clone, Debug, Default)]
pub struct Live {
    polls: BTreeMap<String, Checking>,
}

/// How far a poll has come.
#[derive(Clone, Debug, Default)]
pub struct Checking {
    /// When it told of itself first, and what it was done with then.
    first: Option<(DateTime<Utc>, u64)>,
    deliveries: u64,
    done: u64,
}

impl Live {
    /// A poll begins.
    pub fn begin(&mut self, account: &AccountName) {
        self.polls.insert(account.to_string(), Checking::default());
    }

    /// It has found `deliveries` to make so far, and is done with some of them. One that has ended tells nothing more.
    pub fn progress(&mut self, account: &AccountName, deliveries: u64, done: u64, now: DateTime<Utc>) {
        if let Some(checking) = self.polls.get_mut(account.as_str()) {
            checking.first.get_or_insert((now, done));
            (checking.deliveries, checking.done) = (deliveries, done);
        }
    }

    pub fn end(&mut self, account: &AccountName) {
        self.polls.remove(account.as_str());
    }

    pub fn of(&self, account: &str) -> Option<&Checking> {
        self.polls.get(account)
    }
}

impl Checking {
    /// How far it is, how fast, and what is left.
    pub fn words(&self, now: DateTime<Utc>) -> String {
        if self.deliveries == 0 {
            return "Checking mail ...".into();
        }
        let of = counted(self.deliveries, "delivery", "deliveries");
        let mut words = format!("Checking mail: {} of {of}", count(self.done));
        let Some((since, already)) = self.first else { return words };
        let elapsed = u64::try_from((now - since).num_milliseconds()).unwrap_or(0);
        let done = self.done.saturating_sub(already);
        if elapsed >= 1000 && done > 0 {
            let ahead = elapsed.saturating_mul(self.deliveries.saturating_sub(self.done)) / done;
            let ahead = TimeDelta::milliseconds(i64::try_from(ahead).unwrap_or(i64::MAX));
            let speed = count(done.saturating_mul(1000) / elapsed);
            words += &format!(", {speed} a second, about {} left", span(ahead));
        }
        words
    }

    pub fn done(&self) -> u64 {
        self.done
    }

    /// What a progress bar ends at.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_fast_and_what_is_left() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let name = AccountName::new("work").unwrap();
        let mut live = Live::default();
        live.progress(&name, 5, 1, now);
        assert!(live.of("work").is_none(), "it has not begun");
        live.begin(&name);
        assert_eq!(live.of("work").unwrap().words(now), "Checking mail ...");
        live.progress(&name, 1500, 0, now);
        live.progress(&name, 1500, 500, now);
        let later = now + TimeDelta::seconds(10);
        let words = live.of("work").unwrap().words(later);
        assert_eq!(words, "Checking mail: 500 of 1,500 deliveries, 50 a second, about 20 seconds left");
        live.end(&name);
        live.progress(&name, 1500, 1000, later);
        assert!(live.of("work").is_none());
    }
}
