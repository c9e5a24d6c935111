//! What must be where, and what may: the promises, in as few words as the steps allow.
//!
//! It knows nothing of how mailferry works. Where it allows more than "each message once at each destination", it cites
//! the sentence of the README, or the rule of the ledger (`src/ledger/mod.rs`), that says so.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::step::Keep;
use crate::oracle::{self, Books, shown};
use crate::servers::imap;

/// What is said of both destinations: the folder's first, then the webhook's.
pub type Both<T> = [T; 2];

pub const HOME: usize = 0;
pub const APP: usize = 1;
const NAMES: Both<&str> = ["home", "app"];

/// One message that was put at a source.
pub struct Letter {
    pub account: usize,
    pub content: usize,
    /// By which the source knows it.
    pub serial: u64,
    /// What it was listed under, the present one last.
    pub uidls: Vec<Vec<u8>>,
    pub fate: Fate,
    pub is_hidden: bool,
    /// It was hidden when a ledger of unknown past listed the mailbox.
    was_overlooked: bool,
    /// Another one had the same UIDL and size.
    pub is_vague: bool,
    /// Destinations that it must reach: those that the account had at every poll in which it may have been listed first.
    owed: Both<bool>,
    /// The same, whatever the ledger may have forgotten: an old one may know it again.
    ever_owed: Both<bool>,
    is_listed: bool,
    /// Its UIDL has changed since it was retrieved: the ledger does not know yet that it is this one.
    is_unrecognized: bool,
    /// When it may have been listed for the last time, at the earliest.
    seen: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    There,
    /// Somebody else took it away.
    Taken,
    /// It is gone, and nobody else did it.
    Deleted,
}

/// What is known of all letters with the same bytes.
struct Content {
    bytes: Vec<u8>,
    hash: Vec<u8>,
    copies: Both<Copies>,
    /// Old mail that nobody wanted.
    may_be_skipped: bool,
    /// Copies that the reader has deleted.
    binned: usize,
    /// Copies that the reader has taken out of the folder, of which the ledger did not know the UIDs.
    unplaced: usize,
    /// The ledger was lost, restored or pruned since it was delivered: one copy may be the proof of several letters, of
    /// which the ledger knows one only.
    is_shared: bool,
}

#[derive(Clone, Copy, Default)]
struct Copies {
    /// How many were there at the last look, with those that the reader deleted.
    there: usize,
    first_seen: Option<DateTime<Utc>>,
    /// The ledger must know by now.
    is_settled: bool,
    /// The shortest and the longest `leave_copy` that may have been stored with it.
    shortest: Option<Keep>,
    longest: Option<Keep>,
    is_given_up: bool,
    /// How many more there may be than letters.
    extra: usize,
    /// The same, as long as the ledger's past is unknown.
    extra_past: usize,
}

#[derive(Default)]
pub struct Model {
    pub letters: Vec<Letter>,
    contents: Vec<Content>,
    /// The ledger was lost or restored, and has not seen everything since.
    past_is_unknown: bool,
    /// The folder's server has given back other bytes than it took.
    is_warped: bool,
    /// For each account.
    has_listed: [bool; 2],
}

/// What can be seen from outside after a step.
pub struct Sight<'a> {
    pub now: DateTime<Utc>,
    /// Serial numbers of what is at the source.
    pub source: BTreeSet<u64>,
    /// Contents, with repetitions.
    pub arrived: Both<Vec<usize>>,
    pub books: &'a Books,
}

/// The config's part of it.
#[derive(Clone, Copy)]
pub struct Terms {
    pub keep: Keep,
    pub routes: Both<bool>,
    /// The folder takes every second message only.
    pub when: bool,
    pub import_new: bool,
}

impl Terms {
    fn take(self, message: &[u8]) -> Both<bool> {
        [self.routes[HOME] && (!self.when || is_even(message)), self.routes[APP]]
    }
}

/// What a `when` of `N\d+[02468]N` in the Subject makes of it.
fn is_even(message: &[u8]) -> bool {
    let number = memchr::memmem::find(message, b"Subject: N").map(|at| &message[at + 10..]);
    let digits = number.and_then(|number| number.split(|byte| *byte == b'N').next());
    digits.and_then(<[u8]>::last).is_some_and(|digit| digit % 2 == 0)
}

/// After it was missed first.
const PRUNED_AFTER: TimeDelta = TimeDelta::days(400);

impl Model {
    pub fn add(&mut self, account: usize, bytes: &[u8], serial: u64, uidl: &[u8]) {
        let content = self.find(bytes).unwrap_or_else(|| self.add_content(bytes));
        // What another letter's row says may be said of its twin.
        self.unsettle(content);
        // "Where the server names no UIDs, so is an equal message" (README).
        let it = &mut self.contents[content];
        it.copies[HOME].extra += std::mem::take(&mut it.unplaced);
        let (mut is_vague, mut owed, mut given_up, mut robbed) = (false, [true; 2], [false; 2], Vec::new());
        for other in &mut self.letters {
            let theirs = &self.contents[other.content].bytes;
            if other.account == account
                && other.content != content
                && theirs.len() == bytes.len()
                && other.uidls.iter().any(|it| it == uidl)
            {
                (is_vague, other.is_vague) = (true, true);
                // By the rule "settled" it is taken for the other one.
                owed = both(owed, other.owed);
                let theirs = [HOME, APP].map(|place| self.contents[other.content].copies[place].is_given_up);
                given_up = [HOME, APP].map(|place| given_up[place] || theirs[place]);
                // The other one has moved: beside what is taken for it, it is a message of its own, by the rule "renamed".
                if other.uidls.last().is_some_and(|it| it != uidl) {
                    robbed.push(other.content);
                }
            }
        }
        self.contents[content]
            .copies
            .iter_mut()
            .zip(given_up)
            .for_each(|(copies, it)| copies.is_given_up |= it);
        robbed.into_iter().for_each(|other| self.allow(other, [1, 1]));
        self.letters.push(Letter {
            account,
            content,
            serial,
            uidls: vec![uidl.to_owned()],
            fate: Fate::There,
            is_hidden: false,
            was_overlooked: false,
            is_vague,
            owed,
            ever_owed: owed,
            is_listed: false,
            is_unrecognized: false,
            seen: None,
        });
    }

    fn add_content(&mut self, bytes: &[u8]) -> usize {
        self.contents.push(Content {
            bytes: bytes.to_owned(),
            hash: oracle::content(bytes),
            copies: Both::default(),
            may_be_skipped: false,
            binned: 0,
            unplaced: 0,
            is_shared: false,
        });
        self.contents.len() - 1
    }

    pub fn bytes(&self, content: usize) -> &[u8] {
        &self.contents[content].bytes
    }

    /// # Errors
    /// I4: nobody sent this.
    pub fn content_of(&self, bytes: &[u8]) -> Result<usize, String> {
        self.find(bytes).ok_or_else(|| format!("I4: nobody sent {}", shown(bytes)))
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let bytes = bytes.strip_prefix(imap::ADDED).unwrap_or(bytes);
        self.contents.iter().position(|content| content.bytes == bytes)
    }

    fn unsettle(&mut self, content: usize) {
        for copies in &mut self.contents[content].copies {
            copies.is_settled = false;
        }
    }

    /// All UIDLs of the first account change. By the rule "renamed" one whose DELE was announced and had no effect counts
    /// as new, and so does one that was never retrieved, as nobody knows its content.
    pub fn renumbered(&mut self, round: usize, books: &Books) {
        for at in 0..self.letters.len() {
            let letter = &mut self.letters[at];
            if letter.fate != Fate::There || letter.account != 0 {
                continue;
            }
            let content = letter.content;
            let hash = &self.contents[content].hash;
            let was_retrieved = |uidl: &Vec<u8>| books.retrieved.contains(&(uidl.clone(), hash.clone()));
            let is_unread = !letter.uidls.iter().any(was_retrieved);
            letter.uidls.push(renumbered(round, letter.serial));
            letter.is_unrecognized |= !is_unread;
            if is_unread {
                letter.is_listed = false;
                // Of a ledger that was replaced it is not known yet whether it knows.
                if !self.past_is_unknown {
                    letter.owed = [true; 2];
                }
            }
            if books.announced.contains(hash) {
                self.allow(content, [1, 1]);
            }
            if self.past_is_unknown {
                self.allow(content, [0, 1]);
            }
            // By the rule "baseline" it was skipped by a ledger that does not know what another one has delivered.
            if is_unread && self.contents[content].is_shared {
                self.allow(content, [1, 1]);
            }
        }
    }

    /// More copies than letters are right, for a reason that the caller cites.
    fn allow(&mut self, content: usize, more: Both<usize>) {
        self.unsettle(content);
        for (copies, more) in self.contents[content].copies.iter_mut().zip(more) {
            copies.extra += more;
        }
    }

    /// The reader takes a copy out of its folder. "A copy that its reader moves or deletes in the seconds after a crash,
    /// before mailferry has looked for it, is delivered again" (README).
    pub fn copy_has_left(&mut self, content: usize, is_gone: bool, books: &Books) {
        let it = &mut self.contents[content];
        let is_unplaced = books.unplaced.get(NAMES[HOME]).is_some_and(|there| there.contains(&it.hash));
        it.unplaced += usize::from(is_unplaced);
        it.binned += usize::from(is_gone);
        it.copies[HOME].extra += usize::from(!it.copies[HOME].is_settled);
    }

    /// The folder's server gives back other bytes than it takes, from now on.
    pub fn warp(&mut self) {
        self.is_warped = true;
        if self.past_is_unknown {
            self.allow_again();
        }
    }

    /// It does so no more: of a copy with other bytes it cannot be told any more whose it is.
    pub fn unwarp(&mut self) {
        for content in &mut self.contents {
            content.copies[HOME].extra += content.copies[HOME].there;
        }
    }

    /// "It is delivered again, as is all mail there that is still at its source when the ledger is lost" (README).
    fn allow_again(&mut self) {
        for at in 0..self.letters.len() {
            self.allow(self.letters[at].content, [1, 0]);
        }
    }

    /// The folder was rebuilt. At a server that gives back other bytes nothing shows what a lost answer has left there.
    pub fn uids_are_new(&mut self) {
        if self.is_warped {
            self.rehoused();
        }
    }

    /// The folder is another user's. What was perhaps stored is looked for there, as a lost answer is.
    pub fn rehoused(&mut self) {
        for at in 0..self.contents.len() {
            let letters = self.letters.iter().filter(|letter| letter.content == at).count();
            let home = &mut self.contents[at].copies[HOME];
            if !home.is_settled {
                home.extra += letters;
            }
        }
    }

    /// The ledger is lost, or an old one took its place. By the rule "unknown past" a `webhook-id` is a hash of the UIDL,
    /// among others: after a new numbering it is another one.
    pub fn ledger_replaced(&mut self, books: &Books) {
        (self.past_is_unknown, self.has_listed) = (true, [false; 2]);
        for at in 0..self.letters.len() {
            let letter = &mut self.letters[at];
            (letter.is_listed, letter.was_overlooked, letter.owed) = (false, false, letter.ever_owed);
            let (content, has_moved) = (letter.content, letter.uidls.len() > 1);
            self.allow(content, [0, usize::from(has_moved)]);
        }
        if self.is_warped {
            self.allow_again();
        }
        for content in &mut self.contents {
            content.is_shared = true;
            let home = &mut content.copies[HOME];
            // The rule "unverified": the marks of a ledger that is gone.
            home.extra += books.unverified(NAMES[HOME], &content.hash);
            home.extra += std::mem::take(&mut home.extra_past);
        }
    }

    /// A person gives up what is listed under `uidl`.
    pub fn given_up(&mut self, uidl: &[u8], destination: &str) {
        let place = NAMES.iter().position(|name| *name == destination).expect("there are two");
        for letter in self.letters.iter().filter(|letter| letter.uidls.iter().any(|it| it == uidl)) {
            self.contents[letter.content].copies[place].is_given_up = true;
        }
    }

    /// A poll begins. `elsewhere` are copies at home that are not in the folder of the config.
    pub fn poll_begins(&mut self, terms: Terms, elsewhere: &[usize], now: DateTime<Utc>) {
        if self.past_is_unknown {
            // It "is looked for in its IMAP folder before it is delivered again" (README): only there.
            for (at, content) in self.contents.iter_mut().enumerate() {
                let copies = elsewhere.iter().filter(|it| **it == at).count() + content.binned;
                content.copies[HOME].extra_past = content.copies[HOME].extra_past.max(copies);
            }
        }
        // The rule "baseline": at least 20 are listed.
        let may_skip = [0, 1].map(|account| {
            let is_listed = |letter: &&Letter| letter.fate == Fate::There && !letter.is_hidden;
            let listed = self.letters.iter().filter(|letter| letter.account == account).filter(is_listed);
            terms.import_new && (!self.has_listed[account] || listed.count() >= 20)
        });
        let is_new = |letter: &&Letter| letter.fate == Fate::There && !letter.is_hidden && !letter.is_listed;
        let new: BTreeSet<(usize, usize)> =
            self.letters.iter().filter(is_new).map(|letter| (letter.account, letter.content)).collect();
        self.replace_hidden(&new);
        for at in 0..self.letters.len() {
            let letter = &mut self.letters[at];
            // The rule "pruning".
            let is_forgotten = letter.seen.is_some_and(|seen| now - seen >= PRUNED_AFTER);
            if letter.fate != Fate::There {
                // The ledger does not know any more whose copy it is.
                self.contents[letter.content].is_shared |= is_forgotten;
                continue;
            }
            let content = letter.content;
            if (letter.is_hidden || letter.is_unrecognized) && is_forgotten {
                (letter.seen, letter.is_listed, letter.is_unrecognized) = (None, false, false);
                let has_moved = usize::from(letter.uidls.len() > 1);
                self.allow(content, [1, has_moved]);
            }
            let letter = &mut self.letters[at];
            let takes = terms.take(&self.contents[content].bytes);
            // By the rule "settled" the one that is listed is taken for the one that is not.
            if !letter.is_hidden && !letter.is_listed || letter.is_vague {
                (letter.owed, letter.ever_owed) = (both(letter.owed, takes), both(letter.ever_owed, takes));
                // The rule "baseline".
                self.contents[content].may_be_skipped |= may_skip[letter.account];
            }
            // A `when` is asked as soon as its header is there, which may be later.
            if terms.routes[HOME] && !takes[HOME] && !self.contents[content].copies[HOME].is_settled {
                (letter.owed[HOME], letter.ever_owed[HOME]) = (false, false);
            }
            if letter.is_hidden {
                // The rule "unknown past": only what an account's first listing shows is looked for.
                if self.past_is_unknown && !std::mem::replace(&mut letter.was_overlooked, true) {
                    let copies = &mut self.contents[content].copies;
                    copies[HOME].extra += copies[HOME].there;
                    copies[APP].extra += 1;
                }
                continue;
            }
            // As early as it may have been listed for the last time.
            letter.seen.get_or_insert(now);
        }
    }

    /// By the rule "renamed" a twin that comes while a letter is hidden is taken for that, with its deliveries as they are,
    /// and then the hidden one is what is new. `new` are accounts and contents.
    fn replace_hidden(&mut self, new: &BTreeSet<(usize, usize)>) {
        let is_replaced = |letter: &Letter| {
            let is_known = letter.fate == Fate::There && letter.is_hidden && letter.is_listed;
            is_known && new.contains(&(letter.account, letter.content))
        };
        let replaced = self.letters.iter().filter(|letter| is_replaced(letter));
        let of = |letter: &Letter| ((letter.account, letter.content), letter.owed, letter.ever_owed);
        let replaced: Vec<_> = replaced.map(of).collect();
        for letter in &mut self.letters {
            if is_replaced(letter) {
                letter.is_listed = false;
            } else if !letter.is_hidden && !letter.is_listed && letter.fate == Fate::There {
                let key = (letter.account, letter.content);
                for (_, owed, ever_owed) in replaced.iter().filter(|(replaced, ..)| *replaced == key) {
                    letter.owed = both(letter.owed, *owed);
                    letter.ever_owed = both(letter.ever_owed, *ever_owed);
                }
            }
        }
    }

    /// The ledger says under which UIDLs it has retrieved what.
    pub fn recognize(&mut self, books: &Books) {
        for letter in &mut self.letters {
            let hash = &self.contents[letter.content].hash;
            let is_known = |uidl: &Vec<u8>| books.retrieved.contains(&(uidl.clone(), hash.clone()));
            letter.is_unrecognized &= !letter.uidls.last().is_some_and(is_known);
        }
    }

    /// A poll met no fault, and left nothing undone if `is_done`.
    pub fn poll_went_well(&mut self, terms: Terms, is_done: bool, books: &Books, now: DateTime<Utc>) {
        self.has_listed =
            [0, 1].map(|account| account == 0 || self.letters.iter().any(|letter| letter.account == account));
        for letter in self.letters.iter_mut().filter(|letter| letter.fate == Fate::There) {
            if !letter.is_hidden {
                letter.is_listed = true;
                if !letter.is_unrecognized {
                    letter.seen = Some(now);
                }
            }
        }
        if is_done {
            self.past_is_unknown = false;
            self.settle(terms, books);
        }
    }

    fn settle(&mut self, terms: Terms, books: &Books) {
        for (at, content) in self.contents.iter_mut().enumerate() {
            // A twin that is not there yet may be stored on other terms.
            let letters = || self.letters.iter().filter(|letter| letter.content == at);
            // A new ledger does not know yet of what is hidden.
            let is_hidden = letters().any(|letter| letter.is_hidden);
            let takes = terms.take(&content.bytes);
            for ((copies, takes), name) in content.copies.iter_mut().zip(takes).zip(NAMES) {
                let is_ours = |uidl: &Vec<u8>| letters().any(|letter| letter.uidls.contains(uidl));
                let waits = books.waiting.iter().any(|(_, uidl, to)| to == name && is_ours(uidl));
                let is_known =
                    books.delivered_to.get(name).is_some_and(|known| known.contains(&content.hash));
                let is_there = is_known && copies.there >= letters().count();
                copies.is_settled |= takes && !is_hidden && !waits && is_there;
            }
        }
    }

    /// A poll is over, however it went: what is where?
    ///
    /// # Errors
    /// Which promise was broken, and by which message.
    pub fn judge_poll(&mut self, sight: &Sight<'_>, terms: Terms) -> Result<(), String> {
        self.look(sight, Some(terms));
        for at in 0..self.letters.len() {
            let letter = &mut self.letters[at];
            if letter.fate != Fate::There || sight.source.contains(&letter.serial) {
                continue;
            }
            letter.fate = Fate::Deleted;
            self.judge_deletion(self.letters[at].content, sight, terms)?;
        }
        self.judge(sight)
    }

    /// I1 to I4, as far as a step without a poll can break them.
    ///
    /// # Errors
    /// As [`Model::judge_poll`].
    pub fn judge_step(&mut self, sight: &Sight<'_>) -> Result<(), String> {
        self.look(sight, None);
        self.judge(sight)
    }

    fn look(&mut self, sight: &Sight<'_>, polled: Option<Terms>) {
        for (at, content) in self.contents.iter_mut().enumerate() {
            let binned = [content.binned, 0];
            for ((copies, arrived), binned) in content.copies.iter_mut().zip(&sight.arrived).zip(binned) {
                copies.there = arrived.iter().filter(|it| **it == at).count() + binned;
                let Some(terms) = polled.filter(|_| copies.there > 0 && !copies.is_settled) else { continue };
                copies.first_seen.get_or_insert(sight.now);
                copies.shortest = Some(copies.shortest.map_or(terms.keep, |keep| keep.min(terms.keep)));
                copies.longest = copies.longest.max(Some(terms.keep));
            }
        }
    }

    /// The rule "deletion", and I3.
    fn judge_deletion(&self, at: usize, sight: &Sight<'_>, terms: Terms) -> Result<(), String> {
        let (content, has_twin) = (&self.contents[at], self.has_twin(at));
        let name = shown(&content.bytes);
        if !sight.books.delivered.contains_key(&content.hash) {
            return Err(format!("I3: deleted, but not delivered by the ledger: {name}"));
        }
        let stored = content.copies.iter().filter_map(|copies| copies.shortest).max();
        // Of twins nobody can tell which copy is whose: one may have been delivered as early as the first of them.
        let times = || content.copies.iter().filter_map(|copies| copies.first_seen);
        let since = if has_twin { times().min() } else { times().max() };
        let keep = stored.max(Some(terms.keep));
        let is_due = match keep {
            Some(Keep::Forever) => false,
            Some(Keep::Days14) => since.is_some_and(|since| sight.now - since >= TimeDelta::days(14)),
            Some(Keep::Nothing) | None => true,
        };
        if is_due { Ok(()) } else { Err(format!("deleted in spite of `leave_copy` ({keep:?}): {name}")) }
    }

    fn judge(&self, sight: &Sight<'_>) -> Result<(), String> {
        for place in [HOME, APP] {
            for (at, content) in self.contents.iter().enumerate() {
                let copies = &content.copies[place];
                let letters = self.letters.iter().filter(|letter| letter.content == at).count();
                // The rule "unverified".
                let unverified = sight.books.unverified(NAMES[place], &content.hash);
                if copies.there > letters + copies.extra + copies.extra_past + unverified {
                    let name = shown(&content.bytes);
                    return Err(format!("I2: {} times at {}: {name}", copies.there, NAMES[place]));
                }
                if copies.there < self.needed(at, place, |letter| letter.fate == Fate::Deleted) {
                    let name = shown(&content.bytes);
                    return Err(format!("I1: deleted, but not at {}: {name}", NAMES[place]));
                }
            }
        }
        Ok(())
    }

    fn has_twin(&self, content: usize) -> bool {
        self.letters.iter().filter(|letter| letter.content == content).count() > 1
    }

    /// How many copies must be there on account of these letters.
    fn needed(&self, content: usize, place: usize, which: impl Fn(&Letter) -> bool) -> usize {
        let it = &self.contents[content];
        if it.copies[place].is_given_up || it.may_be_skipped {
            return 0;
        }
        let alike = || self.letters.iter().filter(|letter| letter.content == content);
        // The rule "renamed": a twin may be taken for one that has left, whose deliveries stay as they are.
        if alike().any(|letter| !letter.owed[place]) {
            return 0;
        }
        // The rule "key".
        let keys: BTreeSet<(usize, &Vec<u8>)> =
            alike().filter(|letter| which(letter)).map(|letter| (letter.account, &letter.uidls[0])).collect();
        if it.is_shared { keys.len().min(1) } else { keys.len() }
    }

    /// I6: all faults are gone, and there were polls enough.
    ///
    /// # Errors
    /// As [`Model::judge_poll`].
    pub fn judge_arrival(&self) -> Result<(), String> {
        for (at, content) in self.contents.iter().enumerate() {
            for place in [HOME, APP] {
                // The rule "settled".
                let counts = |letter: &Letter| letter.fate != Fate::Taken && !letter.is_vague;
                if content.copies[place].there < self.needed(at, place, counts) {
                    return Err(format!("I6: not delivered to {}: {}", NAMES[place], shown(&content.bytes)));
                }
            }
        }
        Ok(())
    }

    /// I6: `leave_copy` is false, and time has passed.
    ///
    /// # Errors
    /// As [`Model::judge_poll`].
    pub fn judge_deletions(&self) -> Result<(), String> {
        for letter in self.letters.iter().filter(|letter| letter.fate == Fate::There && !letter.is_vague) {
            let content = &self.contents[letter.content];
            let delivered = || content.copies.iter().filter(|copies| copies.there > 0);
            // The rule "deletion": what was given up may be there all the same, and has no delivered row.
            let is_kept = content.may_be_skipped
                || delivered().next().is_none()
                || content.copies.iter().any(|copies| copies.is_given_up)
                || delivered().any(|copies| copies.longest == Some(Keep::Forever));
            if !is_kept {
                return Err(format!("I6: still at the source: {}", shown(&content.bytes)));
            }
        }
        Ok(())
    }
}

fn both(one: Both<bool>, other: Both<bool>) -> Both<bool> {
    [one[HOME] && other[HOME], one[APP] && other[APP]]
}

/// The UIDL that a provider gives a message when it moves.
pub fn renumbered(round: usize, serial: u64) -> Vec<u8> {
    format!("r{round}-{serial}").into_bytes()
}
