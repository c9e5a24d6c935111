//! What can go wrong with the ledger, each as one sentence that says what to do next.

use std::path::{Path, PathBuf};

use super::lock::permission;
use crate::printable::printable;

/// Every one of these ends a command with exit code 74, [`Error::Locked`] and [`Error::Busy`] with 75, and
/// those that [`Error::is_usage`] with 64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the ledger {} is held by another mailferry; stop that one first", .0.display())]
    Locked(PathBuf),
    #[error("there is no ledger at {} yet; `mailferry run` or `mailferry fetch` makes it", .0.display())]
    Missing(PathBuf),
    #[error(
        "the ledger {} was written by a newer mailferry; install that version, or restore the copy from before",
        .0.display()
    )]
    Newer(PathBuf),
    #[error("the ledger {} is of an older mailferry; start `mailferry run` once to upgrade it", .0.display())]
    Older(PathBuf),
    #[error("{} is not a mailferry ledger; let `ledger` name another file", .0.display())]
    NotALedger(PathBuf),
    #[error(
        "the ledger {path} is on a network file system ({kind}), where locks and syncs do not hold; \
         let `ledger` name a file on a local disk",
        path = .path.display()
    )]
    NetworkFileSystem { path: PathBuf, kind: &'static str },
    #[error("the ledger {} cannot be written; make the file, its folder and its disk writable", .0.display())]
    ReadOnly(PathBuf),
    #[error("there is no folder for the ledger {}; make it, or let `ledger` name another file", .0.display())]
    NoFolder(PathBuf),
    #[error(
        "this user may not use the ledger {}; run the command as the user that mailferry runs as",
        .0.display()
    )]
    Denied(PathBuf),
    #[error(
        "the ledger {path} cannot be opened ({reason}); check its folder and who owns it",
        path = .path.display()
    )]
    Io { path: PathBuf, reason: String },
    #[error("the disk with the ledger {} is full; make room and start mailferry again", .0.display())]
    Full(PathBuf),
    #[error(
        "the ledger {path} is broken or its disk is failing ({reason}); nothing more is delivered or deleted: \
         check the disk, and restore the ledger if it is damaged",
        path = .path.display()
    )]
    Broken { path: PathBuf, reason: String },
    #[error("another program has kept the ledger {} locked for too long; end it and try again", .0.display())]
    Busy(PathBuf),
    #[error("the ledger refused a statement ({0}); this is a fault of mailferry, please report it")]
    Statement(String),
    #[error("the ledger knows no account `{name}`; it has: {known}")]
    NoSuchAccount { name: String, known: String },
    #[error("the ledger has no message {0}; `mailferry parked` lists those that wait for you")]
    NoSuchMessage(i64),
    #[error(
        "the account `{0}` has messages of its own in the ledger; forget it first, or choose another name"
    )]
    AccountExists(String),
}

/// How SQLite says that a table or a column is not there.
const MISSING: [&str; 3] = ["no such table", "no such column", "has no column named"];

impl Error {
    /// A person asked for something that is not there.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::NoSuchAccount { .. } | Error::NoSuchMessage(_) | Error::AccountExists(_))
    }

    /// Nothing may be delivered or deleted any more.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(
            self,
            Error::Full(_)
                | Error::Broken { .. }
                | Error::ReadOnly(_)
                | Error::Busy(_)
                | Error::NotALedger(_)
        )
    }

    pub(super) fn io(path: &Path, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Error::Full(path.to_owned()),
            std::io::ErrorKind::NotFound => Error::NoFolder(path.to_owned()),
            std::io::ErrorKind::PermissionDenied => Error::Denied(path.to_owned()),
            std::io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly(path.to_owned()),
            _ => Error::Io { path: path.to_owned(), reason: error.to_string() },
        }
    }

    pub(super) fn sql(path: &Path, error: &sqlx::Error) -> Error {
        let path = path.to_owned();
        // SQLite quotes what stands in a file, which may be damaged.
        let reason = printable(error.to_string());
        // https://www.sqlite.org/rescode.html: the low byte is the primary result code.
        let code = result_code(error);
        match code.map(|code| code & 0xff) {
            // SQLITE_IOERR_SHMSIZE: no room for the index of the WAL.
            _ if code == Some(4874) => Error::Full(path),
            // 15 is a lock that was lost to others for seconds on end.
            Some(5 | 6 | 15) => Error::Busy(path),
            Some(8) => Error::ReadOnly(path),
            Some(13) => Error::Full(path),
            // SQLite does not say why it cannot open a file.
            Some(14) => match permission(&path) {
                Err(error) => Error::io(&path, &error),
                Ok(()) => Error::Io { path, reason },
            },
            Some(26) => Error::NotALedger(path),
            Some(10 | 11) => Error::Broken { path, reason },
            // The statements fit the schema that the migrations made: if it is another one, the file was damaged.
            Some(1) if MISSING.iter().any(|missing| reason.contains(missing)) => {
                Error::Broken { path, reason }
            }
            // What the schema does not allow can only stand there if the file was damaged.
            None if matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::ColumnDecode { .. }
            ) =>
            {
                Error::Broken { path, reason }
            }
            _ => Error::Statement(reason),
        }
    }
}

fn result_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_damaged_file_holds_is_no_line_of_ours() {
        let quoted = sqlx::Error::Protocol("unrecognized token: \"'\x1b[2J\nroot:\"".into());
        let told = Error::sql(Path::new("l.db"), &quoted).to_string();
        assert!(told.contains("'\\x1B[2J\\x0Aroot:"), "{told}");
    }
}
