//! The ledger and its disk: full, read-only, old, lost, damaged, of another version, and a clock that was wrong.
//!
//! What is asked of each: nothing lost, nothing twice, and where mailferry cannot go on it ends with 74 and one
//! sentence that says what to do.

mod clock;
mod damage;
mod disk;
mod migration;
mod past;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran, account, imap_destination, message, webhook_destination};
use crate::oracle::{self, counted};
use crate::receiver::{Receiver, status};

/// Where the mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Folder,
    Webhook,
    Both,
}

/// A mailbox, a folder and a webhook, and the ferry between them.
struct Crossing<'s> {
    server: &'s Dovecot,
    /// Whose mailbox it is; the folder is that of `<user>-home`.
    user: String,
    to: To,
    receiver: Receiver,
    /// The webhook takes nothing for now.
    down: Arc<AtomicBool>,
    ferry: Ferry,
    put: Vec<Vec<u8>>,
}

impl<'s> Crossing<'s> {
    async fn new(server: &'s Dovecot, user: &str, to: To) -> Crossing<'s> {
        let down = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&down);
        let answer = move |_: &_, _| status(if is_down.load(Ordering::SeqCst) { 503 } else { 200 });
        let receiver = Receiver::answering(answer).await;
        let (user, ferry) = (user.to_owned(), Ferry::new(""));
        let crossing = Crossing { server, user, to, receiver, down, ferry, put: Vec::new() };
        crossing.configure("mailferry.db", false);
        crossing
    }

    /// Writes the config: where the ledger is, and whether mail is deleted once it is delivered.
    fn configure(&self, ledger: &str, delete: bool) {
        let deliver = match self.to {
            To::Folder => "[{ to = \"home\" }]",
            To::Webhook => "[{ to = \"app\" }]",
            To::Both => "[{ to = \"home\" }, { to = \"app\" }]",
        };
        let rest = format!("every = \"1h\"\nleave_copy = {}\ndeliver = {deliver}", !delete);
        let config = format!("ledger = \"{ledger}\"\n")
            + &imap_destination("home", self.server, &format!("{}-home", self.user))
            + &webhook_destination("app", &self.receiver.url, "raw")
            + &account("old", self.server, &self.user, &rest);
        self.ferry.configure(&config);
    }

    /// Puts so many new messages into the mailbox.
    fn put(&mut self, count: usize) {
        let messages: Vec<_> = (0..count).map(|n| message(self.put.len() + n)).collect();
        self.put_these(messages);
    }

    fn put_these(&mut self, messages: Vec<Vec<u8>>) {
        self.server.put(&self.user, &messages);
        self.put.extend(messages);
    }

    /// Whether the webhook takes mail.
    fn webhook_is_up(&self, up: bool) {
        self.down.store(!up, Ordering::SeqCst);
    }

    async fn fetch(&self) -> Ran {
        self.ferry.run(&["fetch"]).await
    }

    fn ledger(&self) -> PathBuf {
        self.ferry.folder().join("mailferry.db")
    }

    fn source(&self) -> Vec<Vec<u8>> {
        self.server.list(&self.user, "INBOX")
    }

    fn folder(&self) -> Vec<Vec<u8>> {
        self.server.list(&format!("{}-home", self.user), "INBOX")
    }

    /// What each destination holds.
    fn arrived(&self) -> Result<Vec<Vec<Vec<u8>>>, String> {
        Ok(match self.to {
            To::Folder => vec![self.folder()],
            To::Webhook => vec![self.receiver.taken()?],
            To::Both => vec![self.folder(), self.receiver.taken()?],
        })
    }

    /// I1, I2 and I4 of the oracle, whose other witness, the ledger, may be gone: nothing lost, nothing twice.
    fn judge(&self) -> Result<(), String> {
        let (put, source) = (counted(&self.put), counted(&self.source()));
        for there in self.arrived()? {
            let there = counted(&there);
            if let Some(message) = there.iter().find(|(message, count)| put.get(*message) < Some(count)) {
                return Err(format!("too often, or never put: {}", shown(message.0)));
            }
            let lost = put
                .iter()
                .find(|(message, _)| !there.contains_key(*message) && !source.contains_key(*message));
            if let Some((message, _)) = lost {
                return Err(format!("lost: {}", shown(message)));
            }
        }
        Ok(())
    }

    /// All is delivered once, and the mailbox holds `left` messages; `None` where older ones are to stay in it.
    fn expect_all(&self, left: Option<usize>) -> Result<(), String> {
        self.judge()?;
        for there in self.arrived()? {
            if there.len() != self.put.len() {
                return Err(format!("{} of {} are delivered", there.len(), self.put.len()));
            }
        }
        let there = self.source().len();
        if left.is_some_and(|left| left != there) {
            return Err(format!("{there} are left at the source"));
        }
        Ok(())
    }
}

impl Crossing<'_> {
    /// As [`Crossing::expect_all`], and the ledger is sound.
    async fn expect_end(&self, left: Option<usize>) -> Result<(), String> {
        self.expect_all(left)?;
        for file in ["mailferry.db", disk::LEDGER] {
            oracle::expect_sound(&self.ferry.folder().join(file)).await?;
        }
        Ok(())
    }
}

fn shown(message: &[u8]) -> String {
    String::from_utf8_lossy(message)
        .lines()
        .find(|line| line.starts_with("Subject"))
        .unwrap_or("?")
        .to_owned()
}

/// It ended with 74, and said in one sentence what to do: one of these.
fn expect_sentence(ran: &Ran, any_of: &[&str]) -> Result<(), String> {
    let said = ran.stderr.lines().filter(|line| line.starts_with("mailferry: ")).count();
    let is_told = any_of.iter().any(|words| ran.stderr.contains(words));
    let is_panic = ran.stderr.contains("panicked");
    if ran.code == 74 && said == 1 && is_told && !is_panic { Ok(()) } else { Err(format!("{ran:?}")) }
}

/// A copy of the ledger as SQLite's own backup makes it, whoever holds it.
async fn backup(crossing: &Crossing<'_>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let options = SqliteConnectOptions::new().filename(crossing.ledger());
    let mut ledger = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("VACUUM INTO $1").bind(copy.to_str().unwrap()).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    fs::read(copy).unwrap()
}

/// The files of a ledger.
const FILES: [&str; 3] = ["mailferry.db", "mailferry.db-wal", "mailferry.db-shm"];

fn remove(crossing: &Crossing<'_>, files: &[&str]) {
    for file in files {
        let _ = fs::remove_file(crossing.ferry.folder().join(file));
    }
}

/// Says which cases failed, and what the row did.
#[track_caller]
fn report(cases: &str, outcomes: &[(String, Result<(), String>)]) {
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(case, outcome)| Some(format!("{case}: {}", outcome.as_ref().err()?)))
        .collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), outcomes.len(), failed.join("\n"));
    super::report("ledgers", &format!("{cases}: {} cases, nothing lost, nothing twice", outcomes.len()));
}
