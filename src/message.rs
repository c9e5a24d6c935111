//! The words that the modules share: what a message is, what is known of it, what became of it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, Utc};
use sha2::{Digest, Sha256};

use crate::printable::printable_whole;

/// An account's name: the NAME of `[account.NAME]`. Its ledger rows stay with the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

/// A destination's name: the NAME of `[destination.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationName(String);

/// What every name in the config must be, as the end of a sentence.
pub const NAME_RULE: &str =
    "1 to 64 letters, digits, `-`, `_`, `.` or `@`, and must begin with a letter or a digit";

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    text.starts_with(char::is_alphanumeric) && text.chars().count() <= 64 && text.chars().all(allowed)
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// `None` where `text` breaks [`NAME_RULE`].
            pub fn new(text: &str) -> Option<Self> {
                is_name(text).then(|| $type(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(AccountName);
name!(DestinationName);

/// A message's unique id in its mailbox (RFC 1939 section 7): bytes, stored and compared verbatim.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uidl(Box<[u8]>);

impl Uidl {
    pub fn new(bytes: &[u8]) -> Uidl {
        Uidl(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable_whole(&self.0))
    }
}

impl fmt::Debug for Uidl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One row of a listing: a message as its server announces it in this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The message-number, good for this session only.
    pub number: u32,
    pub uidl: Uidl,
    /// Octets according to LIST: a hint. `None` where LIST was not asked or left the row out.
    pub size: Option<u64>,
}

/// The ways of a server that change what a poll does, learned from its capabilities or by bad experience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// It announces PIPELINING but gets out of step: one command at a time.
    pub no_pipelining: bool,
    /// What was retrieved disappears (EXPIRE 0): QUIT only if all of it is settled.
    pub retrieved_is_gone: bool,
}

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
        Chunks { body: self.body.clone(), at: 0 }
    }

    /// The value of the topmost header field of that name, unfolded, as it stands in the message.
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        field(self.head(), name)
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
                blocking(move || read_at(&file, at, length)).await?
            }
        };
        self.at += chunk.len() as u64;
        Ok((!chunk.is_empty()).then_some(chunk))
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

/// Header fields that a server adds or changes from one retrieval to the next.
const UNSTEADY: [&[u8]; 4] = [b"Status", b"X-Status", b"X-UIDL", b"X-Keywords"];

/// Feeds `hash` with a message, or its beginning, less the fields in [`UNSTEADY`].
fn hash_steady(message: &[u8], hash: &mut Sha256) {
    let end = header_len(message);
    for field in Fields(&message[..end]) {
        if !UNSTEADY.iter().any(|name| is_field(field, name)) {
            hash.update(field);
        }
    }
    hash.update(&message[end..]);
}

/// What [`Message::header`] is, of the bytes that TOP n 0 returned.
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
fn header_len(message: &[u8]) -> usize {
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
fn ends_header(message: &[u8]) -> bool {
    let end = header_len(message);
    matches!(message[..end].rsplit(|&byte| byte == b'\n').nth(1), Some(b"" | b"\r"))
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
    field.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && matches!(field.get(name.len()), Some(b':' | b' ' | b'\t'))
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

/// A date as RFC 5322 section 3.3 writes it.
pub fn parse_date(value: &[u8]) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc2822(std::str::from_utf8(value).ok()?.trim()).ok()
}

/// Where an account's messages go: one entry of its `deliver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: DestinationName,
    /// Folder of an IMAP destination, in Unicode with `/` between the levels.
    pub folder: String,
    pub mark_read: bool,
}

/// How long a delivered message stays at its source: the config's `leave_copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveCopy {
    Forever,
    /// Counted from the last delivery or give-up; zero deletes at once.
    For(Duration),
}

/// What of a mailbox's old mail is wanted: the config's `import`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    All,
    /// Only what arrived after the account was first configured.
    New,
}

/// A message on its way to one destination, with all that must be the same when it is sent again.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub message: Message,
    pub account: AccountName,
    /// The UIDL under which the message was first listed: it stays, even when the mailbox is renumbered.
    pub uidl: Uidl,
    pub mark: Mark,
    /// How often it has been tried before, 0 at first.
    pub attempts: u32,
}

/// What the ledger keeps of a message before it is sent, so that it can be found again when the answer is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The IMAP folder, as in the config; empty for a webhook.
    pub folder: String,
    /// The folder's UIDVALIDITY when it was marked; 0 where there is none.
    pub uid_validity: u32,
    /// A UID that the message cannot be below.
    pub uid_next: u32,
    /// Length and SHA-256 of the bytes as they are sent, line ends included.
    pub octets: u64,
    pub hash: [u8; 32],
    /// The Message-ID field as it stands in the message.
    pub message_id: Option<String>,
}

/// The proof of a delivery: what the destination said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The message's UID in its folder (RFC 4315), or where a look-up found it.
    Uid {
        uid_validity: u32,
        uid: u32,
    },
    /// An IMAP server without UIDPLUS said OK.
    Stored,
    Http(u16),
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receipt::Uid { uid, .. } => write!(f, "UID {uid}"),
            Receipt::Stored => write!(f, "stored"),
            Receipt::Http(status) => write!(f, "HTTP {status}"),
        }
    }
}

/// What became of one attempt, decided where the answer is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered {
        receipt: Receipt,
    },
    /// A fault of this message: parked after `park_after` of them (IMAP 1, webhook 3).
    Rejected {
        reason: String,
        park_after: u8,
        /// False where the refusal says nothing of the endpoint (size).
        counts_for_destination: bool,
    },
    /// Not now, for this message.
    Deferred {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Not now, for any message: this destination rests, others go on.
    Unreachable {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// Not now, for any message, and the destination itself says so: it is tried with one message at a time
    /// until one succeeds.
    Paused {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// This destination stops until a person or a changed config says otherwise.
    Disabled {
        reason: String,
    },
    /// Sent, and the answer was lost: look before sending again.
    Unknown {
        reason: String,
    },
}

/// What a look-up says of a message whose fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Found {
        receipt: Receipt,
    },
    /// Not there now; believed at the second look.
    Absent,
    /// The destination cannot be asked, at the moment or at all.
    CannotSay {
        reason: String,
    },
}

/// The time now, in seconds of Unix time, as the ledger stores it.
pub fn unix(time: DateTime<Utc>) -> i64 {
    time.timestamp()
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

    #[test]
    fn knows_the_end_of_a_header() {
        for (message, ends) in
            [("", false), ("a: b\r\n", false), ("a: b\r\n\r\n", true), ("a: b\n\nx", true), ("\r\n", true)]
        {
            assert_eq!(ends_header(message.as_bytes()), ends, "{message:?}");
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

    #[test]
    fn finds_the_topmost_field_unfolded() {
        let header = b"Received: from a\r\n by b; Mon, 23 Nov 2026\r\n 10:00:00 +0100 (CET)\r\nReceived: later\r\n\r\n";
        let date = received_at(header).unwrap();
        assert_eq!(date.to_rfc3339(), "2026-11-23T10:00:00+01:00");
        assert_eq!(field(b"Message-Id :  <a@b> \n\n", "Message-ID").unwrap(), b"<a@b>");
        assert_eq!(field(b"Subject: x\r\n\r\nDate: in the body", "Date"), None);
    }

    #[test]
    fn names_are_plain() {
        for good in ["work", "me@example.org", "B\u{fc}ro-2", "9"] {
            assert!(AccountName::new(good).is_some(), "{good}");
        }
        for bad in ["", ".hidden", "a/b", "a b", "x\n", &"n".repeat(65)] {
            assert!(AccountName::new(bad).is_none(), "{bad}");
        }
    }
}
