//! Dialogs as files: each file in tests/dialogs is one scenario, played against the real binary.
//!
//! tests/dialogs/README.md says how such a file is written. One dialog alone:
//! `DIALOG=quirks/Q28 cargo nextest run -E 'test(dialogs)'`.

mod file;
mod scene;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::faults::report;
use file::Dialog;

/// How many dialogs are played at a time: they mostly wait.
const AT_ONCE: usize = 6;

/// Plays every dialog in a folder of tests/dialogs, or those that `$DIALOG` names the start of; with another account beside
/// each, where there is to be a bystander.
pub async fn play_folder(name: &str, has_bystander: bool) {
    let (places, mut playing) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let began = Instant::now();
    for path in files(name) {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire().await.unwrap();
            // A task of its own, so that a dialog that fails ends no other.
            let played = tokio::spawn(scene::play(Dialog::read(&path), has_bystander)).await;
            (path, played.ok())
        });
    }
    let (mut peaks, mut failed) = (Vec::new(), Vec::new());
    while let Some(outcome) = playing.join_next().await {
        match outcome.unwrap() {
            (_, Some(peak)) => peaks.push(peak),
            (path, None) => failed.push(shown(&path)),
        }
    }
    failed.sort();
    let again = failed.first().map_or("", String::as_str);
    assert!(
        failed.is_empty(),
        "failed: {}; one alone: DIALOG={again} cargo nextest run -E 'test(dialogs)'",
        failed.join(", ")
    );
    let most = peaks.iter().max().copied().unwrap_or(0) / 1024;
    let took = began.elapsed().as_secs_f32();
    report(
        &format!("dialogs of {name}"),
        &format!("{} played in {took:.1} s, none with more than {most} MiB", peaks.len()),
    );
}

fn files(name: &str) -> Vec<PathBuf> {
    let wanted = std::env::var("DIALOG").unwrap_or_default();
    let rows = fs::read_dir(file::folder().join(name)).unwrap().map(|row| row.unwrap().path());
    let is_dialog = |path: &PathBuf| path.extension().is_some_and(|end| end == "dialog");
    let mut files: Vec<PathBuf> =
        rows.filter(|path| is_dialog(path) && shown(path).starts_with(&wanted)).collect();
    files.sort();
    files
}

/// `quirks/Q28-empty-answer-to-dele`
fn shown(path: &std::path::Path) -> String {
    path.strip_prefix(file::folder()).unwrap_or(path).with_extension("").display().to_string()
}

/// Every word that a dialog can have is explained to whoever writes one.
#[test]
fn the_reference_names_every_word() {
    let readme = fs::read_to_string(file::folder().join("README.md")).unwrap();
    for source in [include_str!("peer.rs"), include_str!("dialogs/file.rs")] {
        // The arms of `match word`.
        let words = source.lines().filter_map(|line| {
            let (word, _) = line.trim_start().strip_prefix('"')?.split_once("\" => ")?;
            Some(word).filter(|word| !word.is_empty())
        });
        let words: Vec<&str> = words.collect();
        assert!(words.len() > 10, "{words:?}");
        for word in words {
            assert!(
                readme.contains(&format!("`{word}")),
                "tests/dialogs/README.md does not explain `{word}`"
            );
        }
    }
}
