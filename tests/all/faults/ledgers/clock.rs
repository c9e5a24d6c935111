//! A clock that was wrong: the times in the ledger are of another year.

use std::process::Command;
use std::time::Duration;

use super::{Crossing, To, report};
use crate::dovecot::Dovecot;
use crate::ferry::{Ran, Running};

/// How long what should happen at once may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command whose clock is off by so many days (Debian's libfaketime); durations pass as ever.
fn shifted(crossing: &Crossing<'_>, arguments: &[&str], days: i32) -> Command {
    let arch = std::env::consts::ARCH;
    let library = format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1");
    assert!(std::path::Path::new(&library).exists(), "the Debian package faketime is installed");
    let mut command = crossing.ferry.command(arguments);
    command.env("LD_PRELOAD", library).env("FAKETIME", format!("{days:+}d"));
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

/// The clock was off by `days` and is right again: mail goes on at once, and nothing goes twice.
async fn after(server: &Dovecot, days: i32, waits: bool) -> Result<(), String> {
    let mut crossing = Crossing::new(server, &format!("clock{days}-{waits}"), To::Both).await;
    crossing.put(2);
    crossing.webhook_is_up(!waits);
    let ran = Ran::by(shifted(&crossing, &["fetch"], days)).await;
    if ran.code != if waits { 75 } else { 0 } {
        return Err(format!("{ran:?}"));
    }
    crossing.webhook_is_up(true);
    crossing.put(1);
    let mut daemon = crossing.ferry.start(&["run"]);
    let expected = if waits { 4 } else { 2 };
    let arrives = daemon.wait_for_nth("verdict=\"delivered\"", expected);
    let arrives = tokio::time::timeout(PATIENCE, arrives).await;
    daemon.signal(rustix::process::Signal::TERM);
    daemon.end().await;
    arrives.map_err(|_| "nothing was polled, or nothing delivered".to_owned())?;
    crossing.expect_all(Some(crossing.put.len()))
}

#[tokio::test]
async fn a_ledger_of_another_year_stops_nothing() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    // Forward by more than rows are kept for, and back.
    for days in [365, 3, -365, -500] {
        for waits in [false, true] {
            outcomes.push((format!("{days} days, waiting={waits}"), after(&server, days, waits).await));
        }
    }
    report("a clock that was wrong", &outcomes);
}

#[tokio::test]
async fn a_clock_set_while_it_runs_stops_nothing() {
    let server = Dovecot::start();
    let mut outcomes = Vec::new();
    for days in [365, -365] {
        let mut crossing = Crossing::new(&server, &format!("running{days}"), To::Both).await;
        let clock = crossing.ferry.folder().join("clock");
        std::fs::write(&clock, format!("{days:+}d")).unwrap();
        let mut command = shifted(&crossing, &["run"], 0);
        command.env_remove("FAKETIME").env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
        let mut daemon = Running::start(command);
        daemon.wait_for("started").await;
        crossing.put(1);
        crossing.fetch().await.expect_code(0);
        std::fs::write(&clock, "+0d").unwrap();
        crossing.put(1);
        crossing.fetch().await.expect_code(0);
        daemon.signal(rustix::process::Signal::TERM);
        daemon.end().await.expect_code(0);
        outcomes.push((format!("{days} days"), crossing.expect_all(Some(crossing.put.len()))));
    }
    report("a clock set while it runs", &outcomes);
}
