//! What is posted: bytes that come out the same each time they are read, once to sign and once to send.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::message::{Chunks, Message};

/// A request body. A message that is not in memory is streamed, so that its length costs no memory.
#[derive(Clone, Debug)]
pub struct Body {
    before: Bytes,
    streamed: Option<(Message, Encoding)>,
    after: &'static [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Verbatim,
    Base64,
}

impl Body {
    /// What is no message.
    pub fn of(text: impl Into<Bytes>) -> Body {
        Body { before: text.into(), streamed: None, after: b"" }
    }

    /// The message itself.
    pub fn raw(message: &Message) -> Body {
        match message.bytes() {
            Some(bytes) => Body { before: bytes.clone(), streamed: None, after: b"" },
            None => {
                let streamed = Some((message.clone(), Encoding::Verbatim));
                Body { before: Bytes::new(), streamed, after: b"" }
            }
        }
    }

    /// `before`, the message in base64, `after`.
    pub fn around(mut before: Vec<u8>, message: &Message, after: &'static [u8]) -> Body {
        let Some(bytes) = message.bytes() else {
            let streamed = Some((message.clone(), Encoding::Base64));
            return Body { before: before.into(), streamed, after };
        };
        let encoded = STANDARD.encode(bytes);
        before.reserve_exact(encoded.len() + after.len());
        before.extend_from_slice(encoded.as_bytes());
        before.extend_from_slice(after);
        Body { before: before.into(), streamed: None, after: b"" }
    }

    /// Length in octets.
    pub fn octets(&self) -> u64 {
        let streamed = match &self.streamed {
            None => 0,
            Some((message, Encoding::Verbatim)) => message.octets(),
            Some((message, Encoding::Base64)) => message.octets().div_ceil(3) * 4,
        };
        self.before.len() as u64 + streamed + self.after.len() as u64
    }

    /// Reads it from the start.
    pub fn pieces(&self) -> Pieces {
        Pieces {
            before: self.before.clone(),
            streamed: self.streamed.as_ref().map(|(message, encoding)| (message.chunks(), *encoding)),
            left_over: Vec::new(),
            after: Bytes::from_static(self.after),
        }
    }

    /// For an HTTP client: whole where it is in memory.
    pub fn into_request(self) -> reqwest::Body {
        match self.streamed {
            None => self.before.into(),
            Some(_) => reqwest::Body::wrap_stream(self.pieces().into_stream()),
        }
    }
}

/// Hands out a [`Body`] in pieces.
#[derive(Debug)]
pub struct Pieces {
    before: Bytes,
    streamed: Option<(Chunks, Encoding)>,
    /// Octets of the message that do not yet fill a group of three (RFC 4648 section 4).
    left_over: Vec<u8>,
    after: Bytes,
}

impl Pieces {
    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// Where the message cannot be read back.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if !self.before.is_empty() {
            return Ok(Some(std::mem::take(&mut self.before)));
        }
        while let Some((chunks, encoding)) = &mut self.streamed {
            let (chunk, encoding) = (chunks.next().await?, *encoding);
            let piece = match (chunk, encoding) {
                (Some(chunk), Encoding::Verbatim) => chunk,
                (Some(chunk), Encoding::Base64) => self.encode(&chunk),
                (None, _) => {
                    self.streamed = None;
                    STANDARD.encode(std::mem::take(&mut self.left_over)).into()
                }
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        let after = std::mem::take(&mut self.after);
        Ok((!after.is_empty()).then_some(after))
    }

    fn encode(&mut self, chunk: &[u8]) -> Bytes {
        self.left_over.extend_from_slice(chunk);
        let whole = self.left_over.len() / 3 * 3;
        let encoded = STANDARD.encode(&self.left_over[..whole]);
        self.left_over.drain(..whole);
        encoded.into()
    }

    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, async |mut pieces| Ok(pieces.next().await?.map(|piece| (piece, pieces))))
    }
}
