//! A damaged ledger: it works exactly once all the same, or ends with 74 and one sentence, and never deletes what was
//! not delivered.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use super::super::count;
use super::{Crossing, FILES, To, expect_sentence, remove, report};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, account, imap_destination, message};

/// Some mail was delivered and left at its source, some waits; and copies of it all, for one try after the other.
struct Scene<'s> {
    crossing: Crossing<'s>,
    copies: TempDir,
    /// What had come to the webhook.
    arrivals: usize,
}

/// What a damaged ledger may be told with.
const TOLD: [&str; 2] = ["restore the ledger if it is damaged", "is not a mailferry ledger"];

impl<'s> Scene<'s> {
    /// The process that wrote the ledger ended in order, or was killed with its last commits in the WAL.
    async fn new(server: &'s Dovecot, user: &str, killed: bool) -> Scene<'s> {
        let mut crossing = Crossing::new(server, user, To::Both).await;
        crossing.put(20);
        crossing.fetch().await.expect_code(0);
        crossing.webhook_is_up(false);
        crossing.put(10);
        if killed {
            let mut daemon = crossing.ferry.start(&["run"]);
            daemon.wait_for("started").await;
            crossing.fetch().await.expect_code(75);
            daemon.signal(Signal::KILL);
            daemon.end().await;
        } else {
            crossing.fetch().await.expect_code(75);
        }
        crossing.put(2);
        crossing.webhook_is_up(true);
        crossing.configure("mailferry.db", true);
        let arrivals = crossing.receiver.arrivals().len();
        let scene = Scene { crossing, copies: tempfile::tempdir().unwrap(), arrivals };
        for (place, copy) in scene.places() {
            copy_tree(&place, &copy);
        }
        scene
    }

    fn places(&self) -> Vec<(PathBuf, PathBuf)> {
        let Crossing { server, user, ferry, .. } = &self.crossing;
        let mailboxes = [user.clone(), format!("{user}-home")].map(|user| server.maildir(&user, "INBOX"));
        let files = FILES.map(|file| ferry.folder().join(file));
        let places = mailboxes.into_iter().chain(files);
        places.enumerate().map(|(n, place)| (place, self.copies.path().join(n.to_string()))).collect()
    }

    /// Everything is again as it was before the damage.
    fn restore(&self) {
        for (place, copy) in self.places() {
            let _ = fs::remove_dir_all(&place);
            let _ = fs::remove_file(&place);
            copy_tree(&copy, &place);
        }
        // Its application too: a flip in a row may have made another id of the message, which nobody else knows.
        self.crossing.receiver.keep_first(self.arrivals);
    }

    /// Does the damage, polls twice, and says whether the ledger was good enough.
    async fn survives(&self, damage: impl AsyncFnOnce(&Path)) -> Result<Outcome, String> {
        self.restore();
        damage(&self.crossing.ledger()).await;
        let mut ran = self.crossing.fetch().await;
        self.crossing.judge().map_err(|fault| format!("{fault}: {ran:?}"))?;
        if ran.code == 75 && ran.stdout.contains(" deferred") {
            // A time was hit: it waits, for two days at most, or until somebody is tired of it.
            ran = self.crossing.ferry.run(&["retry"]).await;
            if ran.code == 0 {
                ran = self.crossing.fetch().await;
            }
        }
        if ran.code == 75 {
            // A word was hit: what it stood for waits at its source for ever, which every `fetch` says.
            self.crossing.judge().map_err(|fault| format!("{fault}: {ran:?}"))?;
            return Ok(Outcome::Waits);
        }
        if ran.code == 0 {
            // What it knows to be delivered while copies were to be left stays.
            self.crossing.expect_all(None).map_err(|fault| format!("{fault}: {ran:?}"))?;
            return Ok(Outcome::Works);
        }
        expect_sentence(&ran, &TOLD)?;
        // What it says helps: nothing was lost, so a new ledger does it.
        remove(&self.crossing, &FILES);
        let ran = self.crossing.fetch().await;
        self.crossing.expect_all(Some(0)).map_err(|fault| format!("with a new ledger, {fault}: {ran:?}"))?;
        Ok(Outcome::Ends)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Works,
    Waits,
    Ends,
}

/// With owners and times, as Dovecot needs them.
fn copy_tree(from: &Path, to: &Path) {
    if from.exists() {
        let status = std::process::Command::new("cp").arg("-aT").args([from, to]).status();
        assert!(status.unwrap().success(), "cp -aT {} {}", from.display(), to.display());
    }
}

fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut whole = fs::read(file).unwrap();
    whole[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(file, whole).unwrap();
}

fn truncate(file: &Path, to: usize) {
    let mut whole = fs::read(file).unwrap();
    whole.truncate(to);
    fs::write(file, whole).unwrap();
}

fn wal(ledger: &Path) -> PathBuf {
    ledger.with_extension("db-wal")
}

#[tokio::test]
async fn damage_at_large_is_told_or_does_no_harm() {
    let server = Dovecot::start();
    let scene = Scene::new(&server, "damaged", false).await;
    let length = fs::read(scene.crossing.ledger()).unwrap().len();
    let mut outcomes = Vec::new();
    for to in [0, 15, 100, 4096, length / 2, length - 4096, length - 1] {
        let outcome = scene.survives(async |ledger| truncate(ledger, to)).await;
        outcomes.push((format!("truncated to {to}"), outcome.map(drop)));
    }
    for (name, at, bytes) in [
        ("the magic overwritten", 0, vec![0; 16]),
        ("the header overwritten", 16, vec![0xff; 84]),
        ("the first page zeroed", 0, vec![0; 4096]),
        ("the schema overwritten", 100, vec![0xa5; 3996]),
        ("the second page zeroed", 4096, vec![0; 4096]),
    ] {
        let outcome = scene.survives(async |ledger| overwrite(ledger, at, &bytes)).await;
        outcomes.push((name.to_owned(), outcome.map(drop)));
    }
    let outcome = scene.survives(async |ledger| fs::write(wal(ledger), [0x5a; 9000]).unwrap()).await;
    outcomes.push(("garbage for a WAL".into(), outcome.map(drop)));
    let outcome = scene.survives(async |ledger| fs::write(ledger, "a text\n".repeat(1000)).unwrap()).await;
    outcomes.push(("not SQLite at all".into(), outcome.map(drop)));
    let outcome = scene.survives(other_program_s).await;
    outcomes.push(("another program's".into(), outcome.map(drop)));
    report("a damaged ledger", &outcomes);
}

async fn other_program_s(ledger: &Path) {
    let mut other = SqliteConnectOptions::new().filename(ledger).connect().await.unwrap();
    sqlx::query("PRAGMA application_id = 1196444487").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_shortened_or_scribbled_wal_does_no_harm() {
    let server = Dovecot::start();
    let scene = Scene::new(&server, "wal", true).await;
    let length = fs::read(wal(&scene.crossing.ledger())).unwrap().len();
    assert!(length > 4 * 4096, "the kill left a WAL");
    let mut outcomes = Vec::new();
    for to in [0, 16, 32, 100, length / 4, length / 2, length * 3 / 4, length - 1] {
        let outcome = scene.survives(async |ledger| truncate(&wal(ledger), to)).await;
        outcomes.push((format!("WAL truncated to {to} of {length}"), outcome.map(drop)));
    }
    for at in [0, 24, 40, length / 2] {
        let outcome = scene.survives(async |ledger| overwrite(&wal(ledger), at, &[0xee; 8])).await;
        outcomes.push((format!("WAL overwritten at {at}"), outcome.map(drop)));
    }
    report("a WAL that is not whole", &outcomes);
}

/// A bit of a word was hit, and the word is none any more: `status` says so, and what to do.
#[tokio::test]
async fn a_state_that_is_none_is_said() {
    for (was, is) in [("delivered", "deliverec"), ("delivered", "Delivered"), ("delivered", "\u{7f}elivered")]
    {
        let server = Dovecot::start();
        server.put("old", &[message(1), message(2)]);
        let to_home = account("old", &server, "old", "deliver = [{ to = \"home\" }]");
        let ferry = Ferry::new(&(imap_destination("home", &server, "me") + &to_home));
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(ferry.json(&["status", "--json"]).await["accounts"][0]["error"], Value::Null);
        let mut ledger = SqliteConnectOptions::new().filename(ferry.ledger()).connect().await.unwrap();
        let sql = format!(
            "PRAGMA ignore_check_constraints = ON; UPDATE deliveries SET state = '{is}' WHERE id = 1 AND state = '{was}'"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut ledger).await.unwrap();
        ledger.close().await.unwrap();
        let told = ferry.json(&["status", "--json"]).await;
        let error = &told["accounts"][0]["error"];
        assert_eq!(error["class"], "local", "{told}");
        assert!(error["text"].as_str().unwrap().starts_with("1 waiting: the ledger "), "{told}");
        let shown = ferry.run(&["status"]).await.stdout;
        assert!(shown.contains("was damaged") && shown.contains("move it away"), "{shown}");
        // What it says helps.
        remove_ledger(&ferry);
        ferry.run(&["fetch"]).await.expect_code(0);
        assert_eq!(server.count("me", "INBOX"), 2, "nothing twice");
        assert_eq!(ferry.json(&["status", "--json"]).await["accounts"][0]["error"], Value::Null);
    }
}

fn remove_ledger(ferry: &Ferry) {
    for file in FILES {
        let _ = fs::remove_file(ferry.folder().join(file));
    }
}

/// `MAILFERRY_SEED` runs one again.
#[tokio::test]
async fn random_flips_are_told_or_do_no_harm() {
    let server = Dovecot::start();
    let scene = Scene::new(&server, "flipped", false).await;
    let seeds = match std::env::var("MAILFERRY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count(40, 2000) as u64).collect(),
    };
    let (mut outcomes, mut works) = (Vec::new(), 0);
    for seed in seeds {
        let outcome = scene.survives(async |ledger| flip(ledger, seed)).await;
        works += usize::from(outcome == Ok(Outcome::Works));
        outcomes.push((format!("MAILFERRY_SEED={seed}"), outcome.map(drop)));
    }
    report(&format!("bytes flipped at random ({works} of them did no harm)"), &outcomes);
}

/// One byte, five, or 200.
fn flip(ledger: &Path, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = fs::read(ledger).unwrap();
    for _ in 0..[1, 5, 200][usize::try_from(seed % 3).unwrap()] {
        let at = random.usize(..bytes.len());
        bytes[at] ^= random.u8(1..);
    }
    fs::write(ledger, bytes).unwrap();
}
