//! A ledger that knows less than has happened: restored from a backup, or lost in part or as a whole (W12).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use rustix::process::Signal;

use super::{Crossing, FILES, To, backup, remove, report};
use crate::dovecot::Dovecot;
use crate::ferry::Running;

/// When the backup was made that is restored.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// All was listed, nothing delivered yet.
    FirstListing,
    /// Some was delivered, the rest had not been there.
    Middle,
    /// Some was delivered, and the rest waited for a destination that did not take it.
    Waiting,
    /// All was delivered, nothing deleted.
    BeforeDeletes,
}

/// What is gone after a kill.
#[derive(Clone, Copy, Debug)]
enum Lost {
    All,
    Database,
    Wal,
    Shm,
}

const AT_ONCE: usize = 3;

#[tokio::test]
async fn a_restored_ledger_doubles_and_loses_nothing() {
    let server = Dovecot::start();
    let moments = [Moment::FirstListing, Moment::Middle, Moment::Waiting, Moment::BeforeDeletes];
    let cases = moments.into_iter().flat_map(|moment| ways().map(move |(to, delete)| (moment, to, delete)));
    let outcomes = futures_util::stream::iter(cases).map(|(moment, to, delete)| {
        let (case, server) = (format!("{moment:?} {to:?} delete={delete}"), &server);
        async move { (case.clone(), restored(server, &user(&case), moment, to, delete).await) }
    });
    report("restored from a backup", &outcomes.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
}

#[tokio::test]
async fn a_lost_ledger_doubles_and_loses_nothing() {
    let server = Dovecot::start();
    let losses = [Lost::All, Lost::Database, Lost::Wal, Lost::Shm];
    let cases = losses.into_iter().flat_map(|lost| ways().map(move |(to, delete)| (lost, to, delete)));
    let outcomes = futures_util::stream::iter(cases).map(|(lost, to, delete)| {
        let (case, server) = (format!("{lost:?} {to:?} delete={delete}"), &server);
        async move { (case.clone(), after_a_loss(server, &user(&case), lost, to, delete).await) }
    });
    report("lost after a kill", &outcomes.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
}

fn ways() -> impl Iterator<Item = (To, bool)> {
    [To::Folder, To::Webhook].into_iter().flat_map(|to| [(to, false), (to, true)])
}

fn user(case: &str) -> String {
    case.to_lowercase().replace([' ', '='], "-")
}

async fn restored(server: &Dovecot, user: &str, moment: Moment, to: To, delete: bool) -> Result<(), String> {
    let mut crossing = Crossing::new(server, user, to).await;
    crossing.put(3);
    let mut copy = Vec::new();
    if matches!(moment, Moment::FirstListing) {
        copy = backup_while_mail_waits(&crossing).await;
    }
    let daemon = started(&crossing).await;
    crossing.fetch().await.expect_code(0);
    if matches!(moment, Moment::Middle) {
        copy = backup(&crossing).await;
    }
    // A second listing of the same process: its past is known, so nothing is noted of it.
    crossing.put(3);
    if matches!(moment, Moment::Waiting) {
        copy = backup_while_mail_waits(&crossing).await;
    }
    crossing.fetch().await.expect_code(0);
    if matches!(moment, Moment::BeforeDeletes) {
        copy = backup(&crossing).await;
    }
    daemon.signal(Signal::TERM);
    daemon.end().await.expect_code(0);
    crossing.expect_all(Some(crossing.put.len()))?;
    remove(&crossing, &FILES);
    fs::write(crossing.ledger(), copy).unwrap();
    afterwards(&mut crossing, delete).await
}

async fn after_a_loss(server: &Dovecot, user: &str, lost: Lost, to: To, delete: bool) -> Result<(), String> {
    let mut crossing = Crossing::new(server, user, to).await;
    crossing.put(3);
    crossing.fetch().await.expect_code(0);
    let daemon = started(&crossing).await;
    for _ in 0..2 {
        crossing.put(3);
        crossing.fetch().await.expect_code(0);
    }
    daemon.signal(Signal::KILL);
    daemon.end().await;
    crossing.expect_all(Some(crossing.put.len()))?;
    let gone = match lost {
        Lost::All => FILES.as_slice(),
        Lost::Database => &FILES[..1],
        Lost::Wal => &FILES[1..2],
        Lost::Shm => &FILES[2..],
    };
    remove(&crossing, gone);
    afterwards(&mut crossing, delete).await
}

/// New mail arrives, and all has to be right again after one poll.
async fn afterwards(crossing: &mut Crossing<'_>, delete: bool) -> Result<(), String> {
    crossing.put(1);
    crossing.configure("mailferry.db", delete);
    // What the ledger knows to be delivered while copies were to be left stays.
    let left = if delete { None } else { Some(crossing.put.len()) };
    let ran = crossing.fetch().await;
    crossing.expect_all(left).map_err(|fault| format!("{fault}: {ran:?}"))?;
    // And nothing comes of it later.
    crossing.fetch().await;
    crossing.expect_all(left)
}

/// A daemon; `fetch` asks it for its polls.
async fn started(crossing: &Crossing<'_>) -> Running {
    let mut daemon = crossing.ferry.start(&["run"]);
    daemon.wait_for("started").await;
    daemon
}

/// The webhook answers 503, and the folder's server cannot get at its files.
async fn backup_while_mail_waits(crossing: &Crossing<'_>) -> Vec<u8> {
    crossing.webhook_is_up(false);
    let folder = format!("{}-home", crossing.user);
    crossing.server.put(&folder, &[] as &[Vec<u8>]);
    let maildir = crossing.server.maildir(&folder, "INBOX");
    fs::set_permissions(&maildir, Permissions::from_mode(0o000)).unwrap();
    crossing.fetch().await.expect_code(75);
    let copy = backup(crossing).await;
    fs::set_permissions(&maildir, Permissions::from_mode(0o700)).unwrap();
    crossing.webhook_is_up(true);
    copy
}
