//! A mailbox that is shown a slice at a time, and each message until it has been retrieved: Gmail's.
//!
//! The first import carries slice after slice, until nothing is shown any more. From then on the login is
//! `recent:USER`, which shows the last 30 days whatever has been retrieved: no mail waits there behind other mail. What
//! has waited for most of these days is looked for among the slices once more. And who deletes goes on with slices, for
//! it is not known that a deleted message is not among the recent ones.

use std::borrow::Cow;

use chrono::TimeDelta;
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use crate::ledger::Past;
use crate::message::{Import, LeaveCopy};
use crate::pop3::{self, Session};

use super::{Failure, Mailbox, Poll, keep_alive};

/// What a login as this user shows.
const RECENT: &str = "recent:";

/// A message is recent for 30 days. So long before that, what has not been listed or delivered is looked for among the
/// slices.
const RECENT_TIME: TimeDelta = TimeDelta::days(25);

/// A message that was deleted longer ago is not recent, whatever the server has done with it.
const FORGOTTEN_TIME: TimeDelta = TimeDelta::days(35);

/// How many messages are uncovered at a time, and the memory for it in KiB.
const AT_A_TIME: usize = 64;
const MEMORY: u32 = 1024;

/// What of a mailbox its server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Whole,
    Slice,
    Recent,
}

impl View {
    /// How to log in for it.
    pub fn settings(self, settings: &pop3::Settings) -> Cow<'_, pop3::Settings> {
        if self != View::Recent || is_recent(&settings.user) {
            return Cow::Borrowed(settings);
        }
        Cow::Owned(pop3::Settings { user: format!("{RECENT}{}", settings.user), ..settings.clone() })
    }
}

fn is_recent(user: &str) -> bool {
    user.starts_with(RECENT)
}

impl Poll<'_> {
    pub(super) async fn view(&self, past: &Past) -> Result<View, Failure> {
        let (settings, pop3) = (&self.account.settings, &self.account.pop3);
        if !self.account.quirks.hides_retrieved {
            return Ok(View::Whole);
        }
        if is_recent(&pop3.user) {
            return Ok(View::Recent);
        }
        if settings.leave_copy != LeaveCopy::Forever {
            return Ok(View::Slice);
        }
        // Nobody wants what is old.
        if past.first_listing && settings.import == Import::New {
            return Ok(View::Recent);
        }
        if !past.slices_carried {
            return Ok(View::Slice);
        }
        let (name, now) = (&self.account.name, self.now());
        let misses_nothing = self.context.ledger.misses_nothing_before(name, now - RECENT_TIME, now).await?;
        Ok(if misses_nothing { View::Recent } else { View::Slice })
    }

    /// The session has done what was to be done, and may QUIT. Returns whether the server then hides something, so that
    /// there may be more to see.
    pub(super) async fn next_slice(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        past: &Past,
    ) -> Result<bool, Failure> {
        if !self.retrieved.is_empty() {
            return Ok(true);
        }
        if self.is_ending() || self.context.ledger.pending(&self.account.name).await? > 0 {
            return Ok(false);
        }
        let numbers = self.settled(mailbox);
        // What stays although it was retrieved a moment ago, or before the last poll, hides nothing else.
        let is_stuck = match self.portions {
            0 => past.slices_carried && mailbox.unchanged,
            _ => mailbox.gone == 0 && self.has_quit,
        };
        if numbers.is_empty() || is_stuck {
            self.slices_carried().await?;
            return Ok(false);
        }
        self.uncover(session, &numbers).await?;
        Ok(true)
    }

    pub(super) async fn slices_carried(&self) -> Result<(), Failure> {
        let since = self.now() - FORGOTTEN_TIME;
        Ok(self.context.ledger.slices_carried(&self.account.name, since).await?)
    }

    /// What is listed, and was delivered or skipped without having been hidden: in a session without QUIT, most often.
    fn settled(&self, mailbox: &Mailbox) -> Vec<u32> {
        let max_size = self.account.pop3.max_size;
        let rows = mailbox.listing.iter().filter(|row| row.size.is_none_or(|size| size <= max_size));
        rows.map(|row| row.number).collect()
    }

    /// Retrieves what nobody needs, so that the server hides it and shows what is behind it.
    async fn uncover(&self, session: &mut Session, numbers: &[u32]) -> Result<(), Failure> {
        debug!(account = %self.account.name, messages = numbers.len(), "retrieved once more, to see what is behind them");
        for numbers in numbers.chunks(AT_A_TIME) {
            let _permit: OwnedSemaphorePermit = keep_alive(session, self.context.budget.take(MEMORY)).await?;
            let memory = u64::from(MEMORY) << 10;
            let outcome =
                session.retrieve_within(numbers, &self.context.spool, memory, std::future::pending()).await;
            match outcome.error {
                // Nothing is parked here, so a new session would end here, too.
                Some(pop3::Error::MessageTooLarge) => {
                    let during = "retrieving once more a message larger than `max_size`";
                    return Err(pop3::Error::Closed { during }.into());
                }
                Some(error) => return Err(error.into()),
                None => {}
            }
        }
        Ok(())
    }
}
