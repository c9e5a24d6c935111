//! What one has found out, others need not find out again: to wait for a peer that is silent takes each a minute, and
//! who waits for his turn meanwhile would wait for all of those minutes.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::message::Verdict;

/// The last fault that concerns every message for a destination.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Option<(Instant, Verdict)>>);

impl Outage {
    /// Remembers a verdict if it holds for any message.
    pub fn note(&self, verdict: &Verdict) {
        if let Some(verdict) = verdict.for_all() {
            let last = Some((Instant::now(), verdict));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
        }
    }

    /// The verdict on whoever has waited for his turn since `asked`, if another was given one in that time.
    pub fn since(&self, asked: Instant) -> Option<Verdict> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(noted, _)| *noted > asked).map(|(_, verdict)| verdict.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_waited_meanwhile_takes_it_over() {
        let outage = Outage::default();
        let early = Instant::now();
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        outage.note(&Verdict::Unknown { reason: "of one message".into() });
        assert_eq!(outage.since(early), None);
        let down = Verdict::Unreachable { reason: "silent".into(), retry_after: None };
        outage.note(&down);
        assert_eq!(outage.since(early), Some(down));
        assert_eq!(outage.since(Instant::now()), None);
    }
}
