//! RETR and TOP: the bodies of messages.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::channel::Channel;
use super::error::{Error, Refused};
use super::session::{Session, Window};
use super::stuffing::Unstuffer;
use crate::message::{IN_MEMORY, Message, Spool};
use crate::net::{self, within};

/// What [`Session::retrieve`] brought.
#[derive(Debug)]
pub struct Retrieved {
    /// By message-number, in the order asked for; all of them where `error` is `None`, unless the server hands out none now:
    /// see [`Session::withholds_messages`].
    pub messages: Vec<(u32, Retrieval)>,
    /// The one at which the session ended had begun to arrive.
    pub begun: bool,
    /// Why the session ended before all was retrieved. What is in `messages` is complete all the same.
    pub error: Option<Error>,
}

/// What [`Session::discard`] has seen.
#[derive(Debug)]
pub struct Discarded {
    /// In the order asked for, whether each came; of all of them where `error` is `None`, unless the server hands out none
    /// now. Where it is not `None` the first that is missing is the one at which the session ended.
    pub came: Vec<bool>,
    /// Why the session ended.
    pub error: Option<Error>,
}

/// What TOP of several messages has brought.
#[derive(Debug)]
pub struct Headers<T> {
    /// In the order asked for, what was made of each header that came, or why none came.
    pub seen: Vec<Result<T, Refused>>,
    /// So many were asked for, those included that the connection could take no more.
    pub asked: usize,
    /// Why the session ended.
    pub error: Option<Error>,
}

/// What became of one RETR.
#[derive(Debug)]
pub enum Retrieval {
    Message(Message),
    Refused(Refused),
    /// More than the settings' `max_size`. The session ends with it, since the rest of it would have to be read.
    TooLarge {
        octets_seen: u64,
    },
    /// What followed the message's end was no reply, so that it may have ended too early: a server that forgets to
    /// stuff a dot does that. Only where commands go one at a time; elsewhere the message is left out, since
    /// pipelining may be at fault.
    Torn {
        octets_seen: u64,
    },
}

impl Session {
    /// Whether the server has said of the latest messages that their refusal will pass, so that it would say that of any: it
    /// may be asked again in another session.
    pub fn withholds_messages(&self) -> bool {
        self.messages.is_asked_for()
    }

    /// Whether it is of no use to ask for another message in this session. Nothing is sent if one is asked for all the same.
    pub fn hands_out_nothing(&self) -> bool {
        self.messages.is_over()
    }

    /// Whether its last answer to RETR was a refusal that will pass. Behind one it may hang up, whoever is asked for next.
    pub fn has_just_refused(&self) -> bool {
        self.messages.is_tried()
    }

    /// Whether it is of no use to ask for another header in this session.
    pub fn shows_no_headers(&self) -> bool {
        self.headers.is_over()
    }

    /// Whether it has answered any TOP with a header.
    pub fn has_shown_headers(&self) -> bool {
        self.headers.has_answered()
    }

    /// RETR for each of `numbers`, many at a time where the server can.
    ///
    /// A message beyond [`IN_MEMORY`] goes to an unnamed temporary file in `spool_folder`, and so does each one that
    /// does not fit into 8 MiB together with those before it.
    pub async fn retrieve(&mut self, numbers: &[u32], spool_folder: &Path) -> Retrieved {
        self.retrieve_within(numbers, spool_folder, HELD, pending()).await
    }

    /// As [`Session::retrieve`], with at most `memory` octets of all these messages in memory, besides their headers. When
    /// `too_slow` resolves it ends the session.
    pub async fn retrieve_within(
        &mut self,
        numbers: &[u32],
        spool_folder: &Path,
        memory: u64,
        too_slow: impl Future<Output = ()>,
    ) -> Retrieved {
        let (mut messages, mut begun) = (Vec::with_capacity(numbers.len()), false);
        let outcome = tokio::select! {
            biased;
            outcome = self.retrieve_into(&mut messages, &mut begun, numbers, spool_folder, memory) => outcome,
            () = too_slow => Err(Error::TooSlow),
        };
        if matches!(outcome, Err(Error::OutOfStep { .. })) {
            self.doubt_last(&mut messages);
        }
        Retrieved { messages, begun, error: outcome.err() }
    }

    /// RETR for each of `numbers`, and lets go of what comes, whatever `max_size` is. [`Error::TooLong`] is a message beyond
    /// 1 GiB.
    pub async fn discard(&mut self, numbers: &[u32]) -> Discarded {
        let mut came = Vec::with_capacity(numbers.len());
        let outcome = self.discard_into(&mut came, numbers).await;
        Discarded { came, error: outcome.err() }
    }

    async fn discard_into(&mut self, came: &mut Vec<bool>, numbers: &[u32]) -> Result<(), Error> {
        self.channel.begin(RETRIEVING)?;
        let mut window = self.window("RETR", "", numbers, RETRIEVING);
        for _ in numbers {
            if window.is_idle() && self.messages.is_over() {
                break;
            }
            self.keep_busy(&mut window).await?;
            came.push(self.pass_over().await?);
            window.answered();
        }
        self.channel.expect_silence(RETRIEVING)
    }

    async fn pass_over(&mut self) -> Result<bool, Error> {
        let status = self.channel.status("RETR", RETRIEVING);
        let status = within(self.deadlines.reply, RETRIEVING, status).await?;
        self.messages.note(status.as_ref().err());
        if status.is_err() {
            return Ok(false);
        }
        let (mut body, mut octets) = (Body::new(&self.channel, self.deadlines.pace), 0);
        while body.next(&mut self.channel).await? {
            octets += body.piece.len() as u64;
            if octets > ENDLESS {
                return Err(Error::TooLong { what: "a message", limit: ENDLESS });
            }
        }
        self.channel.answered();
        Ok(true)
    }

    /// Makes sure that the last of these messages ended where it seemed to: what comes next must be the answer to NOOP, and
    /// not the rest of it. For where it is shorter than it was listed.
    pub async fn confirm_last(&mut self, retrieved: &mut Retrieved) {
        match self.noop().await {
            Ok(()) | Err(Error::Refused(_)) => {}
            Err(error) => {
                if matches!(error, Error::OutOfStep { .. }) {
                    self.doubt_last(&mut retrieved.messages);
                }
                retrieved.error = Some(error);
            }
        }
    }

    async fn retrieve_into(
        &mut self,
        messages: &mut Vec<(u32, Retrieval)>,
        begun: &mut bool,
        numbers: &[u32],
        spool_folder: &Path,
        mut memory: u64,
    ) -> Result<(), Error> {
        self.channel.begin(RETRIEVING)?;
        let mut window = self.window("RETR", "", numbers, RETRIEVING);
        for &number in numbers {
            if window.is_idle() && self.messages.is_over() {
                break;
            }
            self.keep_busy(&mut window).await?;
            let room = usize::try_from(memory).unwrap_or(IN_MEMORY);
            *begun = false;
            let retrieval = self.read_message(Spool::within(spool_folder, room), begun).await?;
            if let Retrieval::Message(message) = &retrieval {
                memory = memory.saturating_sub(message.bytes().map_or(0, |bytes| bytes.len() as u64));
            }
            let is_too_large = matches!(retrieval, Retrieval::TooLarge { .. });
            messages.push((number, retrieval));
            if is_too_large {
                return Err(Error::MessageTooLarge);
            }
            window.answered();
        }
        self.channel.expect_silence(RETRIEVING)
    }

    /// The message before the one where the session got out of step may not be whole.
    fn doubt_last(&self, messages: &mut Vec<(u32, Retrieval)>) {
        let Some((_, Retrieval::Message(message))) = messages.last() else { return };
        let octets_seen = message.octets();
        let Some((number, _)) = messages.pop() else { return };
        if !self.is_pipelining() {
            messages.push((number, Retrieval::Torn { octets_seen }));
        }
    }

    async fn read_message(&mut self, mut spool: Spool, begun: &mut bool) -> Result<Retrieval, Error> {
        let status = self.channel.status("RETR", RETRIEVING);
        let status = within(self.deadlines.reply, RETRIEVING, status).await?;
        self.messages.note(status.as_ref().err());
        if let Err(refused) = status {
            return Ok(Retrieval::Refused(refused));
        }
        *begun = true;
        let mut body = Body::new(&self.channel, self.deadlines.pace);
        while body.next(&mut self.channel).await? {
            let octets_seen = spool.octets() + body.piece.len() as u64;
            if octets_seen > self.max_size {
                return Ok(Retrieval::TooLarge { octets_seen });
            }
            spool.write(&body.piece).await.map_err(Error::Disk)?;
        }
        self.channel.answered();
        Ok(Retrieval::Message(spool.finish().await.map_err(Error::Disk)?))
    }

    /// TOP n 0 for each of `numbers`, and what `see` makes of the header: of its first [`IN_MEMORY`] octets, and no
    /// more than one header is in memory at a time.
    ///
    /// A server that refuses all of them, not just for now, and has never answered one does not know TOP, whatever it
    /// announces: from then on [`Session::capabilities`] has no TOP. Commands that go one at a time go no further than a few
    /// refusals, as Exchange hangs up at the tenth: where these were for good, what was not asked for counts as refused
    /// in the same words; where they will pass, it is missing at the end. Of some numbers at least one is asked for.
    ///
    /// # Errors
    /// The end of the session; [`Error::TooLong`] beyond `max_size`.
    pub async fn top<T>(
        &mut self,
        numbers: &[u32],
        see: impl FnMut(&[u8]) -> T,
    ) -> Result<Vec<Result<T, Refused>>, Error> {
        let Headers { seen, error, .. } = self.headers(numbers, see).await;
        error.map_or(Ok(seen), Err)
    }

    /// As [`Session::top`], and tells also what came before the session ended.
    pub async fn headers<T>(&mut self, numbers: &[u32], see: impl FnMut(&[u8]) -> T) -> Headers<T> {
        let mut seen = Vec::with_capacity(numbers.len());
        let mut window = self.window("TOP", " 0", numbers, READING_HEADERS);
        let outcome = self.top_into(&mut seen, &mut window, numbers, see).await;
        Headers { seen, asked: window.asked(numbers), error: outcome.err() }
    }

    async fn top_into<T>(
        &mut self,
        seen: &mut Vec<Result<T, Refused>>,
        window: &mut Window<'_>,
        numbers: &[u32],
        mut see: impl FnMut(&[u8]) -> T,
    ) -> Result<(), Error> {
        self.channel.begin(READING_HEADERS)?;
        while seen.len() < numbers.len() {
            if let Some(Err(refused)) = seen.last()
                && window.is_idle()
            {
                if self.headers.is_over() {
                    break;
                }
                if seen.len() >= TOPS_REFUSED && !self.headers.has_answered() {
                    let refused = Refused::clone(refused);
                    seen.resize_with(numbers.len(), || Err(refused.clone()));
                    break;
                }
            }
            self.keep_busy(window).await?;
            let header = self.read_header().await?;
            window.answered();
            seen.push(header.map(|header| see(&header)));
        }
        let for_good = |header: &Result<T, Refused>| matches!(header, Err(refused) if !refused.is_passing());
        if !seen.is_empty() && !self.headers.has_answered() && seen.iter().all(for_good) {
            self.capabilities.top = false;
        }
        Ok(())
    }

    async fn read_header(&mut self) -> Result<Result<Vec<u8>, Refused>, Error> {
        let status = self.channel.status("TOP", READING_HEADERS);
        let status = within(self.deadlines.reply, READING_HEADERS, status).await?;
        self.headers.note(status.as_ref().err());
        if let Err(refused) = status {
            return Ok(Err(refused));
        }
        let (mut header, mut octets) = (Vec::new(), 0);
        let mut body = Body::new(&self.channel, self.deadlines.pace);
        while body.next(&mut self.channel).await? {
            octets += body.piece.len() as u64;
            if octets > self.max_size {
                return Err(Error::TooLong { what: "a header", limit: self.max_size });
            }
            let room = IN_MEMORY - header.len();
            header.extend_from_slice(&body.piece[..body.piece.len().min(room)]);
        }
        self.channel.answered();
        Ok(Ok(header))
    }
}

/// How much of the messages that one call retrieves is held in memory where the caller does not say: 8 MiB.
const HELD: u64 = 8 << 20;

/// No message that nobody needs is longer.
const ENDLESS: u64 = 1 << 30;

/// Of so many messages one after the other, that they cannot be had is not the reason.
const TOPS_REFUSED: usize = 3;

const RETRIEVING: &str = "retrieving messages";
const READING_HEADERS: &str = "reading headers";

/// A multi-line response as it comes in: piece by piece, its dots unstuffed.
struct Body {
    unstuffer: Unstuffer,
    pace: Pace,
    piece: Vec<u8>,
    has_ended: bool,
}

impl Body {
    fn new(channel: &Channel, pace: Duration) -> Body {
        Body {
            unstuffer: Unstuffer::new(channel.bare_lf),
            pace: Pace::new(pace),
            piece: Vec::new(),
            has_ended: false,
        }
    }

    /// Fills `piece` with what comes next; `false` when all has come.
    async fn next(&mut self, channel: &mut Channel) -> Result<bool, Error> {
        if self.has_ended {
            return Ok(false);
        }
        if channel.unread().is_empty() {
            self.wait(channel).await?;
        }
        self.piece.clear();
        let unread = channel.unread();
        let left = self.unstuffer.feed(unread, &mut self.piece);
        channel.take(unread.len() - left.unwrap_or(0));
        self.has_ended = left.is_some();
        channel.bare_lf = self.unstuffer.bare_lf();
        Ok(true)
    }

    async fn wait(&mut self, channel: &mut Channel) -> Result<(), Error> {
        while channel.unread().is_empty() {
            let began = Instant::now();
            let outcome = timeout(self.pace.patience(), channel.fill(RETRIEVING)).await;
            self.pace.record(began.elapsed(), channel.unread().len());
            if !self.pace.is_kept() {
                let after = self.pace.over;
                return Err(net::Error::Timeout { phase: "waiting for a message to go on", after }.into());
            }
            outcome.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// The floor on throughput, in octets a second.
const FLOOR: u64 = 1 << 10;

/// Whether a server sends at [`FLOOR`] or faster, averaged over a stretch of waiting for it.
struct Pace {
    over: Duration,
    waited: Duration,
    octets: u64,
    /// Waited since the last octet.
    silent: Duration,
}

impl Pace {
    fn new(over: Duration) -> Pace {
        Pace { over, waited: Duration::ZERO, octets: 0, silent: Duration::ZERO }
    }

    /// How much of this stretch is left.
    fn patience(&self) -> Duration {
        self.over.saturating_sub(self.waited)
    }

    fn record(&mut self, waited: Duration, octets: usize) {
        self.waited += waited;
        self.octets += octets as u64;
        self.silent = if octets > 0 { Duration::ZERO } else { self.silent + waited };
    }

    /// Judges a stretch at its end. The next begins with the last octet, so that silence lasts no longer than a stretch.
    fn is_kept(&mut self) -> bool {
        if self.waited < self.over {
            return true;
        }
        let is_kept = u128::from(self.octets) * 1000 >= u128::from(FLOOR) * self.waited.as_millis();
        *self = Pace { waited: self.silent, octets: 0, ..*self };
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_too_slow_and_a_kilobyte_a_second_is_not() {
        for (octets_a_second, is_kept) in [(1, false), (1023, false), (1024, true), (1_000_000, true)] {
            let mut pace = Pace::new(Duration::from_secs(60));
            for second in 1..=60 {
                assert_eq!(pace.patience(), Duration::from_secs(61 - second));
                pace.record(Duration::from_secs(1), octets_a_second);
                assert!(
                    pace.is_kept() == (second < 60 || is_kept),
                    "{octets_a_second} octets/s, second {second}"
                );
            }
        }
    }

    #[test]
    fn a_fast_start_buys_no_second_minute_of_silence() {
        let mut pace = Pace::new(Duration::from_secs(60));
        pace.record(Duration::from_secs(20), 1 << 20);
        assert!(pace.is_kept());
        pace.record(pace.patience(), 0);
        assert!(pace.is_kept());
        assert_eq!(pace.patience(), Duration::from_secs(20));
        pace.record(pace.patience(), 0);
        assert!(!pace.is_kept());
    }

    #[test]
    fn a_fast_minute_buys_no_slow_one() {
        let mut pace = Pace::new(Duration::from_secs(60));
        pace.record(Duration::from_secs(60), 1 << 30);
        assert!(pace.is_kept());
        pace.record(Duration::from_secs(60), 0);
        assert!(!pace.is_kept());
    }
}
