//! The commands: what a caller does in a session.

use std::fmt;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::channel::Channel;
use super::error::{Error, Refused};
use super::opening;
use super::patience::Patience;
use super::wire::{ALIKE, Capabilities, LISTING, ROW, Stat, list_row, uidl_row};
use super::{Deadlines, Settings};
use crate::auth::Proof;
use crate::message::{Alike, Listed, Listing, Quirks};
use crate::net::{self, within};
use crate::printable::printable;

/// A session in the TRANSACTION state (RFC 1939 section 5): logged in, until [`Session::quit`] or its drop.
pub struct Session {
    pub(super) channel: Channel,
    pub(super) capabilities: Capabilities,
    pipelining: bool,
    /// For RETR, and for TOP.
    pub(super) messages: Patience,
    pub(super) headers: Patience,
    pub(super) max_size: u64,
    pub(super) deadlines: Deadlines,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("capabilities", &self.capabilities).finish_non_exhaustive()
    }
}

/// The mailbox as UIDL lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidlListing {
    pub stat: Stat,
    /// Without sizes.
    pub rows: Listing,
    /// SHA-256 over the rows as they were sent, in order: the same rows, the same hash.
    pub hash: [u8; 32],
}

impl Session {
    /// Connects and logs in: with AUTH PLAIN where the server announces it, else with USER and PASS; or with a token, by
    /// XOAUTH2 or OAUTHBEARER alone. A token that is refused is renewed, once.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Insecure`] before anything secret was sent.
    pub async fn open(
        connector: &net::Connector,
        settings: &Settings,
        quirks: Quirks,
    ) -> Result<Session, Error> {
        let proof = settings.login.proof().await?;
        let refusal = match Session::begin(connector, settings, quirks, &proof).await {
            Err(refusal @ Error::Token { .. }) => refusal,
            outcome => return outcome,
        };
        // It may have been withdrawn before its time, and servers that have seen a bad one may hang up.
        match settings.login.another(&proof).await? {
            Some(proof) => Session::begin(connector, settings, quirks, &proof).await,
            None => Err(refusal),
        }
    }

    async fn begin(
        connector: &net::Connector,
        settings: &Settings,
        quirks: Quirks,
        proof: &Proof,
    ) -> Result<Session, Error> {
        let (mut channel, capabilities) = opening::connect(connector, settings).await?;
        let capabilities = opening::log_in(&mut channel, settings, proof, capabilities).await?;
        Ok(Session {
            channel,
            pipelining: capabilities.pipelining && !quirks.no_pipelining,
            capabilities,
            messages: Patience::default(),
            headers: Patience::default(),
            max_size: settings.max_size,
            deadlines: settings.deadlines,
        })
    }

    /// What the server announced, inside TLS if there is TLS.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether commands go out many at a time: the server announced it and no quirk forbids it.
    pub fn is_pipelining(&self) -> bool {
        self.pipelining
    }

    /// The server's certificate, `None` without TLS.
    pub fn certificate(&self) -> Option<net::Certificate> {
        self.channel.stream().certificate()
    }

    /// STAT: how much mail there is.
    ///
    /// # Errors
    /// [`Error::Refused`] or the end of the session.
    pub async fn stat(&mut self) -> Result<Stat, Error> {
        self.channel.begin(LISTING_MAIL)?;
        within(self.deadlines.reply, LISTING_MAIL, async {
            self.channel.send("STAT\r\n", 1, LISTING_MAIL).await?;
            self.read_stat().await
        })
        .await
    }

    /// STAT and UIDL, in one round trip where the server can.
    ///
    /// # Errors
    /// [`Error::NoUidl`] where the server does not know UIDL, [`Error::Refused`] where that is said to pass,
    /// [`Error::TooLong`] beyond a cap, [`Error::OutOfStep`] where a row makes no sense. Half a listing is never returned.
    pub async fn uidl(&mut self) -> Result<UidlListing, Error> {
        self.channel.begin(LISTING_MAIL)?;
        within(self.deadlines.listing, LISTING_MAIL, self.read_uidl()).await
    }

    async fn read_uidl(&mut self) -> Result<UidlListing, Error> {
        let stat = if self.pipelining {
            self.channel.send("STAT\r\nUIDL\r\n", 2, LISTING_MAIL).await?;
            self.read_stat().await?
        } else {
            self.channel.send("STAT\r\n", 1, LISTING_MAIL).await?;
            let stat = self.read_stat().await?;
            self.channel.send("UIDL\r\n", 1, LISTING_MAIL).await?;
            stat
        };
        let (mut rows, mut hash) = (Listing::default(), Sha256::new());
        match self.channel.status("UIDL", LISTING_MAIL).await? {
            Ok(_) => {
                self.read_rows(stat, |row| {
                    hash.update(row);
                    hash.update(b"\n");
                    let (number, uidl) = uidl_row(row)?;
                    rows.push(Listed { number, uidl, size: None })?;
                    Some(rows.octets())
                })
                .await?;
            }
            // Also where STAT said 0: an empty listing would mean that all messages are gone.
            Err(refused) if refused.is_passing() => return Err(refused.into()),
            // Some servers have nothing to list and say it this way.
            Err(_) if stat.count == 0 => {}
            Err(_) => return Err(Error::NoUidl),
        }
        if let Some(number) = rows.repeated_number() {
            return Err(Error::OutOfStep { during: LISTING_MAIL, got: format!("{number}, listed twice,") });
        }
        Ok(UidlListing { stat, rows, hash: hash.finalize().into() })
    }

    /// LIST: fills in the sizes of `rows`, which are all the rows of the listing, as far as the server tells
    /// them. What is not in `rows` is ignored: it has come in since.
    ///
    /// # Errors
    /// As [`Session::uidl`], but [`Error::Refused`] where the server refuses.
    pub async fn list(&mut self, rows: &mut Listing) -> Result<(), Error> {
        self.channel.begin(LISTING_MAIL)?;
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let (mut sizes, mut octets) = (rows.sizes(), 0);
        within(self.deadlines.listing, LISTING_MAIL, async {
            self.channel.send("LIST\r\n", 1, LISTING_MAIL).await?;
            self.channel.status("LIST", LISTING_MAIL).await??;
            self.read_rows(Stat { count, octets: 0 }, |row| {
                let (number, size) = list_row(row)?;
                sizes.note(number, size)?;
                octets += row.len();
                Some(octets)
            })
            .await
        })
        .await?;
        if Alike::of(rows).len() > ALIKE {
            let what = "a listing, in rows that UIDL and size do not tell apart,";
            return Err(Error::TooLong { what, limit: ALIKE as u64 });
        }
        Ok(())
    }

    async fn read_stat(&mut self) -> Result<Stat, Error> {
        let text = self.channel.reply("STAT", LISTING_MAIL).await??;
        Stat::parse(&text).ok_or_else(|| self.nonsense(&text))
    }

    /// Hands each row of a listing to `take`, which returns how many bytes that makes so far, or `None` where a row makes
    /// no sense.
    async fn read_rows(
        &mut self,
        stat: Stat,
        mut take: impl FnMut(&[u8]) -> Option<usize>,
    ) -> Result<(), Error> {
        let mut rows = 0;
        loop {
            let row = self.channel.line(ROW, "a row of a listing", LISTING_MAIL).await?;
            if row == b"." {
                self.channel.answered();
                return Ok(());
            }
            rows += 1;
            if rows > stat.most_rows() {
                return Err(Error::TooLong { what: "a listing, in rows,", limit: stat.most_rows().into() });
            }
            let Some(octets) = take(row) else {
                let row = row.to_owned();
                return Err(self.nonsense(&row));
            };
            if octets > LISTING {
                return Err(Error::TooLong { what: "a listing, in bytes,", limit: LISTING as u64 });
            }
        }
    }

    fn nonsense(&self, got: &[u8]) -> Error {
        Error::OutOfStep { during: LISTING_MAIL, got: self.channel.hushed(printable(got)) }
    }

    /// DELE: marks messages to be deleted at [`Session::quit`]. One answer per number, in the same order.
    ///
    /// # Errors
    /// The end of the session, and then nothing is deleted.
    pub async fn delete(&mut self, numbers: &[u32]) -> Result<Vec<Result<(), Refused>>, Error> {
        let during = "deleting messages";
        self.channel.begin(during)?;
        let mut window = self.window("DELE", "", numbers, during);
        let mut answers = Vec::with_capacity(numbers.len());
        for _ in numbers {
            self.keep_busy(&mut window).await?;
            let reply = within(self.deadlines.reply, during, self.channel.reply("DELE", during));
            answers.push(reply.await?.map(|_| ()));
            window.answered();
        }
        Ok(answers)
    }

    /// Keeps a session alive while nothing else is asked of it: a server may hang up after 10 minutes of
    /// silence (RFC 1939 section 3).
    ///
    /// # Errors
    /// The end of the session.
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.simple("NOOP", "NOOP\r\n", "keeping the session alive").await
    }

    /// QUIT: what was marked is deleted now.
    ///
    /// # Errors
    /// [`Error::Refused`] where the server could not delete all of it. After any other error nobody knows: what
    /// is gone is gone from the next listing.
    pub async fn quit(mut self) -> Result<(), Error> {
        self.simple("QUIT", "QUIT\r\n", "ending the session").await
    }

    async fn simple(
        &mut self,
        name: &'static str,
        command: &'static str,
        during: &'static str,
    ) -> Result<(), Error> {
        self.channel.begin(during)?;
        within(self.deadlines.reply, during, async {
            self.channel.send(command, 1, during).await?;
            self.channel.reply(name, during).await??;
            Ok(())
        })
        .await
    }

    /// The window for one command to many messages.
    pub(super) fn window<'a>(
        &self,
        command: &'static str,
        argument: &'static str,
        numbers: &'a [u32],
        during: &'static str,
    ) -> Window<'a> {
        let width = if self.pipelining { WINDOW } else { 1 };
        Window { command, argument, during, unsent: numbers, outstanding: 0, width }
    }

    /// Sends the commands that `window` has room for.
    pub(super) async fn keep_busy(&mut self, window: &mut Window<'_>) -> Result<(), Error> {
        let (commands, count) = window.refill();
        if count == 0 {
            return Ok(());
        }
        let send = self.channel.send(&commands, count, window.during);
        within(self.deadlines.reply, window.during, send).await
    }
}

const LISTING_MAIL: &str = "listing messages";

/// Most commands under way at a time: a batch of mail in one round trip, and at most a kilobyte.
const WINDOW: usize = 64;

/// Commands to many messages, several of them under way at a time.
pub(super) struct Window<'a> {
    command: &'static str,
    argument: &'static str,
    during: &'static str,
    unsent: &'a [u32],
    outstanding: usize,
    width: usize,
}

impl Window<'_> {
    /// The commands to send now, and how many. A half-empty window is filled in one go, so that few packets
    /// carry many commands.
    fn refill(&mut self) -> (String, usize) {
        let mut commands = String::new();
        if self.outstanding > self.width / 2 {
            return (commands, 0);
        }
        let count = self.unsent.len().min(self.width - self.outstanding);
        let (now, later) = self.unsent.split_at(count);
        for number in now {
            // Writing to a String cannot fail.
            let _ = write!(commands, "{} {number}{}\r\n", self.command, self.argument);
        }
        self.unsent = later;
        self.outstanding += count;
        (commands, count)
    }

    pub fn answered(&mut self) {
        self.outstanding -= 1;
    }

    /// How many of `numbers`, which are all, were asked for.
    pub fn asked(&self, numbers: &[u32]) -> usize {
        numbers.len() - self.unsent.len()
    }

    /// Whether the server owes no answer.
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(numbers: &[u32], width: usize) -> Window<'_> {
        Window { command: "DELE", argument: "", during: "", unsent: numbers, outstanding: 0, width }
    }

    #[test]
    fn a_window_of_one_waits_for_each_answer() {
        let mut window = window(&[7, 8], 1);
        assert_eq!(window.refill(), ("DELE 7\r\n".into(), 1));
        assert_eq!(window.refill().1, 0);
        window.answered();
        assert_eq!(window.refill(), ("DELE 8\r\n".into(), 1));
        window.answered();
        assert_eq!(window.refill().1, 0);
    }

    #[test]
    fn a_wide_window_never_holds_more_than_its_width() {
        let numbers: Vec<u32> = (1..=1000).collect();
        let mut window = window(&numbers, WINDOW);
        let (mut sent, mut writes) = (0, 0);
        for answered in 0..numbers.len() {
            let (commands, count) = window.refill();
            sent += count;
            writes += usize::from(count > 0);
            assert!(sent - answered <= WINDOW && commands.len() <= 1024);
            assert!(sent > answered, "nothing is under way, and nothing is sent");
            window.answered();
        }
        assert_eq!(sent, 1000);
        assert!(writes <= 1000 / (WINDOW / 2), "{writes} writes");
    }
}
