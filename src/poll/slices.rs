//! A mailbox that is shown a slice at a time, and each message until it has been retrieved: Gmail's.
//!
//! Whoever logs in as `recent:USER` is shown the last 30 days, whatever has been retrieved. So what is recent is carried
//! like any other mail, and in turn with it what is old: slice after slice, until nothing is shown any more. Then the
//! slices rest, until something has been out of sight for most of these 30 days. Whoever deletes is shown slices only, for it
//! is not known that a deleted message is not among the recent ones; whoever wants new mail only, what is recent.

use std::collections::HashSet;

use chrono::TimeDelta;
use tokio::time::Instant;
use tracing::debug;

use crate::ledger::Past;
use crate::message::{Import, LeaveCopy};
use crate::pop3::Session;

use super::batch::Numbers;
use super::{Failure, Mailbox, PORTION_TIME, Poll};

/// A message is recent for 30 days. So long before that, what has not been listed or delivered is looked for among the
/// slices.
const RECENT_TIME: TimeDelta = TimeDelta::days(25);

/// A message that was deleted longer ago is not recent, whatever the server has done with it.
const FORGOTTEN_TIME: TimeDelta = TimeDelta::days(35);

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
        // In turn: what is recent first, then slices, as far as the server lets us log in again. What was deleted may
        // still be among the recent ones, and would be new there.
        let name = &self.account.name;
        let is_sliced = self.portions > 0
            || past.was_recent
            || self.context.ledger.has_deleted_since(name, self.now() - FORGOTTEN_TIME).await?;
        Ok(if is_sliced { View::Slice } else { View::Recent { is_all: false } })
    }

    async fn slices_rest(&self, past: &Past) -> Result<bool, Failure> {
        let (ledger, now) = (&self.context.ledger, self.now());
        Ok(past.slices_carried
            && ledger.misses_nothing_before(&self.account.name, now - RECENT_TIME, now).await?)
    }

    /// All that was due of a slice has been carried. Retrieves the rest of it as well, except what waits, so that it does
    /// not hide what is behind it: it was settled in a session without QUIT, or it was not wanted.
    pub(super) async fn uncover(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
        past: &Past,
    ) -> Result<Uncovered, Failure> {
        // What is still shown, although all of it was retrieved before QUIT, hides nothing.
        if mailbox.listing.is_empty() || past.sliced_hash == Some(mailbox.hash) {
            self.slices_carried().await?;
            return Ok(Uncovered { some: false, all: true });
        }
        let waiting = self.context.ledger.waiting(&self.account.name).await?;
        let wanted: Vec<_> = waiting.iter().map(|(id, uidl, size)| (*id, uidl, *size)).collect();
        let waiting: HashSet<u32> =
            Numbers::of(&mailbox.listing, &mailbox.vague).take(&wanted).into_iter().flatten().collect();
        let retrieved: HashSet<u32> = self.retrieved.iter().map(|(_, number)| *number).collect();
        let listed = mailbox.listing.iter().map(|row| row.number);
        let rest: Vec<u32> = listed.filter(|n| !waiting.contains(n) && !retrieved.contains(n)).collect();
        let arrived = self.discard(session, &rest).await?;
        Ok(Uncovered {
            some: !retrieved.is_empty() || arrived > 0,
            all: waiting.is_empty() && arrived == rest.len(),
        })
    }

    /// Retrieves messages that nobody needs, as far as there is time, and returns how many came.
    async fn discard(&self, session: &mut Session, numbers: &[u32]) -> Result<usize, Failure> {
        let (began, mut arrived) = (Instant::now(), 0);
        for numbers in numbers.chunks(AT_A_TIME) {
            if self.is_ending() || began.elapsed() >= PORTION_TIME {
                break;
            }
            arrived += session.discard(numbers).await?;
        }
        if !numbers.is_empty() {
            let of = numbers.len();
            debug!(account = %self.account.name, arrived, of, "retrieved to see what is behind them");
        }
        Ok(arrived)
    }

    /// Nothing old is left to be carried.
    pub(super) async fn slices_carried(&self) -> Result<(), Failure> {
        let since = self.now() - FORGOTTEN_TIME;
        Ok(self.context.ledger.slices_carried(&self.account.name, since).await?)
    }
}
