//! Memory for messages in flight, which all polls share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So much memory for all polls together, in KiB.
#[derive(Debug)]
pub struct Budget {
    memory: Arc<Semaphore>,
    /// How many wait for some of it.
    waiting: watch::Sender<usize>,
}

impl Budget {
    /// At least [`LARGEST_WEIGHT`](super::batch::LARGEST_WEIGHT), else there are batches that never get it.
    pub fn new(kib: usize) -> Budget {
        Budget { memory: Arc::new(Semaphore::new(kib)), waiting: watch::Sender::new(0) }
    }

    /// Waits for so many KiB, first come, first served. They are the caller's until the permit is dropped.
    pub async fn take(&self, kib: u32) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(kib) {
            return permit;
        }
        let _waits = Waits::among(&self.waiting);
        Arc::clone(&self.memory).acquire_many_owned(kib).await.expect("nobody closes the budget")
    }

    /// Returns as soon as somebody waits.
    pub async fn is_wanted(&self) {
        // Its sender is here.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

/// Somebody who waits, or has given it up when this is dropped.
struct Waits<'b>(&'b watch::Sender<usize>);

impl Waits<'_> {
    fn among(waiting: &watch::Sender<usize>) -> Waits<'_> {
        waiting.send_modify(|waiting| *waiting += 1);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn it_is_wanted_while_somebody_waits() {
        let budget = Budget::new(10);
        let all = budget.take(10).await;
        assert!(budget.is_wanted().now_or_never().is_none());
        let mut next = Box::pin(budget.take(1));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(budget.is_wanted().now_or_never().is_some());
        drop(next);
        assert!(budget.is_wanted().now_or_never().is_none(), "who waited has given it up");
        drop(all);
        assert_eq!(budget.take(10).await.num_permits(), 10);
    }
}
