//! `~/.fetchids`: lines of `USER@HOST UIDL`, of all mailboxes together.

use std::collections::BTreeMap;

use memchr::{memchr, memrchr};

use super::{Fault, Mailboxes, Owner, Seen, State, each_line, uidl};
use crate::message::Uidl;

pub fn read(file: &[u8]) -> Result<State, Fault> {
    let mut named: BTreeMap<Owner, Seen> = BTreeMap::new();
    let left_out = each_line(file, "not `USER@HOST UIDL`", |line| {
        let (owner, uidl) = row(line)?;
        named.entry(owner).or_default().insert(uidl, None);
        Some(())
    })?;
    Ok(State { mailboxes: Mailboxes::Named(named), left_out })
}

/// A user may have `@` in it, and blanks before that; so may a UIDL. So the blank that separates is the first behind the
/// first `@`, and the host is what follows the last `@` before it.
fn row(line: &[u8]) -> Option<(Owner, Uidl)> {
    let line = line.trim_ascii_start();
    let at = memchr(b'@', line)?;
    let (owner, rest) = line.split_at(at + memchr(b' ', &line[at..])?);
    let owner = owner.trim_ascii_end();
    let (user, host) = owner.split_at(memrchr(b'@', owner)?);
    let word = rest.trim_ascii().split(u8::is_ascii_whitespace).next()?;
    (host.len() > 1).then_some((Owner::new(&host[1..], user), uidl(word)?))
}
