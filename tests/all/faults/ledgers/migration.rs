//! A schema that is newer, or only half there: mailferry was killed while it made it.

use std::fs;
use std::path::Path;
use std::process::Command;

use futures_util::StreamExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::super::soak;
use super::{Crossing, FILES, To, expect_sentence, report};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran};

/// What SQLite and the lock do to files.
const SYSCALLS: &str = "openat,pwrite64,ftruncate,fallocate,fsync,fdatasync,unlink";

/// `rename` takes the ledger, makes it if there is none, and finds no such account.
const TAKES_THE_LEDGER: [&str; 3] = ["rename", "nobody", "somebody"];

#[tokio::test]
async fn a_newer_schema_is_left_untouched() {
    let server = Dovecot::start();
    let mut crossing = Crossing::new(&server, "newer", To::Folder).await;
    crossing.put(2);
    crossing.fetch().await.expect_code(0);
    let mut ledger = SqliteConnectOptions::new().filename(crossing.ledger()).connect().await.unwrap();
    for sql in [
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of a later version', 1, x'00', 0)",
        "ALTER TABLE messages ADD COLUMN of_later INTEGER",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        sqlx::query(sql).execute(&mut ledger).await.unwrap();
    }
    ledger.close().await.unwrap();
    crossing.put(1);
    crossing.configure("mailferry.db", true);
    let before = fs::read(crossing.ledger()).unwrap();
    let mut outcomes = Vec::new();
    for command in ["fetch", "run", "status", "history", "parked", "retry"] {
        let ran = crossing.ferry.run(&[command]).await;
        let mut outcome = expect_sentence(&ran, &["was written by a newer mailferry; install that version"]);
        if fs::read(crossing.ledger()).unwrap() != before {
            outcome = Err("the file was written to".into());
        }
        outcomes.push((command.to_owned(), outcome));
    }
    assert_eq!((crossing.source().len(), crossing.folder().len()), (3, 2));
    report("a newer schema", &outcomes);
}

/// At every syscall that touches a file, until a run is not hit any more; in tests/run at every seventh.
#[tokio::test]
async fn a_kill_while_the_ledger_is_made_leaves_it_good() {
    let server = Dovecot::start();
    let whole = Ferry::new("");
    Ran::by(whole.command(&TAKES_THE_LEDGER)).await.expect_code(64);
    let schema = schema(&whole.folder().join(FILES[0])).await;
    let mut outcomes = Vec::new();
    let step = if soak() { 1 } else { 7 };
    let nths = (1..).step_by(step).map(|nth| killed_at(&server, nth, &schema));
    let mut killed = futures_util::stream::iter(nths).buffered(2);
    while let Some((nth, outcome)) = killed.next().await {
        match outcome {
            Some(outcome) => outcomes.push((format!("syscall {nth}"), outcome)),
            None => break,
        }
    }
    assert!(outcomes.len() * step > 40, "only {} kills", outcomes.len());
    report("a kill while the schema is made", &outcomes);
}

/// `None` if it came to its end before that.
async fn killed_at(server: &Dovecot, nth: usize, schema: &[String]) -> (usize, Option<Result<(), String>>) {
    let mut crossing = Crossing::new(server, &format!("kill{nth}"), To::Folder).await;
    let ferry = crossing.ferry.command(&TAKES_THE_LEDGER);
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={SYSCALLS}"), "-e"]);
    command.arg(format!("inject={SYSCALLS}:signal=SIGKILL:when={nth}"));
    command.arg(ferry.get_program()).args(ferry.get_args()).current_dir(crossing.ferry.folder());
    if Ran::by(command).await.code == 64 {
        return (nth, None);
    }
    let ran = crossing.ferry.run(&TAKES_THE_LEDGER).await;
    if ran.code != 64 {
        return (nth, Some(Err(format!("{ran:?}"))));
    }
    if self::schema(&crossing.ledger()).await != schema {
        return (nth, Some(Err("the schema is another".into())));
    }
    crossing.put(1);
    crossing.fetch().await;
    (nth, Some(crossing.expect_all(Some(crossing.put.len()))))
}

async fn schema(ledger: &Path) -> Vec<String> {
    let mut ledger = SqliteConnectOptions::new().filename(ledger).connect().await.unwrap();
    let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let schema = sqlx::query_scalar(sql).fetch_all(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    schema
}
