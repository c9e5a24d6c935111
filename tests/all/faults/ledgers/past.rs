//! A ledger that knows less than has happened: restored from a backup, or lost in part or as a whole (W12).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use rustix::process::Signal;

use super::{Crossing, FILES, To, backup, remove, report};
use crate::dovecot::Dovecot;
use crate::ferry::Running;
use crate::world::{Plan, World, alone, now};

const TO_HOME: Plan = Plan { home: Some("INBOX"), app: false, account: "" };
const LETTER: &[u8] = b"Message-ID: <1@example.com>\r\nSubject: one\r\n\r\nOne.\r\n";

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
    crossing.expect_end(left).await.map_err(|fault| format!("{fault}: {ran:?}"))?;
    // And nothing comes of it later.
    crossing.fetch().await;
    crossing.expect_end(left).await
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

/// Many servers give all folders one UIDVALIDITY. While mail waits for a destination that puts it off, the config has it go
/// to another folder; and when it is there, a backup is restored.
#[test]
fn where_one_folder_ended_says_nothing_of_another() {
    alone(async || {
        let mut world = World::new(TO_HOME).await;
        for n in 0..5 {
            world.put(
                &format!("u{n}"),
                format!("Message-ID: <old-{n}@example.com>\r\n\r\n{n}\r\n").as_bytes(),
            );
        }
        world.poll().await.unwrap();
        world.imap.mail().ways.refuses = Some(("Subject: one".into(), "NO [UNAVAILABLE] later"));
        world.put("letter", LETTER);
        world.poll().await.unwrap();
        let backup = world.backup().await;
        {
            let mut mail = world.imap.mail();
            mail.ways.refuses = None;
            let uid_validity = mail.folder("INBOX").uid_validity;
            mail.make("Work").uid_validity = uid_validity;
        }
        world.plan.home = Some("Work");
        world.reload().await.unwrap();
        world.later(chrono::TimeDelta::hours(1));
        world.poll().await.unwrap();
        assert_eq!(world.imap.mail().folder("Work").messages.len(), 1);
        world.replace_ledger(backup.as_deref()).await;
        for _ in 0..3 {
            world.later(chrono::TimeDelta::hours(1));
            world.poll().await.unwrap();
        }
        world.evidence().expect_all_delivered(false).await.unwrap();
    });
}

/// What no entry of `deliver` took was delivered after a person had changed the config and asked for it; then a backup is
/// restored, and the person asks once more.
#[test]
fn what_was_unrouted_in_a_backup_is_looked_for_when_it_is_routed() {
    alone(async || {
        let mut world = World::new(TO_HOME).await;
        // The first listing is looked for in any case.
        world.poll().await.unwrap();
        world.route = "when = { header = \"Subject\", equals = \"two\" }";
        world.reload().await.unwrap();
        world.put("letter", LETTER);
        world.poll().await.unwrap();
        let backup = world.backup().await;
        world.route = "";
        world.reload().await.unwrap();
        for restored in [false, true] {
            if restored {
                world.replace_ledger(backup.as_deref()).await;
                world.poll().await.unwrap();
            }
            let retried = world.ledger().unwrap().retry(None, None, None, now()).await.unwrap();
            assert_eq!(retried, 1);
            world.later(chrono::TimeDelta::hours(1));
            world.poll().await.unwrap();
            world.evidence().expect_all_delivered(false).await.unwrap();
        }
    });
}
