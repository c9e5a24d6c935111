//! Faults, each with its count: one file for each row of the README's table.
//!
//! `tests/run` runs a sample of what takes long, `tests/soak` all of it.

mod bounds;
mod cuts;
mod histories;
mod hostile;
mod kills;
mod ledgers;
mod links;
mod panics;
mod quirks;
mod readers;
mod slices;
mod spools;
mod stalls;
mod syscalls;
mod tokens;
mod uidls;
mod unknown;

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write;

use crate::dovecot::{Dovecot, PASSWORD};
use crate::world::each_in_a_world;

/// A password that is in no sentence by chance.
pub const UNUSUAL: &str = "uNuSuAl-pAsSwOrD-7351";

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

/// The one case to run, where somebody looks into a failure.
pub fn only() -> Option<String> {
    std::env::var("MAILFERRY_CASE").ok()
}

/// Where chance begins: the same each time in `tests/run`, so that it fails only where something has changed, and
/// somewhere else with every soak. Printed, and given again by somebody who looks into a failure.
pub fn seed(row: &str) -> u64 {
    let given =
        std::env::var("MAILFERRY_SEED").ok().map(|seed| seed.parse().expect("MAILFERRY_SEED is a number"));
    let seed = given.unwrap_or_else(|| if soak() { fastrand::u64(..) } else { 1 });
    eprintln!("{row}: MAILFERRY_SEED={seed}");
    seed
}

/// A server that takes [`UNUSUAL`], too.
pub fn server_with_an_unusual_password() -> Dovecot {
    Dovecot::start_with(&format!("passdb {{\n  driver = static\n  args = password={UNUSUAL}\n}}\n"))
}

/// The config, with that password.
pub fn with_unusual_password(config: &str) -> String {
    config.replace(&format!("\"{PASSWORD}\""), &format!("\"{UNUSUAL}\""))
}

/// Runs each case in a world of its own, or only the one whose number is in `MAILFERRY_CASE`. Returns how many ran.
pub fn run_all<C: Copy + Debug + Send + 'static>(
    cases: Vec<C>,
    run: impl AsyncFn(C) -> Result<(), String> + Copy + Send + Sync + 'static,
) -> usize {
    let only: Option<usize> = only().map(|number| number.parse().expect("MAILFERRY_CASE is a number"));
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
