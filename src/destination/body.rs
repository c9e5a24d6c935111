//! What is posted: bytes that come out the same each time they are read, once to sign and once to send.

use std::collections::VecDeque;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::message::{Chunks, Message};

/// A request body, piece by piece. A message that is not in memory is streamed, so that its length costs no memory.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Bytes),
    Message {
        message: Message,
        encoding: Encoding,
        /// Once encoded.
        octets: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Verbatim,
    Base64,
    JsonText,
}

/// In octets: 8 MiB. Of what goes out in one piece an early answer is heard, of a stream perhaps not.
const LARGEST_JOINED: u64 = 8 << 20;

impl Body {
    /// What is no message.
    pub fn of(text: impl Into<Bytes>) -> Body {
        Body::default().and(text)
    }

    /// The message itself.
    pub fn raw(message: &Message) -> Body {
        Body::default().and_message(message)
    }

    /// This, and then `bytes`.
    #[must_use]
    pub fn and(mut self, bytes: impl Into<Bytes>) -> Body {
        self.pieces.push(Piece::Bytes(bytes.into()));
        self
    }

    /// This, and then the message itself.
    #[must_use]
    pub fn and_message(self, message: &Message) -> Body {
        match message.bytes() {
            Some(bytes) => self.and(bytes.clone()),
            None => self.and_streamed(message, Encoding::Verbatim, message.octets()),
        }
    }

    /// This, and then the message in base64 (RFC 4648 section 4), without line ends.
    #[must_use]
    pub fn and_base64(self, message: &Message) -> Body {
        match message.bytes() {
            Some(bytes) => self.and(STANDARD.encode(bytes)),
            None => self.and_streamed(message, Encoding::Base64, message.octets().div_ceil(3) * 4),
        }
    }

    /// This, and then a message of ASCII as the inside of a JSON string (RFC 8259 section 7).
    ///
    /// # Errors
    /// Where the message cannot be read back.
    pub async fn and_json_text(self, message: &Message) -> io::Result<Body> {
        if let Some(bytes) = message.bytes() {
            return Ok(self.and(json_text(bytes)));
        }
        let (mut octets, mut chunks) = (0, message.chunks());
        while let Some(chunk) = chunks.next().await? {
            octets += chunk.iter().map(|byte| escaped(*byte).len() as u64).sum::<u64>();
        }
        Ok(self.and_streamed(message, Encoding::JsonText, octets))
    }

    fn and_streamed(mut self, message: &Message, encoding: Encoding, octets: u64) -> Body {
        self.pieces.push(Piece::Message { message: message.clone(), encoding, octets });
        self
    }

    /// In one piece, where it is small and all of it in memory, so that its pieces need not be sent one by one.
    #[must_use]
    pub fn joined(self) -> Body {
        // A copy of what is large would take as much memory again.
        if self.octets() > LARGEST_JOINED {
            return self;
        }
        let bytes = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes.as_ref()),
            Piece::Message { .. } => None,
        });
        match bytes.collect::<Option<Vec<&[u8]>>>() {
            Some(bytes) if bytes.len() > 1 => Body::of(bytes.concat()),
            _ => self,
        }
    }

    /// Length in octets.
    pub fn octets(&self) -> u64 {
        let octets = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Message { octets, .. } => *octets,
        };
        self.pieces.iter().map(octets).sum()
    }

    /// Reads it from the start.
    pub fn pieces(&self) -> Pieces {
        Pieces { rest: self.pieces.iter().cloned().collect(), streamed: None, left_over: Vec::new() }
    }

    /// For an HTTP client: whole where it is in memory.
    pub fn to_request(&self) -> reqwest::Body {
        match &self.pieces[..] {
            [Piece::Bytes(bytes)] => bytes.clone().into(),
            _ => reqwest::Body::wrap_stream(self.pieces().into_stream()),
        }
    }
}

/// ASCII as the inside of a JSON string.
pub fn json_text(text: &[u8]) -> Vec<u8> {
    let mut escaped_text = Vec::with_capacity(text.len() + text.len() / 16);
    for byte in text {
        escaped_text.extend_from_slice(escaped(*byte));
    }
    escaped_text
}

/// RFC 8259 section 7. Beyond ASCII there is nothing to escape, only UTF-8.
fn escaped(byte: u8) -> &'static [u8] {
    const HEX: [&[u8]; 32] = [
        b"\\u0000", b"\\u0001", b"\\u0002", b"\\u0003", b"\\u0004", b"\\u0005", b"\\u0006", b"\\u0007",
        b"\\b", b"\\t", b"\\n", b"\\u000b", b"\\f", b"\\r", b"\\u000e", b"\\u000f", b"\\u0010", b"\\u0011",
        b"\\u0012", b"\\u0013", b"\\u0014", b"\\u0015", b"\\u0016", b"\\u0017", b"\\u0018", b"\\u0019",
        b"\\u001a", b"\\u001b", b"\\u001c", b"\\u001d", b"\\u001e", b"\\u001f",
    ];
    const PLAIN: [[u8; 1]; 256] = {
        let mut plain = [[0]; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "there are 256 bytes")]
            let value = byte as u8;
            plain[byte] = [value];
            byte += 1;
        }
        plain
    };
    match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0..=31 => HEX[usize::from(byte)],
        _ => &PLAIN[usize::from(byte)],
    }
}

/// Hands out a [`Body`] in pieces.
#[derive(Debug)]
pub struct Pieces {
    rest: VecDeque<Piece>,
    streamed: Option<(Chunks, Encoding)>,
    /// Octets of the message that do not yet fill a group of three (RFC 4648 section 4).
    left_over: Vec<u8>,
}

impl Pieces {
    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// Where the message cannot be read back.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let piece = match &mut self.streamed {
                Some((chunks, encoding)) => {
                    let (chunk, encoding) = (chunks.next().await?, *encoding);
                    self.encoded(chunk, encoding)
                }
                None => match self.rest.pop_front() {
                    Some(Piece::Bytes(bytes)) => bytes,
                    Some(Piece::Message { message, encoding, .. }) => {
                        self.streamed = Some((message.chunks(), encoding));
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn encoded(&mut self, chunk: Option<Bytes>, encoding: Encoding) -> Bytes {
        let Some(chunk) = chunk else {
            self.streamed = None;
            return STANDARD.encode(std::mem::take(&mut self.left_over)).into();
        };
        match encoding {
            Encoding::Verbatim => chunk,
            Encoding::JsonText => json_text(&chunk).into(),
            Encoding::Base64 => {
                self.left_over.extend_from_slice(&chunk);
                let whole = self.left_over.len() / 3 * 3;
                let encoded = STANDARD.encode(&self.left_over[..whole]);
                self.left_over.drain(..whole);
                encoded.into()
            }
        }
    }

    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, async |mut pieces| Ok(pieces.next().await?.map(|piece| (piece, pieces))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_is_what_serde_json_writes() {
        let text: String = (0..128).map(char::from).collect();
        let ours = String::from_utf8(json_text(text.as_bytes())).unwrap();
        assert_eq!(format!("\"{ours}\""), serde_json::to_string(&text).unwrap());
    }
}
