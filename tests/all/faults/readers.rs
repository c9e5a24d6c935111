//! The row "errors at every file syscall", for the threads of a daemon that only read the ledger.
//!
//! strace counts by thread, and in a run that it watches from the start the writer is always the first at a number. So
//! here it joins one reader of a daemon at rest, and then the three messages come.

use std::fmt::{self, Display, Formatter};

use futures_util::{StreamExt, future, stream};
use rustix::process::Signal;

use crate::crossing::{Bench, Crossing, Way};
use crate::faults;
use crate::ferry::{PATIENCE, Ran};
use crate::strace::{Among, FAULTS, Joined, Strike};

/// Threads that read, beside the one that writes.
const READERS: usize = 2;

/// What a reader does with an open ledger.
const CALLS: [&str; 3] = ["pread64", "fcntl", "newfstatat"];

#[tokio::test]
async fn a_reader_that_fails_loses_and_doubles_nothing() {
    let bench = Bench::new();
    if let Some(case) = faults::only() {
        attempt(&bench, &Trial::parse(&case)).await;
    } else {
        // A sample strikes the first call of each name only.
        let (faults, most) = (&FAULTS[..faults::count(2, FAULTS.len())], faults::count(1, usize::MAX));
        let lanes = (0..READERS).flat_map(|reader| {
            let of_call = move |call| faults.iter().map(move |fault| (reader, call, fault));
            CALLS.into_iter().flat_map(of_call)
        });
        let lanes = lanes.map(|(reader, call, (fault, lasts))| {
            let at = move |nth| Strike { call: call.into(), fault: (*fault).into(), nth, lasts: *lasts };
            let trials = stream::iter(1..=most).map(move |nth| Trial { reader, strike: at(nth) });
            let struck = trials.map(async |trial| attempt(&bench, &trial).await).buffered(Bench::AT_ONCE);
            struck.take_while(|struck| future::ready(*struck)).count()
        });
        stream::iter(lanes).buffer_unordered(Bench::AT_ONCE).collect::<Vec<usize>>().await;
    }
    bench.conclude("fault of a reading thread");
}

struct Trial {
    reader: usize,
    strike: Strike,
}

impl Trial {
    fn parse(case: &str) -> Trial {
        let (reader, strike) = case.split_once(' ').expect("a case is a reader and a strike");
        let reader = reader.parse().expect("a reader is 0 or 1");
        Trial { reader, strike: strike.parse().unwrap() }
    }
}

impl Display for Trial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reader, self.strike)
    }
}

/// Returns whether anything was struck.
async fn attempt(bench: &Bench, trial: &Trial) -> bool {
    let crossing = Crossing::prepare(bench, Way::ImapThenDelete).await;
    let run = bench.at_work(run_struck(&crossing, trial));
    let Ok((asked, ran, was_struck)) = tokio::time::timeout(PATIENCE, run).await else {
        bench.note(&trial.to_string(), -1, Err("the run did not end".into()));
        return true;
    };
    if !was_struck {
        return false;
    }
    let outcome = match crossing.judge_struck_daemon(trial.strike.kills(), &asked, &ran).await {
        Ok(()) => crossing.recover().await,
        broken => broken,
    };
    bench.note(
        &trial.to_string(),
        ran.code,
        outcome.map_err(|broken| format!("{broken}\n{asked:?}\n{ran:?}")),
    );
    true
}

/// How the command that asked for a poll ended, how the daemon did, and whether it was struck.
async fn run_struck(crossing: &Crossing<'_>, trial: &Trial) -> (Ran, Ran, bool) {
    let mut daemon = crossing.ferry.start(&["run"]);
    daemon.wait_for("poll").await;
    // The first of them writes.
    let thread = daemon.threads("sqlx-sqlite-wor")[1 + trial.reader];
    let strace = Joined::join(&Among::Threads(vec![thread]), &trial.strike, crossing.ferry.folder()).await;
    crossing.put();
    let asked = crossing.ferry.run(&["fetch"]).await;
    daemon.signal(Signal::TERM);
    let ran = daemon.end().await;
    let was_struck = strace.has_struck().await || (trial.strike.kills() && ran.code == -1);
    (asked, ran, was_struck)
}
