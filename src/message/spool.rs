//! A message's bytes: in memory, or in an unnamed file where there are too many.

use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset};
use sha2::{Digest, Sha256};

use super::header::{ends_header, field, hash_steady, header_digest, header_len, received_at};
use super::stand_in::is_stand_in;

/// SHA-256 of a message without the header fields that servers rewrite (Status, X-Status, X-UIDL, X-Keywords):
/// the same message, wherever and whenever it is retrieved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(pub [u8; 32]);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The largest message, and the largest header, that is held in memory: 1 MiB.
pub const IN_MEMORY: usize = 1 << 20;

/// How much of its header is kept beside a message that is in a file: 64 KiB.
const HEAD: usize = 64 << 10;

/// A message as it was retrieved, to the byte.
#[derive(Clone, Debug)]
pub struct Message {
    pub content: Content,
    /// SHA-256 of the header alone, less the same fields: what TOP n 0 can be compared with.
    pub header: Content,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Memory(Bytes),
    /// The beginning, for whoever reads the header, and an unnamed file with all of it.
    File {
        head: Bytes,
        file: Arc<File>,
        octets: u64,
    },
}

impl Message {
    /// Length in octets.
    pub fn octets(&self) -> u64 {
        match &self.body {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File { octets, .. } => *octets,
        }
    }

    /// The message up to the empty line that ends its header; of a message in a file at most its first 64 KiB.
    pub fn head(&self) -> &[u8] {
        match &self.body {
            Body::Memory(head) | Body::File { head, .. } => &head[..header_len(head)],
        }
    }

    /// All of it, where it is held in memory; `None` where it must be streamed by [`Message::chunks`].
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File { .. } => None,
        }
    }

    /// Reads it from the start, in chunks.
    pub fn chunks(&self) -> Chunks {
        self.chunks_from(0)
    }

    /// Reads it from that octet on, in chunks.
    pub fn chunks_from(&self, at: u64) -> Chunks {
        Chunks { body: self.body.clone(), at: at.min(self.octets()) }
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// Where the temporary file cannot be read back.
    pub async fn whole(&self) -> io::Result<Bytes> {
        self.beginning(u64::MAX).await
    }

    /// At least `octets` of it, or all, in memory.
    ///
    /// # Errors
    /// As [`Message::whole`].
    pub async fn beginning(&self, octets: u64) -> io::Result<Bytes> {
        if let Some(bytes) = self.bytes() {
            return Ok(bytes.clone());
        }
        let length = usize::try_from(self.octets().min(octets)).map_err(io::Error::other)?;
        let (mut beginning, mut chunks) = (BytesMut::with_capacity(length + CHUNK), self.chunks());
        while beginning.len() < length
            && let Some(chunk) = chunks.next().await?
        {
            beginning.extend_from_slice(&chunk);
        }
        Ok(beginning.freeze())
    }

    /// The value of the topmost header field of that name, unfolded, as it stands in the message.
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        field(self.head(), name)
    }

    /// See [`is_stand_in`].
    pub fn is_stand_in(&self) -> bool {
        is_stand_in(self.head())
    }

    /// When the last server on its way took it in: the date of the topmost Received field.
    pub fn received_at(&self) -> Option<DateTime<FixedOffset>> {
        received_at(self.head())
    }
}

/// Hands out a message in chunks of at most 256 KiB, without blocking the runtime on a file.
#[derive(Debug)]
pub struct Chunks {
    body: Body,
    at: u64,
}

const CHUNK: usize = 256 << 10;

impl Chunks {
    /// The next chunk, `None` at the end.
    ///
    /// # Errors
    /// Where the temporary file cannot be read back.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let chunk = match &self.body {
            Body::Memory(bytes) => {
                let rest = bytes.slice(usize::try_from(self.at).unwrap_or(bytes.len())..);
                rest.slice(..rest.len().min(CHUNK))
            }
            Body::File { file, octets, .. } => {
                let (file, at) = (Arc::clone(file), self.at);
                let length = usize::try_from(octets - at).unwrap_or(CHUNK).min(CHUNK);
                let read = blocking(move || read_at(&file, at, length)).await;
                read.map_err(|fault| io::Error::new(fault.kind(), NotReadBack(fault)))?
            }
        };
        self.at += chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

/// What [`Chunks::next`] fails of: a fault of this machine, whoever was to have the message.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read back from its temporary file ({0})")]
pub struct NotReadBack(#[source] io::Error);

impl NotReadBack {
    /// Where it is the cause of `error`.
    pub fn behind<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e NotReadBack> {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        causes
            .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref())
            .find_map(|inner| inner.downcast_ref())
    }
}

fn read_at(file: &File, at: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, at)?;
    Ok(bytes.into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Takes in a message of unknown length: up to [`IN_MEMORY`] in memory, beyond that in an unnamed temporary file
/// that dies with the process.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Octets that may stay in memory.
    room: usize,
    head: Vec<u8>,
    rest: Option<Overflow>,
}

#[derive(Debug)]
struct Overflow {
    file: Arc<File>,
    /// Not yet written to the file.
    pending: Vec<u8>,
    written: u64,
    content: Sha256,
}

impl Spool {
    /// `folder` is where the temporary file goes, if there must be one: the ledger's folder, a real disk with
    /// room, and not a /tmp that may be memory.
    pub fn new(folder: &Path) -> Spool {
        Spool::within(folder, IN_MEMORY)
    }

    /// As [`Spool::new`], for a message that should go to the file when it is longer than `room` octets, because
    /// others have taken the memory. Its header is in memory until it is complete, so that the content is the same.
    pub fn within(folder: &Path, room: usize) -> Spool {
        Spool { folder: folder.to_owned(), room: room.min(IN_MEMORY), head: Vec::new(), rest: None }
    }

    /// Octets taken in so far.
    pub fn octets(&self) -> u64 {
        match &self.rest {
            None => self.head.len() as u64,
            Some(rest) => rest.written + rest.pending.len() as u64,
        }
    }

    /// # Errors
    /// Where the temporary file cannot be made or written: the disk is full, or broken.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = if self.rest.is_some() { 0 } else { IN_MEMORY - self.head.len() };
        let (head, tail) = bytes.split_at(bytes.len().min(room));
        self.head.extend_from_slice(head);
        let is_over = self.head.len() > self.room && ends_header(&self.head);
        if tail.is_empty() && (self.rest.is_some() || !is_over) {
            return Ok(());
        }
        if self.rest.is_none() {
            self.rest = Some(self.overflow().await?);
        }
        let Some(rest) = &mut self.rest else { return Ok(()) };
        rest.content.update(tail);
        rest.pending.extend_from_slice(tail);
        if rest.pending.len() >= CHUNK { rest.flush().await } else { Ok(()) }
    }

    async fn overflow(&self) -> io::Result<Overflow> {
        let (folder, head) = (self.folder.clone(), self.head.clone());
        let mut content = Sha256::new();
        hash_steady(&head, &mut content);
        // O_TMPFILE: the file never has a name, so nothing is left behind whatever happens.
        let file = blocking(move || tempfile::tempfile_in(folder)).await?;
        let mut overflow = Overflow { file: Arc::new(file), pending: head, written: 0, content };
        overflow.flush().await?;
        Ok(overflow)
    }

    /// The message is complete.
    ///
    /// # Errors
    /// As [`Spool::write`].
    pub async fn finish(mut self) -> io::Result<Message> {
        let header = header_digest(&self.head);
        if self.rest.is_none() && self.head.len() > self.room {
            // All header, to its end.
            self.rest = Some(self.overflow().await?);
        }
        let Some(mut rest) = self.rest.take() else {
            let mut content = Sha256::new();
            hash_steady(&self.head, &mut content);
            self.head.shrink_to_fit();
            let content = Content(content.finalize().into());
            return Ok(Message { content, header, body: Body::Memory(self.head.into()) });
        };
        rest.flush().await?;
        // Only the header is kept beside the file.
        self.head.truncate(header_len(&self.head).min(HEAD));
        self.head.shrink_to_fit();
        Ok(Message {
            content: Content(rest.content.finalize().into()),
            header,
            body: Body::File { head: self.head.into(), file: rest.file, octets: rest.written },
        })
    }
}

impl Overflow {
    async fn flush(&mut self) -> io::Result<()> {
        let (file, at, bytes) = (Arc::clone(&self.file), self.written, std::mem::take(&mut self.pending));
        let bytes = blocking(move || {
            std::os::unix::fs::FileExt::write_all_at(&*file, &bytes, at)?;
            Ok(bytes)
        })
        .await?;
        self.written += bytes.len() as u64;
        self.pending = bytes;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spooled(bytes: &[u8], step: usize) -> Message {
        let mut spool = Spool::new(&std::env::temp_dir());
        for piece in bytes.chunks(step) {
            spool.write(piece).await.unwrap();
        }
        assert_eq!(spool.octets(), bytes.len() as u64);
        spool.finish().await.unwrap()
    }

    async fn read_back(message: &Message) -> Vec<u8> {
        let (mut chunks, mut all) = (message.chunks(), Vec::new());
        while let Some(chunk) = chunks.next().await.unwrap() {
            all.extend_from_slice(&chunk);
        }
        all
    }

    #[tokio::test]
    async fn keeps_every_byte_in_memory_and_in_a_file() {
        for length in [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY + 7] {
            let mut bytes = b"Subject: long\r\n\r\n".to_vec();
            bytes.extend((0..=250u8).cycle().take(length));
            bytes.truncate(length);
            let message = spooled(&bytes, 100_003).await;
            assert_eq!(message.octets(), length as u64);
            assert_eq!(message.bytes().is_some(), length <= IN_MEMORY);
            assert!(read_back(&message).await == bytes, "{length} octets came back otherwise");
        }
    }

    #[tokio::test]
    async fn content_does_not_depend_on_the_pieces_it_came_in() {
        let mut bytes = b"Status: RO\r\nSubject: x\r\n\r\n".to_vec();
        bytes.resize(2 * IN_MEMORY, b'b');
        let (one, other) = (spooled(&bytes, 999_999).await, spooled(&bytes, 4097).await);
        assert_eq!(one.content, other.content);
        assert_eq!(one.head(), b"Status: RO\r\nSubject: x\r\n\r\n");
    }

    #[tokio::test]
    async fn content_does_not_depend_on_the_room_there_was() {
        let mut bytes = b"Status: RO\r\nSubject: x\r\n\r\n".to_vec();
        bytes.resize(300_000, b'b');
        let whole = spooled(&bytes, 65_536).await;
        for room in [0, 10, 100_000] {
            let mut spool = Spool::within(&std::env::temp_dir(), room);
            for piece in bytes.chunks(7) {
                spool.write(piece).await.unwrap();
            }
            let message = spool.finish().await.unwrap();
            assert!(message.bytes().is_none(), "it is in a file");
            assert_eq!((message.content, message.header), (whole.content, whole.header));
            assert!(read_back(&message).await == bytes);
            assert_eq!(message.head(), whole.head());
        }
    }

    #[tokio::test]
    async fn content_leaves_out_what_servers_rewrite() {
        let plain = spooled(b"From: a\r\nSubject: s\r\n\r\nStatus: in the body\r\n", 9).await;
        let marked = spooled(
            b"X-UIDL: 7\r\nFrom: a\r\nstatus: RO\r\n more\r\nSubject: s\r\n\r\nStatus: in the body\r\n",
            9,
        );
        let marked = marked.await;
        assert_eq!(plain.content, marked.content);
        assert_eq!(plain.header, marked.header);
        let other = spooled(b"From: a\r\nSubject: s\r\n\r\nanother body\r\n", 9).await;
        assert_ne!(plain.content, other.content);
        assert_eq!(plain.header, other.header);
        assert_eq!(header_digest(b"From: a\r\nSubject: s\r\n"), plain.header);
    }
}
