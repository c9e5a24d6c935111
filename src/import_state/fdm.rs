//! The `cache` of an account: the length of a UIDL, a blank and the UIDL, again and again, of one mailbox.

use memchr::memchr_iter;

use super::{Fault, LeftOut, Mailboxes, Seen, State, uidl};
use crate::message::Uidl;

pub fn read(file: &[u8]) -> Result<State, Fault> {
    let mut seen = Seen::default();
    let mut rest = file.trim_ascii_start();
    while !rest.is_empty() {
        let (uidl, behind) = record(rest).ok_or_else(|| {
            let before = &file[..file.len() - rest.len()];
            let line = 1 + memchr_iter(b'\n', before).count();
            Fault { line, text: "not the length of a UIDL, a blank and a UIDL of that length" }
        })?;
        seen.insert(uidl, None);
        rest = behind;
    }
    Ok(State { mailboxes: Mailboxes::One(seen), left_out: LeftOut::default() })
}

/// A record, and what follows it. The length decides where the UIDL ends: there may be blanks in it, and line ends.
fn record(bytes: &[u8]) -> Option<(Uidl, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    let (id, behind) = bytes[digits..].strip_prefix(b" ")?.split_at_checked(length)?;
    let ends = behind.is_empty() || behind.starts_with(b"\n") || behind.starts_with(b"\r\n");
    ends.then_some((uidl(id)?, behind.trim_ascii_start()))
}
