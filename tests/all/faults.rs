//! Faults, each with its count: one file for each row of the README's table.
//!
//! `tests/run` runs a sample of what takes long, `tests/soak` all of it.

mod bounds;
mod cuts;
mod uidls;
mod unknown;

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write;

use crate::world::each_in_a_world;

/// Whether everything is to be run, however long it takes.
pub fn soak() -> bool {
    std::env::var_os("MAILFERRY_SOAK").is_some()
}

/// `whole` in a soak, else `sample`.
pub fn count(sample: usize, whole: usize) -> usize {
    if soak() { whole } else { sample }
}

/// The line of a row: what was done, and what came of it. It goes to the file `MAILFERRY_FIGURES`, if that is set.
pub fn report(row: &str, figures: &str) {
    eprintln!("{row}: {figures}");
    if let Some(file) = std::env::var_os("MAILFERRY_FIGURES") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{row}: {figures}").unwrap();
    }
}

/// Runs each case in a world of its own, or only the one whose number is in `MAILFERRY_CASE`. Returns how many ran.
pub fn run_all<C: Copy + Debug + Send + 'static>(
    cases: Vec<C>,
    run: impl AsyncFn(C) -> Result<(), String> + Copy + Send + Sync + 'static,
) -> usize {
    let only: Option<usize> = std::env::var("MAILFERRY_CASE").ok().and_then(|number| number.parse().ok());
    let cases: Vec<(usize, C)> = cases.into_iter().enumerate().collect();
    let cases: Vec<(usize, C)> =
        cases.into_iter().filter(|(n, _)| only.is_none_or(|only| only == *n)).collect();
    let count = cases.len();
    let mut failures = each_in_a_world(cases, async move |(_, case)| run(case).await);
    failures.sort_by_key(|((n, _), _)| *n);
    for ((n, case), fault) in &failures {
        eprintln!("MAILFERRY_CASE={n}: {case:?}: {fault}");
    }
    assert!(failures.is_empty(), "{} of {count} failed: see above for the number of each", failures.len());
    count
}
