//! The call to a monitor that raises the alarm when it is not called any more.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::warn;

use super::UnderWay;
use crate::destination::notifier::Notifier;
use crate::ledger::{AccountHealth, Configured, Health, Polling};

/// At least so long between two calls.
const PAUSE: Duration = Duration::from_secs(60);

/// How much later than planned a poll may be: it waits for its turn, or takes its time.
const LATE: TimeDelta = TimeDelta::minutes(15);

#[derive(Debug, Default)]
pub struct Heartbeat {
    called: Option<Instant>,
    /// The latest poll that was called for.
    last_poll: Option<DateTime<Utc>>,
    failing: bool,
}

impl Heartbeat {
    /// Calls if a poll has ended since the last call or is under way, and all is well with every account.
    pub async fn beat(
        &mut self,
        notifier: Option<&Notifier>,
        health: &Health,
        configured: &Configured,
        under_way: &UnderWay,
        now: DateTime<Utc>,
    ) {
        let Some(notifier) = notifier else { return };
        let Some(last_poll) = all_well(health, configured, under_way, now) else { return };
        let is_early = self.called.is_some_and(|called| called.elapsed() < PAUSE);
        if is_early || self.last_poll.is_some_and(|before| before >= last_poll) {
            return;
        }
        self.called = Some(Instant::now());
        match notifier.call().await {
            Ok(()) => {
                self.last_poll = Some(last_poll);
                self.failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%error, "the monitor of `alerts.heartbeat` cannot be called; it is tried again");
                }
            }
        }
    }
}

/// When the latest poll ended, if every account that is to be polled was polled in time and without an error, and no
/// destination that is down holds up its mail. A poll under way is in time, as each of its steps has a limit of its own: a
/// first import takes hours.
fn all_well(
    health: &Health,
    configured: &Configured,
    under_way: &UnderWay,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let known: HashMap<&str, &AccountHealth> =
        health.accounts.iter().map(|known| (known.name.as_str(), known)).collect();
    let mut last_polls = Vec::new();
    for account in configured.accounts.iter().filter(|account| account.polling != Polling::Paused) {
        let known = known.get(account.name.as_str())?;
        let last_poll = match under_way.contains(&account.name) {
            true => Some(now),
            false => known.last_success.filter(|_| known.next_poll + LATE >= now),
        };
        let is_well = account.polling == Polling::On && known.failing_since.is_none() && !known.is_held_up;
        last_polls.push(last_poll.filter(|_| is_well)?);
    }
    last_polls.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::ConfiguredAccount;
    use crate::message::AccountName;

    fn configured(accounts: &[(&str, Polling)]) -> Configured {
        let accounts = accounts
            .iter()
            .map(|(name, polling)| ConfiguredAccount::new(AccountName::new(name).unwrap(), polling.clone()));
        Configured { accounts: accounts.collect(), ..Configured::default() }
    }

    #[test]
    fn one_account_that_is_not_well_is_enough_to_be_silent() {
        let (now, none) = (DateTime::from_timestamp(1_790_000_000, 0).unwrap(), UnderWay::new());
        let well = |name: &str, minutes: i64| AccountHealth {
            name: name.into(),
            failing_since: None,
            last_success: Some(now - TimeDelta::minutes(minutes)),
            next_poll: now,
            refused_logins: 0,
            error: String::new(),
            is_held_up: false,
        };
        let both = configured(&[("a", Polling::On), ("b", Polling::On)]);
        let mut health = Health { accounts: vec![well("a", 9), well("b", 4)], ..Health::default() };
        assert_eq!(all_well(&health, &both, &none, now), Some(now - TimeDelta::minutes(4)));
        assert_eq!(all_well(&health, &configured(&[]), &none, now), None, "no account, no round");
        assert_eq!(
            all_well(&health, &configured(&[("a", Polling::On), ("c", Polling::On)]), &none, now),
            None
        );
        let broken = configured(&[("a", Polling::On), ("b", Polling::Broken("why".into()))]);
        assert_eq!(all_well(&health, &broken, &none, now), None);
        health.accounts[1].is_held_up = true;
        assert_eq!(all_well(&health, &both, &none, now), None, "where its mail goes is down");
        health.accounts[1].is_held_up = false;
        health.accounts[0].next_poll = now - TimeDelta::minutes(16);
        assert_eq!(all_well(&health, &both, &none, now), None, "overdue");
        let first = UnderWay::from([AccountName::new("a").unwrap()]);
        assert_eq!(all_well(&health, &both, &first, now), Some(now), "it takes its time");
        health.accounts[0].failing_since = Some(now);
        let paused = configured(&[("a", Polling::Paused), ("b", Polling::On)]);
        assert!(all_well(&health, &paused, &none, now).is_some());
    }
}
