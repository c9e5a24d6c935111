//! Of messages with one Message-ID Gmail keeps the first, and shows it wherever another one is stored. For the same message
//! that came two ways that is right. A different one would be lost, were it deleted at its source.

use super::ImapFolder;
use crate::imap::{Error, Fate, Mailbox, Session, Uid};
use crate::message::{Mark, Outgoing, field};

/// What tells two messages apart that bear one Message-ID. What they passed through on their way does not.
const FIELDS: [&str; 3] = ["Date", "From", "Subject"];

/// A header's [`FIELDS`], as they stand there.
type Identity = [Option<Vec<u8>>; FIELDS.len()];

fn identity(header: &[u8]) -> Identity {
    FIELDS.map(|name| field(header, name))
}

impl ImapFolder {
    /// Finds what Gmail keeps in the place of messages that it has just said it stored: the same message, by its UID, or
    /// another one, and then this one was not delivered.
    pub async fn tell_merged(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        batch: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        if !session.capabilities().gmail {
            return Ok(());
        }
        let suspects: Vec<usize> = (0..batch.len()).filter(|&n| is_old(&fates[n], &batch[n].mark)).collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let uid_validity = session.examine(mailbox).await?.uid_validity;
        for n in suspects {
            let Some(message_id) = &batch[n].mark.message_id else { continue };
            let uids = session.uids_of(message_id).await?;
            let kept = session.headers(&uids, &FIELDS.join(" "), identity).await?;
            let ours = identity(batch[n].message.head());
            let same = kept.iter().filter(|(_, kept)| **kept == ours).map(|(&uid, _)| uid).max();
            match (same, kept.is_empty()) {
                (Some(uid), _) => fates[n] = Fate::Stored(Some(Uid { uid_validity, uid })),
                (None, false) => fates[n] = Fate::Merged,
                // It is not shown yet.
                (None, true) => {}
            }
        }
        session.close().await
    }
}

/// Stored, but as no new message: without a UID, or with one that was given out before the attempt.
fn is_old(fate: &Fate, mark: &Mark) -> bool {
    match fate {
        Fate::Stored(Some(Uid { uid_validity, uid })) => {
            *uid_validity == mark.uid_validity && *uid < mark.uid_next
        }
        Fate::Stored(None) => true,
        Fate::Waiting | Fate::Sent | Fate::Refused(_) | Fate::Merged => false,
    }
}
