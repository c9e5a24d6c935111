//! Faults, each with its count: one file for each row of the README's table.
//!
//! `tests/run` runs a sample of what takes long, `tests/soak` all of it.

mod bounds;
mod cuts;
mod links;
mod stalls;

use std::fs::OpenOptions;
use std::io::Write;

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
