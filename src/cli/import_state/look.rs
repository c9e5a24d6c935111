//! What the mailbox holds, and what of it another program had seen.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};

use crate::config::Account;
use crate::import_state::Seen;
use crate::ledger::SeenElsewhere;
use crate::message::{Listing, Quirks, Uidl, header_digest, received_at};
use crate::net::Connectors;
use crate::pop3::{self, Session};

/// What of the mailbox the other program had seen, by message-number.
pub type SeenHere = HashMap<u32, SeenElsewhere>;

/// Lists the mailbox, and finds in it what was seen; with `delivered` also what its headers are now.
pub async fn look(account: &Account, seen: &Seen, delivered: bool) -> anyhow::Result<(Listing, SeenHere)> {
    let connector = Connectors::default().connector(&account.pop3.peer)?;
    let look = async |quirks| look_in(account, &connector, quirks, seen, delivered).await;
    match look(account.quirks).await {
        // Pipelining may be at fault.
        Err(pop3::Error::OutOfStep { .. }) => {
            Ok(look(Quirks { no_pipelining: true, ..account.quirks }).await?)
        }
        outcome => Ok(outcome?),
    }
}

async fn look_in(
    account: &Account,
    connector: &pop3::Connector,
    quirks: Quirks,
    seen: &Seen,
    delivered: bool,
) -> Result<(Listing, SeenHere), pop3::Error> {
    // What the other program has retrieved is shown no more, unless as recent.
    let pop3 = if quirks.hides_retrieved { account.pop3.recent() } else { account.pop3.clone() };
    let mut session = Session::open(connector, &pop3, quirks).await?;
    let mut listing = session.uidl().await?.rows;
    session.list(&mut listing).await?;
    let here = listing.iter().filter_map(|row| {
        let since = seen.since(&Uidl::new(row.uidl))?;
        Some((row.number, SeenElsewhere { since, delivered: None }))
    });
    let mut here: SeenHere = here.collect();
    if delivered && session.capabilities().top {
        read_headers(&mut session, &mut here).await?;
    }
    // All that is wanted is known, and nothing was changed: an answer to QUIT is of no interest.
    let _ = session.quit().await;
    Ok((listing, here))
}

/// Before one of these is deleted, its header is compared with what it is now.
async fn read_headers(session: &mut Session, here: &mut SeenHere) -> Result<(), pop3::Error> {
    let mut numbers: Vec<u32> = here.keys().copied().collect();
    numbers.sort_unstable();
    let headers = session.top(&numbers, |header| (header_digest(header), received_at(header))).await?;
    // Without its header the word of the other program could not be kept of any.
    if let (true, Some(Err(refused))) = (headers.len() < numbers.len(), headers.last()) {
        return Err(refused.clone().into());
    }
    for (number, header) in numbers.iter().zip(headers) {
        if let (Some(seen), Ok((header, received))) = (here.get_mut(number), header)
            && !is_later(received, seen.since)
        {
            seen.delivered = Some(header);
        }
    }
    Ok(())
}

/// How much the clocks of a server and of the other program may differ.
const CLOCKS: TimeDelta = TimeDelta::days(1);

/// What was received after the other program had seen it is another message under the same UIDL.
fn is_later(received: Option<DateTime<FixedOffset>>, since: Option<DateTime<Utc>>) -> bool {
    received.zip(since).is_some_and(|(received, since)| received.signed_duration_since(since) > CLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_not_older_than_its_arrival() {
        let received = DateTime::parse_from_rfc3339("2026-11-23T10:00:00+01:00").unwrap();
        let seen = |hours| Some(received.to_utc() + TimeDelta::hours(hours));
        for (since, later) in [
            (seen(-25), true),
            (seen(-23), false),
            (seen(100_000), false),
            (None, false),
            (Some(DateTime::<Utc>::MAX_UTC), false),
            (Some(DateTime::<Utc>::MIN_UTC), true),
        ] {
            assert_eq!(is_later(Some(received), since), later, "{since:?}");
        }
        assert!(!is_later(None, seen(-25)));
    }
}
