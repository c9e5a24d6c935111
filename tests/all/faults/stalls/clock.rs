//! Time that passes only when the test says so.

use std::sync::mpsc;
use std::time::Duration;

use chrono::TimeDelta;
use mailferry::daemon::Polled;
use tokio::task::JoinSet;

use crate::world::World;

/// The clock of this thread's runtime, from when it was stopped on.
pub struct Clock {
    _held: mpsc::Sender<()>,
}

impl Clock {
    pub fn stop() -> Clock {
        tokio::time::pause();
        // A paused clock jumps to the next timer whenever its thread has nothing to do, also while the ledger's threads
        // work. It does not as long as a blocking task is under way.
        let (held, released) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || released.recv());
        Clock { _held: held }
    }

    /// Lets time pass, and then everything happen that was waiting for it.
    pub async fn pass(&self, world: &World, time: Duration) {
        tokio::time::advance(time).await;
        world.later(TimeDelta::from_std(time).unwrap());
        world.settle().await;
    }

    /// The end of a poll that needs no time.
    pub async fn ended(&self, world: &World, polls: &mut JoinSet<Polled>) -> Option<Polled> {
        for _ in 0..ROUNDS {
            if let Some(polled) = polls.try_join_next() {
                return Some(polled.unwrap());
            }
            world.settle().await;
        }
        None
    }

    /// The end of a poll, and the seconds that it took, if it took at most so many.
    pub async fn wait(&self, world: &World, polls: &mut JoinSet<Polled>, most: u64) -> Option<(u64, Polled)> {
        for second in 0..=most {
            world.settle().await;
            if let Some(polled) = polls.try_join_next() {
                return Some((second, polled.unwrap()));
            }
            self.pass(world, SECOND).await;
        }
        self.ended(world, polls).await.map(|polled| (most, polled))
    }
}

pub const SECOND: Duration = Duration::from_secs(1);

/// How often everybody is let go on before a poll counts as one that waits.
const ROUNDS: usize = 2000;
