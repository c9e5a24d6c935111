//! What the ledger shows: status, history, parked.

use std::path::Path;

use chrono::{DateTime, Local, TimeDelta, Utc};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::config::{self, Config};
use crate::daemon;
use crate::ledger::{self, AccountStatus, DestinationStatus, Ledger, ParkedDelivery, Poll, Report, Status};
use crate::message::AccountName;

use super::table::table;
use super::{exit, plain, print};

/// How many polls `history` shows.
const POLLS: u32 = 100;

pub async fn status(file: &Path, json: bool) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    let status = match open(&config).await? {
        Some(report) => report.status().await?,
        None => Status::default(),
    };
    let status = status.of(&daemon::configured(&config));
    if json {
        return print_json(&status);
    }
    let now = Utc::now();
    let accounts = status.accounts.iter().map(|account| account_row(account, now));
    print(&table(
        &["ACCOUNT", "LAST CHECKED", "NEXT CHECK", ">DELIVERED", ">PENDING", ">PARKED", "STATE"],
        accounts,
    ));
    print("\n");
    let destinations = status.destinations.iter().map(destination_row);
    print(&table(&["DESTINATION", "KIND", "STATE"], destinations));
    for warning in &config.warnings {
        print(&format!("\nwarning: {warning}\n"));
    }
    Ok(exit::OK)
}

pub async fn history(file: &Path, account: Option<&AccountName>, json: bool) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    let report = open(&config).await?;
    if let Some(account) = account {
        must_know(account, &config, report.as_ref()).await?;
    }
    let history = match report {
        Some(report) => History { polls: report.history(account, POLLS).await? },
        None => History { polls: Vec::new() },
    };
    if json {
        return print_json(&history);
    }
    let rows = history.polls.iter().map(|poll| {
        vec![
            poll.account.clone(),
            poll.started.map(local).unwrap_or_default(),
            poll.started.zip(poll.ended).map(|(started, ended)| span(ended - started)).unwrap_or_default(),
            HumanCount(poll.new).to_string(),
            HumanCount(poll.delivered).to_string(),
            HumanCount(poll.deleted).to_string(),
            HumanBytes(poll.bytes).to_string(),
            poll.error.clone().unwrap_or_default(),
        ]
    });
    print(&table(&["ACCOUNT", "STARTED", ">TOOK", ">NEW", ">DELIVERED", ">DELETED", ">SIZE", "ERROR"], rows));
    Ok(exit::OK)
}

pub async fn parked(file: &Path, json: bool) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    let parked = match open(&config).await? {
        Some(report) => Parked { parked: report.parked().await? },
        None => Parked { parked: Vec::new() },
    };
    if json {
        return print_json(&parked);
    }
    if parked.parked.is_empty() {
        print("nothing is parked\n");
        return Ok(exit::OK);
    }
    let rows = parked.parked.iter().map(|parked| {
        vec![
            parked.id.to_string(),
            parked.account.clone(),
            parked.destination.clone(),
            parked.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default(),
            parked.since.map(local).unwrap_or_default(),
            parked.attempts.to_string(),
            parked.reason.clone(),
        ]
    });
    print(&table(&[">ID", "ACCOUNT", "DESTINATION", ">SIZE", "SINCE", ">TRIES", "REASON"], rows));
    Ok(exit::OK)
}

/// What `history --json` prints.
#[derive(Serialize)]
struct History {
    polls: Vec<Poll>,
}

/// What `parked --json` prints.
#[derive(Serialize)]
struct Parked {
    parked: Vec<ParkedDelivery>,
}

/// `None` where nothing has run yet, so that there is no ledger.
async fn open(config: &Config) -> anyhow::Result<Option<Report>> {
    match Ledger::visit(&config.ledger).await {
        Ok(visitor) => Ok(Some(visitor.report())),
        Err(ledger::Error::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An account is known by the config, before its first poll, or by the ledger, after it has left the config.
async fn must_know(account: &AccountName, config: &Config, report: Option<&Report>) -> anyhow::Result<()> {
    let mut configured = daemon::configured(config).accounts.into_iter();
    if configured.any(|configured| configured.name == *account) {
        return Ok(());
    }
    match report {
        Some(report) => Ok(report.must_know(account).await?),
        None => Err(plain(exit::USAGE, format!("there is no account `{account}` in the config"))),
    }
}

fn account_row(account: &AccountStatus, now: DateTime<Utc>) -> Vec<String> {
    let state = match (&account.error, account.failing_since) {
        _ if account.paused => "paused in the config".into(),
        (Some(error), _) if !account.is_failing() => error.text.clone(),
        (Some(error), Some(since)) => format!("failing since {}: {}", local(since), error.text),
        (Some(error), None) => format!("failing: {}", error.text),
        (None, _) if account.parked > 0 => "ok, see `mailferry parked`".into(),
        (None, _) => "ok".into(),
    };
    vec![
        account.name.clone(),
        account.last_checked.map_or("never".into(), |at| ago(now - at)),
        account.next_check.map_or("-".into(), |at| from_now(at - now)),
        HumanCount(account.delivered).to_string(),
        HumanCount(account.pending).to_string(),
        HumanCount(account.parked).to_string(),
        state,
    ]
}

fn destination_row(destination: &DestinationStatus) -> Vec<String> {
    let state = match &destination.error {
        Some(error) => format!("{}: {error}", destination.state),
        None => destination.state.clone(),
    };
    vec![destination.name.clone(), destination.kind.clone(), state]
}

fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn ago(time: TimeDelta) -> String {
    format!("{} ago", span(time))
}

fn from_now(time: TimeDelta) -> String {
    if time <= TimeDelta::zero() { "now".into() } else { format!("in {}", span(time)) }
}

fn span(time: TimeDelta) -> String {
    match time.num_seconds().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<u8> {
    print(&(serde_json::to_string_pretty(value)? + "\n"));
    Ok(exit::OK)
}
