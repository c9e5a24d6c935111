//! Deleting at the source: only what the ledger lets go, and only after a look at the bytes.

use tokio::time::Instant;
use tracing::debug;

use crate::ledger::{Deletion, MessageId, Past};
use crate::message::{LeaveCopy, header_digest};
use crate::pop3::{self, Headers, Retrieval, Session};

use super::batch::{MANY_REFUSED, Numbers};
use super::{Failure, Mailbox, PORTION_TIME, Poll};

/// Most overdue deletions in one session.
const AT_MOST: usize = 5000;

/// One message at which sessions end is known after so many of them.
const FORGIVEN: u32 = 4;

/// With so many one is left of them.
const MOST_HALVINGS: u32 = AT_MOST.ilog2();

/// How many of them are compared before it is asked whether to go on.
const AT_A_TIME: usize = 64;

impl Poll<'_> {
    /// Deletes what was kept long enough, or what an earlier session could not delete any more.
    ///
    /// These messages were not retrieved in this session, so the server first shows that they still are what the
    /// ledger thinks: by their header, or, failing that, by all their bytes. Returns whether there were any.
    pub(super) async fn delete_overdue(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
        past: &Past,
    ) -> Result<bool, Failure> {
        let listed = self.overdue(mailbox, past).await?;
        if listed.is_empty() {
            return Ok(false);
        }
        // Until this session has come to its end.
        self.deletions_cut += 1;
        let mut compared = Compared::default();
        let outcome = self.compare(session, &listed, &mut compared).await;
        let Compared { same, mut not_shown, suspects, too_large, anything, .. } = compared;
        // A server that shows nothing at all is at fault, and not so many messages.
        if outcome.is_ok() && !anything && not_shown.len() >= MANY_REFUSED {
            not_shown.clear();
        }
        not_shown.extend(too_large);
        // Also where the session has ended at one of them: the next session begins with others.
        let ledger = &self.context.ledger;
        if !not_shown.is_empty() {
            ledger.not_shown(&not_shown, self.now()).await?;
        }
        if !suspects.is_empty() {
            ledger.go_alone(&suspects).await?;
        }
        outcome?;
        self.handled.extend(&same);
        self.delete(session, &same).await?;
        Ok(true)
    }

    /// What is to be deleted in this session, with its numbers. A session may last only so long, and what was deleted in it
    /// takes effect at its end: where sessions break off, it is half as much each time, and where deletions have taken
    /// effect, twice as much.
    async fn overdue(&self, mailbox: &Mailbox, past: &Past) -> Result<Vec<(u32, Deletion)>, Failure> {
        let leave_copy = self.account.settings.leave_copy;
        if leave_copy == LeaveCopy::Forever || self.is_replaced() {
            return Ok(Vec::new());
        }
        let ledger = &self.context.ledger;
        let mut overdue =
            ledger.overdue_deletions(&self.account.name, leave_copy, AT_MOST, self.now()).await?;
        overdue.retain(|deletion| !self.announced.contains(deletion.id));
        let cut = past.deletions_cut.saturating_add_signed(self.deletions_cut);
        overdue.truncate((overdue.len() >> cut.saturating_sub(FORGIVEN).min(MOST_HALVINGS)).max(1));
        let wanted: Vec<_> =
            overdue.iter().map(|deletion| (deletion.id, &deletion.uidl, deletion.size)).collect();
        let numbers = Numbers::of(&mailbox.listing, &mailbox.vague).take(&wanted);
        let listed = overdue.into_iter().zip(numbers);
        Ok(listed.filter_map(|(deletion, number)| Some((number?, deletion))).collect())
    }

    /// Looks at as many as there is time for.
    async fn compare(
        &mut self,
        session: &mut Session,
        listed: &[(u32, Deletion)],
        compared: &mut Compared,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let together = |one: &(u32, Deletion), next: &(u32, Deletion)| !one.1.alone && !next.1.alone;
        for some in listed.chunk_by(together).flat_map(|some| some.chunks(AT_A_TIME)) {
            // What is due may have been refused for now, and TOP is answered all the same.
            if self.is_ending() || session.shows_no_headers() || began.elapsed() >= PORTION_TIME {
                break;
            }
            for (number, deletion) in compared.headers(session, some).await? {
                if self.has_enough(session, began) {
                    break;
                }
                self.compare_whole(session, *number, deletion, compared).await?;
            }
            // As long as those come that were asked for in vain before, so may the next.
            let again = some.iter().filter(|(_, deletion)| deletion.was_not_shown);
            if again.map(|(_, deletion)| deletion.id).any(|id| compared.not_shown.contains(&id)) {
                break;
            }
        }
        Ok(())
    }

    async fn compare_whole(
        &mut self,
        session: &mut Session,
        number: u32,
        deletion: &Deletion,
        compared: &mut Compared,
    ) -> Result<(), Failure> {
        let account = &self.account;
        // It would end the session, and with it all deletions.
        if deletion.size.is_some_and(|size| size > account.pop3.max_size) {
            debug!(account = %account.name, number, "too large to be compared, so it stays");
            compared.too_large.push(deletion.id);
            return Ok(());
        }
        let mut outcome = session.retrieve(&[number], &self.context.spool).await;
        let came = outcome.messages.pop();
        if let Some((_, Retrieval::Message(message))) = &came {
            compared.anything = true;
            if deletion.is(message) {
                compared.same.push((deletion.id, number));
            } else {
                let new = self.context.ledger.mistaken(deletion.id, &self.ask.routes, self.now()).await?;
                self.handled.push((new, number));
            }
        } else {
            debug!(account = %account.name, number, "cannot be compared, so it stays");
            // Behind a refusal a server may hang up, whoever is asked for next.
            if came.is_some() || outcome.error.is_some() && !compared.was_refused {
                compared.not_shown.push(deletion.id);
            }
        }
        compared.was_refused = matches!(came, Some((_, Retrieval::Refused(_))));
        match outcome.error {
            None => Ok(()),
            // Nothing is parked here, so a new session would end here, too.
            Some(pop3::Error::MessageTooLarge) => {
                Err(pop3::Error::Closed { during: "comparing a message larger than `max_size`" }.into())
            }
            Some(error) => Err(error.into()),
        }
    }

    /// Deletes messages by their numbers in this session. That a deletion took effect is believed when the next
    /// listing does not show the message any more.
    pub(super) async fn delete(
        &mut self,
        session: &mut Session,
        messages: &[(MessageId, u32)],
    ) -> Result<(), Failure> {
        // Perhaps they are to stay now: the next poll knows.
        if messages.is_empty() || self.is_replaced() {
            return Ok(());
        }
        let (ids, numbers): (Vec<MessageId>, Vec<u32>) = messages.iter().copied().unzip();
        self.context.ledger.deleting(&ids, self.now()).await?;
        self.announced.extend(ids.iter().copied());
        let deleted = session.delete(&numbers).await?;
        self.summary.deleted += deleted.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        Ok(())
    }
}

/// What a session shows of the messages that may go.
#[derive(Default)]
struct Compared {
    /// They are what they were, and go.
    same: Vec<(MessageId, u32)>,
    /// They did not come, or it was at them that the session ended.
    not_shown: Vec<MessageId>,
    /// They are not asked for.
    too_large: Vec<MessageId>,
    /// It ended at one of these.
    suspects: Vec<MessageId>,
    /// The last RETR was refused.
    was_refused: bool,
    /// The server has shown anything of any of them.
    anything: bool,
}

impl Compared {
    /// Finds those whose header is as it was and says enough, and returns those that need a closer look. What the server is
    /// not asked for, as it hands out nothing now, is left for another session.
    async fn headers<'l>(
        &mut self,
        session: &mut Session,
        listed: &'l [(u32, Deletion)],
    ) -> Result<Vec<&'l (u32, Deletion)>, pop3::Error> {
        if !session.capabilities().top {
            return Ok(listed.iter().collect());
        }
        let numbers: Vec<u32> = listed.iter().map(|(number, _)| *number).collect();
        let Headers { seen, asked, error } = session.headers(&numbers, header_digest).await;
        if let Some(error) = error {
            let at_fault = match seen.last() {
                // Behind such a refusal it hangs up, whoever is asked for next.
                Some(Err(refused)) if refused.is_passing() => seen.len() - 1..seen.len(),
                Some(Err(_)) => seen.len() - 1..asked,
                _ => seen.len()..asked,
            };
            self.blame(listed.get(at_fault).unwrap_or_default());
            return Err(error);
        }
        self.anything |= seen.iter().any(Result::is_ok);
        let mut doubtful = Vec::new();
        for (one, header) in listed.iter().zip(seen) {
            let (number, deletion) = one;
            match header {
                Ok(header) if header == deletion.header && !deletion.has_namesake => {
                    self.same.push((deletion.id, *number));
                }
                _ => doubtful.push(one),
            }
        }
        Ok(doubtful)
    }

    /// What a server had still to send is lost with the connection, so that it may have been at any that it was asked for.
    fn blame(&mut self, listed: &[(u32, Deletion)]) {
        match listed {
            [(_, one)] => self.not_shown.push(one.id),
            several => self.suspects.extend(several.iter().map(|(_, deletion)| deletion.id)),
        }
    }
}
