//! Several requests at a time, and what one of them finds out for all: that nobody is there, or that nothing is taken.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::outage::Outage;
use crate::message::Verdict;

/// So many requests in a row that came to nothing, and the other side counts as down: the rest need not be made.
const SETBACKS: usize = 3;

/// What one delivery of several messages has learnt of the other side.
pub struct Round {
    /// When it began.
    asked: Instant,
    /// Why no message at all is taken.
    fault: OnceLock<Verdict>,
}

impl Round {
    pub fn begin() -> Round {
        Round { asked: Instant::now(), fault: OnceLock::new() }
    }
}

/// When requests came to nothing (no answer, or one that means later) since the last that did not: those of all rounds, the
/// latest [`SETBACKS`] of them.
#[derive(Default)]
struct Setbacks(Mutex<VecDeque<Instant>>);

impl Setbacks {
    /// One may be its message's fault, until it happens to several who ask at the same time.
    fn note(&self, round: &Round, verdict: &Verdict) {
        let mut setbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Verdict::Deferred { reason, retry_after, counts_for_destination: true } = verdict else {
            return setbacks.clear();
        };
        setbacks.push_back(Instant::now());
        let surplus = setbacks.len().saturating_sub(SETBACKS);
        setbacks.drain(..surplus);
        if setbacks.iter().filter(|noted| **noted >= round.asked).count() >= SETBACKS {
            let cause = reason.rsplit_once("; ").map_or(reason.as_str(), |(cause, _)| cause);
            let reason = format!("{cause}; {SETBACKS} requests in a row came to nothing");
            let _ = round.fault.set(Verdict::Unreachable { reason, retry_after: *retry_after });
        }
    }
}

/// The turns of all who send requests to one other side.
pub struct Turns {
    in_flight: Semaphore,
    setbacks: Setbacks,
    outage: Outage,
}

impl Turns {
    /// So many at a time; at least one.
    pub fn new(at_once: usize) -> Turns {
        Turns {
            in_flight: Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)),
            setbacks: Setbacks::default(),
            outage: Outage::default(),
        }
    }

    /// Does this in its turn; or not at all, and gives the verdict that is known to hold for every message.
    pub async fn take(&self, round: &Round, work: impl Future<Output = Verdict>) -> Verdict {
        let _turn = self.in_flight.acquire().await.expect("never closed");
        if let Some(verdict) = round.fault.get().cloned().or_else(|| self.outage.since(round.asked)) {
            return verdict;
        }
        let verdict = work.await;
        self.outage.note(round.fault.get().unwrap_or(&verdict));
        if let Some(fault) = verdict.for_all() {
            // Another one may have been first; either says the same.
            let _ = round.fault.set(fault);
        }
        verdict
    }

    /// Remembers what came of a request.
    pub fn note(&self, round: &Round, verdict: &Verdict) {
        self.setbacks.note(round, verdict);
    }
}
