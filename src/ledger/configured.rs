//! The config's side of the status: what it names is shown whether the ledger knows it or not, and nothing else is.

use std::collections::HashMap;

use super::{AccountStatus, DestinationStatus, Failure, Status};
use crate::message::{AccountName, DestinationName};

/// All that the config names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    pub accounts: Vec<ConfiguredAccount>,
    pub destinations: Vec<ConfiguredDestination>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredAccount {
    pub name: AccountName,
    /// The user and the host; empty where the file of this account cannot be understood.
    pub source: String,
    /// It stands in a file of its own, which mailferry may change.
    pub has_own_file: bool,
    /// Somebody signs in for it at its provider: it has no password.
    pub by_oauth: bool,
    /// Its password and its mail cross a network unencrypted.
    pub in_the_clear: bool,
    /// What its provider wants before it accepts a password, where that is known.
    pub steps: Vec<Step>,
    pub emptying: Emptying,
    pub polling: Polling,
}

/// What a person has to do at a provider: a sentence or two, and the provider's own page for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub text: String,
    pub link: Option<String>,
}

/// Whether delivered mail can be deleted at its source by who polls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emptying {
    #[default]
    Possible,
    /// Not later than it is retrieved: from then on its provider does not show it.
    AtOnceOnly,
    /// Its provider takes the order and deletes nothing.
    InVain,
}

/// Whether an account is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polling {
    On,
    /// The config says so.
    Paused,
    /// The config of this account cannot be used, and why.
    Broken(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredDestination {
    pub name: DestinationName,
    /// `imap` or `webhook`.
    pub kind: &'static str,
    /// Somebody signs in for it at its provider: it has no password.
    pub by_oauth: bool,
    /// Why nothing can be delivered there, where that is the config's fault.
    pub broken: Option<String>,
    /// Mail crosses a network unencrypted.
    pub in_the_clear: bool,
    /// mailferry may change how it is reached.
    pub can_be_edited: bool,
}

impl Status {
    /// What the config names, by name, with what the ledger knows of it.
    pub fn of(mut self, configured: &Configured) -> Status {
        let mut status = Status::default();
        let known = self.accounts.drain(..).map(|known| (known.name.clone(), known));
        let mut known: HashMap<String, AccountStatus> = known.collect();
        for account in &configured.accounts {
            status.accounts.push(account.status(known.remove(account.name.as_str())));
        }
        for destination in &configured.destinations {
            let at = self.destinations.iter().position(|known| known.name == destination.name.as_str());
            status.destinations.push(destination.status(at.map(|at| self.destinations.swap_remove(at))));
        }
        status.accounts.sort_by(|one, other| one.name.cmp(&other.name));
        status.destinations.sort_by(|one, other| one.name.cmp(&other.name));
        status
    }
}

impl ConfiguredAccount {
    /// One of which no more is known.
    pub fn new(name: AccountName, polling: Polling) -> ConfiguredAccount {
        ConfiguredAccount {
            name,
            source: String::new(),
            has_own_file: false,
            by_oauth: false,
            in_the_clear: false,
            steps: Vec::new(),
            emptying: Emptying::default(),
            polling,
        }
    }

    fn status(&self, known: Option<AccountStatus>) -> AccountStatus {
        let mut status = known.unwrap_or_default();
        status.name = self.name.to_string();
        if status.login_refused {
            status.steps.clone_from(&self.steps);
        }
        match &self.polling {
            Polling::On => return status,
            Polling::Paused => status.paused = true,
            Polling::Broken(reason) => {
                status.error = Some(Failure {
                    class: "account".into(),
                    text: reason.clone(),
                    next_try: None,
                    passes: false,
                });
                (status.login_refused, status.steps) = (false, Vec::new());
            }
        }
        status.next_check = None;
        status
    }
}

impl ConfiguredDestination {
    fn status(&self, known: Option<DestinationStatus>) -> DestinationStatus {
        let ok = || DestinationStatus { state: "ok".into(), ..DestinationStatus::default() };
        let mut status = known.unwrap_or_else(ok);
        status.name = self.name.to_string();
        status.kind = self.kind.into();
        // One of before may rest there still.
        status.sign_in_ends = status.sign_in_ends.filter(|_| self.by_oauth);
        if let Some(reason) = &self.broken {
            status.state = "failing".into();
            status.error = Some(reason.clone());
        }
        status
    }
}
