//! What another program had seen of a mailbox, out of the file in which it remembers that. Bytes to values, no I/O.
//!
//! Each file is read as its program reads it: what the program leaves out is left out, what it refuses is refused. None
//! of them says anything of a message but its UIDL and, some, since when it has been known.

mod fdm;
mod fetchmail;
mod getmail;
mod mpop;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use chrono::{DateTime, Utc};
use memchr::memchr_iter;

use crate::message::Uidl;
use crate::printable::printable;

/// A program that leaves mail on its server and remembers what it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Fetchmail,
    Getmail,
    Mpop,
    Fdm,
}

impl Program {
    pub const ALL: [Program; 4] = [Program::Fetchmail, Program::Getmail, Program::Mpop, Program::Fdm];

    pub fn name(self) -> &'static str {
        match self {
            Program::Fetchmail => "fetchmail",
            Program::Getmail => "getmail",
            Program::Mpop => "mpop",
            Program::Fdm => "fdm",
        }
    }

    /// Reads the whole of a file that this program wrote, of at most [`LINES`] lines. An empty one is of no mailbox.
    ///
    /// # Errors
    /// The first place at which the file is not this program's.
    pub fn read(self, file: &[u8]) -> Result<State, Fault> {
        if memchr_iter(b'\n', file).nth(LINES).is_some() {
            return Err(Fault { line: LINES + 1, text: "more lines than such a file has" });
        }
        match self {
            Program::Fetchmail => fetchmail::read(file),
            Program::Getmail => getmail::read(file),
            Program::Mpop => mpop::read(file),
            Program::Fdm => fdm::read(file),
        }
    }
}

/// Most lines of a file: more than a mailbox may have messages.
pub const LINES: usize = 1_000_000;

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    pub mailboxes: Mailboxes,
    pub left_out: LeftOut,
}

/// Lines that make no sense, so that the program itself would pass over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub lines: u64,
    /// The number of the first; 0 where there is none.
    pub first: usize,
}

/// Whose messages a file names.
#[derive(Debug, PartialEq, Eq)]
pub enum Mailboxes {
    /// One mailbox, and the file does not say which.
    One(Seen),
    Named(BTreeMap<Owner, Seen>),
}

/// The mailbox of a user at a host, both as the other program calls them, which need not be their names in the network.
/// In lower case: nobody has two mailboxes that differ in case alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    host: Vec<u8>,
    user: Vec<u8>,
}

impl Owner {
    pub fn new(host: &[u8], user: &[u8]) -> Owner {
        Owner { host: host.to_ascii_lowercase(), user: user.to_ascii_lowercase() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--host {} --user {}", printable(&self.host), printable(&self.user))
    }
}

/// The messages of one mailbox that were seen, each with the time of that where the file tells it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    since: HashMap<Uidl, Option<DateTime<Utc>>>,
    /// The program writes `/` in a UIDL as `-`.
    dashed: bool,
}

impl Seen {
    /// `None` where it was not seen; then when, if that is known. What a program could not tell from a message that it
    /// had seen, because it writes both alike, counts as seen: it would not have fetched it either.
    pub fn since(&self, uidl: &Uidl) -> Option<Option<DateTime<Utc>>> {
        self.since.get(uidl).or_else(|| self.since.get(&self.as_written(uidl)?)).copied()
    }

    pub fn len(&self) -> usize {
        self.since.len()
    }

    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    fn as_written(&self, uidl: &Uidl) -> Option<Uidl> {
        let slash_to_dash = |byte: &u8| if *byte == b'/' { b'-' } else { *byte };
        let dashed = || uidl.as_bytes().iter().map(slash_to_dash).collect::<Vec<u8>>();
        self.dashed.then(|| Uidl::new(&dashed()))
    }

    /// A message that is named twice is as young as the later time: what is younger stays longer.
    fn insert(&mut self, uidl: Uidl, since: Option<DateTime<Utc>>) {
        let known = self.since.entry(uidl).or_insert(since);
        *known = known.zip(since).map(|(one, other)| one.max(other));
    }
}

/// Where a file is not what it was said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    pub text: &'static str,
}

/// Longest UIDL in bytes: a listing has none that is longer.
const UIDL: usize = 1 << 10;

/// `None` where no listing can have it.
fn uidl(bytes: &[u8]) -> Option<Uidl> {
    (1..=UIDL).contains(&bytes.len()).then(|| Uidl::new(bytes))
}

/// Ten digits, in seconds of Unix time: with fewer, a time of today was cut short, and must not pass for an early one.
const EARLIEST: i64 = 1_000_000_000;

/// Seconds of Unix time, in decimal; the inner `None` where that is no time at which anything was seen.
fn time(digits: &[u8]) -> Option<Option<DateTime<Utc>>> {
    let seconds: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if seconds >= EARLIEST { DateTime::from_timestamp(seconds, 0) } else { None })
}

/// The lines of a file with their numbers, without line ends.
fn lines(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (1..).zip(file.split_inclusive(|&byte| byte == b'\n').map(without_end))
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Takes every line that `take` can read. A program passes over the others; but where it can read none, the file is
/// another one.
fn each_line(
    file: &[u8],
    expected: &'static str,
    mut take: impl FnMut(&[u8]) -> Option<()>,
) -> Result<LeftOut, Fault> {
    let (mut left_out, mut any) = (LeftOut::default(), false);
    for (number, line) in lines(file).filter(|(_, line)| !line.trim_ascii().is_empty()) {
        if take(line).is_some() {
            any = true;
        } else {
            left_out.first = if left_out.lines == 0 { number } else { left_out.first };
            left_out.lines += 1;
        }
    }
    let is_another = left_out.lines > 0 && !any;
    if is_another { Err(Fault { line: left_out.first, text: expected }) } else { Ok(left_out) }
}
