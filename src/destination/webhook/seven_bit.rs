//! A message in ASCII, for receivers that take it as text: what is beyond is put into transfer encodings (RFC 2045) and
//! encoded words (RFC 2047), and nothing else is touched.
//!
//! Whoever decodes it finds the same octets in every part, in the charset that was named for them. A header field has no
//! charset: it is taken for UTF-8 where it is valid as such, else for windows-1252.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::body::{Body, json_text};
use crate::message::{Message, raw_fields};

/// A message as text.
pub enum Text {
    /// It is ASCII already.
    AsItIs(Message),
    /// In pieces, so that it takes no more memory than it is long, and gives it back piece by piece.
    Converted(Vec<Bytes>),
}

/// Parts within parts, at most: deeper ones are converted as what they are in.
const MOST_DEPTH: usize = 100;

/// Octets on a line of base64 (RFC 2045 section 6.8), and characters on one of quoted-printable (section 6.7).
const BASE64_LINE: usize = 57;
const QUOTED_LINE: usize = 76;

/// Octets in an encoded word, so that none has more than 75 characters (RFC 2047 section 2).
const IN_A_WORD: usize = 39;

impl Text {
    /// Reads it through, and only if there is need, converts it. Then it takes up to 2.4 times the message of memory; but 4
    /// times if all of it is called quoted-printable, and is not.
    ///
    /// # Errors
    /// Where the message cannot be read back from its temporary file.
    pub async fn of(message: &Message) -> io::Result<Text> {
        Text::read(message, |piece| piece).await
    }

    /// `before`, and then the text of `message` as the inside of a JSON string.
    ///
    /// # Errors
    /// As [`Text::of`].
    pub async fn in_json_after(before: Body, message: &Message) -> io::Result<Body> {
        match Text::read(message, |piece| json_text(&piece)).await? {
            Text::AsItIs(message) => before.and_json_text(&message).await,
            escaped @ Text::Converted(_) => Ok(escaped.after(before)),
        }
    }

    /// `finish` makes of each piece what is kept of it, so that no piece is there twice for long.
    async fn read(message: &Message, finish: fn(Vec<u8>) -> Vec<u8>) -> io::Result<Text> {
        let mut chunks = message.chunks();
        let mut is_ascii = true;
        while let Some(chunk) = chunks.next().await? {
            is_ascii = is_ascii && !needs(&chunk);
        }
        if is_ascii {
            return Ok(Text::AsItIs(message.clone()));
        }
        let whole = message.whole().await?;
        let converted = tokio::task::spawn_blocking(move || seven_bit(&whole, finish)).await;
        Ok(Text::Converted(converted.map_err(io::Error::other)?))
    }

    /// `before`, and then the text.
    pub fn after(self, before: Body) -> Body {
        match self {
            Text::AsItIs(message) => before.and_message(&message),
            Text::Converted(pieces) => pieces.into_iter().fold(before, Body::and),
        }
    }
}

/// RFC 2045 section 2.7: no octet above 127, and no NUL.
fn needs(bytes: &[u8]) -> bool {
    !bytes.is_ascii() || memchr::memchr(0, bytes).is_some()
}

/// The message in ASCII, in pieces of which `finish` has made what is wanted. The same for the same message, always.
fn seven_bit(message: &[u8], finish: fn(Vec<u8>) -> Vec<u8>) -> Vec<Bytes> {
    let mut out = Out { pieces: Vec::new(), last: Vec::with_capacity(PIECE), finish };
    entity(message, 0, &mut out);
    out.cut();
    out.pieces
}

/// Octets in a piece, about.
const PIECE: usize = 1 << 20;

/// What has been written so far: it grows without being copied.
struct Out {
    pieces: Vec<Bytes>,
    last: Vec<u8>,
    finish: fn(Vec<u8>) -> Vec<u8>,
}

impl Out {
    fn push(&mut self, byte: u8) {
        self.last.push(byte);
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(PIECE) {
            if self.last.len() + bytes.len() > PIECE {
                self.cut();
            }
            self.last.extend_from_slice(bytes);
        }
    }

    fn cut(&mut self) {
        let full = std::mem::replace(&mut self.last, Vec::with_capacity(PIECE));
        let mut finished = (self.finish)(full);
        finished.shrink_to_fit();
        self.pieces.push(finished.into());
    }
}

/// What a header says of the body below it.
enum Kind {
    Multipart(Vec<u8>),
    Message,
    Leaf { is_text: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    QuotedPrintable,
    Base64,
}

/// A header and a body: the message, or a part.
fn entity(entity: &[u8], depth: usize, out: &mut Out) {
    if !needs(entity) {
        return out.extend_from_slice(entity);
    }
    let (fields, rest) = split(entity);
    let (end, body) = after_header(rest);
    let (kind, encoding) = described(&fields);
    let is_identity = encoding == Encoding::Identity;
    let mut begin = |becomes: &str| {
        header(&fields, becomes, out);
        out.extend_from_slice(end);
    };
    match kind {
        Kind::Multipart(boundary) if depth < MOST_DEPTH => {
            begin("7bit");
            parts(body, &boundary, depth, out);
        }
        Kind::Message if depth < MOST_DEPTH && is_identity => {
            begin("7bit");
            self::entity(body, depth + 1, out);
        }
        _ if !needs(body) => {
            begin("");
            out.extend_from_slice(body);
        }
        Kind::Leaf { .. } if encoding == Encoding::Base64 => {
            begin("base64");
            alphabet_only(body, out);
        }
        Kind::Leaf { .. } if encoding == Encoding::QuotedPrintable => {
            begin("quoted-printable");
            escaped(body, out);
        }
        Kind::Leaf { is_text: true } if is_better_quoted(body) => {
            begin("quoted-printable");
            quoted(body, out);
        }
        _ => {
            begin("base64");
            in_base64(body, out);
        }
    }
}

/// The fields of a header, and what follows them.
fn split(entity: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let fields: Vec<&[u8]> = raw_fields(entity).collect();
    let length = fields.iter().map(|field| field.len()).sum();
    (fields, &entity[length..])
}

/// The empty line, and the body.
fn after_header(rest: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    rest.split_at(end)
}

fn described(fields: &[&[u8]]) -> (Kind, Encoding) {
    let (mut kind, mut encoding) = (Kind::Leaf { is_text: true }, Encoding::Identity);
    for field in fields {
        if let Some(value) = value_of(field, b"Content-Type") {
            kind = kind_of(value);
        } else if let Some(value) = value_of(field, b"Content-Transfer-Encoding") {
            encoding = match value.trim_ascii().to_ascii_lowercase().as_slice() {
                b"base64" => Encoding::Base64,
                b"quoted-printable" => Encoding::QuotedPrintable,
                _ => Encoding::Identity,
            };
        }
    }
    (kind, encoding)
}

fn value_of<'f>(field: &'f [u8], name: &[u8]) -> Option<&'f [u8]> {
    let colon = memchr::memchr(b':', field)?;
    field[..colon].trim_ascii_end().eq_ignore_ascii_case(name).then(|| &field[colon + 1..])
}

fn kind_of(value: &[u8]) -> Kind {
    let lower = value.trim_ascii_start().to_ascii_lowercase();
    if lower.starts_with(b"multipart/")
        && let Some(boundary) = boundary(value)
    {
        return Kind::Multipart(boundary);
    }
    if lower.starts_with(b"message/rfc822") || lower.starts_with(b"message/global") {
        return Kind::Message;
    }
    Kind::Leaf { is_text: lower.is_empty() || lower.starts_with(b"text") }
}

/// RFC 2046 section 5.1.1
fn boundary(value: &[u8]) -> Option<Vec<u8>> {
    parameters(value).into_iter().find_map(|parameter| {
        let Parameter::Named { name, text, .. } = parameter else { return None };
        let is_boundary = name.eq_ignore_ascii_case(b"boundary") && !text.is_empty();
        is_boundary.then(|| text.trim_ascii_end().to_vec())
    })
}

/// The body of a multipart: each of its parts in ASCII, between the lines that part them.
fn parts(body: &[u8], boundary: &[u8], depth: usize, out: &mut Out) {
    let (mut begin, mut at, mut is_part) = (0, 0, false);
    let close = |from: usize, to: usize, is_part: bool, out: &mut Out| {
        let (content, end) = without_line_end(&body[from..to]);
        // What is before the first part and after the last is for nobody.
        if is_part {
            entity(content, depth + 1, out);
        } else {
            marked(content, out);
        }
        out.extend_from_slice(end);
    };
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if let Some(is_last) = parts_at(line, boundary) {
            close(begin, at, is_part, out);
            marked(line, out);
            (begin, is_part) = (at + line.len(), !is_last);
        }
        at += line.len();
    }
    close(begin, at, is_part, out);
}

/// Whether this line is between two parts, and if so, whether it is behind the last one.
fn parts_at(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The line end before the line that parts belongs to that line.
fn without_line_end(content: &[u8]) -> (&[u8], &[u8]) {
    let length = if content.ends_with(b"\r\n") { 2 } else { usize::from(content.ends_with(b"\n")) };
    content.split_at(content.len() - length)
}

/// With a question mark for what cannot be said.
fn marked(text: &[u8], out: &mut Out) {
    each(text, out, |byte, out| out.push(if byte.is_ascii() && byte != 0 { byte } else { b'?' }));
}

/// Writes what `write` makes of each byte.
fn each(text: &[u8], out: &mut Out, write: impl Fn(u8, &mut Vec<u8>)) {
    let mut written = Vec::new();
    for text in text.chunks(PIECE / 4) {
        text.iter().for_each(|byte| write(*byte, &mut written));
        out.extend_from_slice(&written);
        written.clear();
    }
}

fn is_better_quoted(body: &[u8]) -> bool {
    let escapes = body.iter().filter(|byte| !byte.is_ascii() || matches!(**byte, 0 | b'=')).count();
    escapes * 6 < body.len()
}

/// RFC 2045 section 6.7, with the line ends of the text.
fn quoted(text: &[u8], out: &mut Out) {
    let mut written = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (content, end) = without_line_end(line);
        let mut column = 0;
        for (at, byte) in content.iter().enumerate() {
            let is_last = at + 1 == content.len();
            let is_plain =
                matches!(byte, b'!'..=b'<' | b'>'..=b'~') || matches!(byte, b' ' | b'\t') && !is_last;
            let width = if is_plain { 1 } else { 3 };
            if column + width >= QUOTED_LINE {
                written.extend_from_slice(b"=\r\n");
                out.extend_from_slice(&written);
                written.clear();
                column = 0;
            }
            if is_plain {
                written.push(*byte);
            } else {
                escape(*byte, &mut written);
            }
            column += width;
        }
        written.extend_from_slice(end);
        out.extend_from_slice(&written);
        written.clear();
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("={byte:02X}").as_bytes());
}

/// Of what is said to be quoted-printable already, only what cannot stand there.
fn escaped(text: &[u8], out: &mut Out) {
    each(
        text,
        out,
        |byte, out| if byte.is_ascii() && byte != 0 { out.push(byte) } else { escape(byte, out) },
    );
}

/// RFC 2045 section 6.8: a decoder passes over whatever else stands in base64.
fn alphabet_only(text: &[u8], out: &mut Out) {
    each(text, out, |byte, out| out.extend((byte.is_ascii() && byte != 0).then_some(byte)));
}

fn in_base64(octets: &[u8], out: &mut Out) {
    for line in octets.chunks(BASE64_LINE) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The fields in ASCII, and what the transfer encoding has become; empty where it stays.
fn header(fields: &[&[u8]], becomes: &str, out: &mut Out) {
    let mut is_said = becomes.is_empty() || becomes == "7bit";
    for field in fields {
        if !becomes.is_empty() && value_of(field, b"Content-Transfer-Encoding").is_some() {
            if !is_said || becomes == "7bit" {
                out.extend_from_slice(format!("Content-Transfer-Encoding: {becomes}\r\n").as_bytes());
                is_said = true;
            }
            continue;
        }
        self::field(field, out);
    }
    if !is_said {
        out.extend_from_slice(format!("Content-Transfer-Encoding: {becomes}\r\n").as_bytes());
    }
}

fn field(field: &[u8], out: &mut Out) {
    if !needs(field) {
        return out.extend_from_slice(field);
    }
    let Some(colon) = memchr::memchr(b':', field).filter(|colon| !needs(&field[..*colon])) else {
        return marked(field, out);
    };
    let (name, value) = field.split_at(colon + 1);
    out.extend_from_slice(name);
    let is_structured = [&b"Content-Type:"[..], b"Content-Disposition:"];
    if is_structured.iter().any(|structured| name.eq_ignore_ascii_case(structured)) {
        with_parameters(value, out);
    } else {
        with_words(value, out);
    }
}

/// A piece of a value with parameters (RFC 2045 section 5.1).
enum Parameter<'v> {
    /// As it stands.
    Plain(&'v [u8]),
    Named {
        name: &'v [u8],
        text: Vec<u8>,
        as_it_stands: &'v [u8],
    },
}

/// Cut at its semicolons, but for those in quotes.
fn parameters(value: &[u8]) -> Vec<Parameter<'_>> {
    let (mut pieces, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.push(&value[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&value[from..]);
    let parameter = |piece| {
        let named = memchr::memchr(b'=', piece).map(|equals| (&piece[..equals], &piece[equals + 1..]));
        named.map_or(Parameter::Plain(piece), |(name, text)| Parameter::Named {
            name: name.trim_ascii(),
            text: unquoted(text.trim_ascii()),
            as_it_stands: piece,
        })
    };
    pieces.into_iter().map(parameter).collect()
}

/// RFC 5322 section 3.2.4
fn unquoted(text: &[u8]) -> Vec<u8> {
    let Some(inside) = text.strip_prefix(b"\"") else { return text.to_vec() };
    let (mut out, mut bytes) = (Vec::with_capacity(inside.len()), inside.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(bytes.next()),
            b'\r' | b'\n' => {}
            _ => out.push(*byte),
        }
    }
    out
}

/// RFC 2231 section 4
fn with_parameters(value: &[u8], out: &mut Out) {
    let (_, end) = without_line_end(value);
    for (at, parameter) in parameters(&value[..value.len() - end.len()]).iter().enumerate() {
        if at > 0 {
            out.push(b';');
        }
        match parameter {
            Parameter::Plain(piece) => marked(piece, out),
            Parameter::Named { as_it_stands, .. } if !needs(as_it_stands) => {
                out.extend_from_slice(as_it_stands);
            }
            Parameter::Named { name, text, .. } => {
                let (charset, text) = in_a_charset(text);
                out.extend_from_slice(b"\r\n ");
                marked(name.trim_ascii_end(), out);
                out.extend_from_slice(if name.ends_with(b"*") { b"=" } else { b"*=" });
                out.extend_from_slice(format!("{charset}''").as_bytes());
                for byte in text {
                    let is_plain = byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
                    if is_plain {
                        out.push(*byte);
                    } else {
                        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    }
                }
            }
        }
    }
    out.extend_from_slice(end);
}

/// UTF-8 where it is valid as such. NUL is dropped.
fn in_a_charset(text: &[u8]) -> (&'static str, &[u8]) {
    if std::str::from_utf8(text).is_ok() { ("utf-8", text) } else { ("windows-1252", text) }
}

/// Words that need it as encoded words, with what is between two of them: nothing between encoded words is shown. In angle
/// brackets stands an address, which no encoded word can be part of.
fn with_words(value: &[u8], out: &mut Out) {
    let (content, end) = without_line_end(value);
    let tokens = tokens(content);
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        if !needs(token) {
            out.extend_from_slice(token);
            at += 1;
            continue;
        }
        if token.starts_with(b"<") {
            marked(token, out);
            at += 1;
            continue;
        }
        // A run of words that need it: each is followed by blanks, and then perhaps by the next.
        let mut last = at;
        while let [blank, next, ..] = &tokens[last + 1..]
            && is_blank(blank)
            && needs(next)
            && !next.starts_with(b"<")
        {
            last += 2;
        }
        let mut text = Vec::new();
        for token in &tokens[at..=last] {
            if is_blank(token) { text.push(b' ') } else { text.extend(unquoted_word(token)) }
        }
        encoded_words(&text, out);
        at = last + 1;
    }
    out.extend_from_slice(end);
}

fn unquoted_word(token: &[u8]) -> Vec<u8> {
    if token.starts_with(b"\"") { unquoted(token) } else { token.to_vec() }
}

fn is_blank(token: &[u8]) -> bool {
    token.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Blanks, quoted strings, addresses in angle brackets, marks of punctuation between addresses, and words.
fn tokens(value: &[u8]) -> Vec<&[u8]> {
    let (mut tokens, mut rest) = (Vec::new(), value);
    while let Some(first) = rest.first() {
        let blank = rest.iter().take_while(|byte| is_blank(&[**byte])).count();
        let length = match first {
            _ if blank > 0 => blank,
            b'"' => closing(rest, b'"'),
            b'<' => closing(rest, b'>'),
            b'(' | b')' | b',' | b';' => 1,
            _ => rest.iter().take_while(|byte| !b" \t\r\n\"<(),;".contains(byte)).count(),
        };
        let (token, after) = rest.split_at(length.max(1));
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// Length up to and with the next `close` that is not escaped, or to the end.
fn closing(text: &[u8], close: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == close => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// RFC 2047 section 2
fn encoded_words(text: &[u8], out: &mut Out) {
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    let (charset, mut rest) = in_a_charset(&text);
    let mut is_first = true;
    while !rest.is_empty() {
        let mut length = rest.len().min(IN_A_WORD);
        // No character is cut in two (section 5).
        while charset == "utf-8" && length < rest.len() && length > 1 && rest[length] & 0xc0 == 0x80 {
            length -= 1;
        }
        let (piece, after) = rest.split_at(length);
        if !is_first {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend_from_slice(format!("=?{charset}?B?{}?=", STANDARD.encode(piece)).as_bytes());
        (rest, is_first) = (after, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parsed;

    fn seven_bit(message: &[u8]) -> Vec<u8> {
        super::seven_bit(message, |piece| piece).concat()
    }

    fn converted(message: &[u8]) -> String {
        String::from_utf8(seven_bit(message)).unwrap()
    }

    #[test]
    fn ascii_stays_as_it_is() {
        for message in
            ["", "\r\n", "Subject: x\r\n\r\nbody", "Content-Transfer-Encoding: 8bit\n\nbody\n", "no header"]
        {
            assert_eq!(converted(message.as_bytes()), message);
        }
    }

    #[test]
    fn words_of_a_header_are_encoded() {
        for (field, expected) in [
            ("Subject: gr\u{fc}\u{df}e to all", "Subject: =?utf-8?B?Z3LDvMOfZQ==?= to all"),
            ("Subject: \u{e4} \u{f6} u", "Subject: =?utf-8?B?w6Qgw7Y=?= u"),
            (
                "From: J\u{f6}rg <j@example.com>, b@example.com",
                "From: =?utf-8?B?SsO2cmc=?= <j@example.com>, b@example.com",
            ),
            (
                "From: \"M\u{fc}ller, J\" <j@example.com>",
                "From: =?utf-8?B?TcO8bGxlciwgSg==?= <j@example.com>",
            ),
            ("To: <j\u{f6}rg@example.com>", "To: <j??rg@example.com>"),
            ("X: a\0b", "X: =?utf-8?B?YWI=?="),
            (
                "Content-Type: text/plain; name=\"\u{fc}.txt\"; x=y",
                "Content-Type: text/plain;\r\n name*=utf-8''%C3%BC.txt; x=y",
            ),
            ("N\u{e4}me: x", "N??me: x"),
        ] {
            assert_eq!(converted(format!("{field}\r\n\r\n").as_bytes()), format!("{expected}\r\n\r\n"));
        }
        assert_eq!(converted(b"Subject: \xfc\r\n\r\n"), "Subject: =?windows-1252?B?/A==?=\r\n\r\n");
        let long = converted(format!("Subject: {}\r\n\r\n", "\u{20ac}".repeat(300)).as_bytes());
        assert!(long.lines().all(|line| line.len() <= 9 + 75), "{long}");
    }

    #[test]
    fn each_part_is_encoded_as_suits_it() {
        let message = "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\npr\u{e4}amble\r\n\
             --a b\r\n\r\n\u{fc}nd = \r\n--a b\r\nContent-Type: image/png\r\n\r\n\u{e4}\r\n--a b \r\nContent-Type: message/rfc822\r\n\r\n\
             Subject: \u{e4}\r\n\r\nfine\r\n--a b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3 \u{e4}\r\n\
             --a bc\r\n--a b--\r\nepilogue\r\n";
        assert_eq!(
            converted(message.as_bytes()),
            "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\npr??amble\r\n\
             --a b\r\nContent-Transfer-Encoding: base64\r\n\r\nw7xuZCA9IA==\r\n\r\n--a b\r\nContent-Type: image/png\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n\r\n--a b \r\nContent-Type: message/rfc822\r\n\r\n\
             Subject: =?utf-8?B?w6Q=?=\r\n\r\nfine\r\n--a b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3 =C3=A4\r\n\
             --a bc\r\n--a b--\r\nepilogue\r\n"
        );
    }

    /// Each in its charset, or in none.
    #[test]
    fn every_part_says_what_it_said() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let message = some_message(&mut random, 0);
            let seven = seven_bit(&message);
            assert!(!needs(&seven));
            assert_eq!(seven_bit(&seven), seven);
            let (was, is) = (parsed::content(&message), parsed::content(&seven));
            assert_eq!((was.text, was.html), (is.text, is.html), "{}", String::from_utf8_lossy(&message));
            let contents =
                |of: Vec<parsed::Attachment>| of.into_iter().map(|one| one.content).collect::<Vec<_>>();
            assert_eq!(contents(was.attachments), contents(is.attachments));
        }
    }

    fn some_message(random: &mut fastrand::Rng, depth: usize) -> Vec<u8> {
        let body: Vec<u8> =
            (0..random.usize(..200)).map(|_| random.choice(*b"aaa =\xe4\xff.\t").unwrap()).collect();
        let lines = body.chunks(17).collect::<Vec<_>>().join(&b"\r\n"[..]);
        match random.u8(..if depth < 4 { 5 } else { 4 }) {
            0 => [b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n", &lines[..]].concat(),
            1 => [
                b"Content-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
                &lines[..],
            ]
            .concat(),
            2 => [b"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n", &body[..]]
                .concat(),
            3 => [b"Subject: \xe4\r\n\r\n", &lines[..]].concat(),
            _ => {
                let boundary = format!("b{depth}");
                let mut whole =
                    format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n").into_bytes();
                for _ in 0..random.usize(1..4) {
                    whole.extend(format!("--{boundary}\r\n").as_bytes());
                    whole.extend(some_message(random, depth + 1));
                    whole.extend(b"\r\n");
                }
                whole.extend(format!("--{boundary}--\r\n").as_bytes());
                whole
            }
        }
    }

    #[test]
    fn whatever_it_is_it_comes_out_in_ascii() {
        let mut random = fastrand::Rng::with_seed(8);
        let pieces: [&[u8]; 16] = [
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"\r\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"Subject: ",
            b"\xe4",
            b"\"",
            b"<",
            b"(",
            b"=?",
            b"\0",
            b"Content-Transfer-Encoding: base64\r\n",
            b"\n ",
            b";",
            b"name=\"\xff",
        ];
        for _ in 0..20_000 {
            let message: Vec<u8> =
                (0..random.usize(..40)).flat_map(|_| random.choice(pieces).unwrap().to_vec()).collect();
            assert!(!needs(&seven_bit(&message)));
        }
        // As deep as anybody can write it.
        let deep = [b"Content-Type: message/rfc822\r\n\r\n".repeat(10_000), b"\xe4".to_vec()].concat();
        assert!(!needs(&seven_bit(&deep)));
    }
}
