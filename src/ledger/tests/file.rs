//! The file, its lock, its schema, and its one writer.

use super::*;

#[tokio::test]
async fn two_processes_never_hold_one_ledger() {
    let house = House::new().await;
    let path = file(&house.folder);
    let second = Ledger::hold(&path, terms(), house.now).await.unwrap_err();
    assert_eq!(second, Error::Locked(path.clone()));
    house.ledger.close().await.unwrap();
    Ledger::hold(&path, terms(), house.now).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_settled() {
    let mut house = House::new().await;
    house.poll(&vec![("u1", 10, "one")]).await;
    let mut after = house.crashed().await;
    assert_eq!(after.value("SELECT held FROM ledger").await, 1);
    assert_eq!(after.poll(&vec![("u1", 10, "one")]).await, nothing());
    after.ledger.close().await.unwrap();
    let mut again = House::at(after.folder, after.now).await;
    assert_eq!(again.poll(&vec![("u1", 10, "one")]).await, nothing());
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let house = House::new().await;
    let path = file(&house.folder);
    let newer = "
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the future', 1, x'00', 0)";
    let insert = house.ledger.write(Outlives::Power, move |connection| {
        Box::pin(async move { sqlx::query(newer).execute(connection).await.map(drop) })
    });
    insert.await.unwrap();
    house.ledger.close().await.unwrap();
    let refused = Ledger::hold(&path, terms(), house.now).await.unwrap_err();
    assert_eq!(refused, Error::Newer(path.clone()));
    assert_eq!(Ledger::visit(&path).await.unwrap_err(), Error::Newer(path));
}

#[tokio::test]
async fn what_is_not_a_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough to be taken for one ".repeat(50);
    std::fs::write(&path, &text).unwrap();
    let refused = Ledger::hold(&path, terms(), Utc::now()).await.unwrap_err();
    assert_eq!(refused, Error::NotALedger(path.clone()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let path = folder.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("CREATE TABLE notes (text TEXT)").execute(&mut other).await.unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    let refused = Ledger::hold(&path, terms(), Utc::now()).await.unwrap_err();
    assert_eq!(refused, Error::NotALedger(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let path = folder.path().join("nothing.db");
    assert_eq!(Ledger::visit(&path).await.unwrap_err(), Error::Missing(path.clone()));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(&folder)).create_if_missing(true);
    let mut killed = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut killed).await.unwrap();
    drop(killed);
    assert_eq!(Ledger::visit(&file(&folder)).await.unwrap_err(), Error::Older(file(&folder)));
    House::at(folder, Utc::now()).await.ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_after_a_crash() {
    let house = House::new().await;
    let names: Vec<String> = (0..3000).map(|n| format!("u{n}")).collect();
    house.list(&names.iter().map(|uidl| (uidl.as_str(), 10, "")).collect()).await;
    let path = file(&house.folder);
    house.ledger.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 64].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut killed = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("UPDATE ledger SET held = 1").execute(&mut killed).await.unwrap();
    drop(killed);
    let refused = Ledger::hold(&path, terms(), house.now).await.unwrap_err();
    assert!(matches!(refused, Error::Broken { .. }), "{refused}");
}

#[tokio::test]
async fn one_failing_job_does_not_undo_its_neighbours() {
    let house = House::new().await;
    let good = house.ledger.take_in(house.intake(&vec![("u1", 10, "one")]).await);
    let bad = house.ledger.write(Outlives::Power, |connection| {
        Box::pin(async move {
            sqlx::query("UPDATE accounts SET failures = 77").execute(&mut *connection).await?;
            sqlx::query("UPDATE ledger SET only_row = 2").execute(connection).await.map(drop)
        })
    });
    let (good, bad) = tokio::join!(good, bad);
    assert_eq!(good.unwrap().map(|taken_in| taken_in.new), Some(1));
    assert!(matches!(bad, Err(Error::Statement(_))));
    assert_eq!(house.value("SELECT failures FROM accounts").await, 0, "half a job is undone");
}

#[tokio::test]
async fn a_column_that_has_gone_is_damage() {
    let house = House::new().await;
    let renamed = house.ledger.write(Outlives::Power, |connection| {
        Box::pin(async move {
            let sql = "ALTER TABLE messages RENAME COLUMN first_listing TO girst_listing";
            sqlx::query(sql).execute(connection).await.map(drop)
        })
    });
    renamed.await.unwrap();
    let told = house.ledger.take_in(house.intake(&vec![("u1", 10, "one")]).await).await.unwrap_err();
    assert!(matches!(told, Error::Broken { .. }), "{told}");
}

/// As small a disk as there is: not a page more.
fn fill_the_disk(connection: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<()>> {
    Box::pin(async move {
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await?;
        let fill = "
            INSERT INTO polls (account, started, ended, new, delivered, deleted, bytes, error)
            VALUES (1, 0, 0, 0, 0, 0, 0, hex(zeroblob(1000000)))";
        sqlx::query(fill).execute(connection).await.map(drop)
    })
}

fn count_up(connection: &mut SqliteConnection) -> BoxFuture<'_, sqlx::Result<()>> {
    let sql = "UPDATE accounts SET failures = failures + 1";
    Box::pin(async move { sqlx::query(sql).execute(connection).await.map(drop) })
}

#[tokio::test]
async fn after_a_disk_error_nothing_more_is_written() {
    let house = House::new().await;
    let full = house.ledger.write(Outlives::Power, fill_the_disk).await.unwrap_err();
    assert_eq!(full, Error::Full(file(&house.folder)));
    assert_eq!(house.ledger.failed().await, full);
    let next = house.ledger.take_in(house.intake(&vec![("u1", 10, "one")]).await).await.unwrap_err();
    assert_eq!(next, full, "nothing is retried in place");
}

#[tokio::test]
async fn whatever_waits_is_one_transaction() {
    let house = House::new().await;
    let waiting = (0..20).map(|_| house.ledger.write(Outlives::Power, count_up));
    let (waiting, full) = tokio::join!(
        futures_util::future::join_all(waiting),
        house.ledger.write(Outlives::Power, fill_the_disk)
    );
    let full = full.unwrap_err();
    assert!(
        waiting.into_iter().all(|outcome| outcome == Err(full.clone())),
        "told of a commit that was none"
    );
    assert_eq!(house.value("SELECT failures FROM accounts").await, 0);
}

#[tokio::test]
async fn what_must_outlive_a_power_failure_is_synced() {
    let house = House::new().await;
    for (outlives, level) in [(Outlives::Power, 2), (Outlives::Process, 1), (Outlives::Power, 2)] {
        let synchronous = house.ledger.write(outlives, |connection| {
            Box::pin(
                async move { sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(connection).await },
            )
        });
        assert_eq!(synchronous.await.unwrap(), level, "{outlives:?}");
    }
}

#[test]
fn a_file_that_is_another_user_s_is_called_so() {
    let path = Path::new("/var/lib/mailferry/mailferry.db");
    let told = |kind: std::io::ErrorKind| Error::io(path, &kind.into()).to_string();
    let denied = told(std::io::ErrorKind::PermissionDenied);
    assert!(denied.contains("this user may not use the ledger /var/lib/"), "{denied}");
    assert!(denied.ends_with("run the command as the user that mailferry runs as"), "{denied}");
    let absent = told(std::io::ErrorKind::NotFound);
    assert!(absent.contains("no folder for the ledger"), "{absent}");
}

#[tokio::test]
async fn a_damaged_record_of_a_migration_is_told_as_damage() {
    let house = House::new().await;
    let path = file(&house.folder);
    let damage = "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 14";
    let flip = house.ledger.write(Outlives::Power, move |connection| {
        Box::pin(async move { sqlx::query(damage).execute(connection).await.map(drop) })
    });
    flip.await.unwrap();
    house.ledger.close().await.unwrap();
    let refused = Ledger::hold(&path, terms(), house.now).await.unwrap_err().to_string();
    assert!(refused.contains("restore the ledger if it is damaged"), "{refused}");
}
