//! What tells two messages apart that bear one Message-ID.

use crate::imap::Fingerprint;
use crate::message::{Message, field};

/// The longest Message-ID that counts as one, in octets: a line of a header (RFC 5322 section 2.1.1).
const MESSAGE_ID: usize = 998;

/// The Message-ID in a header, as it stands there; what is not UTF-8 is replaced, here as in a look-up.
pub fn message_id(header: &[u8]) -> Option<String> {
    let value = field(header, "Message-ID")?;
    (1..=MESSAGE_ID).contains(&value.len()).then(|| String::from_utf8_lossy(&value).into_owned())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_or_endless_is_no_message_id() {
        let of = |id: &str| message_id(format!("Message-ID: {id}\r\n\r\n").as_bytes());
        assert_eq!(of("<a@b>").as_deref(), Some("<a@b>"));
        assert_eq!((of(""), of("  ")), (None, None));
        assert_eq!(of(&"x".repeat(998)).map(|id| id.len()), Some(998));
        assert_eq!(of(&"x".repeat(999)), None);
    }
}
