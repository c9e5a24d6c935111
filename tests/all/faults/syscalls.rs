//! The rows "SIGKILL at every syscall" and "errors at every file syscall": strace strikes at the n-th call of a name while
//! three messages cross.
//!
//! Every moment of a run lies between two calls, so the kills reach each window in which a crash could lose or double
//! a message: before and during RETR (W1), with the messages retrieved and nothing sent (W2, W3), with the attempt
//! committed and nothing sent (W4), in the middle of a literal (W5), all sent and no answer read (W6), answered and not
//! committed (W7), delivered and not deleted (W8), QUIT sent (W9), and the same for a POST (W10); and each moment of
//! making a ledger. What other threads than the first can meet is in readers.rs and spools.rs.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, future, stream};

use crate::crossing::{Bench, Crossing, Trial, Way};
use crate::faults;
use crate::strace::{Lasts, Strike, Trace};

/// What reads or writes a socket, or makes one ready for it.
const ON_SOCKETS: [&str; 6] = ["socket", "connect", "sendto", "writev", "recvfrom", "shutdown"];

/// What is done with files.
const ON_FILES: [&str; 18] = [
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
    "statx",
    "statfs",
    "fcntl",
    "flock",
    "fchmod",
    "fchown",
    "mmap",
];

/// What the kernel may say of a file; ENOMEM it says where a file is opened or mapped.
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EINTR", "EMFILE", "ENOMEM"];
const OUT_OF_MEMORY_AT: [&str; 2] = ["openat", "mmap"];

/// How many trials a sample has.
const SAMPLE: usize = 100;

#[tokio::test]
async fn a_kill_at_any_syscall_loses_and_doubles_nothing() {
    let names = [ON_SOCKETS.as_slice(), &ON_FILES].concat();
    let faults = |_: &str| vec![("signal=KILL".to_owned(), Lasts::Once)];
    all_or_a_sample("SIGKILL at a syscall", &lanes(&names, faults)).await;
}

#[tokio::test]
async fn an_error_of_any_file_syscall_loses_and_doubles_nothing() {
    let faults = |call: &str| {
        let errors = ERRORS.iter().filter(|error| **error != "ENOMEM" || OUT_OF_MEMORY_AT.contains(&call));
        let lasts = |error: &str| [Lasts::Once, if error == "EINTR" { Lasts::Storm } else { Lasts::ForEver }];
        errors.flat_map(|error| lasts(error).map(|lasts| (format!("error={error}"), lasts))).collect()
    };
    all_or_a_sample("error of a file syscall", &lanes(&ON_FILES, faults)).await;
}

/// What else is asked of our files and sockets: it cannot fail but for a fault of ours, or its failure is nobody's loss.
const WITHOUT_LOSS: [&str; 8] =
    ["close", "epoll_ctl", "getcwd", "getpeername", "getsockname", "getsockopt", "setsockopt", "socketpair"];

/// Nothing that a run asks of the kernel about its files and sockets is left out above.
#[tokio::test]
async fn every_syscall_on_files_and_sockets_is_struck_or_cannot_matter() {
    let bench = Bench::new();
    let known = [&ON_SOCKETS[..], &ON_FILES, &WITHOUT_LOSS].concat();
    for way in Way::ALL {
        let crossing = Crossing::prepare(&bench, way).await;
        crossing.put();
        let classes = ["%file", "%desc", "%network"];
        let trace = crossing.ferry.run_traced(&["fetch"], &classes, None).await.expect("it ends");
        let folder = crossing.ferry.folder().display().to_string();
        let is_ours =
            |line: &&str| line.contains(&folder) || line.contains("<TCP:[") || line.contains("<socket:[");
        let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
        let called: BTreeSet<String> = trace.lines().filter(is_ours).filter_map(name).collect();
        let unlisted: Vec<&String> = called.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(
            called.len() > 10 && unlisted.is_empty(),
            "{way:?}: neither struck nor excused: {unlisted:?}"
        );
    }
}

/// What is begun with these cannot be taken back.
const IRREVOCABLE: [&str; 3] = [" APPEND ", "\"POST ", "\"DELE "];

/// A power failure takes away what was not synced: never a mark of what was sent, or a receipt of what was deleted (W11).
#[tokio::test]
async fn what_cannot_be_undone_waits_until_the_ledger_is_on_disk() {
    let bench = Bench::new();
    for way in Way::ALL {
        let crossing = Crossing::prepare(&bench, way).await;
        crossing.put();
        let names = ["pwrite64", "fsync", "sendto", "writev"];
        let trace = crossing.ferry.run_traced(&["fetch"], &names, None).await.expect("it ends");
        let (mut is_synced, mut sent) = (true, 0);
        for line in trace.lines() {
            if line.contains("pwrite64(") && line.contains("-wal>") {
                is_synced = false;
            } else if line.contains("fsync") && !line.contains("<unfinished") {
                is_synced = true;
            } else if IRREVOCABLE.iter().any(|command| line.contains(command)) {
                assert!(is_synced, "sent before it was on disk: {line}\n{}", trace.end());
                sent += 1;
            }
        }
        assert!(sent >= 2, "only {sent} commands were seen to be sent");
    }
}

/// One fault, to be tried at the first call, the second, and so on.
#[derive(Clone)]
struct Lane {
    way: Way,
    call: &'static str,
    fault: String,
    lasts: Lasts,
}

fn lanes(names: &[&'static str], faults: impl Fn(&str) -> Vec<(String, Lasts)>) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for way in Way::ALL {
        for &call in names {
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
    let bench = Bench::new();
    if let Some(case) = faults::only() {
        attempt(&bench, &Trial::parse(&case)).await;
    } else if faults::soak() {
        let lanes = lanes.iter().map(|lane| {
            let trials = stream::iter(1..).map(async |nth| attempt(&bench, &lane.at(nth)).await);
            // A run that was not struck has made no such call any more.
            trials.buffered(Bench::AT_ONCE).take_while(|struck| future::ready(*struck)).count()
        });
        stream::iter(lanes).buffer_unordered(Bench::AT_ONCE).collect::<Vec<usize>>().await;
    } else {
        let trials = sample(row, &count_calls(&bench).await, lanes);
        let attempts = trials.iter().map(|trial| attempt(&bench, trial));
        // Many of them, as some wait for half a minute.
        let struck: Vec<bool> = stream::iter(attempts).buffer_unordered(8 * Bench::AT_ONCE).collect().await;
        let struck = struck.into_iter().filter(|struck| *struck).count();
        assert!(struck >= SAMPLE * 9 / 10, "{struck} runs were struck of {SAMPLE}");
    }
    bench.conclude(row);
}

/// How often one thread makes each call when nothing goes wrong.
async fn count_calls(bench: &Bench) -> BTreeMap<(Way, &'static str), usize> {
    let mut counts = BTreeMap::new();
    for way in Way::ALL {
        for name in ON_SOCKETS.iter().chain(&ON_FILES) {
            let crossing = Crossing::prepare(bench, way).await;
            crossing.put();
            let trace = crossing.ferry.run_traced(&["fetch"], &[name], None).await.expect("it ends");
            assert_eq!(trace.ran.code, 0, "{:?}", trace.ran);
            crossing.judge(true).await.unwrap();
            counts.insert((way, *name), trace.counts().get(name).copied().unwrap_or(0));
        }
    }
    counts
}

/// Drawn evenly over all places where something can be struck.
fn sample(row: &str, counts: &BTreeMap<(Way, &str), usize>, lanes: &[Lane]) -> Vec<Trial> {
    let all = lanes.iter().flat_map(|lane| {
        let count = counts.get(&(lane.way, lane.call)).copied().unwrap_or(0);
        (1..=count).map(|nth| lane.at(nth))
    });
    let all: Vec<Trial> = all.collect();
    let mut chance = fastrand::Rng::with_seed(faults::seed(row));
    let part = |n: usize| n * all.len() / SAMPLE;
    (0..SAMPLE).map(|n| all[chance.usize(part(n)..part(n + 1))].clone()).collect()
}

/// Returns whether anything was struck.
async fn attempt(bench: &Bench, trial: &Trial) -> bool {
    let crossing = Crossing::prepare(bench, trial.way).await;
    crossing.put();
    let mut names = vec![trial.strike.call.as_str()];
    if names[0] == "fsync" {
        // To see what is sent after it.
        names.extend(["sendto", "writev", "pwrite64"]);
    }
    let run = crossing.ferry.run_traced(&["fetch"], &names, Some(&trial.strike));
    let Some(trace) = bench.at_work(run).await else {
        bench.note(&trial.to_string(), -1, Err("the run did not end".into()));
        return true;
    };
    if !trace.was_struck() {
        return false;
    }
    let outcome = match judge_struck(&crossing, trial, &trace).await {
        Ok(()) => crossing.recover().await,
        broken => broken,
    };
    let outcome = outcome.map_err(|broken| format!("{broken}\n{:?}\n{}", trace.ran, trace.end()));
    bench.note(&trial.to_string(), trace.ran.code, outcome);
    true
}

/// Before anything is mended: what is there, and what was said.
async fn judge_struck(crossing: &Crossing<'_>, trial: &Trial, trace: &Trace) -> Result<(), String> {
    let code = trace.ran.code;
    let ends_well = if trial.strike.kills() { code == -1 } else { [0, 74, 75, 78].contains(&code) };
    if !ends_well {
        return Err(format!("it ended with {code}"));
    }
    crossing.expect_plain_words(&trace.ran)?;
    if trial.strike.call == "fsync" {
        stops_after_a_lost_sync(trace)?;
    }
    crossing.judge(code == 0).await
}

/// When the ledger could not be synced, nothing may build on it: no message is sent, none deleted, nothing is written to
/// the log of that ledger again, and whoever started the process is told.
fn stops_after_a_lost_sync(trace: &Trace) -> Result<(), String> {
    let mut after = trace.since_strike().peekable();
    // SQLite does not insist on a sync of the folder.
    if !after.peek().is_some_and(|line| [".db>)", "-wal>)"].iter().any(|file| line.contains(file))) {
        return Ok(());
    }
    let goes_on = |line: &&str| {
        let sends = IRREVOCABLE.iter().any(|command| line.contains(command));
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
