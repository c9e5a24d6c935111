//! How people are told: as mail, to a URL, by a command. Each way by itself, so that one that is down holds up no other.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::texts::together;
use super::{Command, Mailbox, Settings};
use crate::destination::notifier::{Format, Notifier};
use crate::ledger::{self, Ledger, Notice, Told, Way};
use crate::message::{AccountName, Message, NOTICE, Outgoing, Route, Spool, Uidl, Verdict};
use crate::net::Connectors;

/// What the config offers.
#[derive(Debug, Default)]
pub struct Tellers {
    mail: Option<Mailbox>,
    url: Option<(Format, Notifier)>,
    command: Option<Command>,
}

impl Tellers {
    pub fn new(settings: Option<Settings>, mail: Option<Mailbox>, connectors: &mut Connectors) -> Tellers {
        let Some(settings) = settings else { return Tellers::default() };
        let url = settings.url.and_then(|url| {
            let made = url.and_then(|url| Ok((url.format, Notifier::new(&url.url, url.secret, connectors)?)));
            made.map_err(|why| warn!("alerts.url cannot be used: {why}")).ok()
        });
        Tellers { mail, url, command: settings.command }
    }

    pub fn ways(&self) -> Vec<Way> {
        let offered = [
            (Way::Mail, self.mail.is_some()),
            (Way::Url, self.url.is_some()),
            (Way::Command, self.command.is_some()),
        ];
        offered.into_iter().filter(|(_, is_offered)| *is_offered).map(|(way, _)| way).collect()
    }

    /// `None` where the config does not offer this way.
    async fn tell(
        &self,
        way: Way,
        notices: &[Notice],
        mark: &str,
        now: DateTime<Utc>,
    ) -> Option<Result<(), String>> {
        let told = together(notices);
        let id = format!("{}.{}", notices.last().map_or(0, |last| last.id), &mark[..mark.len().min(16)]);
        Some(match way {
            Way::Mail => mail(self.mail.as_ref()?, &told, &id, mark, now).await,
            Way::Url => {
                let (format, notifier) = self.url.as_ref()?;
                notifier.post(*format, &format!("alert_{id}"), body(*format, &told, notices, now), now).await
            }
            Way::Command => run(self.command.as_ref()?, &told).await,
        })
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

/// How one way has been doing.
#[derive(Debug, Default)]
pub struct Outlet {
    /// The latest [`BURST`] times it was used.
    used: VecDeque<Instant>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Outlet {
    /// Tells what waits for this way, all of it at once. What cannot be told stays.
    ///
    /// # Errors
    /// Only the ledger's.
    pub async fn empty(
        &mut self,
        way: Way,
        ledger: &Ledger,
        tellers: &Tellers,
        now: DateTime<Utc>,
    ) -> Result<(), ledger::Error> {
        if !tellers.ways().contains(&way) || self.is_closed() {
            return Ok(());
        }
        let notices = ledger.notices(way, now).await?;
        if notices.is_empty() {
            return Ok(());
        }
        let telling = tellers.tell(way, &notices, ledger.notice_mark(), now);
        let outcome = match tokio::time::timeout(PATIENCE, telling).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(()),
            Err(_) => Err(format!("it took longer than {} s", PATIENCE.as_secs())),
        };
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

async fn mail(
    mailbox: &Mailbox,
    told: &Told,
    id: &str,
    mark: &str,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let bytes = compose(&mailbox.address, told, id, mark, now).map_err(|e| e.to_string())?;
    let message = message(&bytes).await.map_err(|e| e.to_string())?;
    let destination = &mailbox.destination;
    let (to, folder) = (destination.name().clone(), "INBOX".into());
    let route = Route { to, folder, mark_read: false, junk: Vec::new() };
    let marks = destination.prepare(&route, &[&message]).await;
    let mark = marks.map_err(Verdict::into_reason)?.pop().unwrap_or_default();
    let account = AccountName::new("mailferry").ok_or("it has no name")?;
    let outgoing = Outgoing { message, account, uidl: Uidl::new(id.as_bytes()), mark, attempts: 0 };
    match destination.deliver(&route, &[outgoing]).await.pop() {
        Some(Verdict::Delivered { .. }) => Ok(()),
        verdict => Err(verdict.map_or("there is no verdict".into(), Verdict::into_reason)),
    }
}

/// From and to its reader, whose address is the one that is known to be real: spam filters look at that.
fn compose(address: &str, told: &Told, id: &str, mark: &str, now: DateTime<Utc>) -> io::Result<Vec<u8>> {
    let domain = address.rsplit('@').next().unwrap_or("localhost");
    MessageBuilder::new()
        .from(("mailferry", address))
        .to(address)
        .date(now.timestamp())
        .message_id(format!("mailferry.{id}@{domain}"))
        .subject(format!("mailferry: {}", told.title))
        // RFC 3834: no auto-responder answers this.
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .header(NOTICE, Raw::new(mark))
        .text_body(&told.text)
        .write_to_vec()
}

async fn message(bytes: &[u8]) -> io::Result<Message> {
    // No notice is so long that it would need a file.
    let mut spool = Spool::new(Path::new("."));
    spool.write(bytes).await?;
    spool.finish().await
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

    #[test]
    fn a_notice_is_a_message_like_any_other() {
        let told = Told { title: "Das Konto B\u{fc}ro".into(), text: "Gr\u{fc}\u{df}e\n".into() };
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let bytes = compose("me@example.org", &told, "7.abc", "0123", now).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.is_ascii(), "{text}");
        for field in [
            "From: \"mailferry\" <me@example.org>\r\n",
            "To: <me@example.org>\r\n",
            "Message-ID: <mailferry.7.abc@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Mailferry-Notice: 0123\r\n",
        ] {
            assert!(text.contains(field), "{field} in {text}");
        }
        let parsed = mail_parser::MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.subject(), Some("mailferry: Das Konto B\u{fc}ro"));
        assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Gr\u{fc}\u{df}e");
        assert_eq!(parsed.date().unwrap().to_timestamp(), now.timestamp());
    }

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
