//! Tells people what they must know without having to look: once when something has been wrong for a while, once when
//! it is right again. What has been told is in the ledger, so a restart repeats nothing; what could not be told is tried
//! again.
//!
//! | file | holds |
//! |---|---|
//! | `judge` | what is wrong, and since when people must know: no I/O |
//! | `texts` | what they read, in plain words |
//! | `outlets` | when they are told: each way by itself, and not all the time |
//! | `ways` | how they are told: as mail, to a URL, by a command |
//! | `mail` | notices as mail: into which mailbox, and what they look like there |
//! | `heartbeat` | the call to a monitor that misses us when we are silent |

mod heartbeat;
mod judge;
mod mail;
mod outlets;
mod texts;
mod ways;

use std::collections::BTreeSet;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::heartbeat::Heartbeat;
use self::judge::Sight;
use self::ways::Tellers;
use crate::destination::notifier;
use crate::ledger::{self, Configured, Health, Ledger, Way};
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
    /// Called after each round of polls that went well, and left nothing to a destination that is down. May hold a token.
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

/// Looks what is wrong and tells it, until `stop` is cancelled or the ledger cannot be used any more: two tasks, so that who
/// is slow to be told holds up no look. What is being told then is told to its end, so that it is not told again.
pub async fn run(
    ledger: Arc<Ledger>,
    plan: watch::Receiver<Arc<Plan>>,
    under_way: watch::Receiver<UnderWay>,
    polled: Arc<Notify>,
    stop: CancellationToken,
) {
    let news = Notify::new();
    let looking = look(&ledger, &plan, &under_way, &polled, &news, &stop);
    tokio::join!(looking, outlets::run(&ledger, plan.clone(), &news, &stop));
}

/// Looks after each poll and now and then.
async fn look(
    ledger: &Ledger,
    plan: &watch::Receiver<Arc<Plan>>,
    under_way: &watch::Receiver<UnderWay>,
    polled: &Notify,
    news: &Notify,
    stop: &CancellationToken,
) {
    let (mut sentry, mut is_failing) = (Sentry::default(), false);
    while !stop.is_cancelled() {
        let (planned, running) = (plan.borrow().clone(), under_way.borrow().clone());
        let turn = sentry.turn(ledger, &planned, &running, news, Utc::now());
        let reason = match AssertUnwindSafe(turn).catch_unwind().await {
            Ok(Ok(())) => None,
            // Whoever runs the polls will say so.
            Ok(Err(_)) if ledger.failed().now_or_never().is_some() => return,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a fault in mailferry; please report it".to_owned()),
        };
        let was_failing = mem::replace(&mut is_failing, reason.is_some());
        if let Some(error) = reason.filter(|_| !was_failing) {
            warn!(%error, "what is wrong cannot be seen at present; it is tried again");
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

/// What is remembered from one look to the next; what must outlive the process is in the ledger.
#[derive(Debug, Default)]
struct Sentry {
    heartbeat: Heartbeat,
    mailboxes_at: Option<Instant>,
}

impl Sentry {
    /// Looks how everything is, notes what has changed, and says so to who tells it.
    ///
    /// # Errors
    /// Only the ledger's.
    async fn turn(
        &mut self,
        ledger: &Ledger,
        plan: &Plan,
        under_way: &UnderWay,
        news: &Notify,
        now: DateTime<Utc>,
    ) -> Result<(), ledger::Error> {
        let ways = plan.tellers.ways();
        if ways.is_empty() && plan.heartbeat.is_none() {
            return Ok(());
        }
        let health = ledger.health().await?;
        let noted = async {
            if !ways.is_empty() {
                note(&mut self.mailboxes_at, ledger, plan, ways, &health, now).await?;
                news.notify_one();
            }
            Ok(())
        };
        let beat = self.heartbeat.beat(plan.heartbeat.as_ref(), &health, &plan.configured, under_way, now);
        let ((), noted) = tokio::join!(beat, noted);
        noted
    }
}

/// Notes what has changed.
async fn note(
    mailboxes_at: &mut Option<Instant>,
    ledger: &Ledger,
    plan: &Plan,
    ways: Vec<Way>,
    health: &Health,
    now: DateTime<Utc>,
) -> Result<(), ledger::Error> {
    *mailboxes_at = mailboxes_at.filter(|at| at.elapsed() < MAILBOXES);
    let hoards = match mailboxes_at {
        Some(_) => None,
        None => Some(judge::hoards(ledger).await?),
    };
    mailboxes_at.get_or_insert_with(Instant::now);
    let sight = Sight { health, hoards: hoards.as_deref(), configured: &plan.configured };
    let changes = judge::changes(&sight, plan.after, now);
    let (parked, outdated) = (judge::parked(&sight), judge::outdated(&sight));
    if changes.is_empty() && parked.is_empty() && outdated.is_empty() {
        return Ok(());
    }
    ledger.note_troubles(changes, parked, outdated, ways, now).await
}
