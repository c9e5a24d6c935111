use proptest::prelude::*;

use super::*;

/// What RFC 1939 section 3 says, line by line over the whole stream: the message, and what follows its end.
fn by_the_book(stream: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut text, mut rest) = (Vec::new(), stream);
    loop {
        if let Some(after) = rest.strip_prefix(b".\r\n") {
            return Some((text, after));
        }
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
        let (line, after) = rest.split_at(line_end);
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = after;
    }
}

/// The message, and what follows its end, where `stream` comes in pieces that end at `cuts`.
fn in_pieces<'a>(stream: &'a [u8], cuts: &[usize], bare_lf: bool) -> Option<(Vec<u8>, &'a [u8])> {
    let (mut unstuffer, mut text, mut begin) = (Unstuffer::new(bare_lf), Vec::new(), 0);
    for &cut in cuts.iter().chain([&stream.len()]) {
        if let Some(left) = unstuffer.feed(&stream[begin..cut], &mut text) {
            return Some((text, &stream[cut - left..]));
        }
        begin = cut;
    }
    None
}

/// Fed whole, and cut in two and in three at every place, a stream says the same.
fn everywhere_the_same(stream: &[u8], bare_lf: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let owned = |(text, rest): (Vec<u8>, &[u8])| (text, rest.to_vec());
    let whole = in_pieces(stream, &[], bare_lf).map(owned);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let cut = in_pieces(stream, &[first, second], bare_lf);
            // The end may come before the last cut: then what follows is what is left of the whole stream.
            assert_eq!(cut.map(owned), whole, "{:?} cut at {first} and {second}", stream.escape_ascii());
        }
    }
    whole
}

fn message(stream: &str) -> Option<String> {
    everywhere_the_same(stream.as_bytes(), false).map(|(text, rest)| {
        assert_eq!(rest, b"+OK", "{stream:?}");
        String::from_utf8(text).unwrap()
    })
}

#[test]
fn takes_stuffed_dots_away_and_stops_at_the_end() {
    for (stream, expected) in [
        (".\r\n+OK", ""),
        ("\r\n.\r\n+OK", "\r\n"),
        ("a\r\n.\r\n+OK", "a\r\n"),
        ("..\r\n.\r\n+OK", ".\r\n"),
        ("...\r\n.\r\n+OK", "..\r\n"),
        ("a\r\n..b\r\n..\r\n.\r\n+OK", "a\r\n.b\r\n.\r\n"),
        // A dot that nobody stuffed goes too: that is what the RFC says.
        ("a\r\n.b\r\n.\r\n+OK", "a\r\nb\r\n"),
        ("a.\r\n.\r\n+OK", "a.\r\n"),
        ("a\r\r\n.\r\n+OK", "a\r\r\n"),
        ("a\r\n.\rb\r\n.\r\n+OK", "a\r\n\rb\r\n"),
        ("a\r\n.\r\r\n.\r\n+OK", "a\r\n\r\r\n"),
    ] {
        assert_eq!(message(stream).as_deref(), Some(expected), "{stream:?}");
    }
}

#[test]
fn nothing_but_crlf_dot_crlf_ends_a_message() {
    for impostor in
        ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r.\r", "\n.\r", "\r\n.\r", "\r\n. \r\n", "\r\n\0.\r\n"]
    {
        assert_eq!(message(&format!("a{impostor}")), None, "{impostor:?}");
        let stuffed = impostor.starts_with("\r\n.");
        let text = if stuffed { impostor.replacen('.', "", 1) } else { impostor.to_owned() };
        let expected = format!("a{text}b\r\n");
        assert_eq!(message(&format!("a{impostor}b\r\n.\r\n+OK")), Some(expected), "{impostor:?}");
    }
}

#[test]
fn a_server_without_any_crlf_ends_with_lf_dot_lf() {
    for (stream, expected) in [
        (".\n+OK", ""),
        ("a\n.\n+OK", "a\n"),
        ("a\n..b\n..\n.\n+OK", "a\n.b\n.\n"),
        ("a\rb\n.\n+OK", "a\rb\n"),
        // With the first CRLF it is a server like any other.
        ("a\n.\r\n\n.\nb\r\n.\r\n+OK", "a\n\r\n\n.\nb\r\n"),
        ("a\r\n\n.\nb\r\n.\r\n+OK", "a\r\n\n.\nb\r\n"),
    ] {
        let (text, rest) = everywhere_the_same(stream.as_bytes(), true).unwrap();
        assert_eq!(text, expected.as_bytes(), "{stream:?}");
        assert_eq!(rest, b"+OK", "{stream:?}");
    }
    for unended in ["a\n.\r\n", "a\r\n.\n", "a\r\nb\n.\n"] {
        assert_eq!(everywhere_the_same(unended.as_bytes(), true), None, "{unended:?}");
    }
}

#[test]
fn remembers_from_message_to_message_that_there_was_a_crlf() {
    let mut unstuffer = Unstuffer::new(true);
    assert!(unstuffer.feed(b"a\n.\n", &mut Vec::new()).is_some() && unstuffer.bare_lf());
    let mut unstuffer = Unstuffer::new(true);
    assert!(unstuffer.feed(b".\r\n", &mut Vec::new()).is_some() && !unstuffer.bare_lf());
}

/// Bytes of which most mean something to the unstuffer, and an end.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\r'), 4 => Just(b'\n'), 3 => Just(b'.'), 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..64).prop_map(|bytes| [&bytes, &b"\r\n.\r\n"[..]].concat())
}

proptest! {
    #[test]
    fn agrees_with_the_book(stream in stream(), first in 0usize..64, second in 0usize..64) {
        let (first, second) = (first.min(stream.len()), second.min(stream.len()));
        let cuts = [first.min(second), first.max(second)];
        prop_assert_eq!(in_pieces(&stream, &cuts, false), by_the_book(&stream));
    }

    #[test]
    fn gives_back_what_was_stuffed(lines in proptest::collection::vec("\\.{0,3}[a-z\\r\\n.]{0,9}", 0..20)) {
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
        let mut stream = Vec::new();
        let mut rest = &text[..];
        while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let (line, after) = rest.split_at(at + 2);
            if line.starts_with(b".") {
                stream.push(b'.');
            }
            stream.extend_from_slice(line);
            rest = after;
        }
        stream.extend_from_slice(b".\r\n");
        prop_assert_eq!(in_pieces(&stream, &[], false), Some((text, &b""[..])));
    }
}
