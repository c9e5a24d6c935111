//! Was it stored? Asked after an attempt whose answer was lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::time::Instant;

use super::super::identity::message_id;
use super::ImapFolder;
use super::sessions::Lease;
use super::verdict::wants_folder;
use crate::imap::{Error, Examined, Mailbox, Session};
use crate::message::{Found, Mark, Receipt, Route, Verdict};

impl ImapFolder {
    /// Looks for the messages of `marks`, one answer for each in their order. All are of one folder; `taken` are
    /// the messages in it that are receipts of other deliveries, by UIDVALIDITY and UID: none is given out twice. What is
    /// found gets the labels of `route`, for its attempt may have ended before them.
    pub async fn look_up(&self, route: Option<&Route>, marks: &[Mark], taken: &[(u32, u32)]) -> Vec<Found> {
        let mut found_all = vec![Found::Absent; marks.len()];
        for (folder, ours) in by_folder(marks.iter()) {
            let theirs: Vec<&Mark> = ours.iter().map(|&n| &marks[n]).collect();
            for (n, found) in ours.iter().zip(self.look_in(route, folder, &theirs, taken).await) {
                found_all[*n] = found;
            }
        }
        found_all
    }

    async fn look_in(
        &self,
        route: Option<&Route>,
        folder: &str,
        marks: &[&Mark],
        taken: &[(u32, u32)],
    ) -> Vec<Found> {
        match self.sessions.lease(Instant::now()).await {
            Ok(lease) => {
                let found = self.look_with(lease, route, folder, marks, taken).await;
                answers(found.map_err(|fault| self.sessions.verdict_of(&fault)), marks.len())
            }
            Err(verdict) => vec![Found::Unreachable { reason: verdict.into_reason() }; marks.len()],
        }
    }

    async fn look_with(
        &self,
        mut lease: Lease<'_>,
        route: Option<&Route>,
        folder: &str,
        marks: &[&Mark],
        taken: &[(u32, u32)],
    ) -> Result<Vec<Found>, Error> {
        let mailbox = self.mailbox(&mut lease.session, folder).await?;
        let found = find(&mut lease.session, &mailbox, marks, taken).await?;
        match self.label_found(&mut lease.session, route, &mailbox, &found).await {
            Ok(()) => {
                self.sessions.keep(lease);
                Ok(found)
            }
            // They are there, and are asked for again until they have their labels.
            Err(fault) => Ok(later(found, &self.sessions.explain(&fault))),
        }
    }
}

fn later(found: Vec<Found>, reason: &str) -> Vec<Found> {
    let later = |found| match found {
        Found::Found { .. } | Found::Changed { .. } => Found::Unreachable { reason: reason.to_owned() },
        other => other,
    };
    found.into_iter().map(later).collect()
}

/// One answer for each of `number` marks, where there may be none at all.
pub fn answers(found: Result<Vec<Found>, Verdict>, number: usize) -> Vec<Found> {
    found.unwrap_or_else(|verdict| vec![Found::CannotSay { reason: verdict.into_reason() }; number])
}

/// The marks' folders, each with the places of its marks.
pub fn by_folder<'a>(marks: impl Iterator<Item = &'a Mark>) -> BTreeMap<&'a str, Vec<usize>> {
    let mut folders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, mark) in marks.enumerate() {
        folders.entry(&mark.folder).or_default().push(n);
    }
    folders
}

/// Where to look from: a new UIDVALIDITY has given every message a new UID.
pub fn start_of(mark: &Mark, uid_validity: u32) -> u32 {
    if is_same_folder(mark, uid_validity) { mark.uid_next.max(1) } else { 1 }
}

fn is_same_folder(mark: &Mark, uid_validity: u32) -> bool {
    mark.uid_validity == uid_validity && uid_validity != 0
}

/// Opens the folder to look around in it; `None` where there is no such folder.
pub async fn open(session: &mut Session, mailbox: &Mailbox) -> Result<Option<Examined>, Error> {
    match session.examine(mailbox).await {
        Ok(folder) => Ok(Some(folder)),
        Err(Error::Refused { refusal, .. }) if wants_folder(&refusal) => Ok(None),
        Err(refused @ Error::Refused { .. }) if session.exists(mailbox).await? => Err(refused),
        Err(Error::Refused { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn find(
    session: &mut Session,
    mailbox: &Mailbox,
    marks: &[&Mark],
    taken: &[(u32, u32)],
) -> Result<Vec<Found>, Error> {
    let Some(folder) = open(session, mailbox).await? else { return Ok(vec![Found::Absent; marks.len()]) };
    let mut search = Search::new(marks, folder.uid_validity);
    let from = search.starts.iter().copied().min().unwrap_or(1);
    let rows = session.sizes(&folder, from).await?;
    let is_free = |(uid, _): &(u32, u64)| !taken.contains(&(folder.uid_validity, *uid));
    let free: BTreeMap<u32, u64> = rows.into_iter().filter(is_free).collect();
    search.by_bytes(session, &free).await?;
    search.by_message_id(session, &free).await?;
    session.close().await?;
    Ok(search.found())
}

/// A look-up under way. Matching is one to one: a UID that is given out is gone.
struct Search<'a> {
    marks: &'a [&'a Mark],
    uid_validity: u32,
    /// The smallest UID that each mark's message can have.
    starts: Vec<u32>,
    uids: Vec<Option<u32>>,
    /// How many messages could be each mark's where it was not found by its bytes.
    candidates: Vec<usize>,
    /// Whether what a mark's message may have become is there, but nothing proves it.
    doubtful: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(marks: &'a [&'a Mark], uid_validity: u32) -> Search<'a> {
        let starts = marks.iter().map(|mark| start_of(mark, uid_validity)).collect();
        let (uids, candidates, doubtful) =
            (vec![None; marks.len()], vec![0; marks.len()], vec![false; marks.len()]);
        Search { marks, uid_validity, starts, uids, candidates, doubtful }
    }

    /// Gives the `n`th mark the first of `candidates` that it can have.
    fn give(&mut self, n: usize, candidates: impl IntoIterator<Item = u32>) {
        self.uids[n] = candidates.into_iter().filter(|uid| self.can_have(n, *uid)).min();
    }

    fn can_have(&self, n: usize, uid: u32) -> bool {
        uid >= self.starts[n] && !self.uids.contains(&Some(uid))
    }

    /// What the message may have become if the server has changed its bytes: whatever has come since, but of a folder
    /// with new UIDs only what is as long.
    fn may_be(&self, mark: &Mark, free: &BTreeMap<u32, u64>) -> impl Iterator<Item = u32> {
        let (start, any) = (start_of(mark, self.uid_validity), is_same_folder(mark, self.uid_validity));
        let octets = mark.octets;
        free.range(start..).filter(move |(_, size)| any || **size == octets).map(|(&uid, _)| uid)
    }

    fn missing(&self) -> Vec<usize> {
        (0..self.marks.len()).filter(|&n| self.uids[n].is_none()).collect()
    }

    async fn by_bytes(&mut self, session: &mut Session, free: &BTreeMap<u32, u64>) -> Result<(), Error> {
        let sizes: HashSet<u64> = self.marks.iter().map(|mark| mark.octets).collect();
        let same_size = free.iter().filter(|(_, size)| sizes.contains(size));
        let same_size: Vec<(u32, u64)> = same_size.map(|(&uid, &size)| (uid, size)).collect();
        let hashes = session.hashes(&same_size).await?;
        for n in self.missing() {
            let same = hashes.iter().filter(|(_, hash)| **hash == self.marks[n].hash);
            self.give(n, same.map(|(&uid, _)| uid));
        }
        Ok(())
    }

    /// For servers that count other than octets, or do not give back the bytes that they took: Exchange does both.
    ///
    /// Where sizes are right, other bytes are another message, or so it seems: one that came another way as well, from
    /// a list say. To take that for ours would lose ours.
    async fn by_message_id(&mut self, session: &mut Session, free: &BTreeMap<u32, u64>) -> Result<(), Error> {
        let tells = |mark: &Mark| mark.message_id.is_some() || self.may_be(mark, free).next().is_some();
        let missing: Vec<usize> = self.missing().into_iter().filter(|&n| tells(self.marks[n])).collect();
        let Some(from) = missing.iter().map(|&n| self.starts[n]).min() else { return Ok(()) };
        let left = free.range(from..).map(|(&uid, _)| uid).filter(|uid| !self.uids.contains(&Some(*uid)));
        let left: Vec<u32> = left.collect();
        let mut named: HashMap<Option<String>, Vec<u32>> = HashMap::new();
        for (uid, message_id) in session.headers(&left, "MESSAGE-ID", message_id).await? {
            named.entry(message_id).or_default().push(uid);
        }
        let mut unproved = Vec::new();
        for n in missing {
            let Some(same) = named.get(&self.marks[n].message_id) else { continue };
            unproved.push((n, same, self.by_sizes(session, n, same, free).await?));
        }
        // Of equal messages it is all the same which copy is whose. Of others, all of them may be one's own.
        let proved = self.uids.clone();
        for (n, _, changed) in &mut unproved {
            let hash = self.marks[*n].hash;
            let equals = self.marks.iter().zip(&self.uids).filter(|(mark, _)| mark.hash == hash);
            let theirs: Vec<u32> = equals.filter_map(|(_, uid)| *uid).collect();
            let may_have = |uid: u32| !proved.contains(&Some(uid)) && !theirs.contains(&uid);
            changed.retain(|&uid| uid >= self.starts[*n] && may_have(uid));
            if self.uids[*n].is_none() {
                self.candidates[*n] = changed.len();
                self.give(*n, changed.iter().copied());
            }
        }
        for (n, same, changed) in unproved {
            let is_free = |uid| same.contains(&uid) && self.can_have(n, uid);
            let is_left = !changed.is_empty() || self.may_be(self.marks[n], free).any(is_free);
            self.doubtful[n] = self.uids[n].is_none() && is_left;
        }
        Ok(())
    }

    /// Of the messages that have the `n`th mark's Message-ID, gives it the one with its bytes. Returns those whose size
    /// is not that of their bytes, for one of them may be what it has become.
    async fn by_sizes(
        &mut self,
        session: &mut Session,
        n: usize,
        same: &[u32],
        free: &BTreeMap<u32, u64>,
    ) -> Result<Vec<u32>, Error> {
        let mark = self.marks[n];
        // To have none proves nothing, nor does a Message-ID over the whole folder: an older message may bear it.
        let tells = mark.message_id.is_some() && is_same_folder(mark, self.uid_validity);
        let size = |uid: &u32| free.get(uid).copied().filter(|size| tells && *size <= longest(mark));
        let wanted =
            same.iter().flat_map(|uid| [Some(mark.octets), size(uid)].map(|size| Some((*uid, size?))));
        let wanted: Vec<(u32, u64)> = wanted.flatten().collect();
        let hashes = session.hashes(&wanted).await?;
        self.give(n, hashes.iter().filter(|(_, hash)| **hash == mark.hash).map(|(&uid, _)| uid));
        let is_changed = |uid: &u32| size(uid).is_some() && !hashes.contains_key(uid);
        Ok(same.iter().copied().filter(is_changed).collect())
    }

    fn found(&self) -> Vec<Found> {
        let found =
            |n: usize| match (self.doubtful[n], self.candidates[n], found(self.uid_validity, self.uids[n])) {
                (true, ..) => Found::CannotSay { reason: DOUBTFUL.into() },
                (_, candidates @ 1.., Found::Found { receipt }) => Found::Changed { receipt, candidates },
                (.., found) => found,
            };
        (0..self.marks.len()).map(found).collect()
    }
}

/// What a message may have grown to, in octets, and the most that is read to see it.
fn longest(mark: &Mark) -> u64 {
    mark.octets * 2 + (64 << 10)
}

const DOUBTFUL: &str = "the folder holds a message that may be this one, stored with other bytes";

pub fn found(uid_validity: u32, uid: Option<u32>) -> Found {
    uid.map_or(Found::Absent, |uid| Found::Found { receipt: Receipt::Uid { uid_validity, uid } })
}
