//! A mailbox that is shown a slice at a time, and each message until it has been retrieved: Gmail's.
//!
//! Whoever logs in as `recent:USER` is shown the last 30 days, whatever has been retrieved. So what is recent is carried
//! like any other mail, and in turn with it what is old: slice after slice, until nothing is shown any more. Then the
//! slices rest, until something has been out of sight for most of these 30 days. Whoever deletes is shown slices only,
//! so that what is gone is gone from all that is shown; whoever wants new mail only, what is recent.

use std::collections::HashSet;

use chrono::TimeDelta;
use tokio::time::Instant;
use tracing::debug;

use crate::ledger::{MessageId, Past, Shown};
use crate::message::{Import, LeaveCopy};
use crate::pop3::{Discarded, Session};

use super::batch::{MANY_REFUSED, Numbers};
use super::{Failure, Mailbox, Poll};

/// A message is recent for 30 days. What may have waited for so long, or came so long ago while nobody looked, is looked
/// for among the slices again.
const LOOK_AGAIN_AFTER: TimeDelta = TimeDelta::days(25);

/// What waits and has not been listed for so long will not be.
const UNSEEN_FOR: TimeDelta = TimeDelta::days(1);

/// A server is given so long to hide what was retrieved.
const HIDDEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// How many messages are uncovered before it is asked whether to go on.
const AT_A_TIME: usize = 16;

/// What of a mailbox its server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Whole,
    Slice,
    /// What is recent; unless that is all that is wanted, slices come next.
    Recent {
        is_all: bool,
    },
}

/// What became of a slice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uncovered {
    /// It hides nothing: there is none behind it.
    pub is_last: bool,
    /// After QUIT something is hidden, so that there may be more to see.
    pub some: bool,
    /// After QUIT all of it is hidden, where the server does that.
    pub all: bool,
}

impl Poll<'_> {
    pub(super) async fn view(&self, past: &Past) -> Result<View, Failure> {
        let settings = &self.account.settings;
        if !self.account.quirks.hides_retrieved {
            return Ok(View::Whole);
        }
        if settings.leave_copy != LeaveCopy::Forever {
            return Ok(View::Slice);
        }
        if settings.import == Import::New || self.slices_rest(past).await? {
            return Ok(View::Recent { is_all: true });
        }
        // In turn: what is recent first, then slices, as far as the server lets us log in again. Where the last poll failed,
        // that may have been at the slices, which must not keep what is recent from being seen.
        let is_sliced = self.last_view.is_some() || past.was_recent && past.failures_in_a_row == 0;
        Ok(if is_sliced { View::Slice } else { View::Recent { is_all: false } })
    }

    async fn slices_rest(&self, past: &Past) -> Result<bool, Failure> {
        let (ledger, now) = (&self.context.ledger, self.now());
        let since = now - LOOK_AGAIN_AFTER;
        Ok(past.slices_carried && ledger.misses_nothing_before(&self.account.name, since, now).await?)
    }

    /// What is recent is all that is wanted, and has been listed.
    pub(super) async fn saw_all_recent(&mut self, past: &Past) -> Result<(), Failure> {
        if !past.is_known {
            self.context.ledger.note_known(&self.account.name, past.epoch).await?;
        }
        self.park_unseen().await
    }

    /// All that is shown has been listed. What waits and was not in it for long is hidden for good.
    async fn park_unseen(&mut self) -> Result<(), Failure> {
        let now = self.now();
        self.summary.parked +=
            self.context.ledger.park_unseen(&self.account.name, now - UNSEEN_FOR, now).await?;
        Ok(())
    }

    /// All that was due of a slice has been carried. Retrieves the rest of it as well, except what waits, so that it does
    /// not hide what is behind it: it was settled in a session without QUIT, or it was not wanted.
    pub(super) async fn uncover(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
        past: &Past,
    ) -> Result<Uncovered, Failure> {
        let is_seen_again = past.sliced_hash == Some(mailbox.hash);
        // What is still shown long after all of it was retrieved before QUIT hides nothing.
        let is_late = past.sliced_at.is_some_and(|since| self.now() - since >= HIDDEN_AFTER);
        if mailbox.listing.is_empty() || is_seen_again && is_late {
            self.park_unseen().await?;
            return Ok(Uncovered { is_last: true, some: false, all: true });
        }
        if is_seen_again {
            return Ok(Uncovered { is_last: false, some: false, all: true });
        }
        let rest = self.context.ledger.rest_of_slice(&self.account.name).await?;
        let handled: HashSet<MessageId> = self.handled.iter().map(|(id, _)| *id).collect();
        let wanted: Vec<&Shown> = rest.settled.iter().filter(|shown| !handled.contains(&shown.id)).collect();
        let asked: Vec<_> = wanted.iter().map(|shown| (shown.id, &shown.uidl, shown.size)).collect();
        let numbers = Numbers::of(&mailbox.listing, &mailbox.vague).take(&asked);
        let listed: Vec<(u32, &Shown)> =
            numbers.into_iter().zip(wanted).filter_map(|(number, shown)| Some((number?, shown))).collect();
        let tried = self.discard(session, &listed).await?;
        Ok(Uncovered {
            is_last: false,
            some: !handled.is_empty() || tried.came > 0,
            all: !rest.is_not_all && tried.came + tried.at_fault == listed.len(),
        })
    }

    /// Retrieves messages that nobody needs, as far as there is time.
    async fn discard(&self, session: &mut Session, listed: &[(u32, &Shown)]) -> Result<Tried, Failure> {
        let (began, mut tried, mut refused) = (Instant::now(), Tried::default(), Vec::new());
        let together = |one: &(u32, &Shown), next: &(u32, &Shown)| !one.1.alone && !next.1.alone;
        for some in listed.chunk_by(together).flat_map(|some| some.chunks(AT_A_TIME)) {
            if self.has_enough(session, began) {
                break;
            }
            let numbers: Vec<u32> = some.iter().map(|(number, _)| *number).collect();
            let Discarded { came, error } = session.discard(&numbers).await;
            tried.came += came.iter().filter(|came| **came).count();
            let ids = some.iter().map(|(_, shown)| shown.id);
            refused.extend(ids.zip(&came).filter(|(_, came)| !**came).map(|(id, _)| id));
            if let Some(error) = error {
                self.blame(some, came.len()).await?;
                return Err(error.into());
            }
        }
        // Refused in such numbers, or just for now, they can be had another day.
        if !refused.is_empty() && refused.len() < MANY_REFUSED && !session.withholds_messages() {
            tried.at_fault = refused.len();
            self.context.ledger.not_handed_out(&refused).await?;
        }
        if !listed.is_empty() {
            let (of, came) = (listed.len(), tried.came);
            debug!(account = %self.account.name, came, of, "retrieved to see what is behind them");
        }
        Ok(tried)
    }

    /// The session has ended at one of these, after so many answers.
    async fn blame(&self, some: &[(u32, &Shown)], answers: usize) -> Result<(), Failure> {
        let ledger = &self.context.ledger;
        let ids: Vec<MessageId> = some.iter().map(|(_, shown)| shown.id).collect();
        match ids.get(answers) {
            Some(_) if answers == 0 && ids.len() > 1 => ledger.go_alone(&ids).await?,
            Some(id) => ledger.not_handed_out(&[*id]).await?,
            None => {}
        }
        Ok(())
    }
}

/// What came of messages that nobody needs.
#[derive(Default)]
struct Tried {
    came: usize,
    /// Those that did not come, and may never do so.
    at_fault: usize,
}
