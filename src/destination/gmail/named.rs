//! Of messages with one Message-ID Gmail keeps the first, and names that whenever another comes. So they come one after the
//! other, and what was named for which is remembered: here for as long as the process lives, and in the ledger, which
//! judges.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::message::{Gist, Verdict};

/// So many are remembered, before it is begun anew: what was named longer ago the ledger knows.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Named {
    /// By Message-ID, as long as somebody is in one or waits for it.
    lanes: StdMutex<HashMap<String, Weak<Mutex<()>>>>,
    /// The gist of the message for which an id was first named.
    first: StdMutex<HashMap<String, Gist>>,
}

impl Named {
    /// Held while a message with this Message-ID is on its way.
    pub async fn lane(&self, message_id: &str) -> OwnedMutexGuard<()> {
        self.lane_of(message_id).lock_owned().await
    }

    fn lane_of(&self, message_id: &str) -> Arc<Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, lane| lane.strong_count() > 0);
        if let Some(lane) = lanes.get(message_id).and_then(Weak::upgrade) {
            return lane;
        }
        let lane = Arc::default();
        lanes.insert(message_id.to_owned(), Arc::downgrade(&lane));
        lane
    }

    /// The gist of the message for which this id was first named: this one's, if it is new.
    pub fn first(&self, id: &str, gist: Gist) -> Gist {
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

/// Of messages that are sent together, those that Gmail may have without having named them: by their Message-IDs, with their
/// gists.
#[derive(Default)]
pub struct Unnamed(StdMutex<HashMap<String, Gist>>);

impl Unnamed {
    /// Whether a message other than this one, with its Message-ID, may be there: nobody could tell whose id is named then.
    pub fn is_another(&self, message_id: &str, gist: Gist) -> bool {
        let unnamed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unnamed.get(message_id).is_some_and(|known| *known != gist)
    }

    /// What came of sending it.
    pub fn note(&self, message_id: &str, gist: Gist, verdict: &Verdict) {
        let mut unnamed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Verdict::Delivered { .. } | Verdict::Rejected { counts_for_destination: false, .. } => {
                unnamed.remove(message_id);
            }
            _ => {
                unnamed.insert(message_id.to_owned(), gist);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_message_waits_for_others_with_its_message_id_alone() {
        let named = Named::default();
        let first = named.lane("<0@x>").await;
        for n in 1..100 {
            assert!(named.lane(&format!("<{n}@x>")).now_or_never().is_some(), "{n}");
        }
        assert!(named.lane("<0@x>").now_or_never().is_none());
        drop(first);
        assert!(named.lane("<0@x>").now_or_never().is_some());
        assert!(named.lanes.lock().unwrap().len() < 3, "what is over is forgotten");
    }

    #[test]
    fn no_other_message_goes_where_one_may_be_there() {
        let gist = |body| Gist { header: [1; 32], body: [body; 32] };
        let (unnamed, [this, other]) = (Unnamed::default(), [1, 2].map(gist));
        assert!(!unnamed.is_another("<a@b>", other));
        unnamed.note("<a@b>", this, &Verdict::HeldUp);
        assert!(unnamed.is_another("<a@b>", other) && !unnamed.is_another("<a@b>", this));
        assert!(!unnamed.is_another("<c@d>", other));
        let refused = |counts_for_destination| Verdict::Rejected {
            reason: String::new(),
            park_after: 1,
            counts_for_destination,
        };
        unnamed.note("<a@b>", this, &refused(true));
        assert!(unnamed.is_another("<a@b>", other), "that may be said of every message");
        unnamed.note("<a@b>", this, &refused(false));
        assert!(!unnamed.is_another("<a@b>", other));
    }
}
