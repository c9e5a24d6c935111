//! Fetching a message from its source once more, for a person to look at.

use std::path::Path;

use crate::config::Account;
use crate::ledger::Kept;
use crate::message::{Message, Quirks};
use crate::net::Connectors;
use crate::pop3::{Connector, Retrieval, Session, Settings};

/// In octets: more than any mail server takes, and less than fills a disk. What is wanted may be parked because it is larger
/// than the account's `max_size`.
const MAX_SIZE: u64 = 4 << 30;

/// Retrieves the message that the ledger knows as `wanted`. What is too large for memory goes to the folder `spool`.
///
/// # Errors
/// What stood in the way, as a clause that can follow the account's name.
pub async fn retrieve(account: &Account, wanted: &Kept, spool: &Path) -> Result<Message, String> {
    let connector = Connectors::default().connector(&account.pop3.peer).map_err(|error| error.to_string())?;
    // Where a server hides what was retrieved, it may show it as recent.
    let pop3 = Settings { max_size: account.pop3.max_size.max(MAX_SIZE), ..account.pop3.clone() };
    let recent = account.quirks.hides_retrieved.then(|| pop3.recent());
    for settings in recent.iter().chain([&pop3]) {
        if let Some(message) = find(&connector, settings, wanted, spool).await? {
            return Ok(message);
        }
    }
    Err(format!("message {} is no longer there", wanted.id))
}

async fn find(
    connector: &Connector,
    settings: &Settings,
    wanted: &Kept,
    spool: &Path,
) -> Result<Option<Message>, String> {
    let session = Session::open(connector, settings, Quirks::default()).await;
    let mut session = session.map_err(|error| error.to_string())?;
    let listing = session.uidl().await.map_err(|error| error.to_string())?;
    let bearers = listing.rows.iter().filter(|row| row.uidl == wanted.uidl.as_bytes()).map(|row| row.number);
    let retrieved = session.retrieve(&bearers.collect::<Vec<_>>(), spool).await;
    for (_, retrieval) in retrieved.messages {
        if let Retrieval::Message(message) = retrieval
            && wanted.content.is_none_or(|content| content == message.content)
        {
            return Ok(Some(message));
        }
    }
    retrieved.error.map_or(Ok(None), |error| Err(error.to_string()))
}
