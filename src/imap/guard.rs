//! A filter under async-imap: no server can make its parser panic, overflow the stack or fill the memory.
//!
//! imap-proto 0.17 recurses into nested parentheses without a limit, allocates whatever size a literal
//! announces, parses a line again from its start after each read, and panics where a `]` is followed by a byte
//! outside ASCII. Of half a line it guesses how much is still to come, and waits for that even where the line turns
//! out to be shorter; so it gets whole lines only.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest response less its literals, in octets.
const LONGEST_LINE: usize = 32 << 10;
/// Most octets of literals in one response: what a look-up asks for at a time, and some.
const LARGEST_LITERALS: u64 = 1 << 20;
/// Most parentheses opened in one response. Depth would not do: a `)` in a quoted string is not a closing one.
const MOST_PARENTHESES: usize = 64;
/// Bytes read at a time.
const PIECE: usize = 8 << 10;

#[derive(Debug)]
pub struct Guard<T> {
    inner: T,
    response: Response,
    /// What has passed and was not yet asked for: at most a line and a piece.
    passed: BytesMut,
    /// How much of it may be handed out: up to the end of a line, or of what has come of a literal.
    ready: usize,
}

/// How far the response under way has come.
#[derive(Debug, Default)]
struct Response {
    line: usize,
    parentheses: usize,
    literals: u64,
    /// Octets left of the literal under way.
    literal: u64,
    announced: Announced,
    start: [u8; 3],
}

/// How much of `{n}` CRLF, which announces a literal (RFC 3501 section 4.3), has been seen.
#[derive(Clone, Copy, Debug, Default)]
enum Announced {
    #[default]
    Nothing,
    Digits(u64),
    Whole(u64),
}

impl<T> Guard<T> {
    pub fn new(inner: T) -> Self {
        Guard { inner, response: Response::default(), passed: BytesMut::new(), ready: 0 }
    }
}

impl<T: AsyncRead + Unpin> Guard<T> {
    /// Reads a piece; `false` at the end of the stream, where half a line is as much as there will be.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        let piece = piece.filled_mut();
        if let Some(end) = self.response.pass(piece)? {
            self.ready = self.passed.len() + end;
        }
        self.passed.extend_from_slice(piece);
        if piece.is_empty() {
            self.ready = self.passed.len();
        }
        Poll::Ready(Ok(!piece.is_empty()))
    }
}

impl Response {
    /// Returns where the last whole line in `bytes` ends, or what there is of a literal.
    fn pass(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        let (mut at, mut end) = (0, None);
        while at < bytes.len() {
            let literal = usize::try_from(self.literal).unwrap_or(usize::MAX).min(bytes.len() - at);
            if literal > 0 {
                self.literal -= literal as u64;
                at += literal;
                end = Some(at);
            }
            if let Some(byte) = bytes.get_mut(at) {
                self.pass_byte(byte)?;
                at += 1;
                if *byte == b'\n' {
                    end = Some(at);
                }
            }
        }
        Ok(end)
    }

    fn pass_byte(&mut self, byte: &mut u8) -> io::Result<()> {
        if let Some(start) = self.start.get_mut(self.line) {
            *start = *byte;
        }
        self.line += 1;
        if self.line > LONGEST_LINE {
            return Err(hostile("a response without end"));
        }
        if matches!(*byte, 0 | 0x80..) {
            *byte = b'?';
        }
        self.announced = match (*byte, self.announced) {
            (b'{', _) => Announced::Digits(0),
            (digit @ b'0'..=b'9', Announced::Digits(number)) => {
                Announced::Digits(number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
            }
            (b'}', Announced::Digits(number)) => Announced::Whole(number),
            (b'\r' | b'\n', announced) => announced,
            _ => Announced::Nothing,
        };
        match *byte {
            b'(' => self.parentheses += 1,
            b'\n' => return self.end_line(),
            _ => {}
        }
        if self.parentheses > MOST_PARENTHESES {
            return Err(hostile("a response nested too deeply"));
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        let announced = std::mem::take(&mut self.announced);
        let (Announced::Whole(octets), true) = (announced, self.may_hold_literals()) else {
            *self = Response::default();
            return Ok(());
        };
        self.literal = octets;
        self.literals = self.literals.saturating_add(octets);
        if self.literals > LARGEST_LITERALS {
            return Err(hostile("a literal that nobody asked for"));
        }
        Ok(())
    }

    /// Whether this is a FETCH, LIST, LSUB or STATUS response. Elsewhere `{n}` is part of a text, and what
    /// follows is the next response: to take that for a literal would let it pass unseen.
    fn may_hold_literals(&self) -> bool {
        matches!(self.start, [b'*', b' ', b'0'..=b'9' | b'L' | b'l' | b'S' | b's'])
    }
}

fn hostile(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready == 0 && ready!(this.poll_fill(cx))? {}
        let length = this.ready.min(buf.remaining());
        buf.put_slice(&this.passed[..length]);
        this.passed.advance(length);
        this.ready -= length;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn pass(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let mut response = Response::default();
        // In pieces as small as can be: a border between two reads changes nothing.
        bytes.chunks_mut(1).try_for_each(|byte| response.pass(byte).map(drop))?;
        Ok(bytes)
    }

    #[test]
    fn stops_a_literal_bomb() {
        assert!(pass(b"* 1 FETCH (BODY[] {536870000}\r\n").is_err());
        assert!(pass(b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n").is_err());
        // Many small ones are as large as one.
        let half = [b"* 1 FETCH (A {600000}\r\n".as_slice(), &vec![b'x'; 600_000]].concat();
        assert!(pass(&half).is_ok());
        assert!(pass(&[half.as_slice(), b" B {600000}\r\n"].concat()).is_err());
    }

    #[test]
    fn stops_nesting_that_would_overflow_the_parsers_stack() {
        assert!(pass(&[b"* 1 FETCH (BODYSTRUCTURE ".as_slice(), &[b'('; 100]].concat()).is_err());
    }

    #[test]
    fn a_text_that_looks_like_a_literal_hides_nothing() {
        for cover in ["* OK {1000}\r\n", "M1 OK {1000}\r\n", "+ {1000}\r\n"] {
            assert!(pass(&[cover.as_bytes(), &[b'('; 100]].concat()).is_err(), "{cover}");
        }
    }

    #[test]
    fn stops_a_line_without_end() {
        assert!(pass(&vec![b'a'; 100_000]).is_err());
    }

    #[test]
    fn leaves_a_literals_bytes_alone_and_nothing_else_outside_ascii() {
        let sent = b"* 1 FETCH (UID 7 BODY[] {3}\r\n\xE9((" as &[u8];
        assert_eq!(
            pass(&[sent, b")\r\n* OK [ALERT]\xE9\r\n"].concat()).unwrap(),
            [sent, b")\r\n* OK [ALERT]?\r\n"].concat()
        );
        let parsed = pass("* OK [ALERT]\u{e9}\r\n".as_bytes()).unwrap();
        assert!(async_imap::imap_proto::Response::parse(&parsed).is_ok());
    }

    #[tokio::test]
    async fn half_a_line_is_handed_out_only_at_the_end_of_the_stream() {
        let (first, second) = ("X]\r\n* 1 FETCH (BODY[] {4}\r\nhal", "f)\r\nM2");
        let pieces = AsyncReadExt::chain(
            AsyncReadExt::chain(b"M1 OK [" as &[u8], first.as_bytes()),
            second.as_bytes(),
        );
        let mut guard = Guard::new(pieces);
        for expected in ["M1 OK [X]\r\n* 1 FETCH (BODY[] {4}\r\nhal", "f)\r\n", "M2", ""] {
            let mut read = [0; 99];
            let length = guard.read(&mut read).await.unwrap();
            assert_eq!(std::str::from_utf8(&read[..length]).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_read_that_fails_has_read_nothing() {
        let mut read = Vec::new();
        let bomb = b"* 1 FETCH (BODY[] {536870000}\r\n" as &[u8];
        assert!(Guard::new(bomb).read_to_end(&mut read).await.is_err());
        assert!(read.is_empty());
    }

    #[test]
    fn counts_afresh_for_each_response() {
        assert!(pass(&b"* 1 FETCH (FLAGS ())\r\n".repeat(1000)).is_ok());
    }
}
