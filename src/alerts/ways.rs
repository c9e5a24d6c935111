//! How people are told: as mail, to a URL, by a command. Each way by itself, so that one that is down holds up no other.

use std::collections::{BTreeMap, VecDeque};
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::mail::{Mailbox, Mailboxes, mail};
use super::texts::together;
use super::{Command, Settings};
use crate::destination::notifier::{Format, Notifier};
use crate::ledger::{self, Ledger, Notice, Told, Way};
use crate::net::Connectors;

/// What the config offers.
#[derive(Debug, Default)]
pub struct Tellers {
    mail: Mailboxes,
    url: Option<(Format, Notifier)>,
    command: Option<Command>,
}

/// One that people can be told by.
#[derive(Clone, Copy, Debug)]
pub enum Teller<'t> {
    Mail(&'t Mailbox),
    Url(Format, &'t Notifier),
    Command(&'t Command),
}

/// Which teller it is, in this config and the next: its way, and the mailbox if that is one of several.
pub type Address = (Way, String);

impl Tellers {
    pub fn new(settings: Option<Settings>, mail: Mailboxes, connectors: &mut Connectors) -> Tellers {
        let Some(settings) = settings else { return Tellers::default() };
        let url = settings.url.and_then(|url| {
            let made = url.and_then(|url| Ok((url.format, Notifier::new(&url.url, url.secret, connectors)?)));
            made.map_err(|why| warn!("alerts.url cannot be used: {why}")).ok()
        });
        Tellers { mail, url, command: settings.command }
    }

    pub fn ways(&self) -> Vec<Way> {
        let offered = [
            (Way::Mail, !self.mail.all.is_empty()),
            (Way::Url, self.url.is_some()),
            (Way::Command, self.command.is_some()),
        ];
        offered.into_iter().filter(|(_, is_offered)| *is_offered).map(|(way, _)| way).collect()
    }

    /// What waits, the oldest first, each for the teller that it is for.
    ///
    /// # Errors
    /// Only the ledger's.
    pub async fn waiting(
        &self,
        ledger: &Ledger,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<Address, (Teller<'_>, Vec<Notice>)>, ledger::Error> {
        let mut waiting: BTreeMap<Address, (Teller<'_>, Vec<Notice>)> = BTreeMap::new();
        for way in self.ways() {
            for notice in ledger.notices(way, now).await? {
                let Some(teller) = self.teller(way, &notice) else { continue };
                waiting.entry((way, teller.place())).or_insert((teller, Vec::new())).1.push(notice);
            }
        }
        Ok(waiting)
    }

    /// `None` where the config does not offer this way.
    fn teller(&self, way: Way, notice: &Notice) -> Option<Teller<'_>> {
        match way {
            Way::Mail => self.mail.of(notice).map(Teller::Mail),
            Way::Url => self.url.as_ref().map(|(format, notifier)| Teller::Url(*format, notifier)),
            Way::Command => self.command.as_ref().map(Teller::Command),
        }
    }
}

impl Teller<'_> {
    fn place(&self) -> String {
        match self {
            Teller::Mail(mailbox) => mailbox.destination.name().to_string(),
            Teller::Url(..) | Teller::Command(_) => String::new(),
        }
    }

    async fn tell(&self, notices: &[Notice], mark: &str, now: DateTime<Utc>) -> Result<(), String> {
        let told = together(notices);
        let id = format!("{}.{}", notices.last().map_or(0, |last| last.id), &mark[..mark.len().min(16)]);
        match self {
            Teller::Mail(mailbox) => mail(mailbox, &told, &id, mark, now).await,
            Teller::Url(format, notifier) => {
                notifier.post(*format, &format!("alert_{id}"), body(*format, &told, notices, now), now).await
            }
            Teller::Command(command) => run(command, &told).await,
        }
    }
}

/// At most so many notices in so much time; what comes then waits and is told together.
const BURST: usize = 5;
const BURST_TIME: Duration = Duration::from_secs(10 * 60);

/// How long telling may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a way rests that did not work: doubling, from a minute to an hour.
const SHORTEST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// How one teller has been doing.
#[derive(Debug, Default)]
pub struct Outlet {
    /// The latest [`BURST`] times it was used.
    used: VecDeque<Instant>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Outlet {
    /// Tells what waits for this teller, all of it at once. What cannot be told stays.
    ///
    /// # Errors
    /// Only the ledger's.
    pub async fn empty(
        &mut self,
        way: Way,
        teller: Teller<'_>,
        notices: Vec<Notice>,
        ledger: &Ledger,
        now: DateTime<Utc>,
    ) -> Result<(), ledger::Error> {
        if self.is_closed() {
            return Ok(());
        }
        let telling = teller.tell(&notices, ledger.notice_mark(), now);
        let late = |_| Err(format!("it took longer than {} s", PATIENCE.as_secs()));
        let outcome = tokio::time::timeout(PATIENCE, telling).await.unwrap_or_else(late);
        let way = way.as_str();
        match outcome {
            Ok(()) => {
                self.worked();
                info!(way, notices = notices.len(), "people were told");
                ledger.forget_notices(notices.iter().map(|notice| notice.id).collect()).await
            }
            Err(error) => {
                if self.failures == 0 {
                    warn!(way, %error, "people could not be told; it is tried again");
                }
                self.failed();
                Ok(())
            }
        }
    }

    fn is_closed(&self) -> bool {
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        let oldest = self.used.front().filter(|_| self.used.len() >= BURST);
        rests || oldest.is_some_and(|used| used.elapsed() < BURST_TIME)
    }

    fn worked(&mut self) {
        (self.failures, self.rests_until) = (0, None);
        self.used.push_back(Instant::now());
        let surplus = self.used.len().saturating_sub(BURST);
        self.used.drain(..surplus);
    }

    fn failed(&mut self) {
        let rest = (SHORTEST_REST * 2_u32.pow(self.failures.min(6))).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(Instant::now() + rest);
    }
}

fn body(format: Format, told: &Told, notices: &[Notice], now: DateTime<Utc>) -> String {
    if format == Format::Text {
        return format!("{}\n\n{}", told.title, told.text);
    }
    let notices: Vec<Value> = notices
        .iter()
        .map(|Notice { kind, name, state, title, text, made_at, .. }| {
            let at = made_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            json!({ "kind": kind, "name": name, "state": state, "at": at, "title": title, "text": text })
        })
        .collect();
    let timestamp = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let data = json!({ "title": told.title, "text": told.text, "notices": notices });
    json!({ "type": "mailferry.alert", "timestamp": timestamp, "data": data }).to_string()
}

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);

/// The first line of what it reads is the title. What it complains of goes where our own log goes.
async fn run(command: &Command, told: &Told) -> Result<(), String> {
    let program = command.program.display();
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .current_dir(&command.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{program} cannot be started ({e})"))?;
    let text = format!("{}\n\n{}", told.title, told.text);
    let running = async {
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it to the end may still have done what is wanted.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_TIME, running).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program} failed ({status})")),
        Ok(Err(e)) => Err(format!("{program} was lost ({e})")),
        Err(_) => Err(format!("{program} took longer than {} s", COMMAND_TIME.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_held_back_and_a_way_that_fails_rests() {
        let mut outlet = Outlet::default();
        for _ in 0..BURST {
            assert!(!outlet.is_closed());
            outlet.worked();
        }
        assert!(outlet.is_closed());
        tokio::time::advance(BURST_TIME).await;
        assert!(!outlet.is_closed());
        for rest in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            outlet.failed();
            tokio::time::advance(Duration::from_secs(rest - 1)).await;
            assert!(outlet.is_closed(), "{rest}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!outlet.is_closed(), "{rest}");
        }
    }
}
