//! How people are told: as mail, to a URL, by a command.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tracing::warn;

use super::mail::{Mailbox, Mailboxes, mail};
use super::texts::together;
use super::{Command, Settings};
use crate::destination::notifier::{Format, Notifier, Unsent};
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

/// Which teller it is, in this config and the next: its way, and the destination if that is an IMAP one.
pub type Address = (Way, String);

/// What came of telling.
#[derive(Debug)]
pub enum Outcome {
    /// So many notices are known now.
    Told(usize),
    /// Nothing has arrived, or there is no sign of it; the reason is a clause.
    Failed(String),
    /// Nobody knows whether it has arrived: that is to be looked for, so soon.
    Lost { reason: String, look_up: Duration },
    /// Nobody knows yet: this teller is to be asked again, after so long.
    Later(Duration),
}

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

    /// Where a way leads.
    pub fn addresses(&self, way: Way) -> Vec<Address> {
        match way {
            Way::Mail => {
                self.mail.all.iter().map(|mailbox| (way, mailbox.destination.name().to_string())).collect()
            }
            Way::Url | Way::Command => vec![(way, String::new())],
        }
    }

    /// Where a notice goes that waits for a way. `None` where the config does not offer it.
    pub fn address(&self, way: Way, notice: &Notice) -> Option<Address> {
        let place = match way {
            Way::Mail => self.mail.of(notice)?.destination.name().to_string(),
            Way::Url | Way::Command => String::new(),
        };
        Some((way, place))
    }

    /// `None` where the config has none.
    pub fn at(&self, (way, place): &Address) -> Option<Teller<'_>> {
        match way {
            Way::Mail => self.mail.named(place).map(Teller::Mail),
            Way::Url => self.url.as_ref().map(|(format, notifier)| Teller::Url(*format, notifier)),
            Way::Command => self.command.as_ref().map(Teller::Command),
        }
    }
}

impl Teller<'_> {
    /// Tells what waits for this teller, all of it at once, and forgets what has been told.
    ///
    /// # Errors
    /// Only the ledger's.
    pub async fn tell(&self, notices: &[Notice], ledger: &Ledger) -> Result<Outcome, ledger::Error> {
        if let Teller::Mail(mailbox) = self {
            return mail(mailbox, notices, ledger).await;
        }
        let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
        let (told, now) = (together(notices), Utc::now());
        ledger.sending_notices(ids.clone(), now).await?;
        let sent = match self {
            Teller::Url(format, notifier) => {
                let id = format!("alert_{}", id(notices, ledger.notice_mark()));
                notifier.post(*format, &id, body(*format, &told, notices, now), now).await
            }
            Teller::Command(command) => run(command, &told).await,
            Teller::Mail(_) => Ok(()),
        };
        Ok(match sent {
            Ok(()) => {
                ledger.forget_notices(ids).await?;
                Outcome::Told(notices.len())
            }
            Err(Unsent::Certainly(reason)) => {
                ledger.unsent_notices(ids).await?;
                Outcome::Failed(reason)
            }
            Err(Unsent::Perhaps(reason)) => Outcome::Failed(reason),
        })
    }
}

/// Which notices these are, in the whole world; `mark` is that of their ledger.
pub fn id(notices: &[Notice], mark: &str) -> String {
    format!("{}.{}", notices.last().map_or(0, |last| last.id), &mark[..mark.len().min(16)])
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
async fn run(command: &Command, told: &Told) -> Result<(), Unsent> {
    let program = command.program.display();
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .current_dir(&command.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Unsent::Certainly(format!("{program} cannot be started ({e})")))?;
    let text = format!("{}\n\n{}", told.title, told.text);
    let running = async {
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it to the end may still have done what is wanted.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    // It may have failed at what came after the telling.
    Err(Unsent::Perhaps(match tokio::time::timeout(COMMAND_TIME, running).await {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => format!("{program} failed ({status})"),
        Ok(Err(e)) => format!("{program} was lost ({e})"),
        Err(_) => format!("{program} took longer than {} s", COMMAND_TIME.as_secs()),
    }))
}
