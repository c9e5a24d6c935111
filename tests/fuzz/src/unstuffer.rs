//! Where a message ends, and its dots.

use mailferry::pop3::stuffing::Unstuffer;

/// The first byte says how the rest comes in; whole, in pieces and by the book it must come to the same.
pub fn unstuffer(input: &[u8]) {
    let Some((&how, stream)) = input.split_first() else { return };
    let (bare_lf, step) = (how & 1 == 1, usize::from(how >> 1) % 24 + 1);
    let whole = in_pieces(stream, stream.len().max(1), bare_lf);
    assert_eq!(in_pieces(stream, step, bare_lf), whole, "in pieces of {step}");
    assert_eq!(by_the_book(stream, bare_lf), whole.map(|(text, rest)| (text, stream.len() - rest)));
}

/// The message, and how many bytes follow its end.
fn in_pieces(stream: &[u8], step: usize, bare_lf: bool) -> Option<(Vec<u8>, usize)> {
    let (mut unstuffer, mut text, mut left) = (Unstuffer::new(bare_lf), Vec::new(), stream.len());
    for piece in stream.chunks(step) {
        left -= piece.len();
        if let Some(of_piece) = unstuffer.feed(piece, &mut text) {
            return Some((text, left + of_piece));
        }
    }
    None
}

/// RFC 1939 section 3, line by line: the message, and its length in the stream with its end. A line ends with CRLF;
/// where `bare_lf`, with LF too, up to the first CRLF of the stream.
pub fn by_the_book(stream: &[u8], mut bare_lf: bool) -> Option<(Vec<u8>, usize)> {
    let (mut text, mut at, mut after_crlf) = (Vec::new(), 0, true);
    loop {
        let (line, has_crlf) = line(&stream[at..], bare_lf)?;
        let body = &line[..line.len() - if has_crlf { 2 } else { 1 }];
        if body == b"." && (after_crlf || !has_crlf) {
            return Some((text, at + line.len()));
        }
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        at += line.len();
        (bare_lf, after_crlf) = (bare_lf && !has_crlf, has_crlf);
    }
}

/// The first line, and whether CRLF ends it.
fn line(rest: &[u8], bare_lf: bool) -> Option<(&[u8], bool)> {
    let lfs = memchr::memchr_iter(b'\n', rest);
    let mut ends = lfs.map(|lf| (&rest[..=lf], lf > 0 && rest[lf - 1] == b'\r'));
    ends.find(|(_, has_crlf)| *has_crlf || bare_lf)
}
