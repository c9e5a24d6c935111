//! The rows "SIGKILL at every syscall" and "errors at every file syscall": three messages on their way between real
//! servers, and strace strikes at the n-th call of a name.
//!
//! Every moment of a run lies between two calls, so the kills reach each window in which a crash could lose or double
//! a message: before and during RETR (W1), with the messages retrieved and nothing sent (W2, W3), with the attempt
//! committed and nothing sent (W4), in the middle of a literal (W5), all sent and no answer read (W6), answered and not
//! committed (W7), delivered and not deleted (W8), QUIT sent (W9), and the same for a POST (W10).

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, future, stream};
use tokio::sync::Semaphore;

use crate::dovecot::Dovecot;
use crate::faults::{self, UNUSUAL};
use crate::ferry::{Ferry, LEDGER, PATIENCE, Ran, account, imap_destination, message, webhook_destination};
use crate::oracle::{Arrived, Evidence, expect_no_secret};
use crate::receiver::Receiver;
use crate::strace::{Lasts, Strike, Trace};

/// What reads or writes a socket, or makes one ready for it.
const ON_SOCKETS: [&str; 5] = ["connect", "sendto", "writev", "recvfrom", "shutdown"];

/// What is done with files.
const ON_FILES: [&str; 15] = [
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "unlink",
    "rename",
    "newfstatat",
    "fcntl",
    "flock",
    "fchmod",
    "mmap",
];

/// What the kernel may say of a file; ENOMEM it says where a file is opened or mapped.
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EINTR", "EMFILE", "ENOMEM"];
const OUT_OF_MEMORY_AT: [&str; 2] = ["openat", "mmap"];

/// How many trials a sample has.
const SAMPLE: usize = 100;

const WEBHOOK_SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_kill_at_any_syscall_loses_and_doubles_nothing() {
    let names = ON_SOCKETS.iter().chain(&ON_FILES);
    let faults = |_: &str| vec![("signal=KILL".to_owned(), Lasts::Once)];
    all_or_a_sample("SIGKILL at a syscall", &lanes(names, faults)).await;
}

#[tokio::test]
async fn an_error_of_any_file_syscall_loses_and_doubles_nothing() {
    let faults = |call: &str| {
        let errors = ERRORS.iter().filter(|error| **error != "ENOMEM" || OUT_OF_MEMORY_AT.contains(&call));
        let lasts = |error: &str| [Lasts::Once, if error == "EINTR" { Lasts::Storm } else { Lasts::ForEver }];
        errors.flat_map(|error| lasts(error).map(|lasts| (format!("error={error}"), lasts))).collect()
    };
    all_or_a_sample("error of a file syscall", &lanes(ON_FILES.iter(), faults)).await;
}

/// Where the messages go, and whether they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    ImapThenDelete,
    WebhookAndKeep,
}

/// One fault, to be tried at the first call, the second, and so on.
#[derive(Clone)]
struct Lane {
    way: Way,
    call: &'static str,
    fault: String,
    lasts: Lasts,
}

fn lanes(
    names: impl Iterator<Item = &'static &'static str> + Clone,
    faults: impl Fn(&str) -> Vec<(String, Lasts)>,
) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for way in [Way::ImapThenDelete, Way::WebhookAndKeep] {
        for call in names.clone() {
            lanes.extend(faults(call).into_iter().map(|(fault, lasts)| Lane { way, call, fault, lasts }));
        }
    }
    lanes
}

impl Lane {
    fn at(&self, nth: usize) -> Trial {
        let Lane { way, call, fault, lasts } = self.clone();
        Trial { way, strike: Strike { call: call.to_owned(), fault, nth, lasts } }
    }
}

async fn all_or_a_sample(row: &str, lanes: &[Lane]) {
    let (bench, began) = (Bench::new(), Instant::now());
    if let Some(case) = faults::only() {
        bench.attempt(&Trial::parse(&case)).await;
    } else if faults::soak() {
        let trials = lanes.iter().map(|lane| {
            let trials = stream::iter(1..).map(|nth| lane.at(nth));
            // A thread that is never struck has made no such call any more.
            let struck = trials.map(async |trial| bench.attempt(&trial).await).buffered(Bench::AT_ONCE);
            struck.take_while(|struck| future::ready(*struck)).count()
        });
        stream::iter(trials).buffer_unordered(Bench::AT_ONCE).collect::<Vec<usize>>().await;
    } else {
        let trials = sample(row, &bench.count_calls().await, lanes);
        let attempts = trials.iter().map(|trial| bench.attempt(trial));
        stream::iter(attempts).buffer_unordered(8 * Bench::AT_ONCE).collect::<Vec<bool>>().await;
    }
    bench.conclude(row, began.elapsed());
}

/// Drawn evenly over all places where something can be struck.
fn sample(row: &str, counts: &BTreeMap<(Way, String), usize>, lanes: &[Lane]) -> Vec<Trial> {
    let all = lanes.iter().flat_map(|lane| {
        let count = counts.get(&(lane.way, lane.call.to_owned())).copied().unwrap_or(0);
        (1..=count).map(|nth| lane.at(nth))
    });
    let all: Vec<Trial> = all.collect();
    let mut chance = fastrand::Rng::with_seed(faults::seed(row));
    let part = |n: usize| n * all.len() / SAMPLE;
    (0..SAMPLE).map(|n| all[chance.usize(part(n)..part(n + 1))].clone()).collect()
}

/// Three messages are on their way, and one call is struck.
#[derive(Clone)]
struct Trial {
    way: Way,
    strike: Strike,
}

impl Trial {
    fn parse(case: &str) -> Trial {
        let (way, strike) = case.split_once(' ').expect("a case is a way and a strike");
        let ways = [Way::ImapThenDelete, Way::WebhookAndKeep];
        let way = ways.into_iter().find(|known| known.as_str() == way).expect("the way is imap or webhook");
        Trial { way, strike: strike.parse().unwrap() }
    }

    fn kills(&self) -> bool {
        self.strike.fault == "signal=KILL"
    }
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Way::ImapThenDelete => "imap",
            Way::WebhookAndKeep => "webhook",
        }
    }
}

impl Display for Trial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.way.as_str(), self.strike)
    }
}

/// One server for all trials, each with users of its own.
struct Bench {
    server: Dovecot,
    messages: Vec<Vec<u8>>,
    begun: AtomicUsize,
    places: Semaphore,
    struck: AtomicUsize,
    /// How the struck runs ended.
    codes: Mutex<BTreeMap<i32, usize>>,
    broken: Mutex<Vec<String>>,
}

impl Bench {
    /// Processes at work at once.
    const AT_ONCE: usize = 6;

    /// What takes longer only waits: for a lock, or for a look-up.
    const AT_WORK: Duration = Duration::from_secs(2);

    fn new() -> Bench {
        Bench {
            server: faults::server_with_an_unusual_password(),
            messages: three_messages(),
            begun: AtomicUsize::new(0),
            places: Semaphore::new(Bench::AT_ONCE),
            struck: AtomicUsize::new(0),
            codes: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// Returns whether anything was struck.
    async fn attempt(&self, trial: &Trial) -> bool {
        let run = Run::begin(self, trial.way).await;
        let trace = self.at_work(run.fetch_struck(trial)).await;
        let Some(trace) = trace else {
            self.complain(trial, "the run did not end");
            return true;
        };
        if !trace.was_struck() {
            return false;
        }
        self.struck.fetch_add(1, Ordering::Relaxed);
        *self.codes.lock().unwrap().entry(trace.ran.code).or_default() += 1;
        let outcome = match run.judge_struck(trial, &trace).await {
            Ok(()) => run.recover().await,
            broken => broken,
        };
        if let Err(broken) = outcome {
            self.complain(trial, &format!("{broken}\n{:?}\n{}", trace.ran, trace.end()));
        }
        true
    }

    fn complain(&self, trial: &Trial, broken: &str) {
        let text = format!("MAILFERRY_CASE='{trial}': {broken}");
        eprintln!("{text}");
        self.broken.lock().unwrap().push(text);
    }

    async fn at_work<T>(&self, work: impl Future<Output = T>) -> T {
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

    /// How often one thread makes each call when nothing goes wrong.
    async fn count_calls(&self) -> BTreeMap<(Way, String), usize> {
        let mut counts = BTreeMap::new();
        for way in [Way::ImapThenDelete, Way::WebhookAndKeep] {
            for name in ON_SOCKETS.iter().chain(&ON_FILES) {
                let run = Run::begin(self, way).await;
                let trace = run.ferry.run_traced(&["fetch"], &[name], None).await.expect("it ends");
                assert_eq!(trace.ran.code, 0, "{:?}", trace.ran);
                run.judge(true).await.unwrap();
                counts.insert((way, (*name).to_owned()), trace.counts().get(name).copied().unwrap_or(0));
            }
        }
        counts
    }

    fn conclude(&self, row: &str, took: Duration) {
        let (struck, broken) = (self.struck.load(Ordering::Relaxed), self.broken.lock().unwrap());
        let codes = self.codes.lock().unwrap();
        let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{n} with {code}")).collect();
        let (seconds, failed, codes) = (took.as_secs(), broken.len(), codes.join(", "));
        let figures =
            format!("{struck} runs struck in {seconds} s, {failed} broken a promise; ended: {codes}");
        faults::report(row, &figures);
        assert!(struck > 0, "nothing was struck");
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

/// One trial's mailboxes and ledger.
struct Run<'b> {
    bench: &'b Bench,
    way: Way,
    from: String,
    to: String,
    receiver: Option<Receiver>,
    ferry: Ferry,
}

impl Run<'_> {
    async fn begin(bench: &Bench, way: Way) -> Run<'_> {
        let n = bench.begun.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (format!("from{n}"), format!("to{n}"));
        bench.server.put(&from, &bench.messages);
        let receiver = match way {
            Way::ImapThenDelete => None,
            Way::WebhookAndKeep => Some(Receiver::start().await),
        };
        let config = match &receiver {
            None => {
                imap_destination("home", &bench.server, &to)
                    + &account(
                        "old",
                        &bench.server,
                        &from,
                        "leave_copy = false\ndeliver = [{ to = \"home\" }]",
                    )
            }
            Some(receiver) => {
                webhook_destination("app", &receiver.url, "raw")
                    + &account("old", &bench.server, &from, "deliver = [{ to = \"app\" }]")
            }
        };
        let ferry = Ferry::new(&faults::with_unusual_password(&config));
        Run { bench, way, from, to, receiver, ferry }
    }

    async fn fetch_struck(&self, trial: &Trial) -> Option<Trace> {
        let mut names = vec![trial.strike.call.as_str()];
        if names[0] == "fsync" {
            // To see what is sent after it.
            names.extend(["sendto", "writev", "pwrite64"]);
        }
        self.ferry.run_traced(&["fetch"], &names, Some(&trial.strike)).await
    }

    /// Before anything is mended: what is there, and what was said.
    async fn judge_struck(&self, trial: &Trial, trace: &Trace) -> Result<(), String> {
        let ran = &trace.ran;
        let ends_well = match ran.code {
            -1 => trial.kills(),
            0 | 74 | 75 | 78 => !trial.kills(),
            _ => false,
        };
        if !ends_well {
            return Err(format!("it ended with {}", ran.code));
        }
        self.expect_plain_words(ran)?;
        if trial.strike.call == "fsync" {
            stops_after_a_lost_sync(trace)?;
        }
        self.judge(ran.code == 0).await
    }

    fn expect_plain_words(&self, ran: &Ran) -> Result<(), String> {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        if said.contains("panicked") || ran.stderr.lines().any(|line| !line.starts_with("mailferry: ")) {
            return Err("it did not end with one sentence".into());
        }
        let files = ["", "-wal", ".lock"].map(|end| self.ferry.folder().join(format!("{LEDGER}{end}")));
        expect_no_secret(&[UNUSUAL, WEBHOOK_SECRET], said.as_bytes(), &files)
    }

    /// The fault is gone.
    async fn recover(&self) -> Result<(), String> {
        for last in [false, true] {
            let fetch = tokio::time::timeout(PATIENCE, self.ferry.run(&["fetch"]));
            let ran = self.bench.at_work(fetch).await.map_err(|_| "the next run did not end")?;
            self.expect_plain_words(&ran)?;
            if ran.code != 0 && (last || ran.code != 75) {
                return Err(format!("I6: the fault is gone, but: {ran:?}"));
            }
        }
        self.judge(true).await
    }

    async fn judge(&self, is_all_delivered: bool) -> Result<(), String> {
        // The source first: what is gone from it then is at the destination by now.
        let source = self.bench.server.list(&self.from, "INBOX");
        let destination = match &self.receiver {
            None => Arrived { name: "home", messages: self.bench.server.list(&self.to, "INBOX") },
            Some(receiver) => Arrived { name: "app", messages: once_by_id(receiver)? },
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

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.bench.server.forget(&self.from);
        self.bench.server.forget(&self.to);
    }
}

/// A receiver knows a message by its id, and a message that comes again must be the same to the byte.
fn once_by_id(receiver: &Receiver) -> Result<Vec<Vec<u8>>, String> {
    let mut known: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for arrival in receiver.arrivals() {
        let id = arrival.header("webhook-id").to_owned();
        if known.get(&id).is_some_and(|body| *body != arrival.body) {
            return Err(format!("I4: the webhook-id {id} came with two bodies"));
        }
        known.insert(id, arrival.body.to_vec());
    }
    Ok(known.into_values().collect())
}

/// When the ledger could not be synced, nothing may build on it: no message is sent, none deleted, nothing is written to
/// the log of that ledger again, and whoever started the process is told.
fn stops_after_a_lost_sync(trace: &Trace) -> Result<(), String> {
    let mut after = trace.from_strike().peekable();
    // SQLite does not insist on a sync of the folder.
    if !after.peek().is_some_and(|line| [".db>)", "-wal>)"].iter().any(|file| line.contains(file))) {
        return Ok(());
    }
    let goes_on = |line: &&str| {
        let sends = ["\"DELE", " APPEND ", "\"POST "].iter().any(|command| line.contains(command));
        sends || line.contains("pwrite64") && line.contains("-wal>")
    };
    if let Some(line) = after.find(goes_on) {
        return Err(format!("it went on after a sync that failed: {line}"));
    }
    match trace.ran.code {
        74 => Ok(()),
        code => Err(format!("a sync of the ledger failed, and it ended with {code}")),
    }
}
