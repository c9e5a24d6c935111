//! Was it stored long ago? Asked where the ledger may have lost a delivery: it is new, restored or damaged.

use std::collections::{HashMap, HashSet};

use tokio::sync::Mutex;

use super::look_up::{by_folder, found, open, start_of};
use super::{ImapFolder, message_id};
use crate::imap::{Error, Examined, Mailbox, Session};
use crate::message::{Found, Mark};

/// What is known of the folders' pasts, by folder: kept as long as the destination, shared by all accounts.
#[derive(Debug, Default)]
pub struct Pasts(Mutex<HashMap<String, Past>>);

/// What a folder held when it was first asked for its past.
#[derive(Debug, Default)]
struct Past {
    uid_validity: u32,
    /// Every message with a UID from here ..
    from: u32,
    /// .. to here; `None` until it has been asked.
    to: Option<u32>,
    /// Size and UID, in this order.
    rows: Vec<(u64, u32)>,
    message_ids: HashMap<u32, Option<String>>,
    /// Of the bodies that have been read; `None` where a body is not as long as its size says.
    hashes: HashMap<u32, Option<[u8; 32]>>,
    given: HashSet<u32>,
}

impl ImapFolder {
    /// Looks for messages that may have been delivered in an unknown past: from a mark's `uid_next` on, or from
    /// the start if UIDVALIDITY has changed. By size, then Message-ID, then hash; each body is read at most
    /// once, and each UID given out once, in the life of this value. `taken` as in [`ImapFolder::look_up`].
    pub async fn look_for_past(&self, marks: &[Mark], taken: &[u32]) -> Vec<Found> {
        let mut answers = vec![Found::Absent; marks.len()];
        let mut pasts = self.past.0.lock().await;
        for (folder, ours) in by_folder(marks) {
            let theirs: Vec<&Mark> = ours.iter().map(|&n| &marks[n]).collect();
            let past = pasts.entry(folder.to_owned()).or_default();
            past.given.extend(taken);
            let found = self.look_into(past, folder, &theirs).await;
            for (n, found) in ours.into_iter().zip(self.answers(found, theirs.len())) {
                answers[n] = found;
            }
        }
        answers
    }

    async fn look_into(&self, past: &mut Past, folder: &str, marks: &[&Mark]) -> Result<Vec<Found>, Error> {
        if past.covers(marks) && past.candidates(marks).is_empty() {
            return Ok(vec![Found::Absent; marks.len()]);
        }
        let mut lease = self.lease().await?;
        let mailbox = self.mailbox(&mut lease.session, folder).await?;
        let found = past.find(&mut lease.session, &mailbox, marks).await?;
        self.keep(lease);
        Ok(found)
    }
}

impl Past {
    /// Whether the index is there, and reaches back far enough.
    fn covers(&self, marks: &[&Mark]) -> bool {
        self.to.is_some() && self.from <= self.start(marks)
    }

    fn start(&self, marks: &[&Mark]) -> u32 {
        marks.iter().map(|mark| start_of(mark, self.uid_validity)).min().unwrap_or(1)
    }

    async fn find(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
        marks: &[&Mark],
    ) -> Result<Vec<Found>, Error> {
        let Some(folder) = open(session, mailbox).await? else {
            return Ok(vec![Found::Absent; marks.len()]);
        };
        if folder.uid_validity != self.uid_validity {
            *self = Past { uid_validity: folder.uid_validity, ..Past::default() };
        }
        if !self.covers(marks) {
            self.index(session, &folder, self.start(marks)).await?;
        }
        self.learn_message_ids(session, marks).await?;
        self.learn_hashes(session, marks).await?;
        session.close().await?;
        Ok(marks.iter().map(|mark| found(self.uid_validity, self.give(mark))).collect())
    }

    async fn index(&mut self, session: &mut Session, folder: &Examined, from: u32) -> Result<(), Error> {
        let mut rows = session.sizes(folder, from).await?;
        // What was stored since the first time is no past.
        rows.retain(|(uid, _)| self.to.is_none_or(|to| *uid <= to));
        let last = rows.iter().map(|(uid, _)| *uid).max();
        self.to = self.to.or(last).or(Some(from.saturating_sub(1)));
        self.from = from;
        self.rows = rows.into_iter().map(|(uid, size)| (size, uid)).collect();
        self.rows.sort_unstable();
        Ok(())
    }

    /// The UIDs that a mark's message can have, by size, and by Message-ID as far as that is known.
    fn candidates_of(&self, mark: &Mark) -> impl Iterator<Item = u32> {
        let start = start_of(mark, self.uid_validity);
        let first = self.rows.partition_point(|row| *row < (mark.octets, start));
        let same_size = self.rows[first..].iter().take_while(|(size, _)| *size == mark.octets);
        same_size.map(|(_, uid)| *uid).filter(|uid| {
            let same_id = self.message_ids.get(uid).is_none_or(|message_id| *message_id == mark.message_id);
            same_id && !self.given.contains(uid)
        })
    }

    fn candidates(&self, marks: &[&Mark]) -> Vec<(u32, u64)> {
        let of = |mark: &&Mark| self.candidates_of(mark).map(|uid| (uid, mark.octets)).collect::<Vec<_>>();
        let mut candidates: Vec<(u32, u64)> = marks.iter().flat_map(of).collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    async fn learn_message_ids(&mut self, session: &mut Session, marks: &[&Mark]) -> Result<(), Error> {
        let candidates = self.candidates(marks).into_iter().map(|(uid, _)| uid);
        let unknown: Vec<u32> = candidates.filter(|uid| !self.message_ids.contains_key(uid)).collect();
        let headers = session.message_ids(&unknown).await?;
        for uid in unknown {
            self.message_ids.insert(uid, headers.get(&uid).and_then(|header| message_id(header)));
        }
        Ok(())
    }

    async fn learn_hashes(&mut self, session: &mut Session, marks: &[&Mark]) -> Result<(), Error> {
        let candidates = self.candidates(marks).into_iter();
        let unknown: Vec<(u32, u64)> = candidates.filter(|(uid, _)| !self.hashes.contains_key(uid)).collect();
        let hashes = session.hashes(&unknown).await?;
        self.hashes.extend(unknown.iter().map(|(uid, _)| (*uid, hashes.get(uid).copied())));
        Ok(())
    }

    fn give(&mut self, mark: &Mark) -> Option<u32> {
        let uid = self.candidates_of(mark).find(|uid| self.hashes.get(uid) == Some(&Some(mark.hash)))?;
        self.given.insert(uid);
        Some(uid)
    }
}
