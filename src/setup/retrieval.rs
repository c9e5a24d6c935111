//! Fetching a message from its source once more, for a person to look at.

use std::path::Path;

use crate::config::Account;
use crate::ledger::Kept;
use crate::message::{Message, Quirks};
use crate::net::Connectors;
use crate::pop3::{Retrieval, Session};

/// Retrieves the message that the ledger knows as `wanted`. What is too large for memory goes to the folder `spool`.
///
/// # Errors
/// What stood in the way, as a clause that can follow the account's name.
pub async fn retrieve(account: &Account, wanted: &Kept, spool: &Path) -> Result<Message, String> {
    let connector = Connectors::default().connector(&account.pop3.peer).map_err(|error| error.to_string())?;
    let session = Session::open(&connector, &account.pop3, Quirks::default()).await;
    let mut session = session.map_err(|error| error.to_string())?;
    let listing = session.uidl().await.map_err(|error| error.to_string())?;
    let bearers = listing.rows.iter().filter(|row| row.uidl == wanted.uidl.as_bytes()).map(|row| row.number);
    let retrieved = session.retrieve(&bearers.collect::<Vec<_>>(), spool).await;
    for (_, retrieval) in retrieved.messages {
        if let Retrieval::Message(message) = retrieval
            && wanted.content.is_none_or(|content| content == message.content)
        {
            return Ok(message);
        }
    }
    Err(match retrieved.error {
        Some(error) => error.to_string(),
        None => format!("message {} is no longer there", wanted.id),
    })
}
