//! The buffered connection, and how many replies the server owes us.

use std::io;

use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{Error, Refused};
use super::wire::{LINE, Reply};
use crate::net::{self, Stream};
use crate::printable::{printable, without};

/// Bytes read at a time. Every line that we accept fits in it.
const BUFFER: usize = 64 << 10;

pub(super) struct Channel {
    stream: Stream,
    buffer: Box<[u8]>,
    /// What was read and not yet taken: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Replies still to come. More than 0 between two calls of a session only if one of them was cut short.
    outstanding: usize,
    /// No line of the server's has ended with CRLF so far.
    pub bare_lf: bool,
    /// What no text may show.
    secrets: Vec<SecretString>,
}

impl Channel {
    pub fn new(stream: Stream) -> Channel {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Channel { stream, buffer, start: 0, end: 0, outstanding: 0, bare_lf: true, secrets: Vec::new() }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The stream below, `None` where something of it was read and not taken.
    pub fn into_stream(self) -> Option<Stream> {
        (self.start == self.end).then_some(self.stream)
    }

    /// A new exchange begins, and the last one must have come to its end.
    pub fn begin(&mut self, during: &'static str) -> Result<(), Error> {
        if self.outstanding > 0 { Err(Error::Closed { during }) } else { self.expect_silence(during) }
    }

    /// Writes commands, each with its CRLF, that `replies` replies will answer.
    ///
    /// Commands under way are few and short enough for the socket's own buffer, so a server that is busy
    /// writing to us never blocks us here.
    pub async fn send(&mut self, commands: &str, replies: usize, during: &'static str) -> Result<(), Error> {
        tracing::debug!(commands = %printable(commands), "sent");
        self.send_secret(commands, replies, during).await
    }

    /// As [`Channel::send`], for what no log may show.
    pub async fn send_secret(
        &mut self,
        commands: &str,
        replies: usize,
        during: &'static str,
    ) -> Result<(), Error> {
        if self.outstanding == 0 {
            self.expect_silence(during)?;
        }
        self.outstanding += replies;
        let written = async {
            self.stream.write_all(commands.as_bytes()).await?;
            self.stream.flush().await
        };
        written.await.map_err(|fault| broken(fault, during))
    }

    /// A reply that is no more than a status line: the text behind its `+OK`.
    pub async fn reply(
        &mut self,
        command: &'static str,
        during: &'static str,
    ) -> Result<Result<Vec<u8>, Refused>, Error> {
        let status = self.status(command, during).await?;
        if status.is_ok() {
            self.answered();
        }
        Ok(status)
    }

    /// The status line of a reply. Where it is `+OK`, more lines follow, and then [`Channel::answered`].
    pub async fn status(
        &mut self,
        command: &'static str,
        during: &'static str,
    ) -> Result<Result<Vec<u8>, Refused>, Error> {
        match self.next_reply(during).await? {
            Reply::Ok(text) => Ok(Ok(text)),
            Reply::Err { code, text } => {
                self.answered();
                Ok(Err(Refused { command, code, text }))
            }
            Reply::Challenge(_) => Err(Error::OutOfStep { during, got: "+".into() }),
        }
    }

    pub async fn next_reply(&mut self, during: &'static str) -> Result<Reply, Error> {
        let line = self.line(LINE, "a status line", during).await?.to_owned();
        tracing::debug!(line = %self.hushed(printable(&line)), "received");
        match Reply::parse(&line) {
            Some(Reply::Err { code, text }) => Ok(Reply::Err { code, text: self.hushed(text) }),
            reply => reply.ok_or_else(|| Error::OutOfStep { during, got: self.hushed(printable(&line)) }),
        }
    }

    /// From now on no text shows these, though the server says them.
    pub fn hush(&mut self, secrets: impl IntoIterator<Item = SecretString>) {
        self.secrets.extend(secrets);
    }

    pub fn hushed(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| without(&text, secret.expose_secret()))
    }

    /// The reply whose turn it was has come to its end.
    pub fn answered(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// The next line, without its line end; of at most `longest` bytes with it.
    pub async fn line(
        &mut self,
        longest: usize,
        what: &'static str,
        during: &'static str,
    ) -> Result<&[u8], Error> {
        let length = loop {
            match memchr::memchr(b'\n', self.unread()) {
                Some(lf) if lf < longest => break lf,
                None if self.unread().len() < longest => self.fill(during).await?,
                _ => return Err(Error::TooLong { what, limit: longest as u64 }),
            }
        };
        let line = self.start..self.start + length;
        self.take(length + 1);
        let line = &self.buffer[line];
        let Some(line) = line.strip_suffix(b"\r") else { return Ok(line) };
        self.bare_lf = false;
        Ok(line)
    }

    /// What was read and not yet taken.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn take(&mut self, length: usize) {
        self.start += length;
    }

    /// Reads more, at least one byte. Nothing is lost where the future is dropped.
    pub async fn fill(&mut self, during: &'static str) -> Result<(), Error> {
        self.make_room();
        match self.stream.read(&mut self.buffer[self.end..]).await {
            Ok(0) => Err(Error::Closed { during }),
            Ok(length) => {
                self.end += length;
                Ok(())
            }
            Err(fault) => Err(broken(fault, during)),
        }
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// The server owes us nothing, so whatever it has said is out of step; but it may announce that it is about
    /// to hang up.
    pub fn expect_silence(&mut self, during: &'static str) -> Result<(), Error> {
        if self.unread().is_empty() {
            self.fill(during).now_or_never().transpose()?;
        }
        match self.unread() {
            [] => Ok(()),
            unread if may_be_farewell(unread) => Err(Error::Closed { during }),
            unread => Err(Error::OutOfStep { during, got: self.hushed(printable(unread)) }),
        }
    }
}

/// Whether it is a `-ERR`, as far as it has come. A line of a message may begin with a dash, too.
fn may_be_farewell(words: &[u8]) -> bool {
    let length = words.len().min(b"-ERR".len());
    words[..length].eq_ignore_ascii_case(&b"-ERR"[..length])
}

fn broken(fault: io::Error, during: &'static str) -> Error {
    match fault.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Error::Closed { during },
        _ => Error::Net(net::Error::Io(fault)),
    }
}
