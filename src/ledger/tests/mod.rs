//! A mailbox that changes, a ledger beside it, and what is sent: each test says what must not happen.

mod adopting;
mod alerts;
mod deleting;
mod file;
mod identity;
mod page;
mod parts;
mod people;
mod sending;
mod starting;
mod unknown;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::message::{
    Content, DestinationName, Found, Gist, LeaveCopy, Listed, Listing, Mark, Receipt, Uidl, Verdict,
};

/// UIDL, size according to LIST, text.
type Mailbox<'a> = Vec<(&'a str, u64, &'a str)>;

struct House {
    folder: TempDir,
    ledger: Ledger,
    now: DateTime<Utc>,
    routes: Vec<&'static str>,
    leave_copy: LeaveCopy,
    source: &'static str,
    fingerprint: &'static str,
    uid_validity: u32,
    next_uid: u32,
}

fn account() -> AccountName {
    AccountName::new("work").unwrap()
}

fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

/// Without jitter, and short: 5 s, 5 min, then parked.
fn terms() -> Terms {
    let retry_after = |failures| match failures {
        1 => Some(Duration::from_secs(5)),
        2 => Some(Duration::from_secs(300)),
        _ => None,
    };
    Terms { retry_after, absent_after: Duration::from_secs(30) }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("mailferry.db")
}

fn content(text: &str) -> Content {
    Content(Sha256::digest(text).into())
}

fn listing(mailbox: &Mailbox<'_>) -> Listing {
    let mut listing = Listing::default();
    for (number, (uidl, size, _)) in (1..).zip(mailbox) {
        listing.push(Listed { number, uidl: uidl.as_bytes(), size: Some(*size) }).unwrap();
    }
    listing
}

fn rejected(counts_for_destination: bool) -> Verdict {
    Verdict::Rejected { reason: "552 no".into(), park_after: 3, counts_for_destination }
}

fn deferred() -> Verdict {
    Verdict::Deferred { reason: "451 later".into(), retry_after: None, counts_for_destination: false }
}

/// What an endpoint says that is down, or that cannot take this one message.
fn busy(retry_after: Option<Duration>) -> Verdict {
    Verdict::Deferred { reason: "HTTP 503; later".into(), retry_after, counts_for_destination: true }
}

fn unreachable() -> Verdict {
    Verdict::Unreachable { reason: "no connection".into(), retry_after: None }
}

fn unknown() -> Verdict {
    Verdict::Unknown { reason: "connection lost".into() }
}

impl House {
    /// An account `work` whose mail goes to `home`, an IMAP folder; there is also `app`, a webhook.
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        House::at(folder, now).await
    }

    async fn at(folder: TempDir, now: DateTime<Utc>) -> House {
        let ledger = Ledger::hold(&file(&folder), terms(), now).await.unwrap();
        let mut house = House {
            folder,
            ledger,
            now,
            routes: vec!["home"],
            leave_copy: LeaveCopy::Forever,
            source: "me@pop",
            fingerprint: "as it is",
            uid_validity: 7,
            next_uid: 1,
        };
        house.configure().await;
        house
    }

    async fn configure(&mut self) {
        self.ledger.configure(vec![self.setup()], self.destination_setups(), self.now).await.unwrap();
    }

    fn setup(&self) -> AccountSetup {
        AccountSetup {
            name: account(),
            source: self.source.into(),
            schedule: "5m".into(),
            longest: Duration::from_secs(6 * 3600),
            routes: self.destinations(),
        }
    }

    fn destination_setups(&self) -> Vec<DestinationSetup> {
        let destinations = [("home", "imap"), ("app", "webhook")].map(|(name, kind)| DestinationSetup {
            name: destination(name),
            kind,
            fingerprint: self.fingerprint.into(),
            daily_budget: None,
            // Two names of one mailbox.
            mailbox: Some("me@gmail.com".into()),
        });
        destinations.into()
    }

    fn destinations(&self) -> Vec<DestinationName> {
        self.routes.iter().copied().map(destination).collect()
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// What a kill leaves behind, found by the next process.
    async fn crashed(&self) -> House {
        let folder = tempfile::tempdir().unwrap();
        for name in ["mailferry.db", "mailferry.db-wal"] {
            std::fs::copy(self.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        let ledger = Ledger::hold(&file(&folder), terms(), self.now).await.unwrap();
        House {
            folder,
            ledger,
            now: self.now,
            routes: self.routes.clone(),
            leave_copy: self.leave_copy,
            source: self.source,
            fingerprint: self.fingerprint,
            uid_validity: self.uid_validity,
            next_uid: self.next_uid,
        }
    }

    async fn intake(&self, mailbox: &Mailbox<'_>) -> Intake {
        Intake {
            account: account(),
            epoch: self.ledger.past(&account()).await.map_or(1, |past| past.epoch),
            routes: self.destinations(),
            folders: self.routes.iter().map(|_| "INBOX".to_owned()).collect(),
            config_text: String::new(),
            listing: Arc::new(listing(mailbox)),
            unchanged: false,
            shortcut: None,
            is_recent: false,
            past_is_unknown: false,
            fresh: None,
            now: self.now,
        }
    }

    async fn take_in(&self, intake: Intake) -> TakenIn {
        self.ledger.take_in(intake).await.unwrap().expect("the account is what it was")
    }

    async fn list(&self, mailbox: &Mailbox<'_>) -> TakenIn {
        self.take_in(self.intake(mailbox).await).await
    }

    fn ask(&self) -> Ask {
        Ask { account: account(), routes: self.destinations(), limit: 1000, regardless: false }
    }

    async fn due(&self) -> Vec<Due> {
        self.ledger.due(&self.ask(), self.now).await.unwrap()
    }

    async fn identify(&self, due: &Due, text: &str) -> Identity {
        self.identify_all(&[(due.id, text)]).await.remove(0)
    }

    async fn identify_all(&self, retrieved: &[(MessageId, &str)]) -> Vec<Identity> {
        let retrieved = retrieved.iter().map(|(id, text)| Retrieved {
            id: *id,
            content: content(text),
            header: content("header"),
            octets: text.len() as u64,
        });
        self.ledger.identify(retrieved.collect(), &self.ask(), self.now).await.unwrap()
    }

    fn mark(&self) -> Mark {
        Mark {
            folder: "INBOX".into(),
            uid_validity: self.uid_validity,
            uid_next: self.next_uid,
            octets: 9,
            hash: [1; 32],
            message_id: Some("<a@b>".into()),
            gist: None,
        }
    }

    async fn attempt(&self, delivery: DeliveryId) {
        self.attempt_as(delivery, self.mark()).await;
    }

    async fn attempt_as(&self, delivery: DeliveryId, mark: Mark) {
        let attempt = Attempt { delivery, mark, unverified: false };
        self.ledger.attempting(vec![attempt], self.now).await.unwrap();
    }

    fn stored(&mut self) -> Verdict {
        let receipt = Receipt::Uid { uid_validity: self.uid_validity, uid: self.next_uid };
        self.next_uid += 1;
        Verdict::Delivered { receipt }
    }

    async fn settle(&self, name: &str, verdicts: Vec<(DeliveryId, Verdict)>) -> Vec<Settled> {
        self.ledger.settle(&destination(name), verdicts, self.leave_copy, self.now).await.unwrap().deliveries
    }

    /// Attempts what is due of one message at one destination, with this outcome.
    async fn outcome(&mut self, delivery: &DueDelivery, verdict: Verdict) -> Settled {
        self.attempt(delivery.id).await;
        self.settle(delivery.destination.as_str(), vec![(delivery.id, verdict)]).await.remove(0)
    }

    /// A whole poll in which every destination takes all. Returns what was sent, as `destination: text`.
    async fn poll(&mut self, mailbox: &Mailbox<'_>) -> Vec<String> {
        self.list(mailbox).await;
        self.send_due(mailbox).await
    }

    async fn send_due(&mut self, mailbox: &Mailbox<'_>) -> Vec<String> {
        self.send_due_as(mailbox, House::stored).await
    }

    async fn send_due_as(
        &mut self,
        mailbox: &Mailbox<'_>,
        verdict: fn(&mut House) -> Verdict,
    ) -> Vec<String> {
        let due = self.due().await;
        let mut bearers: HashMap<Uidl, VecDeque<&str>> = HashMap::new();
        for (uidl, _, text) in mailbox {
            bearers.entry(Uidl::new(uidl.as_bytes())).or_default().push_back(text);
        }
        let retrieved: Vec<(MessageId, &str)> = due
            .iter()
            .map(|due| (due.id, bearers.get_mut(&due.uidl).unwrap().pop_front().unwrap()))
            .collect();
        let ids: Vec<MessageId> = retrieved.iter().map(|(id, _)| *id).collect();
        self.ledger.open_batch(&ids).await.unwrap();
        let mut sent = Vec::new();
        for (identity, (_, text)) in self.identify_all(&retrieved).await.iter().zip(retrieved) {
            for delivery in &identity.deliveries {
                sent.push(format!("{}: {text}", delivery.destination));
                let verdict = verdict(self);
                self.outcome(delivery, verdict).await;
            }
            self.ledger.close_batch(&[identity.id]).await.unwrap();
        }
        sent
    }

    fn record(&self, error: Option<(Class, String)>) -> PollRecord {
        PollRecord {
            account: account(),
            started: self.now,
            ended: self.now,
            new: 1,
            delivered: 1,
            deleted: 0,
            bytes: 42,
            error,
            login_refused: false,
            brought_mail: false,
            fails_anew: false,
            next_poll_at: self.now,
            no_pipelining: None,
            deletions_cut: 0,
        }
    }

    /// Class and text of what people are told of the account.
    async fn error(&self) -> Option<(String, String)> {
        let mut status = self.ledger.report().status().await.unwrap();
        status.accounts.remove(0).error.map(|error| (error.class.clone(), error.to_string()))
    }

    /// A value out of the ledger itself.
    async fn value(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.ledger.readers).await.unwrap()
    }
}

/// `nothing` reads better than an empty list of strings.
fn nothing() -> Vec<String> {
    Vec::new()
}
