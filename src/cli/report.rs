//! What the ledger shows: status, history, parked.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, Utc};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::config::{self, Config};
use crate::daemon;
use crate::ledger::{
    self, AccountStatus, DestinationStatus, Failure, Ledger, ParkedDelivery, Poll, Report, Status, Step,
    Unrouted,
};
use crate::message::AccountName;

use super::table::{Look, Row, table, terminal_size};
use super::{exit, plain, print};

/// How many polls `history` shows.
const POLLS: u32 = 100;

pub async fn status(file: &Path, json: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let status = status_of(&config).await?;
    if json {
        return print_json(&status);
    }
    print(&shown(&status, &config, terminal_size().map(|size| size.columns)));
    Ok(exit::OK)
}

/// How often `status --watch` looks.
const LOOK: Duration = Duration::from_secs(2);

/// Shows the status again and again, as the config and the ledger are each time, until it is interrupted.
pub async fn watch(file: &Path) -> anyhow::Result<u8> {
    config::load_without_secrets(file).await?;
    loop {
        let Some(size) = terminal_size() else {
            let text = "--watch is for a terminal; a script asks for `mailferry status --json` when it wants to know";
            return Err(plain(exit::USAGE, text));
        };
        let status = match config::load_without_secrets(file).await {
            Ok(config) => shown(&status_of(&config).await?, &config, Some(size.columns)),
            // Somebody is about to change it.
            Err(faults) => format!("{faults}\n"),
        };
        // From the top, each line over the one before it, so that nothing flickers: home, erase to the end of the line,
        // erase what is below (ECMA-48).
        let lines = status.lines().take(size.rows.saturating_sub(1));
        let lines: String = lines.map(|line| format!("{line}\x1b[K\n")).collect();
        print(&format!("\x1b[H{lines}\x1b[J"));
        tokio::time::sleep(LOOK).await;
    }
}

async fn status_of(config: &Config) -> anyhow::Result<Status> {
    let status = match open(config).await? {
        Some(report) => report.status().await?,
        None => Status::default(),
    };
    Ok(status.of(&daemon::configured(config)))
}

fn shown(status: &Status, config: &Config, width: Option<usize>) -> String {
    let now = Utc::now();
    let accounts = status.accounts.iter().map(|account| account_row(account, now));
    let heads = ["~ACCOUNT", "LAST CHECKED", "NEXT CHECK", ">DELIVERED", ">PENDING", ">PARKED", "STATE"];
    let destinations = status.destinations.iter().map(|destination| destination_row(destination, now));
    let mut text = table(&heads, accounts, width);
    text.push('\n');
    text += &table(&["~DESTINATION", "KIND", "STATE"], destinations, width);
    if !Ledger::is_held(&config.ledger) {
        text += "\nno mailferry is running; start it with `mailferry run`\n";
    }
    for warning in &config.warnings {
        text += &format!("\nwarning: {warning}\n");
    }
    text
}

pub async fn history(file: &Path, account: Option<&AccountName>, json: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let report = open(&config).await?;
    if let Some(account) = account {
        must_know(account, &config, report.as_ref()).await?;
    }
    let history = match report {
        Some(report) => History { polls: report.history(account, None, POLLS).await? },
        None => History { polls: Vec::new() },
    };
    if json {
        return print_json(&history);
    }
    let rows = history.polls.iter().map(poll_row);
    let heads = ["~ACCOUNT", "STARTED", ">TOOK", ">NEW", ">DELIVERED", ">DELETED", ">SIZE"];
    print(&table(&heads, rows, terminal_size().map(|size| size.columns)));
    Ok(exit::OK)
}

pub async fn parked(file: &Path, json: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let parked = match open(&config).await? {
        Some(report) => Parked {
            parked: report.parked(None, 0, u32::MAX).await?,
            unrouted: report.unrouted(None, u32::MAX).await?,
        },
        None => Parked::default(),
    };
    if json {
        return print_json(&parked);
    }
    let width = terminal_size().map(|size| size.columns);
    if parked.parked.is_empty() {
        print("nothing is parked\n");
    } else {
        let heads = [">ID", "~ACCOUNT", "~DESTINATION", ">SIZE", "SINCE", ">TRIES"];
        print(&table(&heads, parked.parked.iter().map(parked_row), width));
    }
    if !parked.unrouted.is_empty() {
        print(
            "\nno entry of `deliver` takes these; they stay at their source. Once one does, ask anew with `mailferry \
             retry`:\n",
        );
        print(&table(
            &[">ID", "~ACCOUNT", ">SIZE", "SINCE"],
            parked.unrouted.iter().map(unrouted_row),
            width,
        ));
    }
    Ok(exit::OK)
}

/// What `history --json` prints.
#[derive(Serialize)]
struct History {
    polls: Vec<Poll>,
}

/// What `parked --json` prints.
#[derive(Default, Serialize)]
struct Parked {
    parked: Vec<ParkedDelivery>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unrouted: Vec<Unrouted>,
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

/// The state is a word, so that a row fits into 80 columns.
fn account_row(account: &AccountStatus, now: DateTime<Utc>) -> Row {
    let error = account.error.as_ref().map(|error| said(error, &account.steps));
    let (state, note) = match (error, account.failing_since) {
        _ if account.paused => ("paused", Some("paused in the config".to_owned())),
        (Some(error), _) if !account.is_failing() => ("waiting", Some(error)),
        (Some(error), Some(since)) => ("failing", Some(format!("since {}: {error}", local(since)))),
        (Some(error), None) => ("failing", Some(error)),
        (None, _) if account.parked > 0 => ("ok", Some("see `mailferry parked`".to_owned())),
        (None, _) => ("ok", None),
    };
    let note = match (note, account.unrouted) {
        (note, 0) => note,
        (None, count) => Some(format!("{} unrouted; see `mailferry parked`", HumanCount(count))),
        (Some(note), count) => Some(format!("{note}; {} unrouted", HumanCount(count))),
    };
    let note = with_end(note, account.sign_in_ends_soon(now), &format!("mailferry login {}", account.name));
    let cells = vec![
        account.name.clone(),
        account.last_checked.map_or("never".into(), |at| ago(now - at)),
        account.next_check.map_or("-".into(), |at| from_now(at - now)),
        HumanCount(account.delivered).to_string(),
        HumanCount(account.pending).to_string(),
        HumanCount(account.parked).to_string(),
        state.to_owned(),
    ];
    Row { cells, note, look: look(state) }
}

/// With when the sign-in `ends`, if that is soon, and the `command` that begins a new one.
fn with_end(note: Option<String>, ends: Option<DateTime<Utc>>, command: &str) -> Option<String> {
    let ends =
        ends.map(|ends| format!("the sign-in ends {}; sign in again before that: `{command}`", local(ends)));
    match (note, ends) {
        (Some(note), Some(ends)) => Some(format!("{note}. {ends}")),
        (note, ends) => note.or(ends),
    }
}

/// With what to do about it.
fn said(error: &Failure, steps: &[Step]) -> String {
    let mut said = error.text.clone();
    if let Some(at) = error.next_try {
        said += &format!("; next try {}", local(at));
    }
    for Step { text, link } in steps {
        said += &format!(". {}", text.trim_end_matches('.'));
        said += &link.as_ref().map(|link| format!(": {link}")).unwrap_or_default();
    }
    said
}

fn look(state: &str) -> Look {
    match state {
        "failing" | "disabled" => Look::Bad,
        "paused" | "waiting" => Look::Wary,
        _ => Look::Plain,
    }
}

fn destination_row(destination: &DestinationStatus, now: DateTime<Utc>) -> Row {
    let cells = vec![destination.name.clone(), destination.kind.clone(), destination.state.clone()];
    let command = format!("mailferry login --destination {}", destination.name);
    let note = with_end(destination.error.clone(), destination.sign_in_ends_soon(now), &command);
    Row { cells, note, look: look(&destination.state) }
}

fn poll_row(poll: &Poll) -> Row {
    let took = poll.started.zip(poll.ended).map(|(started, ended)| span(ended - started));
    let cells = vec![
        poll.account.clone(),
        poll.started.map(local).unwrap_or_default(),
        took.unwrap_or_default(),
        HumanCount(poll.new).to_string(),
        HumanCount(poll.delivered).to_string(),
        HumanCount(poll.deleted).to_string(),
        HumanBytes(poll.bytes).to_string(),
    ];
    let look = if poll.error.is_some() { Look::Bad } else { Look::Plain };
    Row { cells, note: poll.error.clone(), look }
}

fn parked_row(parked: &ParkedDelivery) -> Row {
    let cells = vec![
        parked.id.to_string(),
        parked.account.clone(),
        parked.destination.clone(),
        parked.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default(),
        parked.since.map(local).unwrap_or_default(),
        parked.attempts.to_string(),
    ];
    Row { cells, note: Some(parked.reason.clone()), look: Look::Plain }
}

fn unrouted_row(unrouted: &Unrouted) -> Row {
    let cells = vec![
        unrouted.id.to_string(),
        unrouted.account.clone(),
        unrouted.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default(),
        unrouted.since.map(local).unwrap_or_default(),
    ];
    Row { cells, note: None, look: Look::Plain }
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

pub fn print_json(value: &impl Serialize) -> anyhow::Result<u8> {
    print(&(serde_json::to_string_pretty(value)? + "\n"));
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_comes_with_what_to_do() {
        let text = "pop.example.com:995: the login was refused".to_owned();
        let error = Failure { class: "account".into(), text: text.clone(), next_try: None, passes: false };
        assert_eq!(said(&error, &[]), text);
        let step = |link| Step { text: "It needs an app password.".into(), link };
        let steps = [step(Some("https://here.example".into())), step(None)];
        let wanted =
            format!("{text}. It needs an app password: https://here.example. It needs an app password");
        assert_eq!(said(&error, &steps), wanted);
    }
}
