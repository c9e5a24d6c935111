//! APPEND (RFC 3501 section 6.3.11), as fast as the server allows: several messages in one command, a window of
//! commands, or one at a time with the next command right behind.

use std::time::Duration;

use async_imap::imap_proto::Response;
use bytes::Bytes;
use chrono::{DateTime, FixedOffset};
use futures_util::{Stream, StreamExt};

use super::answer::Done;
use super::session::OUT_OF_STEP;
use super::{COMMAND, Error, Mailbox, Refusal, Session};
use crate::net::within;

/// A message for APPEND.
#[derive(Clone, Debug)]
pub struct Item {
    /// Whether it counts as read (\Seen).
    pub seen: bool,
    /// When the server shall say that it arrived.
    pub internal_date: DateTime<FixedOffset>,
    /// The message, with CRLF line ends.
    pub bytes: Bytes,
}

/// What became of a message that was to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not a byte of it has been sent.
    Waiting,
    /// It may be stored or not: its answer has not come.
    Sent,
    /// Stored, as which UID only a server with UIDPLUS (RFC 4315) says.
    Stored(Option<Uid>),
    /// Not stored.
    Refused(Refusal),
    /// Another message, with the same Message-ID, is kept in its place.
    Merged,
    /// The same, but that one has its header too: only the body is another.
    Alike(Option<Uid>),
    /// It was said to be stored, is not there, and cannot be searched for.
    Unseen,
}

/// A message's place in its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uid {
    pub uid_validity: u32,
    pub uid: u32,
}

/// Most APPENDs before the first answer is read: the answers fit into what the network holds.
const WINDOW: usize = 64;
/// Slower than this, in octets a second, counts as stuck.
const SLOWEST: u64 = 4 << 10;
/// How long a server may take over a large message once it has all of it.
const STORING: Duration = Duration::from_secs(300);

/// How long sending so many octets may take.
fn patience(octets: u64) -> Duration {
    COMMAND + Duration::from_secs(octets / SLOWEST)
}

impl Session {
    /// One APPEND for all of `items` (RFC 3502), for servers with MULTIAPPEND and LITERAL+: all are stored or
    /// none is, and then all fates are [`Fate::Waiting`] and the refusal is returned.
    ///
    /// # Errors
    /// Those that end the session. `fates`, one for each of `items`, says how far it came.
    pub async fn append_together(
        &mut self,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<Option<Refusal>, Error> {
        let octets = items.iter().map(|item| item.bytes.len() as u64).sum();
        fates.fill(Fate::Sent);
        match within(patience(octets), "storing messages", self.append_all(mailbox, items)).await {
            Ok(done) => {
                let uids = done.appended.filter(|(_, uids)| uids.len() == items.len());
                for (n, fate) in fates.iter_mut().enumerate() {
                    let uid = uids.as_ref().map(|(uid_validity, uids)| (*uid_validity, uids[n]));
                    *fate = Fate::Stored(uid.map(|(uid_validity, uid)| Uid { uid_validity, uid }));
                }
                Ok(None)
            }
            Err(Error::Refused { refusal, .. }) => {
                fates.fill(Fate::Waiting);
                Ok(Some(refusal))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn append_all(&mut self, mailbox: &Mailbox, items: &[Item]) -> Result<Done, Error> {
        let tag = self.next_tag();
        self.write(format!("M{tag} APPEND {}", mailbox.as_str()).as_bytes()).await?;
        for item in items {
            self.write(format!(" {}{{{}+}}\r\n", item.arguments(), item.bytes.len()).as_bytes()).await?;
            self.write(&item.bytes).await?;
        }
        self.write(b"\r\n").await?;
        self.finish(tag, "APPEND", |_| {}).await
    }

    /// One APPEND for each of `items`, all sent before the answers are read, for servers with LITERAL+ (or
    /// LITERAL-, where each has at most 4096 octets).
    ///
    /// # Errors
    /// Those that end the session. `fates`, one for each of `items`, says how far it came.
    pub async fn append_window(
        &mut self,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        for (items, fates) in items.chunks(WINDOW).zip(fates.chunks_mut(WINDOW)) {
            let octets = items.iter().map(|item| item.bytes.len() as u64).sum();
            let window = self.append_side_by_side(mailbox, items, fates);
            within(patience(octets), "storing messages", window).await?;
        }
        Ok(())
    }

    async fn append_side_by_side(
        &mut self,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let mut first = None;
        for (item, fate) in items.iter().zip(fates.iter_mut()) {
            *fate = Fate::Sent;
            let tag = self.send(&item.command(mailbox, "+")).await?;
            first.get_or_insert(tag);
            self.write(&item.bytes).await?;
            self.write(b"\r\n").await?;
        }
        self.flush("storing messages").await?;
        while fates.contains(&Fate::Sent) {
            if let Some(answer) = self.read("storing messages", Done::read).await? {
                settle(fates, first.unwrap_or_default(), answer)?;
            }
        }
        Ok(())
    }

    /// One APPEND after the other, for any server: each waits for the go-ahead, and leaves with the end of the
    /// one before it, so that a message costs one round trip.
    ///
    /// # Errors
    /// Those that end the session. `fates`, one for each of `items`, says how far it came.
    pub async fn append_in_turn(
        &mut self,
        mailbox: &Mailbox,
        items: &[Item],
        fates: &mut [Fate],
    ) -> Result<(), Error> {
        let mut first = None;
        for (n, item) in items.iter().enumerate() {
            let step = async {
                let tag = self.send(&item.command(mailbox, "")).await?;
                let first = *first.get_or_insert(tag);
                self.flush("storing a message").await?;
                if self.may_send(fates, first, n).await? {
                    fates[n] = Fate::Sent;
                    self.write(&item.bytes).await?;
                    self.write(b"\r\n").await?;
                }
                Ok::<(), Error>(())
            };
            within(patience(item.bytes.len() as u64), "storing a message", step).await?;
        }
        let last = async {
            self.flush("storing a message").await?;
            while fates.contains(&Fate::Sent) {
                if let Some(answer) = self.read("storing a message", Done::read).await? {
                    settle(fates, first.unwrap_or_default(), answer)?;
                }
            }
            Ok(())
        };
        within(COMMAND, "storing a message", last).await
    }

    /// Waits for the server to ask for the `n`th message, and returns `false` where it refuses it unseen. The
    /// answer to the message before may come first.
    async fn may_send(&mut self, fates: &mut [Fate], first: u32, n: usize) -> Result<bool, Error> {
        loop {
            let step = self.read("storing a message", |response| match response {
                Response::Continue(_) => Some(None),
                response => Done::read(response).map(Some),
            });
            match step.await? {
                None => {}
                Some(None) => return Ok(true),
                Some(Some((tag, done))) if tag == first + u32::try_from(n).unwrap_or(u32::MAX) => {
                    fates[n] = match done.ok("APPEND") {
                        Err(Error::Refused { refusal, .. }) => Fate::Refused(refusal),
                        // An OK for a message that it has not seen.
                        _ => return Err(OUT_OF_STEP),
                    };
                    return Ok(false);
                }
                Some(Some(answer)) => settle(fates, first, answer)?,
            }
        }
    }

    /// APPENDs a message of any length from a stream of exactly `octets`, with CRLF line ends. `like` has its
    /// flags and date.
    ///
    /// # Errors
    /// Those that end the session. `fate` says how far it came; a message that cannot be read back is not stored.
    pub async fn append_stream(
        &mut self,
        mailbox: &Mailbox,
        like: &Item,
        octets: u64,
        mut body: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
        fate: &mut Fate,
    ) -> Result<(), Error> {
        let start = async {
            let first = self.send(&like.command_for(mailbox, octets, "")).await?;
            self.flush("storing a message").await?;
            Ok::<_, Error>((first, self.may_send(std::slice::from_mut(fate), first, 0).await?))
        };
        let (first, go) = within(COMMAND, "storing a message", start).await?;
        if !go {
            return Ok(());
        }
        *fate = Fate::Sent;
        let mut left = octets;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|fault| {
                // It is broken off, and half a message is not stored.
                *fate = Fate::Waiting;
                Error::Source(fault)
            })?;
            left = left.checked_sub(chunk.len() as u64).ok_or_else(changed)?;
            within(patience(chunk.len() as u64), "sending a message", self.write(&chunk)).await?;
        }
        if left > 0 {
            *fate = Fate::Waiting;
            return Err(changed());
        }
        let end = async {
            self.write(b"\r\n").await?;
            self.flush("storing a message").await?;
            while *fate == Fate::Sent {
                if let Some(answer) = self.read("storing a message", Done::read).await? {
                    settle(std::slice::from_mut(fate), first, answer)?;
                }
            }
            Ok(())
        };
        within(STORING, "storing a message", end).await
    }
}

impl Item {
    fn arguments(&self) -> String {
        let flags = if self.seen { "\\Seen" } else { "" };
        // RFC 3501 section 9, date-time: the day is padded with a space.
        format!("({flags}) \"{}\" ", self.internal_date.format("%e-%b-%Y %H:%M:%S %z"))
    }

    fn command(&self, mailbox: &Mailbox, plus: &str) -> String {
        self.command_for(mailbox, self.bytes.len() as u64, plus)
    }

    fn command_for(&self, mailbox: &Mailbox, octets: u64, plus: &str) -> String {
        format!("APPEND {} {}{{{octets}{plus}}}", mailbox.as_str(), self.arguments())
    }
}

/// Takes down the answer to one of several APPENDs whose tags count up from `first`.
fn settle(fates: &mut [Fate], first: u32, (tag, done): (u32, Done)) -> Result<(), Error> {
    let n = usize::try_from(tag.wrapping_sub(first)).unwrap_or(usize::MAX);
    let Some(fate @ Fate::Sent) = fates.get_mut(n) else { return Err(OUT_OF_STEP) };
    *fate = match done.ok("APPEND") {
        Ok(done) => Fate::Stored(
            done.appended.and_then(|(uid_validity, uids)| Some(Uid { uid_validity, uid: *uids.first()? })),
        ),
        Err(Error::Refused { refusal, .. }) => Fate::Refused(refusal),
        Err(fault) => return Err(fault),
    };
    Ok(())
}

fn changed() -> Error {
    Error::Source(std::io::Error::other("its length has changed"))
}
