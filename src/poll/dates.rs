//! What is new in a mailbox that was full before: by date, since the ledger has never seen it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::message::{Listed, received_at};
use crate::pop3::{self, Session};

/// So many older messages in a row end the search, which begins with the newest.
const OLDER_IN_A_ROW: usize = 20;

/// How many headers are asked for at a time.
const AT_A_TIME: usize = 20;

/// The numbers of the messages whose topmost Received date is not before `cut_off`. What has no such date counts as
/// new. Where the server has no TOP nothing can be dated, and nothing is new.
pub async fn dated_after(
    session: &mut Session,
    listing: &[Listed],
    cut_off: DateTime<Utc>,
) -> Result<HashSet<u32>, pop3::Error> {
    let mut fresh = HashSet::new();
    if !session.capabilities().top {
        return Ok(fresh);
    }
    let mut older_in_a_row = 0;
    let numbers: Vec<u32> = listing.iter().rev().map(|row| row.number).collect();
    for numbers in numbers.chunks(AT_A_TIME) {
        for (number, header) in numbers.iter().zip(session.top(numbers).await?) {
            let date = header.ok().and_then(|header| received_at(&header));
            if date.is_some_and(|date| date < cut_off) {
                older_in_a_row += 1;
            } else {
                older_in_a_row = 0;
                fresh.insert(*number);
            }
            if older_in_a_row >= OLDER_IN_A_ROW {
                return Ok(fresh);
            }
        }
    }
    Ok(fresh)
}
