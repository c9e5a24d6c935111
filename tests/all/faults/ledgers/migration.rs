//! A schema that is newer, or only half there: mailferry was killed while it made it.

use std::fs;
use std::path::Path;
use std::process::Command;

use futures_util::StreamExt;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::soak;
use super::{Crossing, FILES, To, expect_sentence, remove, report};
use crate::dovecot::Dovecot;
use crate::ferry::{Ferry, Ran};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

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

/// From every version that there ever was: what was delivered stays delivered, and the schema is as if it were new.
#[tokio::test]
async fn a_ledger_of_any_earlier_version_is_brought_up_to_date() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    let schema = newest_schema().await;
    for version in 1..MIGRATIONS.iter().count() {
        let mut crossing = upgrading(&server, &format!("from{version}"), Some(version)).await;
        crossing.put(1);
        let ran = crossing.fetch().await;
        let outcome = match ran.code {
            0 => good(&crossing, &schema).await,
            _ => Err(format!("{ran:?}")),
        };
        outcomes.push((format!("version {version}"), outcome));
    }
    report("an older schema", &outcomes);
}

/// At every syscall that touches a file, until a run is not hit any more: while the ledger is made, and while one of
/// the first version is brought up to date. In tests/run at every third.
#[tokio::test]
async fn a_kill_while_the_schema_is_made_leaves_the_ledger_good() {
    let server = Dovecot::start();
    let schema = newest_schema().await;
    for (from, row) in [
        (None, "a kill while the schema is made"),
        (Some(1), "a kill while the schema is brought up to date"),
    ] {
        let mut outcomes = Vec::new();
        let step = if soak() { 1 } else { 3 };
        let nths = (1..).step_by(step).map(|nth| killed_at(&server, from, nth, &schema));
        let mut killed = futures_util::stream::iter(nths).buffered(2);
        while let Some((nth, outcome)) = killed.next().await {
            match outcome {
                Some(outcome) => outcomes.push((format!("syscall {nth}"), outcome)),
                None => break,
            }
        }
        assert!(outcomes.len() * step > 20, "only {} kills", outcomes.len());
        report(row, &outcomes);
    }
}

/// `None` if it came to its end before that.
async fn killed_at(
    server: &Dovecot,
    from: Option<usize>,
    nth: usize,
    schema: &[String],
) -> (usize, Option<Result<(), String>>) {
    let name = if from.is_some() { "upgraded" } else { "made" };
    let mut crossing = upgrading(server, &format!("{name}{nth}"), from).await;
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
    crossing.put(1);
    crossing.fetch().await;
    (nth, Some(good(&crossing, schema).await))
}

/// All is delivered once, and the schema is the one that a new ledger has.
async fn good(crossing: &Crossing<'_>, schema: &[String]) -> Result<(), String> {
    if self::schema(&crossing.ledger()).await != schema {
        return Err("the schema is another".into());
    }
    crossing.expect_end(Some(crossing.put.len())).await
}

/// With a ledger of that version which knows of two messages that were delivered; or with none yet.
async fn upgrading<'s>(server: &'s Dovecot, user: &str, from: Option<usize>) -> Crossing<'s> {
    let mut crossing = Crossing::new(server, user, To::Folder).await;
    let Some(version) = from else { return crossing };
    crossing.put(2);
    crossing.fetch().await.expect_code(0);
    let newest = crossing.ferry.folder().join("newest.db");
    fs::rename(crossing.ledger(), &newest).unwrap();
    remove(&crossing, &FILES);
    let options = SqliteConnectOptions::new().filename(crossing.ledger()).create_if_missing(true);
    let mut ledger = options.foreign_keys(false).connect().await.unwrap();
    ledger.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    for migration in MIGRATIONS.iter().take(version) {
        ledger.apply("_sqlx_migrations", migration).await.unwrap();
    }
    let attach = "ATTACH $1 AS newest";
    sqlx::query(attach).bind(newest.to_str().unwrap()).execute(&mut ledger).await.unwrap();
    // The accounts last: triggers count what was delivered for them.
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND substr(name, 1, 1) <> '_' \
                  AND name NOT LIKE 'sqlite%' ORDER BY name = 'accounts'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut ledger).await.unwrap();
    for table in tables {
        let columns = "SELECT group_concat(name, ', ') FROM pragma_table_info($1, 'main') \
                       WHERE name IN (SELECT name FROM pragma_table_info($1, 'newest'))";
        let columns: String = sqlx::query_scalar(columns).bind(&table).fetch_one(&mut ledger).await.unwrap();
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}"
        );
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut ledger).await.unwrap();
    }
    ledger.close().await.unwrap();
    crossing
}

async fn newest_schema() -> Vec<String> {
    let ferry = Ferry::new("");
    Ran::by(ferry.command(&TAKES_THE_LEDGER)).await.expect_code(64);
    schema(&ferry.folder().join(FILES[0])).await
}

async fn schema(ledger: &Path) -> Vec<String> {
    let mut ledger = SqliteConnectOptions::new().filename(ledger).connect().await.unwrap();
    let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let schema = sqlx::query_scalar(sql).fetch_all(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    schema
}
