//! Deleting at the source: only what the ledger lets go, and only after a look at the bytes.

use tracing::debug;

use crate::ledger::{Deletion, MessageId};
use crate::message::{LeaveCopy, Message, header_digest};
use crate::pop3::{self, Retrieval, Session};

use super::batch::Numbers;
use super::{Failure, Mailbox, Poll};

/// Most overdue deletions in one session.
const AT_A_TIME: usize = 5000;

impl Poll<'_> {
    /// Deletes what was kept long enough, or what an earlier session could not delete any more.
    ///
    /// These messages were not retrieved in this session, so the server first shows that they still are what the
    /// ledger thinks: by their header, or, failing that, by all their bytes.
    pub(super) async fn delete_overdue(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
    ) -> Result<(), Failure> {
        let leave_copy = self.account.settings.leave_copy;
        if leave_copy == LeaveCopy::Forever || self.is_replaced() {
            return Ok(());
        }
        let ledger = &self.context.ledger;
        let overdue = ledger.overdue_deletions(&self.account.name, leave_copy, AT_A_TIME, self.now()).await?;
        let overdue: Vec<Deletion> =
            overdue.into_iter().filter(|deletion| !self.announced.contains(deletion.id)).collect();
        if overdue.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> =
            overdue.iter().map(|deletion| (deletion.id, &deletion.uidl, deletion.size)).collect();
        let numbers = Numbers::of(&mailbox.listing, &mailbox.vague).take(&wanted);
        let listed = overdue.into_iter().zip(numbers);
        let listed = listed.filter_map(|(deletion, number)| Some((number?, deletion)));
        let (mut same, doubtful) = compare_headers(session, listed.collect()).await?;
        let max_size = self.account.pop3.max_size;
        let mut refused = Vec::new();
        for (number, deletion) in doubtful {
            if session.hands_out_nothing() {
                break;
            }
            // It would end the session, and with it all deletions.
            if deletion.size.is_some_and(|size| size > max_size) {
                debug!(account = %self.account.name, number, "too large to be compared, so it stays");
                continue;
            }
            match self.retrieve_one(session, number).await? {
                Some(message) if deletion.is(&message) => same.push((deletion.id, number)),
                Some(_) => {
                    let new = ledger.mistaken(deletion.id, &self.ask.routes, self.now()).await?;
                    self.handled.push((new, number));
                }
                None => {
                    debug!(account = %self.account.name, number, "cannot be compared, so it stays");
                    refused.push(deletion.id);
                }
            }
        }
        if !refused.is_empty() {
            ledger.not_handed_out(&refused).await?;
        }
        self.handled.extend(&same);
        self.delete(session, &same).await
    }

    async fn retrieve_one(&self, session: &mut Session, number: u32) -> Result<Option<Message>, Failure> {
        let mut outcome = session.retrieve(&[number], &self.context.spool).await;
        match (outcome.messages.pop(), outcome.error) {
            (Some((_, Retrieval::Message(message))), _) => Ok(Some(message)),
            // Nothing is parked here, so a new session would end here, too.
            (_, Some(pop3::Error::MessageTooLarge)) => {
                Err(pop3::Error::Closed { during: "comparing a message larger than `max_size`" }.into())
            }
            (_, Some(error)) => Err(error.into()),
            _ => Ok(None),
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

/// Splits into those whose header is as it was and says enough, and those that need a closer look.
async fn compare_headers(
    session: &mut Session,
    listed: Vec<(u32, Deletion)>,
) -> Result<(Vec<(MessageId, u32)>, Vec<(u32, Deletion)>), Failure> {
    if !session.capabilities().top {
        return Ok((Vec::new(), listed));
    }
    let (mut same, mut doubtful) = (Vec::new(), Vec::new());
    let numbers: Vec<u32> = listed.iter().map(|(number, _)| *number).collect();
    let headers = session.top(&numbers, header_digest).await?;
    for ((number, deletion), header) in listed.into_iter().zip(headers) {
        match header {
            Ok(header) if header == deletion.header && !deletion.has_namesake => {
                same.push((deletion.id, number));
            }
            _ => doubtful.push((number, deletion)),
        }
    }
    Ok((same, doubtful))
}
