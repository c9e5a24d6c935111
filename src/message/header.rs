//! A message's header, as bytes: its fields, its end, and what of it stays the same from one retrieval to the next.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::Content;

/// Header fields that a server adds or changes from one retrieval to the next.
const UNSTEADY: [&[u8]; 4] = [b"Status", b"X-Status", b"X-UIDL", b"X-Keywords"];

/// Feeds `hash` with a message, or its beginning, less the fields in [`UNSTEADY`].
pub(super) fn hash_steady(message: &[u8], hash: &mut Sha256) {
    let end = header_len(message);
    for field in Fields(&message[..end]) {
        if !UNSTEADY.iter().any(|name| is_field(field, name)) {
            hash.update(field);
        }
    }
    hash.update(&message[end..]);
}

/// What [`Message::header`](super::Message::header) is, of the bytes that TOP n 0 returned.
pub fn header_digest(message: &[u8]) -> Content {
    let mut hash = Sha256::new();
    for field in Fields(&message[..header_len(message)]) {
        let is_end = matches!(field, b"\r\n" | b"\n");
        if !is_end && !UNSTEADY.iter().any(|name| is_field(field, name)) {
            hash.update(field);
        }
    }
    Content(hash.finalize().into())
}

/// Length of the header with the empty line that ends it.
pub(super) fn header_len(message: &[u8]) -> usize {
    let mut length = 0;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        length += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    length
}

/// Whether an empty line ends the header.
pub fn ends_header(message: &[u8]) -> bool {
    let end = header_len(message);
    matches!(message[..end].rsplit(|&byte| byte == b'\n').nth(1), Some(b"" | b"\r"))
}

/// The fields of a message's header as they stand, each with its continuation lines (RFC 5322 section 2.2.3) and line ends,
/// one behind the other; not the empty line that ends the header.
pub fn raw_fields(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields(&message[..header_len(message)]).filter(|field| !matches!(*field, b"\r\n" | b"\n"))
}

/// The fields of a header, each with its continuation lines (RFC 5322 section 2.2.3) and line ends.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let ends = memchr::memchr_iter(b'\n', self.0).map(|at| at + 1);
        let end = ends.into_iter().find(|&end| !matches!(self.0.get(end), Some(b' ' | b'\t')));
        let (field, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(field)
    }
}

fn is_field(field: &[u8], name: &[u8]) -> bool {
    let Some((start, rest)) = field.split_at_checked(name.len()) else { return false };
    // RFC 5322 section 4.5: a blank may stand before the colon.
    start.eq_ignore_ascii_case(name) && rest.trim_ascii_start().starts_with(b":")
}

/// The fields of a header in their order: each name, and its value unfolded, trimmed, not decoded. Lines that are
/// no field are left out.
pub fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    Fields(&header[..header_len(header)]).filter_map(|field| {
        let colon = memchr::memchr(b':', field)?;
        let name = field[..colon].trim_ascii_end();
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        is_name.then(|| (name, unfolded(&field[colon + 1..])))
    })
}

/// The value of the topmost field `name` in a header: unfolded, trimmed, not decoded.
pub fn field(header: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut fields = Fields(&header[..header_len(header)]);
    let field = fields.find(|field| is_field(field, name.as_bytes()))?;
    Some(unfolded(&field[memchr::memchr(b':', field)? + 1..]))
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    let unfolded: Vec<u8> = value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    unfolded.trim_ascii().to_owned()
}

/// The date of the topmost Received field in a header, which is the text after its last `;`.
pub fn received_at(header: &[u8]) -> Option<DateTime<FixedOffset>> {
    let received = field(header, "Received")?;
    parse_date(received.rsplit(|&byte| byte == b';').next()?)
}

/// Whether mail may be of that date: not before 1990, and not after tomorrow.
pub fn is_plausible(date: &DateTime<FixedOffset>, now: DateTime<Utc>) -> bool {
    // Seconds of Unix time at the start of 1990.
    date.timestamp() >= 631_152_000 && *date <= now + TimeDelta::days(1)
}

/// A date as RFC 5322 section 3.3 writes it.
pub fn parse_date(value: &[u8]) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc2822(std::str::from_utf8(value).ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_end_of_a_header() {
        for (message, ends) in
            [("", false), ("a: b\r\n", false), ("a: b\r\n\r\n", true), ("a: b\n\nx", true), ("\r\n", true)]
        {
            assert_eq!(ends_header(message.as_bytes()), ends, "{message:?}");
        }
    }

    #[test]
    fn finds_the_topmost_field_unfolded() {
        let header = b"Received: from a\r\n by b; Mon, 23 Nov 2026\r\n 10:00:00 +0100 (CET)\r\nReceived: later\r\n\r\n";
        let date = received_at(header).unwrap();
        assert_eq!(date.to_rfc3339(), "2026-11-23T10:00:00+01:00");
        assert_eq!(field(b"Message-Id :  <a@b> \n\n", "Message-ID").unwrap(), b"<a@b>");
        assert_eq!(field(b"Subject: x\r\n\r\nDate: in the body", "Date"), None);
        // A line that only begins like a field hides none.
        assert_eq!(field(b"From a@b Mon Nov 23\nFrom: c\n\n", "From").unwrap(), b"c");
    }
}
