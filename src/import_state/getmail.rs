//! `oldmail-SERVER-PORT-USER`: lines of a UIDL, a NUL and the time when it was first seen, of one mailbox.

use memchr::memchr;

use super::{Fault, Mailboxes, Seen, State, each_line, time, uidl};

pub fn read(file: &[u8]) -> Result<State, Fault> {
    let mut seen = Seen { dashed: true, ..Seen::default() };
    let left_out = each_line(file, "not a UIDL, a NUL and a time in seconds", |line| {
        let line = line.trim_ascii();
        let (id, since) = line.split_at(memchr(0, line)?);
        seen.insert(uidl(id)?, time(&since[1..])?);
        Some(())
    })?;
    Ok(State { mailboxes: Mailboxes::One(seen), left_out })
}
