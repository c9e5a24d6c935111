//! Of messages with one Message-ID Gmail keeps the first, and shows it wherever another one is stored. For the same message
//! that came two ways that is right. A different one would be lost, were it deleted at its source.

use super::super::identity::{FIELDS, identity};
use super::ImapFolder;
use crate::imap::{Error, Fate, Mailbox, Session, Uid};
use crate::message::{ARCHIVE, Outgoing, ends_header};

/// What a folder has with the Message-ID of a message.
enum Kept {
    /// The same message, at this UID.
    Same(u32),
    Another,
    Nothing,
}

impl ImapFolder {
    /// Reads back what Gmail has just said it stored: it may have told a UID and thrown the message away. Where it keeps the same
    /// message, that one's UID is told; where it keeps another one, this one was not delivered; and where it shows neither, its
    /// OK is believed.
    pub async fn tell_merged(
        &self,
        session: &mut Session,
        mailbox: &Mailbox,
        batch: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        if !session.capabilities().gmail || !fates.iter().any(is_stored) {
            return Ok(());
        }
        let uid_validity = session.examine(mailbox).await?.uid_validity;
        let mut unseen = Vec::new();
        for n in misplaced(session, batch, fates).await? {
            match kept(session, &batch[n]).await? {
                Kept::Same(uid) => fates[n] = Fate::Stored(Some(Uid { uid_validity, uid })),
                Kept::Another => fates[n] = Fate::Merged,
                Kept::Nothing => unseen.push(n),
            }
        }
        session.close().await?;
        if unseen.is_empty() {
            return Ok(());
        }
        // What shows in no inbox any more, as a rule of its reader's has moved it, is among all mail.
        let all_mail = self.mailbox(session, ARCHIVE).await?;
        session.examine(&all_mail).await?;
        for n in unseen {
            if let Kept::Another = kept(session, &batch[n]).await? {
                fates[n] = Fate::Merged;
            }
        }
        session.close().await
    }
}

/// The places of those that are not where they were said to be, or are others there.
async fn misplaced(session: &mut Session, batch: &[Outgoing], fates: &[Fate]) -> Result<Vec<usize>, Error> {
    let told: Vec<u32> = fates.iter().filter_map(uid_of).collect();
    let there = session.headers(&told, FIELDS, identity).await?;
    let mut misplaced = Vec::new();
    for (n, outgoing) in batch.iter().enumerate() {
        let head = outgoing.message.head();
        // Of a header without an end the fields that tell may be beyond what is at hand.
        if !is_stored(&fates[n]) || !ends_header(head) && outgoing.message.bytes().is_none() {
            continue;
        }
        let is_there = match (identity(head), uid_of(&fates[n])) {
            (Some(ours), Some(uid)) => there.get(&uid) == Some(&Some(ours)),
            (None, Some(uid)) if there.contains_key(&uid) => {
                !same_bytes(session, outgoing, &[uid]).await?.is_empty()
            }
            _ => false,
        };
        if !is_there {
            misplaced.push(n);
        }
    }
    Ok(misplaced)
}

/// What the open folder has with the Message-ID of this message.
async fn kept(session: &mut Session, outgoing: &Outgoing) -> Result<Kept, Error> {
    let Some(message_id) = &outgoing.mark.message_id else { return Ok(Kept::Nothing) };
    let uids = session.uids_of(message_id).await?;
    if uids.is_empty() {
        return Ok(Kept::Nothing);
    }
    let same = match identity(outgoing.message.head()) {
        Some(ours) => {
            let there = session.headers(&uids, FIELDS, |header| identity(header) == Some(ours)).await?;
            there.into_iter().filter(|(_, is_same)| *is_same).map(|(uid, _)| uid).max()
        }
        None => same_bytes(session, outgoing, &uids).await?.into_iter().max(),
    };
    Ok(same.map_or(Kept::Another, Kept::Same))
}

async fn same_bytes(session: &mut Session, outgoing: &Outgoing, uids: &[u32]) -> Result<Vec<u32>, Error> {
    let wanted: Vec<(u32, u64)> = uids.iter().map(|uid| (*uid, outgoing.mark.octets)).collect();
    let hashes = session.hashes(&wanted).await?;
    Ok(hashes.into_iter().filter(|(_, hash)| *hash == outgoing.mark.hash).map(|(uid, _)| uid).collect())
}

fn is_stored(fate: &Fate) -> bool {
    matches!(fate, Fate::Stored(_))
}

/// The UID of what is stored, where it is known.
pub fn uid_of(fate: &Fate) -> Option<u32> {
    match fate {
        Fate::Stored(uid) => uid.map(|uid| uid.uid),
        Fate::Waiting | Fate::Sent | Fate::Refused(_) | Fate::Merged => None,
    }
}
