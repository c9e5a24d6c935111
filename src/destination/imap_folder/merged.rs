//! Of messages with one Message-ID Gmail keeps the first, and shows it wherever another one is stored. For the same message
//! that came two ways that is right. A different one would be lost, were it deleted at its source.

use super::super::identity::{FIELDS, Identity, identity};
use super::ImapFolder;
use crate::imap::{Error, Fate, Mailbox, Session, Uid};
use crate::message::Outgoing;

impl ImapFolder {
    /// Reads back what Gmail has just said it stored: it may have told a UID and thrown the message away. Where it keeps the same
    /// message, that one's UID is told; where it keeps another one, this one was not delivered.
    pub async fn tell_merged(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        batch: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let is_stored = |fate: &Fate| matches!(fate, Fate::Stored(_));
        if !session.capabilities().gmail || !fates.iter().any(is_stored) {
            return Ok(());
        }
        let uid_validity = session.examine(mailbox).await?.uid_validity;
        let told: Vec<u32> = fates.iter().filter_map(uid_of).collect();
        let kept = session.headers(&told, &FIELDS.join(" "), identity).await?;
        for (outgoing, fate) in batch.iter().zip(fates).filter(|(_, fate)| is_stored(fate)) {
            let ours = identity(outgoing.message.head());
            if uid_of(fate).is_none_or(|uid| kept.get(&uid) != Some(&ours)) {
                *fate = kept_instead(session, uid_validity, outgoing, &ours).await?;
            }
        }
        session.close().await
    }
}

/// What became of a message that is not where it was said to be.
async fn kept_instead(
    session: &mut Session,
    uid_validity: u32,
    outgoing: &Outgoing,
    ours: &Identity,
) -> Result<Fate, Error> {
    let Some(message_id) = &outgoing.mark.message_id else { return Ok(Fate::Sent) };
    let uids = session.uids_of(message_id).await?;
    let kept = session.headers(&uids, &FIELDS.join(" "), identity).await?;
    let same = kept.iter().filter(|(_, kept)| *kept == ours).map(|(&uid, _)| uid).max();
    Ok(match same {
        Some(uid) => Fate::Stored(Some(Uid { uid_validity, uid })),
        None if kept.is_empty() => Fate::Sent,
        None => Fate::Merged,
    })
}

/// The UID of what is stored, where it is known.
pub fn uid_of(fate: &Fate) -> Option<u32> {
    match fate {
        Fate::Stored(uid) => uid.map(|uid| uid.uid),
        Fate::Waiting | Fate::Sent | Fate::Refused(_) | Fate::Merged => None,
    }
}
