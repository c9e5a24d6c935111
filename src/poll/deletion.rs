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
        let (mut same, mut refused) = (Vec::new(), Vec::new());
        let outcome = self.compare(session, listed.collect(), &mut same, &mut refused).await;
        // Also where the server hangs up behind a refusal: the next session begins with others.
        if !refused.is_empty() {
            ledger.not_handed_out(&refused).await?;
        }
        outcome?;
        self.handled.extend(&same);
        self.delete(session, &same).await
    }

    /// Finds those that are the same as they were, and those that the server does not hand out.
    async fn compare(
        &mut self,
        session: &mut Session,
        listed: Vec<(u32, Deletion)>,
        same: &mut Vec<(MessageId, u32)>,
        refused: &mut Vec<MessageId>,
    ) -> Result<(), Failure> {
        let doubtful = compare_headers(session, listed, same, refused).await?;
        let max_size = self.account.pop3.max_size;
        for (number, deletion) in doubtful {
            if session.hands_out_nothing() {
                break;
            }
            // It would end the session, and with it all deletions.
            if deletion.size.is_some_and(|size| size > max_size) {
                debug!(account = %self.account.name, number, "too large to be compared, so it stays");
                continue;
            }
            match self.retrieve_one(session, number).await {
                Ok(message) if deletion.is(&message) => same.push((deletion.id, number)),
                Ok(_) => {
                    let new = self.context.ledger.mistaken(deletion.id, &self.ask.routes, self.now()).await?;
                    self.handled.push((new, number));
                }
                Err(error) => {
                    debug!(account = %self.account.name, number, "cannot be compared, so it stays");
                    refused.push(deletion.id);
                    if let Some(error) = error {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// It does not come, and perhaps that was the end of the session.
    async fn retrieve_one(&self, session: &mut Session, number: u32) -> Result<Message, Option<pop3::Error>> {
        let mut outcome = session.retrieve(&[number], &self.context.spool).await;
        match (outcome.messages.pop(), outcome.error) {
            (Some((_, Retrieval::Message(message))), _) => Ok(message),
            // Nothing is parked here, so a new session would end here, too.
            (_, Some(pop3::Error::MessageTooLarge)) => {
                Err(Some(pop3::Error::Closed { during: "comparing a message larger than `max_size`" }))
            }
            (_, error) => Err(error),
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

/// Finds those whose header is as it was and says enough, and returns those that need a closer look. One at which the session
/// may have ended counts as refused.
async fn compare_headers(
    session: &mut Session,
    listed: Vec<(u32, Deletion)>,
    same: &mut Vec<(MessageId, u32)>,
    refused: &mut Vec<MessageId>,
) -> Result<Vec<(u32, Deletion)>, pop3::Error> {
    if !session.capabilities().top {
        return Ok(listed);
    }
    let numbers: Vec<u32> = listed.iter().map(|(number, _)| *number).collect();
    let mut headers = Vec::with_capacity(numbers.len());
    if let Err(error) = session.top_into(&mut headers, &numbers, header_digest).await {
        let at = if matches!(headers.last(), Some(Err(_))) { headers.len() - 1 } else { headers.len() };
        refused.extend(listed.get(at).map(|(_, deletion)| deletion.id));
        return Err(error);
    }
    let (mut headers, mut doubtful) = (headers.into_iter(), Vec::new());
    for (number, deletion) in listed {
        match headers.next() {
            Some(Ok(header)) if header == deletion.header && !deletion.has_namesake => {
                same.push((deletion.id, number));
            }
            _ => doubtful.push((number, deletion)),
        }
    }
    Ok(doubtful)
}
