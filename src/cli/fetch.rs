//! `mailferry fetch`: one poll of each account, now.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{Broken, Config};
use crate::daemon::{self, Answer, Bridge};
use crate::ledger::{self, Ledger, Request, Waiting};
use crate::message::AccountName;
use crate::poll::Progress;
use crate::setup;

use super::{eprint, exit, log, people, plain, print, stop_on_signal};

pub async fn fetch(file: &Path, accounts: &[AccountName], log: &log::Wish) -> anyhow::Result<u8> {
    let config = setup::load(file).await?;
    log.start_beside_outcomes();
    let names = known(&config, accounts)?;
    if let Some(paused) =
        config.accounts.iter().find(|account| account.paused && names.contains(&account.name))
    {
        return Err(plain(
            exit::USAGE,
            format!(
                "`{}` is paused in the config; run `mailferry resume {}`, or remove `paused` there",
                paused.name, paused.name
            ),
        ));
    }
    let broken: Vec<(String, String)> =
        broken(&config, accounts).map(|broken| (broken.name.to_string(), broken.reason.clone())).collect();
    let path = config.ledger.clone();
    let (mut stopped, mut closed) = (false, Ok(()));
    let answers = match daemon::hold(&path).await {
        Ok(ledger) => {
            let stop = stop_on_signal();
            let answers;
            (answers, closed) = poll_here(config, ledger, &names, &stop).await?;
            stopped = stop.is_cancelled();
            answers
        }
        Err(ledger::Error::Locked(_)) => ask_holder(&config, &names).await?,
        Err(error) => return Err(error.into()),
    };
    // What a person has stopped has not failed.
    let is_left = !stopped && answers.iter().any(|answer| answer.deferred > 0);
    let waiting = if is_left { Ledger::visit(&path).await?.report().waiting().await? } else { Vec::new() };
    for answer in &answers {
        print(&line(answer, &waiting, stopped));
    }
    for (name, reason) in &broken {
        print(&format!("{name}: not polled: {reason}\n"));
    }
    closed?;
    let failing = answers.iter().any(|answer| answer.error.is_some() || answer.deferred > 0);
    Ok(if failing || !broken.is_empty() { exit::LATER } else { exit::OK })
}

/// Those of the accounts that were named, or of all, that cannot be polled.
pub fn broken<'c>(config: &'c Config, accounts: &'c [AccountName]) -> impl Iterator<Item = &'c Broken> {
    config.broken.iter().filter(|broken| accounts.is_empty() || accounts.contains(&broken.name))
}

/// The accounts that were named, or all; a name that is not in the config is a mistake.
pub fn known(config: &Config, accounts: &[AccountName]) -> anyhow::Result<Vec<AccountName>> {
    let all: Vec<&AccountName> = config.accounts.iter().map(|account| &account.name).collect();
    for name in accounts {
        let is_broken = config.broken.iter().any(|broken| broken.name == *name);
        if !all.contains(&name) && !is_broken {
            let all = all.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(plain(
                exit::USAGE,
                format!("there is no account `{name}` in the config; it has: {all}"),
            ));
        }
    }
    let wanted = config.accounts.iter().filter(|account| !account.paused || accounts.contains(&account.name));
    let wanted = wanted.map(|account| &account.name);
    Ok(wanted.filter(|name| accounts.is_empty() || accounts.contains(name)).cloned().collect())
}

/// Returns also how the ledger was closed: what was done is to be told all the same.
async fn poll_here(
    config: Config,
    ledger: Ledger,
    names: &[AccountName],
    stop: &CancellationToken,
) -> anyhow::Result<(Vec<Answer>, Result<(), ledger::Error>)> {
    let ledger = Arc::new(ledger);
    let bridge = Bridge::build(config, Arc::clone(&ledger), stop.clone(), Utc::now).await?;
    let mut bar = Bar::new();
    let mut answers = Vec::new();
    let mut round: Vec<AccountName> = names.to_vec();
    while !round.is_empty() {
        poll_round(&bridge, &round, &mut bar, &mut answers).await?;
        round = tokio::select! {
            () = stop.cancelled() => Vec::new(),
            waiting = wait_for_look_ups(&ledger, names, &bar) => waiting?,
        };
    }
    bar.end();
    drop(bridge);
    let closed = match Arc::into_inner(ledger) {
        Some(ledger) => ledger.close().await,
        None => Ok(()),
    };
    Ok((answers, closed))
}

async fn poll_round(
    bridge: &Bridge,
    names: &[AccountName],
    bar: &mut Bar,
    answers: &mut Vec<Answer>,
) -> anyhow::Result<()> {
    let mut progress = bridge.progress();
    let mut polls = JoinSet::new();
    for name in names {
        bridge.spawn_poll(&mut polls, name, true);
    }
    loop {
        tokio::select! {
            biased;
            Ok(news) = progress.recv() => bar.show(news),
            finished = polls.join_next() => {
                let Some(finished) = finished else { return Ok(()) };
                let finished = finished?;
                Answer::add(answers, &finished.account, &finished.outcome?);
            }
        }
    }
}

/// Waits until deliveries whose answer was lost can be looked up, and says whose they are.
async fn wait_for_look_ups(
    ledger: &Ledger,
    names: &[AccountName],
    bar: &Bar,
) -> anyhow::Result<Vec<AccountName>> {
    let now = Utc::now();
    let agenda = ledger.agenda(now).await?;
    let waiting: Vec<_> = agenda
        .into_iter()
        .filter(|entry| names.contains(&entry.account))
        .filter_map(|entry| Some((entry.account, entry.look_up_at?)))
        .filter(|(_, at)| *at < now + daemon::PATIENCE)
        .collect();
    if let Some(at) = waiting.iter().map(|(_, at)| *at).min() {
        let wait = (at - now).to_std().unwrap_or_default();
        if wait > Duration::from_secs(1) {
            bar.say(&format!("waits {} s for deliveries whose answer was lost", wait.as_secs()));
        }
        tokio::time::sleep(wait).await;
    }
    Ok(waiting.into_iter().map(|(account, _)| account).collect())
}

/// Leaves a request for the daemon that holds the ledger, and waits for its answers.
async fn ask_holder(config: &Config, names: &[AccountName]) -> anyhow::Result<Vec<Answer>> {
    let visitor = Ledger::visit(&config.ledger).await?;
    let mut requests = Vec::new();
    for name in names {
        requests.push(visitor.request(&Request::Poll { account: name.clone() }, Utc::now()).await?);
    }
    info!("waits for the mailferry that holds the ledger");
    let mut answers = Vec::new();
    for request in requests {
        let json = people::wait_for_answer(&visitor, request, &config.ledger).await?;
        let json = json.ok_or_else(people::unanswered)?;
        answers.extend(serde_json::from_str::<Vec<Answer>>(&json)?);
    }
    Ok(answers)
}

/// Where a person has `stopped` it, what is left was not reached, or was not to be tried yet.
fn line(answer: &Answer, waiting: &[Waiting], stopped: bool) -> String {
    let mut line = format!("{}: {} new", answer.account, HumanCount(answer.new));
    line += &format!(", {} delivered", HumanCount(answer.delivered));
    if answer.delivered > 0 {
        line += &format!(" ({})", HumanBytes(answer.bytes));
    }
    for (count, word) in [
        (answer.deferred, if stopped { "left, stopped" } else { "deferred" }),
        (answer.parked, "parked"),
        (answer.deleted, "deleted"),
    ] {
        if count > 0 {
            line += &format!(", {} {word}", HumanCount(count));
        }
    }
    if let Some(error) = &answer.error {
        line += &format!("; failed: {error}");
    }
    for waiting in waiting.iter().filter(|waiting| waiting.account == answer.account) {
        // Nothing is said twice.
        let says = |words| waiting.reason.contains(words);
        let next = match waiting.state.as_str() {
            "disabled" if says("`mailferry retry`") => "",
            "disabled" => "; mend that, then `mailferry retry`",
            _ if says("will be tried again") || says("will be sent again") => "",
            _ => "; it will be tried again",
        };
        line += &format!("; {}: {}{next}", waiting.destination, waiting.reason);
    }
    line + "\n"
}

/// One progress bar for all accounts, on a terminal only.
struct Bar {
    bar: ProgressBar,
    accounts: HashMap<AccountName, Progress>,
}

impl Bar {
    fn new() -> Bar {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style =
            ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} deliveries, {msg} {rate}");
        if let Ok(style) = style {
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar, accounts: HashMap::new() }
    }

    fn show(&mut self, progress: Progress) {
        self.accounts.insert(progress.account.clone(), progress);
        let sum = |part: fn(&Progress) -> u64| self.accounts.values().map(part).sum::<u64>();
        self.bar.set_length(sum(|progress| progress.deliveries));
        self.bar.set_position(sum(|progress| progress.done));
        self.bar.set_message(HumanBytes(sum(|progress| progress.bytes)).to_string());
    }

    /// Says on standard error what takes its time.
    fn say(&self, text: &str) {
        self.bar.suspend(|| eprint(text));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Deliveries a second; a fraction of one is of no interest.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    // Writing to a line of the bar cannot fail.
    let _ = write!(out, "{:.0}/s", state.per_sec());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_bytes_only_of_what_was_delivered() {
        let mut answer = Answer { account: "work".into(), bytes: 2048, deferred: 5, ..Answer::default() };
        assert_eq!(line(&answer, &[], false), "work: 0 new, 0 delivered, 5 deferred\n");
        answer.delivered = 1;
        assert_eq!(line(&answer, &[], false), "work: 0 new, 1 delivered (2.00 KiB), 5 deferred\n");
    }

    #[test]
    fn calls_nothing_deferred_that_was_stopped() {
        let answer = Answer { account: "work".into(), deferred: 2616, ..Answer::default() };
        assert_eq!(line(&answer, &[], true), "work: 0 new, 0 delivered, 2,616 left, stopped\n");
    }
}
