//! Passwords and other secrets, each in a file of its own that the config names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::disk::{absolute, fault, folder_of, write_new};
use super::files::Error;
use crate::config::{Config, Fault, Faults, draft};

/// A password must be read from its file as it was typed. `file` is that of the account or destination that it is for.
pub(super) fn must_be_readable(file: &Path, password: &SecretString) -> Result<(), Faults> {
    let text = match draft::parse_secret(line_of(password).into_bytes()) {
        Ok(read) if read.expose_secret() == password.expose_secret() => return Ok(()),
        Ok(_) => "ends with a control character, which no secret can".to_owned(),
        Err(reason) => reason,
    };
    Err(Faults(vec![Fault { file: file.to_owned(), line: None, key: "password".into(), text }]))
}

/// A password as its file has it.
fn line_of(password: &SecretString) -> String {
    format!("{}\n", password.expose_secret())
}

/// Writes a password into a file of its own that nobody names yet. `pattern` is its name, with a `%` where a number goes if
/// that is taken.
pub(super) fn write_password(
    config: &Config,
    folder: &Path,
    pattern: &str,
    password: &SecretString,
) -> Result<PathBuf, Error> {
    let named = named(config).unwrap_or_default();
    let mut count = 1;
    loop {
        let number = if count == 1 { String::new() } else { format!("-{count}") };
        let path = folder.join(pattern.replace('%', &number));
        count += 1;
        // What is named and not there yet is to be somebody else's.
        if named.contains(&true_path(&path)) {
            continue;
        }
        match write_new(&path, line_of(password).as_bytes()) {
            Ok(true) => return Ok(path),
            Ok(false) => {
                // The config that is going to name it would outlive it.
                let _ = std::fs::remove_file(&path);
                let reason = "might not outlast a power cut; look at its disk".into();
                return Err(Error::File { path, reason });
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fault(&path, "written", &e)),
        }
    }
}

/// The file beside `file`, an account's, that holds its password, if nobody else names it.
pub(super) fn own_password(config: &Config, file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    only_named(config, Path::new(&draft::password_file(&text)?), folder_of(file))
}

/// The file that the config names as `file`, if it is in `folder` and is named once.
pub(super) fn only_named(config: &Config, file: &Path, folder: &Path) -> Option<PathBuf> {
    let main = absolute(&config.file);
    let path = true_path(&folder_of(&main).join(file));
    let is_beside = folder_of(&path) == true_path(folder);
    let is_alone = named(config)?.iter().filter(|named| **named == path).count() == 1;
    (is_beside && is_alone && path.is_file()).then_some(path)
}

/// Every path that the main file and the accounts' files may name, as often as they do. `None` where one of them cannot be
/// read: it may name anything.
fn named(config: &Config) -> Option<Vec<PathBuf>> {
    let main = absolute(&config.file);
    let accounts = config.accounts.iter().map(|account| &account.file);
    let files: BTreeSet<&PathBuf> =
        accounts.chain(config.broken.iter().map(|broken| &broken.file)).chain([&config.file]).collect();
    let mut named = Vec::new();
    for file in files {
        let texts = draft::texts(&std::fs::read_to_string(file).ok()?)?;
        named.extend(texts.iter().map(|text| true_path(&folder_of(&main).join(text))));
    }
    Some(named)
}

/// A path with its links followed as far as it exists.
fn true_path(path: &Path) -> PathBuf {
    let known = path.canonicalize().ok();
    known
        .or_else(|| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)))
        .unwrap_or(path.to_owned())
}

/// Takes away the password that no file names any more, or that none has come to name.
pub(super) fn remove_unused(written: &Result<bool, Error>, old: Option<PathBuf>, new: Option<PathBuf>) {
    let unused = match written {
        Ok(true) => old,
        Ok(false) => None,
        Err(_) => new,
    };
    if let Some(unused) = unused {
        let _ = std::fs::remove_file(unused);
    }
}

/// Writes a secret into a file of its own.
///
/// # Errors
/// Also where there is such a file.
pub(super) fn write_secret(path: &Path, secret: &SecretString) -> io::Result<()> {
    write_new(path, line_of(secret).as_bytes()).map(drop)
}
