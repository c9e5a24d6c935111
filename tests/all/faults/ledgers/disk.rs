//! A disk that is full or cannot be written. Only root can mount one: others are told, and their tests do nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;

use super::{Crossing, To, expect_sentence, report};
use crate::dovecot::Dovecot;
use crate::ferry::Ran;

/// A file system of its own at `<folder>/disk`, gone when dropped.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// `None` where nothing may be mounted, and somebody has said that this is so.
    fn mount(folder: &Path, size: usize) -> Option<Disk> {
        let at = folder.join("disk");
        fs::create_dir(&at).unwrap();
        let disk = Disk { at };
        let is_mounted =
            disk.command("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "mailferry-test"]);
        let is_left_out = std::env::var_os("MAILFERRY_WITHOUT_MOUNT").is_some();
        assert!(
            is_mounted || is_left_out,
            "a full disk needs root, and the right to mount; MAILFERRY_WITHOUT_MOUNT=1 leaves these tests out"
        );
        is_mounted.then_some(disk)
    }

    fn remount(&self, options: &str) {
        assert!(self.command("mount", &["-o", &format!("remount,{options}")]), "remount,{options}");
    }

    fn command(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).args(arguments).arg(&self.at).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// Leaves so many bytes free.
    fn fill(&self, free: u64) {
        let fs = rustix::fs::statvfs(&self.at).unwrap();
        let filler = (fs.f_bavail * fs.f_frsize).saturating_sub(free);
        fs::write(self.at.join("filler"), vec![0; usize::try_from(filler).unwrap()]).unwrap();
    }

    fn make_room(&self) {
        self.remount("size=256m");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.command("umount", &["-l"]);
    }
}

pub const LEDGER: &str = "disk/mailferry.db";
const FULL: [&str; 1] = ["is full; make room and start mailferry again"];

/// The run that met the full disk has lost and deleted nothing; with room again, all is delivered once.
async fn once_there_is_room(crossing: &Crossing<'_>, disk: &Disk, ran: &Ran) -> Result<(), String> {
    expect_sentence(ran, &FULL)?;
    crossing.judge()?;
    disk.make_room();
    let ran = crossing.fetch().await;
    crossing.expect_end(Some(0)).await.map_err(|fault| format!("{fault}: {ran:?}"))
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_moves_nothing() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    for (case, there_before, free) in
        [("no ledger", false, 0), ("no ledger, some room", false, 64 << 10), ("a ledger", true, 0)]
    {
        let mut crossing = Crossing::new(&server, &case.replace([' ', ','], "-"), To::Both).await;
        let Some(disk) = Disk::mount(crossing.ferry.folder(), 2 << 20) else { return };
        crossing.configure(LEDGER, true);
        crossing.put(2);
        if there_before {
            crossing.fetch().await.expect_code(0);
            crossing.put(2);
        }
        disk.fill(free);
        let before = crossing.source().len();
        let ran = crossing.fetch().await;
        assert_eq!(crossing.source().len(), before, "{case}: deleted without a ledger: {ran:?}");
        outcomes.push((case.to_owned(), once_there_is_room(&crossing, &disk, &ran).await));
    }
    report("a full disk at the start", &outcomes);
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle_of_an_import_ends_it() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    // From a few commits to where the WAL is written back into the file, which it is at 4 MB.
    for kib in [200, 300, 500, 1000, 2000, 4200, 4500] {
        let case = format!("{kib} KiB");
        let mut crossing = Crossing::new(&server, &format!("import-{kib}"), To::Both).await;
        let Some(disk) = Disk::mount(crossing.ferry.folder(), kib << 10) else { return };
        crossing.configure(LEDGER, true);
        crossing.put(if kib < 1000 { 300 } else { 1500 });
        let ran = crossing.fetch().await;
        outcomes.push((case, once_there_is_room(&crossing, &disk, &ran).await));
    }
    report("a disk that fills up during an import", &outcomes);
}

#[tokio::test]
async fn a_daemon_ends_when_its_disk_is_full() {
    let server = Dovecot::start();
    let mut crossing = Crossing::new(&server, "daemon", To::Both).await;
    let Some(disk) = Disk::mount(crossing.ferry.folder(), 2 << 20) else { return };
    crossing.configure(LEDGER, true);
    let mut daemon = crossing.ferry.start(&["run"]);
    daemon.wait_for("started").await;
    disk.fill(20 << 10);
    crossing.put(300);
    crossing.ferry.run(&["fetch"]).await;
    let ran = daemon.end().await;
    let outcome = once_there_is_room(&crossing, &disk, &ran).await;
    report("a daemon whose disk is full", &[("daemon".into(), outcome)]);
}

#[tokio::test]
async fn a_message_without_room_for_its_temporary_file_waits() {
    let server = Dovecot::start();
    let mut crossing = Crossing::new(&server, "spill", To::Both).await;
    let Some(disk) = Disk::mount(crossing.ferry.folder(), 4 << 20) else { return };
    crossing.configure(LEDGER, true);
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcdef0123456789abcdef\r\n".repeat(200_000));
    crossing.put(1);
    crossing.put_these(vec![large.into_bytes()]);
    crossing.put(1);
    let ran = crossing.fetch().await;
    let mut outcome = crossing.judge();
    let is_told = ran.code == 74 || (ran.code == 75 && ran.stdout.contains("No space left"));
    if !is_told || ran.stderr.contains("panicked") {
        outcome = Err(format!("{ran:?}"));
    }
    disk.make_room();
    let again = crossing.fetch().await;
    let outcome = match outcome {
        Ok(()) => crossing.expect_end(Some(0)).await,
        failed => failed,
    };
    let outcome = outcome.map_err(|fault| format!("{fault}: {again:?}"));
    report("no room for a temporary file", &[("7 MB".into(), outcome)]);
}

/// Each way to a ledger that cannot be written, and how to undo it.
#[derive(Clone, Copy, Debug)]
enum ReadOnly {
    FileSystem,
    /// Only the file: nobody can make it writable while it is mounted so.
    File,
    /// Where -wal should be, there is a folder.
    Wal,
    Shm,
    /// The file's mode, for who is not root.
    FileMode,
    FolderMode,
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_moves_nothing() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    for way in [
        ReadOnly::FileSystem,
        ReadOnly::File,
        ReadOnly::Wal,
        ReadOnly::Shm,
        ReadOnly::FileMode,
        ReadOnly::FolderMode,
    ] {
        let case = format!("{way:?}");
        let mut crossing = Crossing::new(&server, &case.to_lowercase(), To::Both).await;
        let Some(disk) = Disk::mount(crossing.ferry.folder(), 16 << 20) else { return };
        crossing.configure(LEDGER, true);
        crossing.put(2);
        crossing.fetch().await.expect_code(0);
        crossing.put(2);
        let ran = read_only(&crossing, &disk, way).await;
        let words = ["make the file, its folder", "check its folder", "run the command as the user"];
        let mut outcome = expect_sentence(&ran, &words);
        if crossing.source().len() != 2 || crossing.folder().len() != 2 {
            outcome = Err(format!("something moved: {ran:?}"));
        }
        crossing.fetch().await;
        if outcome.is_ok() {
            outcome = crossing.expect_end(Some(0)).await;
        }
        outcomes.push((case, outcome));
    }
    report("a ledger that cannot be written", &outcomes);
}

/// Runs `fetch` while it is so.
async fn read_only(crossing: &Crossing<'_>, disk: &Disk, way: ReadOnly) -> Ran {
    let file = disk.at.join("mailferry.db");
    let beside = |end: &str| disk.at.join(format!("mailferry.db{end}"));
    match way {
        ReadOnly::FileSystem => {
            disk.remount("ro");
            let ran = crossing.fetch().await;
            disk.remount("rw");
            ran
        }
        ReadOnly::File => {
            let bound = Disk { at: file.clone() };
            assert!(bound.command("mount", &["--bind", file.to_str().unwrap()]));
            bound.remount("bind,ro");
            crossing.fetch().await
        }
        ReadOnly::Wal | ReadOnly::Shm => {
            let folder = beside(if matches!(way, ReadOnly::Wal) { "-wal" } else { "-shm" });
            let _ = fs::remove_file(&folder);
            fs::create_dir(&folder).unwrap();
            let ran = crossing.fetch().await;
            fs::remove_dir(&folder).unwrap();
            ran
        }
        ReadOnly::FileMode | ReadOnly::FolderMode => {
            let is_folder = matches!(way, ReadOnly::FolderMode);
            give(&disk.at, if is_folder { 0o555 } else { 0o777 });
            give(&file, if is_folder { 0o600 } else { 0o400 });
            give(&beside(".lock"), 0o600);
            Ran::by(as_nobody(crossing)).await
        }
    }
}

const NOBODY: u32 = 65534;

fn give(path: &Path, mode: u32) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// `fetch` as a user whom modes bind. It gets a copy of the binary, which may be where it cannot go.
fn as_nobody(crossing: &Crossing<'_>) -> Command {
    assert!(getuid().is_root(), "who could mount is root");
    let folder = crossing.ferry.folder();
    let binary = folder.join("mailferry");
    fs::copy(env!("CARGO_BIN_EXE_mailferry"), &binary).unwrap();
    give(folder, 0o755);
    give(&folder.join("mailferry.toml"), 0o600);
    let mut command = Command::new(binary);
    command.arg("fetch").current_dir(folder).uid(NOBODY).gid(NOBODY).env_remove("RUST_LOG");
    command
}
