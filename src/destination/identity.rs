//! What tells two messages apart that bear one Message-ID.

use sha2::{Digest, Sha256};

use crate::message::field;

/// What they passed through on their way does not.
pub const FIELDS: [&str; 3] = ["Date", "From", "Subject"];

/// A header's [`FIELDS`], as they stand there.
pub type Identity = [Option<Vec<u8>>; FIELDS.len()];

pub fn identity(header: &[u8]) -> Identity {
    FIELDS.map(|name| field(header, name))
}

/// The same in 32 octets: equal for the same message, and for no other.
pub fn gist(header: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for value in identity(header) {
        // One that is empty is not one that is missing.
        let length = value.as_ref().map_or(u64::MAX, |value| value.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(value.unwrap_or_default());
    }
    hash.finalize().into()
}
