//! What has happened since this process began, counted for whoever watches over it. What outlives it is in the ledger.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::message::AccountName;

/// The upper bounds of the classes that durations are counted in, in seconds.
pub const BOUNDS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// A poll that has ended, or what the polls of an account come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub polls: u64,
    /// Polls that failed.
    pub failed: u64,
    pub new: u64,
    pub delivered: u64,
    /// Attempts that are to be made again.
    pub put_off: u64,
    pub parked: u64,
    pub deleted: u64,
    /// Octets retrieved.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, more: &Counts) {
        let Counts { polls, failed, new, delivered, put_off, parked, deleted, bytes } = more;
        self.polls += polls;
        self.failed += failed;
        self.new += new;
        self.delivered += delivered;
        self.put_off += put_off;
        self.parked += parked;
        self.deleted += deleted;
        self.bytes += bytes;
    }
}

/// How long polls took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Durations {
    /// How many took no longer than each of [`BOUNDS`].
    pub within: [u64; BOUNDS.len()],
    pub count: u64,
    /// Of all, in seconds.
    pub sum: f64,
}

/// Counts for the whole process, shared by who does and who shows.
#[derive(Debug)]
pub struct Metrics {
    pub started: DateTime<Utc>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accounts: BTreeMap<AccountName, Counts>,
    durations: Durations,
}

impl Metrics {
    pub fn new(started: DateTime<Utc>) -> Metrics {
        Metrics { started, seen: Mutex::default() }
    }

    /// A poll has ended.
    pub fn end(&self, account: &AccountName, counts: &Counts, took: Duration) {
        let mut seen = self.seen();
        seen.accounts.entry(account.clone()).or_default().add(counts);
        let took = took.as_secs_f64();
        let Durations { within, count, sum } = &mut seen.durations;
        for (within, bound) in within.iter_mut().zip(BOUNDS) {
            *within += u64::from(took <= bound);
        }
        *count += 1;
        *sum += took;
    }

    pub fn of(&self, account: &str) -> Counts {
        self.seen().accounts.get(account).copied().unwrap_or_default()
    }

    pub fn durations(&self) -> Durations {
        self.seen().durations
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_add_up_and_durations_fall_into_all_classes_above() {
        let metrics = Metrics::new(DateTime::UNIX_EPOCH);
        let work = AccountName::new("work").unwrap();
        let poll = Counts { polls: 1, delivered: 3, ..Counts::default() };
        metrics.end(&work, &poll, Duration::from_millis(500));
        metrics.end(&work, &Counts { failed: 1, ..poll }, Duration::from_secs(3600));
        assert_eq!(metrics.of("work"), Counts { polls: 2, failed: 1, delivered: 6, ..Counts::default() });
        assert_eq!(metrics.of("other"), Counts::default());
        let Durations { within, count, sum } = metrics.durations();
        assert_eq!((within, count, sum), ([0, 1, 1, 1, 1, 1, 1, 1], 2, 3600.5));
    }
}
