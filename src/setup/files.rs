//! What setup writes: the main file where there is none, and for each account a file of its own with its password
//! beside it. Whatever ends the process meanwhile, a file is there as a whole or as it was before.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use crate::config::draft::{self, AccountDraft, HomeDraft};
use crate::config::{Account, Config, Faults};
use crate::message::AccountName;

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is an account {0} already; choose another name, or change that one")]
    Taken(AccountName),
    /// It stands in the main file, which belongs to a person.
    #[error("the account {name} was written by hand in {file}; change it there")]
    ByHand { name: AccountName, file: PathBuf },
    #[error(transparent)]
    Config(#[from] Faults),
    #[error("{path} {reason}")]
    File { path: PathBuf, reason: String },
}

impl Error {
    /// The person named an account that this cannot be done with.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Taken(_) | Error::ByHand { .. })
    }
}

/// What was written, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The account's file.
    pub file: PathBuf,
    /// The main file got the key `accounts_dir` first.
    pub main_file_changed: bool,
}

/// Writes a main file for somebody who has none, and the folder for accounts beside it.
///
/// # Errors
/// [`Error::File`], also where there is such a file by now.
pub fn create(main: &Path) -> Result<(), Error> {
    let main = &absolute(main);
    make_folder(&folder_of(main).join(draft::ACCOUNTS_DIR))?;
    write_new(main, draft::new_main_file().as_bytes())
}

/// # Errors
/// [`Error::Taken`].
pub fn must_be_free(config: &Config, name: &AccountName) -> Result<(), Error> {
    let names = config.accounts.iter().map(|account| &account.name);
    match names.chain(config.broken.iter().map(|broken| &broken.name)).any(|taken| taken == name) {
        true => Err(Error::Taken(name.clone())),
        false => Ok(()),
    }
}

/// Whether an account could be saved as it is, without saving it.
///
/// # Errors
/// [`Error::Taken`], or all that is wrong with it, each with its key.
pub fn check(config: &Config, account: &AccountDraft, password: &SecretString) -> Result<(), Error> {
    must_be_free(config, &account.name)?;
    let folder = config.accounts_dir.clone().unwrap_or_else(|| draft::ACCOUNTS_DIR.into());
    let place = Place::new(config, &folder, &account.name);
    let text = account.text(&place.password_in_config);
    draft::read(config, &account.name, &place.file, &text, password.clone())?;
    Ok(())
}

/// Writes a new account's file, and its password.
///
/// # Errors
/// Nothing is saved then, but perhaps the password.
pub fn add(config: &Config, account: &AccountDraft, password: &SecretString) -> Result<Saved, Error> {
    let name = &account.name;
    must_be_free(config, name)?;
    let (folder, main_file_changed) = accounts_folder(config)?;
    let place = Place::new(config, &folder, name);
    let text = account.text(&place.password_in_config);
    draft::read(config, name, &place.file, &text, password.clone())?;
    replace(&place.password, line(password).as_bytes())?;
    write_new(&place.file, text.as_bytes())?;
    Ok(Saved { file: place.file, main_file_changed })
}

/// Changes an account's file, and its password where there is a new one.
///
/// # Errors
/// [`Error::ByHand`]; or what is wrong, and then the account is as it was.
pub fn change(
    config: &Config,
    before: &Account,
    after: &AccountDraft,
    password: Option<&SecretString>,
) -> Result<(), Error> {
    let name = &before.name;
    must_be_ours(config, before)?;
    let text = std::fs::read_to_string(&before.file).map_err(|e| fault(&before.file, "read", &e))?;
    let mut text = after
        .rewrite(&text, &AccountDraft::of(before))
        .map_err(|reason| Error::File { path: before.file.clone(), reason })?;
    if let Some(password) = password {
        let place = Place::new(config, folder_of(&before.file), name);
        text = draft::with_password_file(&text, &place.password_in_config)
            .map_err(|reason| Error::File { path: before.file.clone(), reason })?;
        draft::read(config, name, &before.file, &text, password.clone())?;
        replace(&place.password, line(password).as_bytes())?;
    } else {
        draft::read(config, name, &before.file, &text, before.pop3.password.clone())?;
    }
    replace(&before.file, text.as_bytes())
}

/// Takes an account's file away, and the password that setup wrote beside it. The ledger is not touched.
///
/// # Errors
/// [`Error::ByHand`], [`Error::File`].
pub fn delete(config: &Config, account: &Account) -> Result<(), Error> {
    must_be_ours(config, account)?;
    let place = Place::new(config, folder_of(&account.file), &account.name);
    std::fs::remove_file(&account.file).map_err(|e| fault(&account.file, "removed", &e))?;
    match std::fs::remove_file(&place.password) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(fault(&place.password, "removed", &e)),
        _ => sync_folder(folder_of(&account.file)),
    }
}

/// Adds an IMAP destination to the main file, with its password in `secrets/NAME`.
///
/// # Errors
/// Nothing is saved then, but perhaps the password.
pub fn add_home(config: &Config, home: &HomeDraft, password: &SecretString) -> Result<(), Error> {
    let main = absolute(&config.file);
    let in_config = Path::new("secrets").join(home.name.as_str());
    let text = std::fs::read_to_string(&main).map_err(|e| fault(&main, "read", &e))?;
    let text = home.add_to(&text, &in_config).map_err(|reason| Error::File { path: main.clone(), reason })?;
    let secret = folder_of(&main).join(&in_config);
    make_folder(folder_of(&secret))?;
    replace(&secret, line(password).as_bytes())?;
    replace(&main, text.as_bytes())
}

/// Where an account's files are.
struct Place {
    file: PathBuf,
    password: PathBuf,
    /// As the account's file names it: relative to the folder of the config, where that is possible.
    password_in_config: PathBuf,
}

impl Place {
    fn new(config: &Config, folder: &Path, name: &AccountName) -> Place {
        let password = folder.join(format!("{name}.password"));
        let main = absolute(&config.file);
        let in_config = password.strip_prefix(folder_of(&main)).unwrap_or(&password).to_owned();
        Place { file: folder.join(format!("{name}.toml")), password, password_in_config: in_config }
    }
}

/// The folder for accounts, made if it is missing; the main file names it from now on.
fn accounts_folder(config: &Config) -> Result<(PathBuf, bool), Error> {
    if let Some(folder) = &config.accounts_dir {
        return Ok((folder.clone(), false));
    }
    let main = absolute(&config.file);
    let text = std::fs::read_to_string(&main).map_err(|e| fault(&main, "read", &e))?;
    let text =
        draft::with_accounts_dir(&text).map_err(|reason| Error::File { path: main.clone(), reason })?;
    let folder = folder_of(&main).join(draft::ACCOUNTS_DIR);
    make_folder(&folder)?;
    replace(&main, text.as_bytes())?;
    Ok((folder, true))
}

fn must_be_ours(config: &Config, account: &Account) -> Result<(), Error> {
    if account.file == config.file {
        return Err(Error::ByHand { name: account.name.clone(), file: account.file.clone() });
    }
    Ok(())
}

fn line(password: &SecretString) -> String {
    format!("{}\n", password.expose_secret())
}

/// Only its owner sees what is in it.
fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    make_folder(parent)?;
    let make = || {
        DirBuilder::new().mode(0o700).create(folder)?;
        give(&File::open(folder)?, &std::fs::metadata(parent)?)
    };
    make().map_err(|e| fault(folder, "made", &e))
}

/// Writes a file; one that was there keeps its owner and its mode, a new one can be read by its owner alone.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Where a link leads, so that it stays one.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = beside(path, bytes)?;
    file.persist(path).map_err(|e| fault(path, "written", &e.error))?;
    sync_folder(folder_of(path))
}

/// As [`replace`], but for a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = beside(path, bytes)?;
    file.persist_noclobber(path).map_err(|e| fault(path, "written", &e.error))?;
    sync_folder(folder_of(path))
}

/// A temporary file in the same folder, on disk.
fn beside(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, Error> {
    let write = || {
        let mut file = tempfile::Builder::new().prefix(".mailferry.").tempfile_in(folder_of(path))?;
        file.write_all(bytes)?;
        if let Ok(before) = std::fs::metadata(path) {
            file.as_file().set_permissions(before.permissions())?;
            give(file.as_file(), &before)?;
        } else {
            give(file.as_file(), &std::fs::metadata(folder_of(path))?)?;
        }
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|e: io::Error| fault(path, "written", &e))
}

/// Root may set up what another user runs: that user must be able to read it.
fn give(file: &File, like: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) == (like.uid(), like.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| fault(folder, "written", &e))
}

fn fault(path: &Path, what: &str, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("may not be {what} by this user; run mailferry as the owner of its config")
        }
        io::ErrorKind::AlreadyExists => "exists already; choose another name".into(),
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "cannot be {what}: its file system is read-only; mount the config so that it can be written"
            )
        }
        _ => format!("cannot be {what} ({error})"),
    };
    Error::File { path: path.to_owned(), reason }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
