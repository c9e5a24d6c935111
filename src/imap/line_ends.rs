//! IMAP takes CRLF line ends only: a bare LF becomes CRLF, and nothing else changes.

use bytes::Bytes;

/// Turns a message into its IMAP form, chunk by chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// The next chunk of the message in its IMAP form: the same bytes, not a copy, where they are right already.
    pub fn next(&mut self, chunk: &Bytes) -> Bytes {
        let (before, number) = (*self, self.bare(chunk).count());
        self.after_cr = chunk.last().map_or(self.after_cr, |&last| last == b'\r');
        if number == 0 {
            return chunk.clone();
        }
        let mut clean = Vec::with_capacity(chunk.len() + number);
        let mut done = 0;
        for at in before.bare(chunk) {
            clean.extend_from_slice(&chunk[done..at]);
            clean.push(b'\r');
            done = at;
        }
        clean.extend_from_slice(&chunk[done..]);
        clean.into()
    }

    /// Where in `chunk` each LF stands that no CR precedes.
    fn bare<'a>(&self, chunk: &'a [u8]) -> impl Iterator<Item = usize> + use<'a> {
        let after_cr = self.after_cr;
        memchr::memchr_iter(b'\n', chunk).filter(move |&at| match at.checked_sub(1) {
            Some(before) => chunk[before] != b'\r',
            None => !after_cr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(chunks: &[&'static [u8]]) -> Vec<u8> {
        let mut line_ends = LineEnds::default();
        chunks.iter().flat_map(|chunk| line_ends.next(&Bytes::from_static(chunk))).collect()
    }

    #[test]
    fn only_a_bare_lf_changes() {
        assert_eq!(whole(&[b"a\nb\r\nc\rd\n\n\r\n"]), b"a\r\nb\r\nc\rd\r\n\r\n\r\n");
        assert_eq!(whole(&[b"a\r", b"\nb", b"\n", b"", b"\r", b"", b"\n"]), b"a\r\nb\r\n\r\n");
    }

    #[test]
    fn a_clean_message_is_not_copied() {
        let message = Bytes::from_static(b"a\r\nb\r\n");
        assert_eq!(LineEnds::default().next(&message).as_ptr(), message.as_ptr());
    }
}
