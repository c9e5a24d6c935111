//! The row "errors at every file syscall", for the temporary file that a message passes through which is too large for
//! memory.
//!
//! Threads that come and go write and read it, and strace counts by thread. So the link stands still in the middle of RETR,
//! when nobody else does anything, strace joins, and the link goes on.

use std::fs;

use futures_util::{StreamExt, future, stream};
use rustix::process::Signal;

use crate::cable::{Cable, Fault, Way as Direction};
use crate::crossing::{Bench, Crossing, Trial, Way};
use crate::faults;
use crate::ferry::{PATIENCE, Ran, Running, message};
use crate::strace::{Among, FAULTS, Joined, Strike};

/// What is done with the temporary file, and so many octets of the mailbox before: it is made after 1 MiB of a message.
const CALLS: [(&str, u64); 3] = [("openat", 500_000), ("pwrite64", 1_500_000), ("pread64", 1_500_000)];

/// The calls that a sample strikes: the first, and one by which a webhook sends what it has read once already.
const SAMPLE: [usize; 2] = [1, 20];

#[tokio::test]
async fn a_temporary_file_that_fails_loses_and_doubles_nothing() {
    let bench = Bench::of(vec![large(), message(2)]);
    if let Some(case) = faults::only() {
        attempt(&bench, &Trial::parse(&case)).await;
    } else {
        let faults = &FAULTS[..faults::count(2, FAULTS.len())];
        let all =
            || (1..).filter(|nth| faults::soak() || SAMPLE.contains(nth)).take(faults::count(2, usize::MAX));
        let lanes = Way::ALL.into_iter().flat_map(|way| {
            let of_call = move |(call, _)| faults.iter().map(move |fault| (way, call, fault));
            CALLS.into_iter().flat_map(of_call)
        });
        let lanes = lanes.map(|(way, call, (fault, lasts))| {
            let at = move |nth| Strike { call: call.into(), fault: (*fault).into(), nth, lasts: *lasts };
            let trials = stream::iter(all()).map(move |nth| Trial { way, strike: at(nth) });
            let struck = trials.map(async |trial| attempt(&bench, &trial).await).buffered(Bench::AT_ONCE);
            struck.take_while(|struck| future::ready(*struck)).count()
        });
        stream::iter(lanes).buffer_unordered(Bench::AT_ONCE).collect::<Vec<usize>>().await;
    }
    bench.conclude("fault of a temporary file");
}

/// 2.8 MB: more than stays in memory, written and read in several pieces.
fn large() -> Vec<u8> {
    let mut large = message(1);
    for n in 0..28_000 {
        large.extend_from_slice(format!("{n:098}\r\n").as_bytes());
    }
    large
}

/// Returns whether anything was struck.
async fn attempt(bench: &Bench, trial: &Trial) -> bool {
    let cable = Cable::to(bench.pop3()).await;
    let crossing = Crossing::prepare_by(bench, trial.way, cable.port).await;
    let run = bench.at_work(run_struck(&crossing, &cable, &trial.strike));
    let Ok((asked, ran, was_struck)) = tokio::time::timeout(PATIENCE, run).await else {
        bench.note(&trial.to_string(), -1, Err("the run did not end".into()));
        return true;
    };
    if !was_struck {
        return false;
    }
    let outcome = match judge(&crossing, trial, &asked, &ran).await {
        Ok(()) => crossing.recover().await,
        broken => broken,
    };
    let outcome = outcome.map_err(|broken| format!("{broken}\n{asked:?}\n{ran:?}"));
    bench.note(&trial.to_string(), ran.code, outcome);
    true
}

/// No peer is blamed for it.
async fn judge(crossing: &Crossing<'_>, trial: &Trial, asked: &Ran, ran: &Ran) -> Result<(), String> {
    if asked.code == 75 && !trial.strike.kills() && !asked.stdout.contains("its temporary file (") {
        return Err("it does not say what failed".into());
    }
    crossing.judge_struck_daemon(trial.strike.kills(), asked, ran).await
}

/// How the command that asked for a poll ended, how the daemon did, and whether it was struck.
async fn run_struck(crossing: &Crossing<'_>, cable: &Cable, strike: &Strike) -> (Ran, Ran, bool) {
    let mut daemon = crossing.ferry.start(&["run"]);
    daemon.wait_for("poll").await;
    crossing.put();
    let after = CALLS.iter().find(|(call, _)| *call == strike.call).expect("it is one of these").1;
    cable.arm(Some(Fault::Pause { way: Direction::Down, after }));
    let join = async {
        cable.struck().await;
        let among = if strike.call == "openat" {
            Among::All { process: daemon.pid(), path: crossing.ferry.folder().to_owned() }
        } else {
            temporary_file_is_there(&daemon).await;
            // One of them is idle, and takes what is to be done next.
            Among::Threads(daemon.threads("tokio-rt-worker"))
        };
        let strace = Joined::join(&among, strike, crossing.ferry.folder()).await;
        cable.go_on();
        strace
    };
    let (asked, strace) = tokio::join!(crossing.ferry.run(&["fetch"]), join);
    daemon.signal(Signal::TERM);
    let ran = daemon.end().await;
    let was_struck = strace.has_struck().await || (strike.kills() && ran.code == -1);
    (asked, ran, was_struck)
}

async fn temporary_file_is_there(daemon: &Running) {
    let is_there = || {
        let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
        let mut names = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        names.any(|name| name.to_string_lossy().ends_with(" (deleted)"))
    };
    while !is_there() {
        tokio::task::yield_now().await;
    }
}
