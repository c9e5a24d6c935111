//! A config, made ready: accounts, destinations, and what bounds them all together.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{self, Config};
use crate::destination::Destination;
use crate::ledger::{
    self, AccountSetup, Class, Configured, ConfiguredAccount, ConfiguredDestination, DestinationSetup,
    Emptying, Ledger, PollRecord, Polling, Step,
};
use crate::message::{AccountName, DestinationName};
use crate::net::{self, Connectors};
use crate::poll::{self, Account, Budget, Clock, Context, OUTCOMES, Progress, Summary};
use crate::setup::build_destination;
use crate::{providers, schedule};

/// Polls at once, over all hosts.
const POLLS: usize = 64;

/// Polls at once of accounts on one host: more is taken for an attack by some.
const POLLS_A_HOST: usize = 4;

/// KiB of memory for messages in flight, for all polls together.
const BUDGET: usize = 40 << 10;

/// Everything that a poll needs, built from one config.
pub struct Bridge {
    file: PathBuf,
    ledger_path: PathBuf,
    context: Arc<Context>,
    accounts: Accounts,
    limits: Arc<Limits>,
}

/// What all polls share, also those that began under another config.
struct Limits {
    polls: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    budget: Arc<Budget>,
}

/// Why an account cannot be polled though its config is right: this machine has no certificate authorities to trust,
/// or a `ca_file` has just gone.
type Unusable = String;

type Accounts = BTreeMap<AccountName, Result<Arc<Account>, Unusable>>;

/// A poll that has ended.
#[derive(Debug)]
pub struct Polled {
    pub account: AccountName,
    pub outcome: Result<Summary, ledger::Error>,
}

impl Limits {
    fn host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let places = hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(POLLS_A_HOST)));
        Arc::clone(places)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            polls: Arc::new(Semaphore::new(POLLS)),
            hosts: Mutex::default(),
            budget: Arc::new(Budget::new(BUDGET)),
        }
    }
}

impl Bridge {
    /// Builds it, and tells the ledger what is configured.
    ///
    /// # Errors
    /// Only the ledger's. An account or a destination that cannot be built fails by itself.
    pub async fn build(
        config: Config,
        ledger: Arc<Ledger>,
        stop: CancellationToken,
        clock: Clock,
    ) -> Result<Bridge, ledger::Error> {
        Bridge::build_after(&BTreeMap::new(), config, ledger, stop, clock, Arc::default()).await
    }

    /// Builds what takes this one's place. Polls under way go on, but for those of accounts that are no longer what they
    /// were.
    ///
    /// # Errors
    /// As [`Bridge::build`].
    pub async fn rebuild(&self, config: Config) -> Result<Bridge, ledger::Error> {
        let Context { ledger, stop, now, .. } = &*self.context;
        let (ledger, limits) = (Arc::clone(ledger), Arc::clone(&self.limits));
        Bridge::build_after(&self.accounts, config, ledger, stop.clone(), *now, limits).await
    }

    async fn build_after(
        before: &Accounts,
        config: Config,
        ledger: Arc<Ledger>,
        stop: CancellationToken,
        clock: Clock,
        limits: Arc<Limits>,
    ) -> Result<Bridge, ledger::Error> {
        for warning in &config.warnings {
            warn!("{warning}");
        }
        for broken in &config.broken {
            warn!(target: OUTCOMES, account = %broken.name, "{}", broken.reason);
        }
        let broken =
            config.broken.iter().map(|broken| (broken.name.clone(), broken.reason.clone())).collect();
        let unusable = config.destinations.iter().filter_map(|destination| {
            let reason = destination.kind.as_ref().err()?;
            Some((destination.name.clone(), reason.clone()))
        });
        let unusable = unusable.collect();
        let mut connectors = Connectors::default();
        let destination_setups = config.destinations.iter().map(destination_setup).collect();
        let destinations: BTreeMap<DestinationName, Arc<Destination>> = config
            .destinations
            .into_iter()
            .map(|destination| {
                (destination.name.clone(), Arc::new(build_destination(destination, &mut connectors)))
            })
            .collect();
        let to_poll: Vec<_> = config.accounts.into_iter().filter(|account| !account.paused).collect();
        let setups = to_poll.iter().map(account_setup).collect();
        let accounts = to_poll
            .into_iter()
            .map(|account| (account.name.clone(), build_account(account, &mut connectors).map(Arc::new)));
        let accounts = succeed(before, accounts.collect());
        ledger.configure(setups, destination_setups, clock()).await?;
        ledger.note_broken(broken, unusable, clock()).await?;
        ledger.show_subjects(config.web.as_ref().is_some_and(|web| web.subjects)).await?;
        let spool = config.ledger.parent().filter(|folder| !folder.as_os_str().is_empty());
        let context = Context {
            ledger,
            destinations,
            spool: spool.unwrap_or(Path::new(".")).to_owned(),
            budget: Arc::clone(&limits.budget),
            stop,
            now: clock,
            progress: broadcast::channel(256).0,
        };
        Ok(Bridge {
            file: config.file,
            ledger_path: config.ledger,
            context: Arc::new(context),
            accounts,
            limits,
        })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn ledger_path(&self) -> &Path {
        &self.ledger_path
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.context.ledger
    }

    /// In the order of their names.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountName> {
        self.accounts.keys()
    }

    /// `None` also for one that cannot be polled on this machine.
    pub fn account(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.accounts.get(name)?.as_ref().ok()
    }

    /// Whether it is known here: [`Bridge::spawn_poll`] does something with it.
    pub fn polls(&self, name: &AccountName) -> bool {
        self.accounts.contains_key(name)
    }

    /// An IMAP destination, for who puts something there that no account has brought.
    pub fn destination(&self, name: &DestinationName) -> Option<&Arc<Destination>> {
        self.context.destinations.get(name)
    }

    pub fn progress(&self) -> broadcast::Receiver<Progress> {
        self.context.progress.subscribe()
    }

    /// Lets go of connections to destinations that have been idle.
    pub async fn close_idle(&self) {
        for destination in self.context.destinations.values() {
            destination.close_idle().await;
        }
    }

    /// Polls an account as soon as its host and the limit of all polls have a place. An unknown name does nothing.
    pub fn spawn_poll(&self, polls: &mut JoinSet<Polled>, name: &AccountName, regardless: bool) {
        let Some(account) = self.accounts.get(name).cloned() else { return };
        let (context, all) = (Arc::clone(&self.context), Arc::clone(&self.limits.polls));
        let account = match account {
            Ok(account) => account,
            Err(reason) => {
                let name = name.clone();
                polls.spawn(async move {
                    let outcome = record_failure(&context, &name, reason).await;
                    Polled { account: name, outcome }
                });
                return;
            }
        };
        let host = self.limits.host(&account.pop3.peer.host);
        polls.spawn(async move {
            let _host = host.acquire_owned().await.ok();
            let _all = all.acquire_owned().await.ok();
            let outcome = AssertUnwindSafe(poll::poll(&context, &account, regardless)).catch_unwind().await;
            let outcome = match outcome {
                // It concerns this account's rows; others go on.
                Ok(Err(ledger::Error::Statement(text))) => record_fault(&context, &account.name, &text).await,
                Ok(outcome) => outcome,
                Err(panic) => record_fault(&context, &account.name, &what(panic.as_ref())).await,
            };
            Polled { account: account.name.clone(), outcome }
        });
    }
}

fn what(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A fault of ours costs one poll.
async fn record_fault(
    context: &Context,
    account: &AccountName,
    text: &str,
) -> Result<Summary, ledger::Error> {
    context.ledger.panicked(account, (context.now)()).await?;
    let reason = format!("a fault in mailferry ended the poll ({text}); please report it");
    record_failure(context, account, reason).await
}

/// A poll that this machine made impossible.
async fn record_failure(
    context: &Context,
    account: &AccountName,
    reason: String,
) -> Result<Summary, ledger::Error> {
    let error = (Class::Local, reason);
    let now = (context.now)();
    context
        .ledger
        .record_poll(PollRecord {
            account: account.clone(),
            started: now,
            ended: now,
            new: 0,
            delivered: 0,
            deleted: 0,
            bytes: 0,
            error: Some(error.clone()),
            login_refused: false,
            brought_mail: false,
            fails_anew: false,
            next_poll_at: now + TimeDelta::minutes(30),
            no_pipelining: None,
            deletions_cut: 0,
        })
        .await?;
    Ok(Summary { error: Some(error), ..Summary::default() })
}

fn build_account(account: config::Account, connectors: &mut Connectors) -> Result<Account, Unusable> {
    let connector = connectors.connector(&account.pop3.peer).map_err(|error| error.to_string())?;
    Ok(Account {
        name: account.name,
        pop3: account.pop3,
        connector,
        schedule: account.schedule,
        settings: account.poll,
        quirks: account.quirks,
        replaced: CancellationToken::new(),
    })
}

/// Ends the polls under way of accounts that are no longer what they were, before the ledger hears of what they are now:
/// what they list might be taken for the new mailbox, and what they delete is perhaps to stay. An account that is as it was
/// stays in reach of the next such end.
fn succeed(before: &Accounts, mut after: Accounts) -> Accounts {
    for (name, old) in before.iter().filter_map(|(name, old)| Some((name, old.as_ref().ok()?))) {
        match after.get_mut(name) {
            Some(Ok(new)) if new.is_like(old) => {
                let replaced = old.replaced.clone();
                // Nobody else has it yet.
                if let Some(new) = Arc::get_mut(new) {
                    new.replaced = replaced;
                }
            }
            _ => old.replaced.cancel(),
        }
    }
    after
}

/// What the config names, for whoever shows it.
pub fn configured(config: &Config) -> Configured {
    let accounts = config.accounts.iter().map(|account| ConfiguredAccount {
        has_own_file: account.file != config.file,
        by_oauth: account.pop3.login.is_by_oauth(),
        polling: if account.paused { Polling::Paused } else { Polling::On },
        ..at(&account.name, &account.pop3.peer, &account.pop3.user)
    });
    let broken = config.broken.iter().map(|broken| ConfiguredAccount {
        has_own_file: broken.file != config.file,
        polling: Polling::Broken(broken.reason.clone()),
        ..match &broken.mailbox {
            Some((peer, user)) => at(&broken.name, peer, user),
            None => ConfiguredAccount::new(broken.name.clone(), Polling::On),
        }
    });
    let destinations = config.destinations.iter().map(|destination| ConfiguredDestination {
        name: destination.name.clone(),
        kind: destination.word,
        by_oauth: match &destination.kind {
            Ok(config::Kind::Imap(settings)) => settings.login.is_by_oauth(),
            Ok(config::Kind::Gmail(settings)) => settings.login.is_by_oauth(),
            Ok(config::Kind::Webhook(_)) | Err(_) => false,
        },
        broken: destination.kind.as_ref().err().cloned(),
        can_be_edited: destination.can_be_changed(),
        in_the_clear: match &destination.kind {
            Ok(config::Kind::Imap(settings)) => settings.peer.is_in_the_clear(),
            Ok(config::Kind::Webhook(settings)) => settings.is_in_the_clear(),
            // It may be so on this machine only.
            Ok(config::Kind::Gmail(_)) => false,
            Err(_) => false,
        },
    });
    Configured { accounts: accounts.chain(broken).collect(), destinations: destinations.collect() }
}

/// An account at its server.
fn at(name: &AccountName, peer: &net::Settings, user: &str) -> ConfiguredAccount {
    let steps = providers::steps_for_password(&peer.host).into_iter();
    let emptying = match providers::for_host(&peer.host) {
        Some(provider) if provider.ignores_deletion => Emptying::InVain,
        Some(provider) if provider.quirks.hides_retrieved => Emptying::AtOnceOnly,
        _ => Emptying::Possible,
    };
    ConfiguredAccount {
        emptying,
        source: format!("{user} at {}", peer.host),
        in_the_clear: peer.is_in_the_clear(),
        steps: steps.map(|(text, link)| Step { text, link: link.map(str::to_owned) }).collect(),
        ..ConfiguredAccount::new(name.clone(), Polling::On)
    }
}

/// What the ledger is to know of an account.
pub fn account_setup(account: &config::Account) -> AccountSetup {
    AccountSetup {
        name: account.name.clone(),
        source: format!("{}@{}", account.pop3.user, account.pop3.peer.host),
        schedule: account.schedule.text(),
        longest: account.schedule.longest(Utc::now()).max(schedule::LONGEST_BACK_OFF),
        routes: account.poll.routes.iter().map(|route| route.to.clone()).collect(),
    }
}

/// What the ledger is to know of a destination.
pub fn destination_setup(destination: &config::Destination) -> DestinationSetup {
    let fingerprint = match &destination.kind {
        Ok(config::Kind::Imap(settings)) => settings.identity(),
        Ok(config::Kind::Webhook(settings)) => settings.identity(),
        Ok(config::Kind::Gmail(settings)) => settings.identity(),
        Err(_) => String::new(),
    };
    let daily_budget = match &destination.kind {
        Ok(config::Kind::Imap(settings)) => settings.daily_budget,
        Ok(config::Kind::Webhook(_) | config::Kind::Gmail(_)) | Err(_) => None,
    };
    let mailbox = match &destination.kind {
        Ok(config::Kind::Gmail(settings)) => Some(settings.mailbox()),
        Ok(config::Kind::Imap(settings)) => Some(settings.mailbox()),
        Ok(config::Kind::Webhook(_)) | Err(_) => None,
    };
    let (name, kind) = (destination.name.clone(), destination.word);
    DestinationSetup { name, kind, fingerprint, daily_budget, mailbox }
}
