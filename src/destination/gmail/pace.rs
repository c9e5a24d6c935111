//! How fast messages are imported: Google counts what each costs by the minute, and refuses what is too much.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An import costs 25 units, and a user has 6,000 in a minute: 240 imports. With this and [`BURST`] at most 230 begin in any
/// minute; what is left is for labels. <https://developers.google.com/workspace/gmail/api/reference/quota>
const INTERVAL: Duration = Duration::from_millis(300);

/// So many may go at once after a pause.
const BURST: u32 = 30;

/// Lets one begin after the other, at [`INTERVAL`] in the long run.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all that has begun so far would be over, had each taken its interval.
    spent_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until one more may begin.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.reserve(Instant::now())).await;
    }

    fn reserve(&self, now: Instant) -> Instant {
        let mut spent_until = self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = spent_until.unwrap_or(now).max(now);
        *spent_until = Some(from + INTERVAL);
        from.checked_sub(INTERVAL * (BURST - 1)).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_minute_has_more_than_google_allows() {
        let pace = Pace::default();
        // The clock of a machine that has just started cannot go back.
        tokio::time::advance(Duration::from_secs(3600)).await;
        let mut begun = Vec::new();
        for _ in 0..1000 {
            pace.turn().await;
            begun.push(Instant::now());
        }
        assert_eq!(begun[0], begun[29], "a few go at once");
        let minute = Duration::from_secs(60);
        let most =
            begun.iter().map(|from| begun.iter().filter(|at| **at >= *from && **at < *from + minute).count());
        assert_eq!(most.max(), Some(229));
        tokio::time::advance(minute).await;
        let rested = Instant::now();
        for _ in 0..30 {
            pace.turn().await;
        }
        assert_eq!(Instant::now(), rested, "and after a pause again");
    }
}
