//! The process: builds the bridge from its config, polls whoever is due, reloads, and stops in order.

mod bridge;
mod page;
mod requests;
mod telling;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{self, Config};
use crate::ledger::{self, Configured, Ledger, Terms, answer_of};
use crate::message::AccountName;
use crate::metrics::{Counts, Metrics};
use crate::poll::Summary;
use crate::{alerts, poll, schedule, setup, web};

pub use bridge::{Bridge, Polled, account_setup, configured, destination_setup};
use page::Page;
pub use page::acceptor;
use requests::Requests;
pub use requests::{Answer, PATIENCE};
use telling::Telling;

/// How soon a request of another process is seen.
const LOOK_FOR_REQUESTS: Duration = Duration::from_millis(500);

/// How much later than it happens a change may show in the agenda.
const AGENDA_LAG: Duration = Duration::from_millis(200);

/// The longest that the daemon sleeps, whatever the agenda says.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// How long an ordered stop waits for batches under way.
const GRACE: Duration = Duration::from_secs(30);

/// How long an ordered stop waits for what people are being told.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The least time between two polls of one account, whatever wakes it: a fault of ours must not become a storm.
const BREATH: TimeDelta = TimeDelta::seconds(5);

/// Runs until `stop` is cancelled, then stops in order: no new batch, deletions of what was delivered, the ledger
/// closed.
///
/// # Errors
/// A config that cannot be used ([`config::Faults`]), a ledger that cannot be ([`ledger::Error`]), now or later.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let ledger = Arc::new(hold(&config.ledger).await?);
    let (show, telling) = (Show::of(&config), Telling::of(&config));
    let page = Page::open(&config, &show, &stop).await?;
    let log = config.log;
    let bridge = Bridge::build(config, Arc::clone(&ledger), stop.clone(), Utc::now).await?;
    show.plan.send_replace(Arc::new(telling.plan(&bridge)));
    let (plan, under_way) = (show.plan.subscribe(), show.under_way.subscribe());
    let alerts = alerts::run(Arc::clone(&ledger), plan, under_way, Arc::clone(&show.polled), stop.clone());
    let alerts = tokio::spawn(alerts);
    info!(config = %bridge.file().display(), accounts = bridge.accounts().count(), "started");
    notify(&[sd_notify::NotifyState::Ready]);
    let mut daemon = Daemon::new(bridge, show, page, log, stop.clone());
    let outcome = daemon.run().await;
    notify(&[sd_notify::NotifyState::Stopping]);
    stop.cancel();
    daemon.page.end().await;
    drop(daemon);
    end(alerts).await;
    let closed = match Arc::try_unwrap(ledger) {
        Ok(ledger) => ledger.close().await,
        Err(_) => Ok(()),
    };
    info!("stopped");
    outcome.and(closed.map_err(Into::into))
}

/// What others go by who work beside the polls: the page, the monitor's counts, and those who tell people.
struct Show {
    /// What the page shows of the config.
    configured: watch::Sender<Configured>,
    live: watch::Sender<web::Live>,
    metrics: Arc<Metrics>,
    /// How people are told.
    plan: watch::Sender<Arc<alerts::Plan>>,
    /// The polls under way.
    under_way: watch::Sender<alerts::UnderWay>,
    /// A poll has ended.
    polled: Arc<Notify>,
}

impl Show {
    fn of(config: &Config) -> Show {
        Show {
            configured: watch::Sender::new(configured(config)),
            live: watch::Sender::default(),
            metrics: Arc::new(Metrics::new(Utc::now())),
            plan: watch::Sender::default(),
            under_way: watch::Sender::default(),
            polled: Arc::default(),
        }
    }

    /// A poll begins.
    fn begin(&self, name: &AccountName) {
        self.live.send_modify(|live| live.begin(name));
        self.under_way.send_if_modified(|under_way| under_way.insert(name.clone()));
    }

    /// A poll has ended.
    fn end(&self, name: &AccountName, summary: &Summary) {
        self.live.send_modify(|live| live.end(name));
        self.under_way.send_if_modified(|under_way| under_way.remove(name));
        self.metrics.end(name, &counts(summary), summary.took);
        self.polled.notify_one();
    }

    /// Passes on what polls of `bridge` tell, for as long as one can.
    fn follow(&self, bridge: &Bridge) {
        let (mut progress, live) = (bridge.progress(), self.live.clone());
        tokio::spawn(async move {
            loop {
                match progress.recv().await {
                    Ok(poll::Progress { account, deliveries, done, .. }) => {
                        live.send_modify(|live| live.progress(&account, deliveries, done, Utc::now()));
                    }
                    // What was missed is older than what comes next.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                }
            }
        });
    }
}

/// Takes the ledger, on the terms that all polls go by.
///
/// # Errors
/// [`ledger::Error::Locked`] where another process has it, or any other.
pub async fn hold(ledger: &Path) -> Result<Ledger, ledger::Error> {
    Ledger::hold(ledger, terms(), Utc::now()).await
}

/// When what failed is tried again, and when what was not found is believed to be absent.
pub fn terms() -> Terms {
    Terms {
        retry_after: |failures| schedule::retry_after(failures, fastrand::f64()),
        absent_after: ABSENT_AFTER,
    }
}

/// A message whose answer was lost is believed not to have arrived when it is still not there so long after its last
/// byte: servers have been seen to show one only then.
const ABSENT_AFTER: Duration = Duration::from_secs(30);

struct Daemon {
    bridge: Bridge,
    /// A reload cannot change it.
    ledger_path: PathBuf,
    /// Nor how the log is kept.
    log: config::Log,
    page: Page,
    show: Show,
    stop: CancellationToken,
    polls: JoinSet<Polled>,
    /// Whose poll is under way, and whether a request waits for it.
    running: HashMap<AccountName, Vec<i64>>,
    /// When each account is due, from the ledger.
    agenda: BTreeMap<AccountName, DateTime<Utc>>,
    /// When the agenda is to be made anew, because something happened.
    agenda_stale_at: Option<Instant>,
    /// Until when each account is left in peace, whatever wakes it.
    not_before: HashMap<AccountName, DateTime<Utc>>,
    requests: Requests,
    reload: Reload,
}

/// The config as it is read again, beside the polls: its passwords may come from commands, which take their time.
#[derive(Default)]
struct Reload {
    reading: Option<JoinHandle<Result<Config, config::Faults>>>,
    /// Requests that wait for it.
    waiting: Vec<i64>,
    /// What was asked for since: it may concern what had been read already.
    next: Option<Vec<i64>>,
}

impl Reload {
    fn begin(&mut self, file: &Path, requests: Vec<i64>) {
        if self.reading.is_some() {
            self.next.get_or_insert_default().extend(requests);
            return;
        }
        let file = file.to_owned();
        self.reading = Some(tokio::spawn(async move { setup::load(&file).await }));
        self.waiting = requests;
    }

    /// What has been read, as soon as it has.
    async fn read(&mut self) -> Result<Result<Config, config::Faults>, tokio::task::JoinError> {
        match &mut self.reading {
            Some(reading) => reading.await,
            None => std::future::pending().await,
        }
    }

    /// Returns the requests that waited.
    fn end(&mut self) -> Vec<i64> {
        self.reading = None;
        std::mem::take(&mut self.waiting)
    }
}

impl Daemon {
    fn new(bridge: Bridge, show: Show, page: Page, log: config::Log, stop: CancellationToken) -> Daemon {
        show.follow(&bridge);
        Daemon {
            ledger_path: bridge.ledger_path().to_owned(),
            log,
            bridge,
            page,
            show,
            stop,
            polls: JoinSet::new(),
            running: HashMap::new(),
            agenda: BTreeMap::new(),
            agenda_stale_at: Some(Instant::now()),
            not_before: HashMap::new(),
            requests: Requests::default(),
            reload: Reload::default(),
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup()).context("no SIGHUP to be had")?;
        let mut look = tokio::time::interval(LOOK_FOR_REQUESTS);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut watchdog = tokio::time::interval(watchdog_period());
        // What was asked for while nobody was there to do it.
        self.take_requests().await?;
        loop {
            let wake = self.start_due().await?;
            tokio::select! {
                () = self.stop.cancelled() => break,
                error = self.bridge.ledger().failed() => return Err(error.into()),
                Some(finished) = self.polls.join_next() => self.finish(finished?).await?,
                _ = hangup.recv() => self.begin_reload(Vec::new()),
                read = self.reload.read() => self.end_reload(read?).await?,
                _ = look.tick() => self.take_requests().await?,
                () = tokio::time::sleep(wake) => {}
                _ = watchdog.tick() => {
                    // The watchdog asks the ledger, not just whether this loop turns.
                    self.bridge.ledger().agenda(Utc::now()).await?;
                    notify(&[sd_notify::NotifyState::Watchdog]);
                    self.bridge.close_idle().await;
                }
            }
        }
        self.drain().await
    }

    /// Starts the polls that are due, and says how long nothing else will be.
    async fn start_due(&mut self) -> anyhow::Result<Duration> {
        let now = Utc::now();
        let mut wake = LONGEST_SLEEP;
        match self.agenda_stale_at {
            Some(at) if at <= Instant::now() => {
                self.agenda = self.make_agenda(now).await?;
                self.agenda_stale_at = None;
            }
            Some(at) => wake = at - Instant::now(),
            None => {}
        }
        let mut due = Vec::new();
        for (name, due_at) in self.requests.before(&self.agenda) {
            match (due_at - now).to_std() {
                _ if self.running.contains_key(name) => {}
                Ok(later) if !later.is_zero() => wake = wake.min(later),
                _ => due.push(name.clone()),
            }
        }
        for name in due {
            let waiting = self.requests.start(&name);
            if !self.bridge.polls(&name) {
                // A reload has taken it away.
                self.requests.refuse(self.bridge.ledger(), waiting).await?;
                continue;
            }
            self.bridge.spawn_poll(&mut self.polls, &name, !waiting.is_empty());
            self.show.begin(&name);
            self.running.insert(name, waiting);
        }
        Ok(wake)
    }

    /// Something happened that moves the times of accounts. With thousands of them something always does, so the agenda
    /// is not made anew each time.
    fn agenda_has_changed(&mut self, soon: Duration) {
        let at = Instant::now() + soon;
        self.agenda_stale_at = Some(self.agenda_stale_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Mail that waits for a destination wakes its account before the schedule does; an account that fails is left
    /// to its back-off.
    async fn make_agenda(
        &self,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<AccountName, DateTime<Utc>>, ledger::Error> {
        let agenda = self.bridge.ledger().agenda(now).await?;
        let due_at = |entry: &ledger::Agenda| {
            if entry.next_poll_at - now > self.longest_wait(&entry.account, now) {
                // The clock was set back since it was planned.
                return now;
            }
            let work_at = entry.work_at.filter(|_| !entry.failing);
            let early = [work_at, entry.look_up_at].into_iter().flatten().min();
            let not_before = self.not_before.get(&entry.account).map_or(now, |until| *until);
            early.map_or(entry.next_poll_at, |early| entry.next_poll_at.min(early.max(not_before)))
        };
        Ok(agenda.into_iter().map(|entry| (entry.account.clone(), due_at(&entry))).collect())
    }

    fn longest_wait(&self, name: &AccountName, now: DateTime<Utc>) -> TimeDelta {
        let schedule = self.bridge.account(name).map(|account| account.schedule.longest(now));
        let longest = schedule.unwrap_or_default().max(schedule::LONGEST_BACK_OFF);
        TimeDelta::from_std(longest).unwrap_or(TimeDelta::MAX)
    }

    async fn finish(&mut self, polled: Polled) -> anyhow::Result<()> {
        let summary = polled.outcome?;
        let name = polled.account;
        self.show.end(&name, &summary);
        let waiting = self.running.remove(&name).unwrap_or_default();
        let login_delay = summary.login_delay.and_then(|delay| TimeDelta::from_std(delay).ok());
        self.not_before.insert(name.clone(), Utc::now() + login_delay.unwrap_or_default().max(BREATH));
        // Its old time has passed; the ledger has the new one.
        self.agenda.remove(&name);
        self.agenda_has_changed(AGENDA_LAG);
        if !waiting.is_empty() {
            let look_up_at = self.look_up_at(&name).await?;
            self.requests.finish(self.bridge.ledger(), &name, &summary, waiting, look_up_at).await?;
        }
        Ok(())
    }

    /// The account's next look-up that is worth waiting for.
    async fn look_up_at(&self, name: &AccountName) -> Result<Option<DateTime<Utc>>, ledger::Error> {
        let now = Utc::now();
        let agenda = self.bridge.ledger().agenda(now).await?;
        let entry = agenda.into_iter().find(|entry| entry.account == *name);
        Ok(entry.and_then(|entry| entry.look_up_at).filter(|at| *at < now + PATIENCE))
    }

    async fn take_requests(&mut self) -> anyhow::Result<()> {
        let known = |name: &AccountName| self.bridge.polls(name);
        let running = |name: &AccountName| self.running.contains_key(name);
        let taken = self.requests.take(self.bridge.ledger(), known, running).await?;
        if taken.changed {
            self.agenda_has_changed(Duration::ZERO);
        }
        if !taken.reload.is_empty() {
            self.begin_reload(taken.reload);
        }
        Ok(())
    }

    /// Begins to read the config again, for these requests.
    fn begin_reload(&mut self, requests: Vec<i64>) {
        if self.reload.reading.is_none() {
            notify(&[sd_notify::NotifyState::Reloading]);
        }
        self.reload.begin(self.bridge.file(), requests);
    }

    /// The config has been read again: takes it over, and answers those who asked for it.
    async fn end_reload(&mut self, read: Result<Config, config::Faults>) -> anyhow::Result<()> {
        let outcome = self.take_over(read).await?;
        let answer = answer_of(outcome.as_ref().map(|()| "").map_err(String::as_str));
        for request in self.reload.end() {
            self.bridge.ledger().answer_request(request, answer.clone()).await?;
        }
        if let Some(requests) = self.reload.next.take() {
            self.reload.begin(self.bridge.file(), requests);
        } else {
            notify(&[sd_notify::NotifyState::Ready]);
        }
        Ok(())
    }

    /// Takes over a changed config. Polls of accounts that stay as they are go on; a broken config changes nothing, and what
    /// is wrong with it is returned.
    async fn take_over(
        &mut self,
        read: Result<Config, config::Faults>,
    ) -> anyhow::Result<Result<(), String>> {
        Ok(match read {
            Ok(mut config) => {
                if config.ledger != self.ledger_path {
                    warn!("`ledger` has changed: that takes effect after a restart");
                    config.ledger.clone_from(&self.ledger_path);
                }
                if config.log != self.log {
                    warn!("`[log]` has changed: that takes effect after a restart");
                }
                self.page.take_over(&config).await;
                self.show.configured.send_replace(configured(&config));
                let telling = Telling::of(&config);
                self.bridge = self.bridge.rebuild(config).await?;
                self.show.follow(&self.bridge);
                self.show.plan.send_replace(Arc::new(telling.plan(&self.bridge)));
                self.agenda_has_changed(Duration::ZERO);
                info!(config = %self.bridge.file().display(), accounts = self.bridge.accounts().count(), "reloaded");
                Ok(())
            }
            Err(faults) => {
                for fault in faults.to_string().lines() {
                    error!("{fault}");
                }
                error!("the config was not reloaded; the old one goes on");
                Err(faults.to_string())
            }
        })
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        info!(polls = self.polls.len(), "stopping");
        let finishing = async {
            while let Some(finished) = self.polls.join_next().await {
                finished?.outcome?;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(GRACE, finishing).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Whatever was in the air is looked up at the next start.
                warn!("polls still under way after {} s are broken off", GRACE.as_secs());
                self.polls.shutdown().await;
                Ok(())
            }
        }
    }
}

/// Lets what is being told be told, for a while: what works with the ledger would keep it from being closed. A mail that is
/// broken off is looked for at the next start.
async fn end(mut alerts: JoinHandle<()>) {
    if tokio::time::timeout(LAST_WORDS, &mut alerts).await.is_err() {
        alerts.abort();
        let _ = alerts.await;
    }
}

fn counts(summary: &Summary) -> Counts {
    Counts {
        polls: 1,
        failed: u64::from(summary.error.is_some()),
        new: summary.new,
        delivered: summary.delivered,
        put_off: summary.put_off,
        parked: summary.parked,
        deleted: summary.deleted,
        bytes: summary.bytes,
    }
}

/// Half of what systemd allows (WATCHDOG_USEC), and a minute where it does not watch.
fn watchdog_period() -> Duration {
    sd_notify::watchdog_enabled().map_or(Duration::from_secs(60), |allowed| allowed / 2)
}

/// Tells systemd, where there is one.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
