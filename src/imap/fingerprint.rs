//! What a message is recognised by when a server gives it back.

use sha2::{Digest, Sha256};

/// SHA-256 of a message in its IMAP form, in which NUL counts as 0x80: a literal must not hold NUL (RFC 3501 section 4.3.1),
/// and Dovecot gives it back like that.
#[derive(Debug, Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Of a whole message.
    pub fn of(message: &[u8]) -> [u8; 32] {
        let mut fingerprint = Fingerprint::default();
        fingerprint.update(message);
        fingerprint.finish()
    }

    /// Takes in the next piece of a message.
    pub fn update(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(nul) = memchr::memchr(0, rest) {
            self.0.update(&rest[..nul]);
            self.0.update([0x80]);
            rest = &rest[nul + 1..];
        }
        self.0.update(rest);
    }

    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_and_what_it_becomes_are_the_same_and_nothing_else_is() {
        assert_eq!(Fingerprint::of(b"\0a\0\0b\0"), Fingerprint::of(b"\x80a\x80\x80b\x80"));
        assert_ne!(Fingerprint::of(b"a\0b"), Fingerprint::of(b"a b"));
        assert_ne!(Fingerprint::of(b"a\0"), Fingerprint::of(b"a"));
        assert_eq!(Fingerprint::of(b"ab"), <[u8; 32]>::from(Sha256::digest(b"ab")));
    }

    #[test]
    fn pieces_do_not_show() {
        let mut fingerprint = Fingerprint::default();
        [b"a\0" as &[u8], b"", b"\0b"].into_iter().for_each(|piece| fingerprint.update(piece));
        assert_eq!(fingerprint.finish(), Fingerprint::of(b"a\0\0b"));
    }
}
