//! What tells two messages apart that bear one Message-ID.

use crate::imap::Fingerprint;
use crate::message::{Message, field};

/// What they passed through on their way does not.
pub const FIELDS: &str = "DATE FROM SUBJECT";

/// A digest of a header's [`FIELDS`] as they stand there. `None` without a Date: then only its bytes tell a message from
/// the next one of the same sender.
pub fn identity(header: &[u8]) -> Option<[u8; 32]> {
    field(header, "Date")?;
    let values = FIELDS.split(' ').map(|name| field(header, name).unwrap_or_default());
    Some(Fingerprint::of(&values.collect::<Vec<_>>().join(&0)))
}

/// The same, or its content where that alone tells.
pub fn gist(message: &Message) -> [u8; 32] {
    identity(message.head()).unwrap_or(message.content.0)
}
