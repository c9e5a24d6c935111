//! Histories by chance: messages arrive and vanish, polls meet faults, the process dies, people change the config and
//! restore backups; after each step a small model says what must be where.
//!
//! One that breaks a promise is shrunk and shown as text. To play it again: put its lines into a file in
//! `tests/all/faults/histories/`, which is played first from then on, or set `MAILFERRY_HISTORY` to such a file, or to the
//! number that was shown.

mod model;
mod play;
mod step;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::play::Wrong;
use self::step::{Step, histories};
use super::{count, report, soak};
use crate::world::{AT_ONCE, alone};

/// Most tries at making a history shorter.
const SHRINKING: usize = 400;

/// So many failures are enough to look into.
const ENOUGH: usize = 5;

#[test]
fn no_history_breaks_a_promise() {
    let chosen = std::env::var("MAILFERRY_HISTORY").unwrap_or_default();
    if Path::new(&chosen).is_file() {
        return play_file(Path::new(&chosen));
    }
    let (first, many) = match chosen.parse::<u64>() {
        Ok(number) => (number, 1),
        Err(_) => (if soak() { fastrand::u64(..1 << 48) } else { 1 }, count(2_000, 100_000)),
    };
    let (started, next, steps) = (Instant::now(), AtomicU64::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= many as u64 || failures.lock().unwrap().len() >= ENOUGH {
                        break;
                    }
                    match try_history(first + number) {
                        Ok(length) => drop(steps.fetch_add(length, Ordering::Relaxed)),
                        Err(told) => failures.lock().unwrap().push(told),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let played = next.into_inner();
    assert!(failures.is_empty(), "of {played} from number {first}:\n{}", failures.join("\n"));
    let (steps, seconds) = (steps.into_inner(), started.elapsed().as_secs());
    report(
        "histories",
        &format!("{many} from number {first}, {steps} steps in {seconds} s, no promise broken"),
    );
}

/// Histories that found a fault once.
#[test]
fn those_that_broke_one_break_none_now() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/faults/histories");
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "txt"));
    files.sort();
    files.iter().for_each(|file| play_file(file));
}

/// A judge that finds everything right would find no fault either.
#[test]
fn whoever_does_wrong_is_found_out() {
    for (steps, wrong, found) in [
        ("keep nothing; put plain; poll", Wrong::Lose, "I1"),
        ("put plain; poll", Wrong::Double, "I2"),
        ("put plain; poll", Wrong::Alter, "I4"),
        ("put plain", Wrong::Delete, "I3"),
        ("put plain; poll", Wrong::Delete, "in spite of `leave_copy`"),
        ("keep 14d; put plain; poll; wait 600000", Wrong::Delete, "in spite of `leave_copy`"),
        ("put plain", Wrong::Rest, "I6: not delivered"),
        ("keep nothing; put plain; poll; twin 0", Wrong::Rest, "I6"),
    ] {
        let steps: Vec<Step> = steps.split("; ").map(|step| Step::parse(step).expect(step)).collect();
        let told = alone(async move || play::do_wrong(&steps, wrong).await);
        assert!(told.as_ref().is_err_and(|told| told.contains(found)), "{wrong:?}: {told:?}");
    }
}

/// One step a line; what follows a `#` is for people.
fn play_file(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let read = |line| Step::parse(line).unwrap_or_else(|| panic!("{}: {line}", file.display()));
    let steps: Vec<Step> = lines.filter(|line| !line.is_empty()).map(read).collect();
    if let Err(fault) = play(0, steps) {
        panic!("{}: {fault}", file.display());
    }
}

fn play(number: u64, steps: Vec<Step>) -> Result<(), String> {
    let work = async move || {
        // Retries and schedules are spread by chance: by the same each time.
        fastrand::seed(number);
        play::play(&steps).await
    };
    std::panic::catch_unwind(|| alone(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}

/// Plays the history of this number and returns its length; if it fails, tells its shortest form.
fn try_history(number: u64) -> Result<usize, String> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut tree = histories().new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap();
    let steps = tree.current();
    let length = steps.len();
    let Err(mut fault) = play(number, steps) else { return Ok(length) };
    eprintln!("history {number}: {fault}; looking for a shorter one");
    let mut shortest = tree.current();
    let mut goes_on = tree.simplify();
    for _ in 0..SHRINKING {
        if !goes_on {
            break;
        }
        goes_on = match play(number, tree.current()) {
            Err(told) => {
                (fault, shortest) = (told, tree.current());
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    let steps: Vec<String> = shortest.iter().map(ToString::to_string).collect();
    Err(format!("history {number}: {fault}\n{}\n", steps.join("\n")))
}
