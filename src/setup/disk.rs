//! How files are written: each as a whole or not at all, and for whoever runs mailferry.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use tracing::warn;

use super::files::Error;

/// Runs what writes files where it holds up nobody.
pub(super) async fn on_disk<T: Send + 'static>(
    main: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // What was read of a file is what is replaced.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = || ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let done = tokio::task::spawn_blocking(move || {
        let _alone = alone();
        work()
    });
    let done = done.await;
    done.unwrap_or_else(|e| {
        Err(Error::File { path: main.to_owned(), reason: format!("was not finished with ({e})") })
    })
}

/// What is not a matter of files, on the way of what writes them. It goes on to its end, also where nobody waits for it
/// any more.
pub(super) fn waited<T>(work: impl Future<Output = T>) -> T {
    Handle::current().block_on(work)
}

/// Only its owner sees what is in it.
pub(super) fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    make_folder(parent)?;
    let make = || {
        DirBuilder::new().mode(0o700).create(folder)?;
        // The one that was made, and not what somebody has put in its place meanwhile.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::open(folder, flags, Mode::empty())?;
        give(&File::from(made), &std::fs::metadata(parent)?)
    };
    make().map_err(|e| fault(folder, "made", &e))
}

/// Writes a file; one that was there keeps its owner and its mode, a new one can be read by its owner alone. A link is
/// replaced, and where it leads stays as it is.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_after(path, bytes, || Ok(())).map(drop)
}

/// As [`replace`], with what has to `end` before it and cannot be brought back: the new file is on disk by then, though
/// not yet in its place. Returns whether it will be there after a power cut, too: what only the old file names may go then.
pub(super) fn replace_after(
    path: &Path,
    bytes: &[u8],
    end: impl FnOnce() -> Result<(), Error>,
) -> Result<bool, Error> {
    let unwritten = |e: io::Error| fault(path, "written", &e);
    let file = beside(path, bytes).map_err(unwritten)?;
    end()?;
    file.persist(path).map_err(|e| unwritten(e.error))?;
    Ok(sync_folder(folder_of(path)))
}

/// As [`replace_after`], but for a file that is not there yet.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    beside(path, bytes)?.persist_noclobber(path)?;
    Ok(sync_folder(folder_of(path)))
}

/// A temporary file in the same folder, on disk.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".mailferry.").tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    match std::fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => {
            file.as_file().set_permissions(before.permissions())?;
            give(file.as_file(), &before)?;
        }
        _ => give(file.as_file(), &std::fs::metadata(folder_of(path))?)?,
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// Root may set up what another user runs: that user must be able to read it.
fn give(file: &File, like: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) == (like.uid(), like.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))
}

/// Returns whether what was put into the folder is there for good. Where it is not, it is there all the same.
pub(super) fn sync_folder(folder: &Path) -> bool {
    let outcome = File::open(folder).and_then(|folder| folder.sync_all());
    if let Err(error) = &outcome {
        warn!(folder = %folder.display(), %error, "what was just written there may be lost if the power fails");
    }
    outcome.is_ok()
}

pub(super) fn fault(path: &Path, what: &str, error: &io::Error) -> Error {
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

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
