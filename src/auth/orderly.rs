//! What is done to its end, come what may: a code or a refresh token is used up by the question alone, and what it
//! brings must not be lost because nobody waits for it any more.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

static UNDER_WAY: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// This process was asked to end. From now on no token is renewed: whoever asked may not wait for that, and a refresh
/// token that is lost on the way is lost for good.
pub fn renew_no_more() {
    IS_ENDING.store(true, Ordering::Relaxed);
}

pub(super) fn is_ending() -> bool {
    IS_ENDING.load(Ordering::Relaxed)
}

/// Begins `work`. It goes on where its handle is dropped, and [`settled`] waits for it.
pub fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    UNDER_WAY.spawn(work)
}

/// Resolves when nothing of that is under way: before that, the process had better not end. Every question to a
/// provider has an end of its own.
pub async fn settled() {
    UNDER_WAY.close();
    UNDER_WAY.wait().await;
}
