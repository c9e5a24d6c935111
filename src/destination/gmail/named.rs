//! Of messages with one Message-ID Gmail keeps the first, and names that whenever another comes. So they come one after the
//! other, and what was named for which is remembered: here for as long as the process lives, and in the ledger, which judges.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex as StdMutex, PoisonError};

use tokio::sync::{Mutex, MutexGuard};

/// Messages whose Message-IDs differ seldom share one of these.
const LANES: usize = 64;

/// So many are remembered, before it is begun anew: what was named longer ago the ledger knows.
const MOST: usize = 10_000;

pub struct Named {
    lanes: [Mutex<()>; LANES],
    /// The gist of the message for which an id was first named.
    first: StdMutex<HashMap<String, [u8; 32]>>,
}

impl Default for Named {
    fn default() -> Named {
        Named { lanes: std::array::from_fn(|_| Mutex::default()), first: StdMutex::default() }
    }
}

impl Named {
    /// Held while a message with this Message-ID is on its way.
    pub async fn lane(&self, message_id: &[u8]) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        message_id.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default();
        self.lanes[lane].lock().await
    }

    /// The gist of the message for which this id was first named: this one's, if it is new.
    pub fn first(&self, id: &str, gist: [u8; 32]) -> [u8; 32] {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = first.get(id) {
            return *known;
        }
        if first.len() >= MOST {
            first.clear();
        }
        first.insert(id.to_owned(), gist);
        gist
    }
}
