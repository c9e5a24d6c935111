//! Of messages with one Message-ID Gmail keeps the first, and shows it wherever another one is stored. For the same message
//! that came two ways that is right. A different one would be lost, were it deleted at its source.

use std::collections::HashSet;

use super::super::identity::{FIELDS, body, identity, measure};
use super::ImapFolder;
use crate::imap::{Error, Fate, Mailbox, Session, Uid};
use crate::message::{ARCHIVE, Mark, Message, Outgoing, ends_header};

/// What a folder has with the Message-ID of a message.
enum Kept {
    /// The same message, at this UID.
    Same(u32),
    /// One with the same header, and another body.
    Alike(u32),
    Another,
    Nothing,
    /// It cannot be asked.
    CannotSay,
}

impl ImapFolder {
    /// Reads back what Gmail has just said it stored: it may have told a UID and thrown the message away. Where it
    /// keeps the same message, that one's UID is told; where it keeps another one, this one was not delivered; and
    /// where it shows neither, its OK is believed, unless it could not be asked.
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
            let kept = match kept_of_batch(batch, fates, n).await? {
                Some(kept) => kept,
                None => kept(session, &batch[n]).await?,
            };
            match kept {
                Kept::Same(uid) => fates[n] = Fate::Stored(Some(Uid { uid_validity, uid })),
                Kept::Alike(uid) => fates[n] = Fate::Alike(Some(Uid { uid_validity, uid })),
                Kept::Another => fates[n] = Fate::Merged,
                Kept::CannotSay => fates[n] = Fate::Unseen,
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
            match kept(session, &batch[n]).await? {
                Kept::Another => fates[n] = Fate::Merged,
                Kept::Alike(_) => fates[n] = Fate::Alike(None),
                Kept::Same(_) | Kept::Nothing | Kept::CannotSay => {}
            }
        }
        session.close().await
    }
}

/// The places of those that are not where they were said to be, or are others there.
async fn misplaced(session: &mut Session, batch: &[Outgoing], fates: &[Fate]) -> Result<Vec<usize>, Error> {
    let told: Vec<u32> = fates.iter().filter_map(uid_of).collect();
    let there = session.headers(&told, FIELDS, identity).await?;
    let (mut misplaced, mut taken) = (Vec::new(), HashSet::new());
    for (n, outgoing) in batch.iter().enumerate() {
        let head = outgoing.message.head();
        // Of a header without an end the fields that tell may be beyond what is at hand.
        if !is_stored(&fates[n]) || !ends_header(head) && outgoing.message.bytes().is_none() {
            continue;
        }
        // What was there before, or is another's of this batch, is not this one, however alike they are.
        let uid = uid_of(&fates[n]).filter(|uid| is_new(&fates[n], &outgoing.mark) && taken.insert(*uid));
        let is_there = match (identity(head), uid) {
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

fn is_new(fate: &Fate, mark: &Mark) -> bool {
    let Fate::Stored(Some(Uid { uid_validity, uid })) = fate else { return false };
    *uid_validity != mark.uid_validity || *uid >= mark.uid_next
}

/// What is kept of those with this Message-ID where another one of the batch was first: that needs no server, nor a
/// Message-ID that one can be asked for.
async fn kept_of_batch(batch: &[Outgoing], fates: &[Fate], n: usize) -> Result<Option<Kept>, Error> {
    let message_id = |message: &Message| message.field("Message-ID").filter(|id| !id.is_empty());
    let Some(ours) = message_id(&batch[n].message) else { return Ok(None) };
    let mut before = batch.iter().zip(fates).take(n);
    let first =
        before.find(|(one, fate)| is_stored(fate) && message_id(&one.message).as_ref() == Some(&ours));
    let Some((first, uid)) = first.and_then(|(first, fate)| Some((first, uid_of(fate)?))) else {
        return Ok(None);
    };
    if first.mark.hash == batch[n].mark.hash {
        return Ok(Some(Kept::Same(uid)));
    }
    let (first, this) = (&first.message, &batch[n].message);
    let same_header = identity(this.head()).is_some_and(|ours| identity(first.head()) == Some(ours));
    if !same_header {
        return Ok(Some(Kept::Another));
    }
    let bodies = (measure(body(first)).await, measure(body(this)).await);
    let same_body = bodies.0.map_err(Error::Source)? == bodies.1.map_err(Error::Source)?;
    Ok(Some(if same_body { Kept::Same(uid) } else { Kept::Alike(uid) }))
}

/// What the open folder has with the Message-ID of this message.
async fn kept(session: &mut Session, outgoing: &Outgoing) -> Result<Kept, Error> {
    let Outgoing { message, mark, .. } = outgoing;
    // What bears none is never put together with another one.
    if message.field("Message-ID").is_none_or(|id| id.is_empty()) {
        return Ok(Kept::Nothing);
    }
    let Some(message_id) = &mark.message_id else { return Ok(Kept::CannotSay) };
    let Some(uids) = session.uids_of(message_id).await? else { return Ok(Kept::CannotSay) };
    if uids.is_empty() {
        return Ok(Kept::Nothing);
    }
    let Some(ours) = identity(message.head()) else {
        let same = same_bytes(session, outgoing, &uids).await?;
        return Ok(same.into_iter().max().map_or(Kept::Another, Kept::Same));
    };
    let there = session.headers(&uids, FIELDS, |header| identity(header) == Some(ours)).await?;
    let mut alike: Vec<u32> = there.into_iter().filter(|(_, is_same)| *is_same).map(|(uid, _)| uid).collect();
    alike.sort_unstable_by_key(|uid| std::cmp::Reverse(*uid));
    let (octets, hash) = measure(body(message)).await.map_err(Error::Source)?;
    for uid in &alike {
        if session.body_hash(*uid, octets).await? == Some(hash) {
            return Ok(Kept::Same(*uid));
        }
    }
    Ok(alike.first().map_or(Kept::Another, |uid| Kept::Alike(*uid)))
}

async fn same_bytes(session: &mut Session, outgoing: &Outgoing, uids: &[u32]) -> Result<Vec<u32>, Error> {
    let wanted: Vec<(u32, u64)> = uids.iter().map(|uid| (*uid, outgoing.mark.octets)).collect();
    let hashes = session.hashes(&wanted).await?;
    Ok(hashes.into_iter().filter(|(_, hash)| *hash == outgoing.mark.hash).map(|(uid, _)| uid).collect())
}

fn is_stored(fate: &Fate) -> bool {
    matches!(fate, Fate::Stored(_))
}

/// The UID of what is stored, or of what is kept in its place, where it is known.
pub fn uid_of(fate: &Fate) -> Option<u32> {
    match fate {
        Fate::Stored(uid) | Fate::Alike(uid) => uid.map(|uid| uid.uid),
        Fate::Waiting | Fate::Sent | Fate::Refused(_) | Fate::Merged | Fate::Unseen => None,
    }
}
