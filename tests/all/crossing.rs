//! Three messages on their way between real servers: what is there afterwards, and that it comes right when the fault is
//! gone.
//!
//! Many crossings share one server, each with users and a ledger of its own.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::dovecot::Dovecot;
use crate::faults::{self, UNUSUAL};
use crate::ferry::{
    Ferry, LEDGER, PATIENCE, Ran, account_at, imap_destination, message, webhook_destination,
};
use crate::oracle::{Arrived, Evidence, expect_no_secret};
use crate::receiver::Receiver;
use crate::strace::Strike;
use crate::world::WEBHOOK_SECRET;

/// Where the messages go, and whether they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    ImapThenDelete,
    WebhookAndKeep,
}

impl Way {
    pub const ALL: [Way; 2] = [Way::ImapThenDelete, Way::WebhookAndKeep];

    pub fn as_str(self) -> &'static str {
        match self {
            Way::ImapThenDelete => "imap",
            Way::WebhookAndKeep => "webhook",
        }
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Way, String> {
        let way = Way::ALL.into_iter().find(|way| way.as_str() == text);
        way.ok_or_else(|| format!("`{text}` is no way: it is imap or webhook"))
    }
}

/// All messages cross, and one call is struck.
#[derive(Clone)]
pub struct Trial {
    pub way: Way,
    pub strike: Strike,
}

impl Trial {
    /// Reads what it displays.
    pub fn parse(case: &str) -> Trial {
        let (way, strike) = case.split_once(' ').expect("a case is a way and a strike");
        Trial { way: way.parse().unwrap(), strike: strike.parse().unwrap() }
    }
}

impl Display for Trial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.way.as_str(), self.strike)
    }
}

/// What all crossings share, and how they went.
pub struct Bench {
    server: Dovecot,
    messages: Vec<Vec<u8>>,
    begun: AtomicUsize,
    places: Semaphore,
    began: Instant,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    struck: usize,
    /// How the struck runs ended.
    codes: BTreeMap<i32, usize>,
    broken: Vec<String>,
}

impl Bench {
    /// Processes at work at once.
    pub const AT_ONCE: usize = 6;

    /// What takes longer only waits: for a lock, or for a look-up.
    const AT_WORK: Duration = Duration::from_secs(2);

    pub fn new() -> Bench {
        Bench::of(three_messages())
    }

    pub fn of(messages: Vec<Vec<u8>>) -> Bench {
        Bench {
            server: faults::server_with_an_unusual_password(),
            messages,
            begun: AtomicUsize::new(0),
            places: Semaphore::new(Bench::AT_ONCE),
            began: Instant::now(),
            tally: Mutex::default(),
        }
    }

    /// Where its server is asked for mail.
    pub fn pop3(&self) -> u16 {
        self.server.pop3
    }

    pub async fn at_work<T>(&self, work: impl Future<Output = T>) -> T {
        let place = self.places.acquire().await.unwrap();
        tokio::pin!(work);
        match tokio::time::timeout(Bench::AT_WORK, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(place);
                work.await
            }
        }
    }

    /// A run that was struck, by its exit code, and what came of it; `case` is how to run it alone.
    pub fn note(&self, case: &str, code: i32, outcome: Result<(), String>) {
        let mut tally = self.tally.lock().unwrap();
        tally.struck += 1;
        *tally.codes.entry(code).or_default() += 1;
        if let Err(broken) = outcome {
            let text = format!("MAILFERRY_CASE='{case}': {broken}");
            eprintln!("{text}");
            tally.broken.push(text);
        }
    }

    pub fn conclude(&self, row: &str) {
        let Tally { struck, codes, broken } = &*self.tally.lock().unwrap();
        let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{count} with {code}")).collect();
        let (seconds, failed, codes) = (self.began.elapsed().as_secs(), broken.len(), codes.join(", "));
        faults::report(
            row,
            &format!("{struck} runs struck in {seconds} s, {failed} broke a promise; ended: {codes}"),
        );
        assert!(*struck > 0, "nothing was struck");
        assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    }
}

/// A small one, a large one, and one whose lines begin with dots, in 8-bit bytes.
fn three_messages() -> Vec<Vec<u8>> {
    let mut large = message(2);
    for n in 0..4000 {
        large.extend_from_slice(format!("{n:072}\r\n").as_bytes());
    }
    let mut dots = message(3);
    dots.extend_from_slice(b".\r\n..\r\n.dot\r\nGr\xfc\xdfe\r\n");
    vec![message(1), large, dots]
}

/// One crossing's mailboxes and ledger.
pub struct Crossing<'b> {
    bench: &'b Bench,
    way: Way,
    from: String,
    to: String,
    receiver: Option<Receiver>,
    pub ferry: Ferry,
}

impl Crossing<'_> {
    /// All is ready, but for the messages.
    pub async fn prepare(bench: &Bench, way: Way) -> Crossing<'_> {
        Crossing::prepare_by(bench, way, bench.server.pop3).await
    }

    /// As [`Crossing::prepare`], with another way to the source: what listens at this port leads there.
    pub async fn prepare_by(bench: &Bench, way: Way, pop3: u16) -> Crossing<'_> {
        let n = bench.begun.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (format!("from{n}"), format!("to{n}"));
        let (receiver, destination, rest) = match way {
            Way::ImapThenDelete => {
                let rest = "leave_copy = false\ndeliver = [{ to = \"home\" }]";
                (None, imap_destination("home", &bench.server, &to), rest)
            }
            Way::WebhookAndKeep => {
                let receiver = Receiver::start().await;
                let destination = webhook_destination("app", &receiver.url, "raw");
                (Some(receiver), destination, "deliver = [{ to = \"app\" }]")
            }
        };
        let account = account_at("old", pop3, &from, &format!("every = \"1h\"\n{rest}"));
        let ferry = Ferry::new(&faults::with_unusual_password(&(destination + &account)));
        Crossing { bench, way, from, to, receiver, ferry }
    }

    pub fn put(&self) {
        self.bench.server.put(&self.from, &self.bench.messages);
    }

    /// As [`Crossing::expect_sane_words`], and nothing is said but plain sentences.
    pub fn expect_plain_words(&self, ran: &Ran) -> Result<(), String> {
        if ran.stderr.lines().any(|line| !line.starts_with("mailferry: ")) {
            return Err("it did not end with one sentence".into());
        }
        self.expect_sane_words(ran)
    }

    /// It did not panic, took no fault of the machine for its own, and no secret is said or kept.
    pub fn expect_sane_words(&self, ran: &Ran) -> Result<(), String> {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        if let Some(word) = ["panicked", "please report it"].iter().find(|word| said.contains(**word)) {
            return Err(format!("it says `{word}`: {ran:?}"));
        }
        let files = ["", "-wal", ".lock"].map(|end| self.ferry.folder().join(format!("{LEDGER}{end}")));
        expect_no_secret(&[UNUSUAL, WEBHOOK_SECRET], said.as_bytes(), &files)
    }

    /// A daemon that was struck has ended, and so has the command that asked it for a poll.
    pub async fn judge_struck_daemon(&self, was_killed: bool, asked: &Ran, ran: &Ran) -> Result<(), String> {
        let ends_well = if was_killed { ran.code == -1 } else { [0, 74, 75].contains(&ran.code) };
        if !ends_well {
            return Err(format!("the daemon ended with {}", ran.code));
        }
        self.expect_plain_words(asked)?;
        self.expect_sane_words(ran)?;
        self.judge(asked.code == 0).await
    }

    /// The fault is gone: two polls, and all is delivered.
    pub async fn recover(&self) -> Result<(), String> {
        for last in [false, true] {
            let fetch = tokio::time::timeout(PATIENCE, self.ferry.run(&["fetch"]));
            let ran = self.bench.at_work(fetch).await.map_err(|_| "the next run did not end")?;
            self.expect_sane_words(&ran)?;
            if ran.code != 0 && (last || ran.code != 75) {
                return Err(format!("I6: the fault is gone, but: {ran:?}"));
            }
        }
        self.judge(true).await
    }

    pub async fn judge(&self, is_all_delivered: bool) -> Result<(), String> {
        // The source first: what is gone from it then is at the destination by now.
        let source = self.bench.server.list(&self.from, "INBOX");
        let destination = match &self.receiver {
            None => Arrived { name: "home", messages: self.bench.server.list(&self.to, "INBOX") },
            Some(receiver) => Arrived { name: "app", messages: receiver.taken()? },
        };
        let put = self.bench.messages.clone();
        let ledger = self.ferry.ledger();
        let evidence = Evidence { put, source, destinations: vec![destination], ledger };
        match is_all_delivered {
            true => evidence.expect_all_delivered(self.way == Way::ImapThenDelete).await,
            false => evidence.judge().await,
        }
    }
}

impl Drop for Crossing<'_> {
    fn drop(&mut self) {
        self.bench.server.forget(&self.from);
        self.bench.server.forget(&self.to);
    }
}
