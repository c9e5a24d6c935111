//! `~/.mpop_uidls/USER_at_HOST`, or one file for several mailboxes: for each a header ` COUNT HOST USER`, then so many
//! lines with a UIDL, and from version 1.4.23 on a blank and the time when it was first seen.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use memchr::memrchr;

use super::{Fault, LeftOut, Mailboxes, Owner, Seen, State, lines, time, uidl};
use crate::message::Uidl;

pub fn read(file: &[u8]) -> Result<State, Fault> {
    let mut named: BTreeMap<Owner, Seen> = BTreeMap::new();
    // The list under way: whose, and how many UIDLs are still to come.
    let mut list: Option<(Owner, u64)> = None;
    let mut comments = true;
    let mut last = 0;
    for (line, text) in lines(file) {
        let fault = |text| Fault { line, text };
        // A UIDL may begin like a comment, so there is none after the first header.
        comments &= text.is_empty() || text.starts_with(b"#");
        if comments || (text.is_empty() && list.is_none()) {
            continue;
        }
        last = line;
        let Some((owner, left)) = list else {
            let (count, owner) = header(text).ok_or(fault("not ` COUNT HOST USER`"))?;
            named.entry(owner.clone()).or_default();
            list = Some((owner, count));
            continue;
        };
        let (uidl, since) = row(text).ok_or(fault("not a UIDL, or a UIDL and a time in seconds"))?;
        named.entry(owner.clone()).or_default().insert(uidl, since);
        list = if left > 1 { Some((owner, left - 1)) } else { None };
    }
    match list {
        Some(_) => Err(Fault { line: last, text: "the file ends before its last list does" }),
        None => Ok(State { mailboxes: Mailboxes::Named(named), left_out: LeftOut::default() }),
    }
}

fn header(line: &[u8]) -> Option<(u64, Owner)> {
    let mut words = line.strip_prefix(b" ")?.split(|&byte| byte == b' ');
    let count = std::str::from_utf8(words.next()?).ok()?.parse().ok().filter(|&count| count > 0)?;
    let [host, user] = [words.next()?, words.next()?];
    let is_whole = !host.is_empty() && !user.is_empty() && words.next().is_none();
    is_whole.then(|| (count, Owner::new(host, user)))
}

/// The program cuts at the last blank, so this does.
fn row(line: &[u8]) -> Option<(Uidl, Option<DateTime<Utc>>)> {
    let (id, since) = match memrchr(b' ', line) {
        None => (line, None),
        Some(blank) => (&line[..blank], time(&line[blank + 1..])?),
    };
    uidl(id).filter(|_| !id.starts_with(b" ")).map(|uidl| (uidl, since))
}
