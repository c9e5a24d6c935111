//! The lock belongs to whoever polls. The kernel releases it when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Error;

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `<ledger>.lock` and not the ledger itself, which visitors open and SQLite locks in its own way.
    pub(super) fn take(ledger: &Path) -> Result<Lock, Error> {
        refuse_network_file_system(ledger)?;
        let file = private_file(&beside(ledger, ".lock")).map_err(|e| Error::io(ledger, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(ledger.to_owned())),
            Err(TryLockError::Error(e)) => Err(Error::io(ledger, &e)),
        }
    }
}

/// As [`Lock::take`], for who can wait for a moment: whoever asks [`is_held`] has the lock for as long as that takes.
pub(super) async fn take_after_a_look(ledger: &Path) -> Result<Lock, Error> {
    for _ in 0..4 {
        match Lock::take(ledger) {
            Err(Error::Locked(_)) => tokio::time::sleep(Duration::from_millis(25)).await,
            outcome => return outcome,
        }
    }
    Lock::take(ledger)
}

/// Whether some process holds the ledger now. Only a moment's shared lock tells, so it is for people to read, and not to
/// decide upon.
pub(super) fn is_held(ledger: &Path) -> bool {
    let Ok(file) = File::open(beside(ledger, ".lock")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Opens `path`; where it does not exist, makes it so that only its owner can read it, whatever the umask,
/// and that a power failure does not take it away.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
            File::open(folder_of(path))?.sync_all()?;
            Ok(file)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => options.open(path),
        Err(e) => Err(e),
    }
}

/// Makes sure that a ledger can be at `ledger`, without making one.
///
/// # Errors
/// Where its folder is not there, not writable or not on a local disk.
pub fn check_place(ledger: &Path) -> Result<(), Error> {
    refuse_network_file_system(ledger)?;
    permission(ledger).map_err(|e| Error::io(ledger, &e))
}

/// Whether this user may write the ledger and the files that SQLite puts beside it. Nothing is opened: closing the
/// ledger would end SQLite's own locks on it.
pub(super) fn permission(ledger: &Path) -> std::io::Result<()> {
    access(folder_of(ledger), Access::WRITE_OK | Access::EXEC_OK)?;
    match access(ledger, Access::READ_OK | Access::WRITE_OK) {
        Err(Errno::NOENT) => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that `ledger` is in.
pub(super) fn folder_of(ledger: &Path) -> &Path {
    match ledger.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// flock and the shared memory of WAL hold on one machine only.
fn refuse_network_file_system(ledger: &Path) -> Result<(), Error> {
    let folder = folder_of(ledger);
    let fault = |e: Errno| Error::io(ledger, &e.into());
    let magic = rustix::fs::statfs(folder).map_err(fault)?.f_type;
    let device = rustix::fs::stat(folder).map_err(fault)?.st_dev;
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let kind = network_file_system(i128::from(magic)).or_else(|| remote_fuse(&mounts(), &device));
    match kind {
        Some(kind) => Err(Error::NetworkFileSystem { path: ledger.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Magic numbers of statfs(2) and linux/magic.h.
fn network_file_system(magic: i128) -> Option<&'static str> {
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        _ => None,
    }
}

/// All of FUSE has one magic number, local disks too (NTFS, virtiofs): only the name of the mounted type tells.
fn remote_fuse(mountinfo: &str, device: &str) -> Option<&'static str> {
    const REMOTE: [&str; 6] =
        ["fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph-fuse"];
    // proc_pid_mountinfo(5): "36 35 98:0 /root /mount options - type source options"
    let of_device = mountinfo.lines().filter(|line| line.split(' ').nth(2) == Some(device));
    let mut kinds = of_device.filter_map(|line| line.split_once(" - ")?.1.split(' ').next());
    kinds.find_map(|kind| REMOTE.into_iter().find(|remote| *remote == kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_network_file_systems_by_their_magic() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        // A signed 32-bit f_type sign-extends.
        assert_eq!(network_file_system(i128::from(0xff53_4d42_u32.cast_signed())), Some("SMB"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(network_file_system(local), None, "{local:x}");
        }
    }

    #[test]
    fn tells_a_remote_fuse_from_a_local_one() {
        let mountinfo = "36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/vda rw\n\
                         50 36 0:51 / /mnt/away rw shared:9 - fuse.sshfs me@there: rw\n\
                         51 36 0:52 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw\n";
        assert_eq!(remote_fuse(mountinfo, "0:51"), Some("fuse.sshfs"));
        for local in ["98:0", "0:52", "0:5"] {
            assert_eq!(remote_fuse(mountinfo, local), None, "{local}");
        }
    }

    #[test]
    fn makes_files_that_only_their_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mode = private_file(&path).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
