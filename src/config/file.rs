//! Reading a file that may hold secrets: bounded, and with an eye on who else can read it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

pub struct ReadFile {
    pub bytes: Vec<u8>,
    /// The file's mode, where it lets other users at the file. `None` for a file that only its owner can read,
    /// and under the folders that a container or systemd keeps for secrets.
    pub exposed: Option<u32>,
}

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// A clause that can follow the path.
pub fn read(path: &Path, longest: u64, credentials: Option<&Path>) -> Result<ReadFile, String> {
    // Opening a FIFO would wait for its writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|e| e.to_string())?;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|e| why(&e))?;
    // The opened file is asked, not the path, which may point elsewhere by now.
    let metadata = file.metadata().map_err(|e| why(&e))?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes).map_err(|e| why(&e))?;
    if bytes.len() as u64 > longest {
        return Err(format!("is larger than {longest} bytes"));
    }
    let mode = metadata.mode() & 0o7777;
    let is_exposed = mode & 0o077 != 0 && !is_kept(path, credentials);
    Ok(ReadFile { bytes, exposed: is_exposed.then_some(mode) })
}

/// Whether `path` truly lies, links followed, where only this process' owner put secrets for it.
fn is_kept(path: &Path, credentials: Option<&Path>) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let folders = [Some(Path::new("/run/secrets")), credentials];
    let mut folders = folders.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok());
    folders.any(|folder| path.starts_with(folder))
}

/// What [`why`] says of a file that is not there; what to do then, the caller knows.
pub const ABSENT: &str = "does not exist";

/// What an I/O error means to the user whose path it was.
pub fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => ABSENT.into(),
        io::ErrorKind::PermissionDenied => "may not be read by the user that mailferry runs as".into(),
        _ => format!("cannot be read ({error})"),
    }
}
