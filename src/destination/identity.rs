//! What tells two messages apart that bear one Message-ID.

use std::io;

use crate::imap::Fingerprint;
use crate::imap::line_ends::LineEnds;
use crate::message::{Chunks, Gist, Message, field};

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

/// The same, or its content where that alone tells, and a digest of its body.
///
/// # Errors
/// Where the temporary file cannot be read back.
pub async fn gist(message: &Message) -> io::Result<Gist> {
    let header = identity(message.head()).unwrap_or(message.content.0);
    let (_, body) = measure(body(message)).await?;
    Ok(Gist { header, body })
}

/// What follows the header.
pub fn body(message: &Message) -> Chunks {
    message.chunks_from(message.head().len() as u64)
}

/// Octets and fingerprint of a message, or of a part of one, as an IMAP server is sent it.
///
/// # Errors
/// As [`gist`].
pub async fn measure(mut chunks: Chunks) -> io::Result<(u64, [u8; 32])> {
    let (mut line_ends, mut octets, mut hash) = (LineEnds::default(), 0, Fingerprint::default());
    while let Some(chunk) = chunks.next().await? {
        let chunk = line_ends.next(&chunk);
        octets += chunk.len() as u64;
        hash.update(&chunk);
    }
    Ok((octets, hash.finish()))
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
