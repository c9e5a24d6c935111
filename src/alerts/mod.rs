//! Tells people what they must know without having to look: once when something has been wrong for a while, once when
//! it is right again. What has been told is in the ledger, so a restart repeats nothing; what could not be told is tried
//! again.
//!
//! | file | holds |
//! |---|---|
//! | `judge` | what is wrong, and since when people must know: no I/O |
//! | `texts` | what they read, in plain words |
//! | `ways` | how they are told: as mail, to a URL, by a command |
//! | `mail` | notices as mail: into which mailbox, and what they look like there |
//! | `heartbeat` | the call to a monitor that misses us when we are silent |

mod heartbeat;
mod judge;
mod mail;
mod texts;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::heartbeat::Heartbeat;
use self::judge::Sight;
use self::ways::{Outlet, Tellers};
use crate::destination::notifier;
use crate::ledger::{self, Configured, Ledger};
use crate::message::{AccountName, DestinationName};
use crate::net::Connectors;

pub use self::mail::{Mailbox, Mailboxes};

/// The config's `[alerts]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long something must have been wrong.
    pub after: Duration,
    /// Who gets notices as mail.
    pub to: Option<To>,
    /// The error says why nothing can be posted: its secret cannot be had.
    pub url: Option<Result<notifier::Settings, String>>,
    pub command: Option<Command>,
    /// Called after each round of polls that went well. May hold a token.
    pub heartbeat: Option<Address>,
}

/// The IMAP destinations that get notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    One(DestinationName),
    /// Each gets those that its own mail is concerned by.
    Each,
}

/// A program that gets the text of a notice; no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
}

/// A web address that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(pub String);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

/// All that telling needs of one config. The default tells nobody.
#[derive(Debug, Default)]
pub struct Plan {
    after: Duration,
    tellers: Tellers,
    heartbeat: Option<notifier::Notifier>,
    configured: Configured,
}

impl Plan {
    /// What cannot be used is left out, with a warning.
    pub fn new(
        settings: Option<Settings>,
        mailboxes: Mailboxes,
        configured: Configured,
        connectors: &mut Connectors,
    ) -> Plan {
        let after = settings.as_ref().map_or(Duration::MAX, |settings| settings.after);
        let address = settings.as_ref().and_then(|settings| settings.heartbeat.clone());
        let heartbeat = address.and_then(|Address(url)| {
            let notifier = notifier::Notifier::new(&url, None, connectors);
            notifier.map_err(|why| warn!("alerts.heartbeat cannot be used: {why}")).ok()
        });
        Plan { after, tellers: Tellers::new(settings, mailboxes, connectors), heartbeat, configured }
    }
}

/// At least so long between two looks, however many polls end.
const BREATH: Duration = Duration::from_secs(1);

/// At most so long, for what changes by the mere passing of time.
const LOOK: Duration = Duration::from_secs(15);

/// The accounts whose polls are under way.
pub type UnderWay = BTreeSet<AccountName>;

/// Looks after each poll and now and then, until `stop` is cancelled or the ledger cannot be used any more. What is
/// being told then is told to its end, so that it is not told again.
pub async fn run(
    ledger: Arc<Ledger>,
    plan: watch::Receiver<Arc<Plan>>,
    under_way: watch::Receiver<UnderWay>,
    polled: Arc<Notify>,
    stop: CancellationToken,
) {
    let (mut alerts, mut is_failing) = (Alerts::default(), false);
    while !stop.is_cancelled() {
        let (planned, running) = (plan.borrow().clone(), under_way.borrow().clone());
        match alerts.turn(&ledger, &planned, &running, Utc::now()).await {
            Ok(()) => is_failing = false,
            // Whoever runs the polls will say so.
            Err(_) if ledger.failed().now_or_never().is_some() => return,
            Err(error) => {
                if !mem::replace(&mut is_failing, true) {
                    warn!(%error, "nobody can be told what is wrong at present; it is tried again");
                }
            }
        }
        let pause = async {
            tokio::time::sleep(BREATH).await;
            let _ = tokio::time::timeout(LOOK, polled.notified()).await;
        };
        stop.run_until_cancelled(pause).await;
    }
}

/// How often mailboxes are looked at: they fill up slowly, and it reads much of the ledger.
const MAILBOXES: Duration = Duration::from_secs(24 * 3600);

/// Most tellers that are used at the same time: each may need a connection.
const AT_ONCE: usize = 16;

/// What is remembered from one look to the next; what must outlive the process is in the ledger.
#[derive(Debug, Default)]
pub struct Alerts {
    outlets: BTreeMap<ways::Address, Outlet>,
    heartbeat: Heartbeat,
    mailboxes_at: Option<Instant>,
}

impl Alerts {
    /// Looks how everything is, notes what has changed, and tells what is to be told.
    ///
    /// # Errors
    /// Only the ledger's.
    pub async fn turn(
        &mut self,
        ledger: &Ledger,
        plan: &Plan,
        under_way: &UnderWay,
        now: DateTime<Utc>,
    ) -> Result<(), ledger::Error> {
        let ways = plan.tellers.ways();
        if ways.is_empty() && plan.heartbeat.is_none() {
            return Ok(());
        }
        let health = ledger.health().await?;
        let beat = self.heartbeat.beat(plan.heartbeat.as_ref(), &health, &plan.configured, under_way, now);
        let told = async {
            if ways.is_empty() {
                return Ok(());
            }
            self.mailboxes_at = self.mailboxes_at.filter(|at| at.elapsed() < MAILBOXES);
            let hoards = match self.mailboxes_at {
                Some(_) => None,
                None => Some(judge::hoards(ledger).await?),
            };
            self.mailboxes_at.get_or_insert_with(Instant::now);
            let sight = Sight { health: &health, hoards: hoards.as_deref(), configured: &plan.configured };
            let (changes, parked) = (judge::changes(&sight, plan.after, now), judge::parked(&sight));
            if !changes.is_empty() || !parked.is_empty() {
                ledger.note_troubles(changes, parked, ways, now).await?;
            }
            let waiting = plan.tellers.waiting(ledger, now).await?;
            let mut telling = Vec::with_capacity(waiting.len());
            for (address, (teller, notices)) in waiting {
                let mut outlet = self.outlets.remove(&address).unwrap_or_default();
                telling.push(async move {
                    let told = outlet.empty(address.0, teller, notices, ledger, now).await;
                    (address, outlet, told)
                });
            }
            let mut told = Ok(());
            let mut telling = stream::iter(telling).buffer_unordered(AT_ONCE);
            while let Some((address, outlet, outcome)) = telling.next().await {
                self.outlets.insert(address, outlet);
                told = told.and(outcome);
            }
            told
        };
        let ((), told) = tokio::join!(beat, told);
        told
    }
}
