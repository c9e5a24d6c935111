//! Was it stored long ago? Asked where the ledger may have lost a delivery: it is new, restored or damaged.

use std::collections::{HashMap, HashSet};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::identity::message_id;
use super::ImapFolder;
use super::look_up::{answers, by_folder, found, open, start_of};
use crate::imap::{Error, Examined, FolderState, Mailbox, Session};
use crate::message::{Found, Sought};

/// What is known of the folders' pasts, by folder: kept as long as the destination, shared by all accounts.
#[derive(Debug, Default)]
pub struct Pasts(Mutex<HashMap<String, Past>>);

/// What a folder held when it was first asked for its past.
#[derive(Debug, Default)]
struct Past {
    uid_validity: u32,
    /// Every message with a UID from here ..
    from: u32,
    /// .. to here, the last UID when the folder was first opened: what comes later is no past. `None` until then.
    to: Option<u32>,
    /// UIDs by size, of the messages whose Message-ID has not been asked for.
    sized: HashMap<u64, Vec<u32>>,
    /// UIDs by size and Message-ID, of the others.
    named: HashMap<(u64, Option<String>), Vec<u32>>,
    /// Of the bodies that have been read; `None` where a body is not as long as its size says.
    hashes: HashMap<u32, Option<[u8; 32]>>,
    given: HashSet<u32>,
}

impl ImapFolder {
    /// Looks for messages that may have been delivered in an unknown past: from a mark's `uid_next` on, or from
    /// the start if UIDVALIDITY has changed. By size, then Message-ID, then hash; each body is read at most
    /// once, and each UID given out once, in the life of this value. `taken` as in [`ImapFolder::look_up`].
    ///
    /// Where the folder has equal messages of ours under UIDs that nobody knows, there must be one more than theirs.
    pub async fn look_for_past(&self, sought: &[Sought], taken: &[u32]) -> Vec<Found> {
        let asked = Instant::now();
        let mut found_all = vec![Found::Absent; sought.len()];
        let mut pasts = self.past.0.lock().await;
        for (folder, ours) in by_folder(sought.iter().map(|one| &one.mark)) {
            let theirs: Vec<&Sought> = ours.iter().map(|&n| &sought[n]).collect();
            let past = pasts.entry(folder.to_owned()).or_default();
            for (n, found) in ours.iter().zip(self.look_into(past, folder, &theirs, taken, asked).await) {
                found_all[*n] = found;
            }
        }
        found_all
    }

    async fn look_into(
        &self,
        past: &mut Past,
        folder: &str,
        sought: &[&Sought],
        taken: &[u32],
        asked: Instant,
    ) -> Vec<Found> {
        past.given.extend(taken);
        if past.covers(sought) && !past.may_hold(sought) {
            return vec![Found::Absent; sought.len()];
        }
        let mut lease = match self.sessions.lease(asked).await {
            Ok(lease) => lease,
            Err(verdict) => return vec![Found::Unreachable { reason: verdict.into_reason() }; sought.len()],
        };
        let found = async {
            let mailbox = self.mailbox(&mut lease.session, folder).await?;
            past.find(&mut lease.session, &mailbox, sought, taken).await
        };
        let found = found.await.map_err(|fault| self.sessions.verdict_of(&fault));
        if found.is_ok() {
            self.sessions.keep(lease);
        }
        answers(found, sought.len())
    }
}

impl Pasts {
    /// A folder's state was learnt. What it held when that happened first is its past.
    pub async fn begin(&self, folder: &str, state: FolderState) {
        let mut pasts = self.0.lock().await;
        let past = pasts.entry(folder.to_owned()).or_default();
        if past.to.is_none() {
            let FolderState { uid_validity, uid_next } = state;
            (past.uid_validity, past.from, past.to) =
                (uid_validity, uid_next, Some(uid_next.saturating_sub(1)));
        }
    }
}

impl Past {
    /// Whether the index is there, and reaches back far enough.
    fn covers(&self, sought: &[&Sought]) -> bool {
        self.to.is_some() && self.from <= self.start(sought)
    }

    fn start(&self, sought: &[&Sought]) -> u32 {
        sought.iter().map(|one| self.start_of(one)).min().unwrap_or(1)
    }

    fn start_of(&self, sought: &Sought) -> u32 {
        let start = start_of(&sought.mark, self.uid_validity);
        sought.twins.iter().copied().fold(start, u32::min)
    }

    /// Whether it is worth a round trip.
    fn may_hold(&self, sought: &[&Sought]) -> bool {
        let may_hold = |one: &&Sought| {
            self.sized.contains_key(&one.mark.octets) || self.candidates(one).next().is_some()
        };
        sought.iter().any(may_hold)
    }

    async fn find(
        &mut self,
        session: &mut Session,
        mailbox: &Mailbox,
        sought: &[&Sought],
        taken: &[u32],
    ) -> Result<Vec<Found>, Error> {
        let Some(folder) = open(session, mailbox).await? else {
            return Ok(vec![Found::Absent; sought.len()]);
        };
        if folder.uid_validity != self.uid_validity {
            let given = taken.iter().copied().collect();
            *self = Past { uid_validity: folder.uid_validity, given, ..Past::default() };
        }
        if !self.covers(sought) {
            self.index(session, &folder, self.start(sought)).await?;
        }
        self.learn_message_ids(session, sought).await?;
        self.learn_hashes(session, sought).await?;
        session.close().await?;
        Ok(sought.iter().map(|one| found(self.uid_validity, self.give(one))).collect())
    }

    async fn index(&mut self, session: &mut Session, folder: &Examined, from: u32) -> Result<(), Error> {
        let mut rows = session.sizes(folder, from).await?;
        rows.retain(|(uid, _)| self.to.is_none_or(|to| *uid <= to));
        let last = rows.iter().map(|(uid, _)| *uid).max();
        self.to = self.to.or(last).or(Some(from.saturating_sub(1)));
        self.from = from;
        (self.sized, self.named) = Default::default();
        for (uid, size) in rows {
            self.sized.entry(size).or_default().push(uid);
        }
        Ok(())
    }

    async fn learn_message_ids(&mut self, session: &mut Session, sought: &[&Sought]) -> Result<(), Error> {
        let sizes: HashSet<u64> = sought.iter().map(|one| one.mark.octets).collect();
        let uids: Vec<u32> =
            sizes.iter().filter_map(|size| self.sized.get(size)).flatten().copied().collect();
        // A connection that breaks here leaves the index as it is: what is not in it would count as absent.
        let mut message_ids = session.headers(&uids, "MESSAGE-ID", message_id).await?;
        for size in sizes {
            for uid in self.sized.remove(&size).unwrap_or_default() {
                self.named.entry((size, message_ids.remove(&uid).flatten())).or_default().push(uid);
            }
        }
        Ok(())
    }

    async fn learn_hashes(&mut self, session: &mut Session, sought: &[&Sought]) -> Result<(), Error> {
        let of = |one: &&Sought| self.candidates(one).map(|uid| (uid, one.mark.octets)).collect::<Vec<_>>();
        let mut unknown: Vec<(u32, u64)> = sought.iter().flat_map(of).collect();
        unknown.retain(|(uid, _)| !self.hashes.contains_key(uid));
        unknown.sort_unstable();
        unknown.dedup();
        let hashes = session.hashes(&unknown).await?;
        self.hashes.extend(unknown.iter().map(|(uid, _)| (*uid, hashes.get(uid).copied())));
        Ok(())
    }

    /// The UIDs that a message can have, by size and Message-ID.
    fn candidates(&self, sought: &Sought) -> impl Iterator<Item = u32> {
        let start = self.start_of(sought);
        let alike = self.named.get(&(sought.mark.octets, sought.mark.message_id.clone()));
        let alike = alike.map_or(&[] as &[u32], Vec::as_slice).iter().copied();
        alike.filter(move |uid| *uid >= start && !self.given.contains(uid))
    }

    /// The oldest of the copies that it can have, when its twins have theirs.
    fn give(&mut self, sought: &Sought) -> Option<u32> {
        let mark = &sought.mark;
        let same = |uid: &u32| self.hashes.get(uid) == Some(&Some(mark.hash));
        let mut copies: Vec<u32> = self.candidates(sought).filter(same).collect();
        copies.sort_unstable();
        let mut twins = sought.twins.clone();
        // As many of them as can have one: who is left the least choice chooses first.
        twins.sort_unstable_by(|one, other| other.cmp(one));
        for twin in twins {
            if let Some(theirs) = copies.iter().position(|uid| *uid >= twin) {
                copies.remove(theirs);
            }
        }
        let start = start_of(mark, self.uid_validity);
        let uid = copies.into_iter().find(|uid| *uid >= start)?;
        self.given.insert(uid);
        if let Some(alike) = self.named.get_mut(&(mark.octets, mark.message_id.clone())) {
            alike.retain(|other| *other != uid);
        }
        Some(uid)
    }
}
