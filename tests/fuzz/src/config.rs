//! The config: the file and one drop-in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mailferry::config::{Fault, load_without_secrets};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::is_showable;

/// Parts the file from the drop-in, where there is one.
const NEXT_FILE: u8 = 0x1e;

/// The input is a config file, and what `accounts.d/drop.toml` beside it holds.
pub fn config(input: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = folder();
        static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    }
    let mut files = input.splitn(2, |&byte| byte == NEXT_FILE);
    let (main, drop_in) = (files.next().unwrap_or_default(), files.next());
    FOLDER.with(|folder| {
        let path = folder.path().join("mailferry.toml");
        write(&path, main);
        write(&folder.path().join("accounts.d/drop.toml"), drop_in.unwrap_or_default());
        match RUNTIME.with(|runtime| runtime.block_on(load_without_secrets(&path))) {
            Ok(config) => {
                let told = config.broken.iter().map(|broken| &broken.reason).chain(&config.warnings);
                told.for_each(|text| judge(text));
                assert!(config.ledger.is_absolute());
            }
            Err(faults) => {
                assert!(!faults.0.is_empty(), "refused, and nobody says why");
                faults.0.iter().for_each(|fault| judge_fault(fault, main));
            }
        }
    });
}

fn judge_fault(fault: &Fault, main: &[u8]) {
    judge(&fault.to_string());
    let lines = memchr::memchr_iter(b'\n', main).count() + 1;
    assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "there is no such line: {fault}");
}

fn judge(text: &str) {
    assert!(is_showable(text), "{text:?}");
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("accounts.d")).expect("a folder in it");
    folder
}

/// Nobody else may read it, so that secrets may stand in it.
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}
