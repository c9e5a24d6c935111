//! The config: a file, its drop-ins and its secrets become a [`Config`], or every complaint there is.
//!
//! A file becomes a `RawConfig` in one walk that stops at nothing; only then are secrets fetched. The main
//! file must be right as a whole. A wrong drop-in, or a secret or `ca_file` that cannot be had, costs its account
//! alone.

mod account;
mod alerts;
mod ca_file;
mod destination;
pub mod draft;
mod fault;
mod file;
mod keys;
mod load;
mod lookup;
mod oauth;
mod peer;
mod raw;
mod secret;
mod section;
mod surroundings;
mod value;
mod web;
mod webhook;
mod when;

use std::path::PathBuf;

use secrecy::SecretString;
use tracing::Level;

pub use account::usual_spam_signs;
pub use fault::{Fault, Faults};
pub use load::{
    load, load_text, load_with_secret_of, load_with_secret_of_destination, load_without_secrets, new_login,
};
pub use oauth::{OAuth, Service};
pub use secret::in_file as secret_in;
pub use surroundings::{find, place};
pub use web::{KeyPair, Pems, Web};

use crate::destination::webhook::Settings as WebhookSettings;
use crate::destination::{gmail, imap_folder};
use crate::message::{AccountName, DestinationName, Quirks};
use crate::providers::Network;
use crate::schedule::Schedule;
use crate::{net, poll, pop3};

/// All that mailferry is told. Its paths are absolute, but for `file`, which is as it was given.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: PathBuf,
    pub ledger: PathBuf,
    /// Where the accounts have files of their own.
    pub accounts_dir: Option<PathBuf>,
    /// What tokens of OAuth are encrypted with.
    pub token_key: TokenKey,
    /// The applications that people can sign in by.
    pub oauth: Vec<OAuth>,
    /// `None`: there is no page.
    pub web: Option<Web>,
    pub log: Log,
    /// `None`: nobody is told anything.
    pub alerts: Option<crate::alerts::Settings>,
    /// Who is asked for the servers of an address. `None`: nobody.
    pub lookup: Option<Network>,
    pub destinations: Vec<Destination>,
    pub accounts: Vec<Account>,
    /// Accounts that cannot be polled until a person has mended their config.
    pub broken: Vec<Broken>,
    /// What is right but unwise: a sentence each, with its place.
    pub warnings: Vec<String>,
}

/// Where the key is that tokens are encrypted with.
#[derive(Clone, Debug)]
pub enum TokenKey {
    /// A file beside the ledger, which the first sign-in makes.
    File(PathBuf),
    Given(SecretString),
    /// It cannot be had, for this reason.
    Missing(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: Level,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Text, level: Level::INFO }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub name: DestinationName,
    /// `imap`, `webhook` or `gmail`.
    pub word: &'static str,
    /// Its password is in a file, which setup may change; IMAP only.
    pub has_password_file: bool,
    /// NAME of the `[oauth.NAME]` that somebody signs in by, if that opens it.
    pub oauth: Option<String>,
    /// The error says why nothing can be delivered there: its secret or its `ca_file` cannot be had.
    pub kind: Result<Kind, String>,
}

impl Destination {
    /// Setup may change it: there is no webhook's secret in it, and no password that it could not write anew.
    pub fn can_be_changed(&self) -> bool {
        self.has_password_file || self.oauth.is_some()
    }
}

#[derive(Clone, Debug)]
pub enum Kind {
    Imap(imap_folder::Settings),
    Webhook(WebhookSettings),
    Gmail(gmail::Settings),
}

#[derive(Clone, Debug)]
pub struct Account {
    pub name: AccountName,
    /// Where it stands: the main file, or a file of its own in `accounts_dir`.
    pub file: PathBuf,
    pub pop3: pop3::Settings,
    pub poll: poll::Settings,
    pub schedule: Schedule,
    /// What is known of the provider that runs its host.
    pub quirks: Quirks,
    /// Not polled for now, because the user says so.
    pub paused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub name: AccountName,
    pub file: PathBuf,
    /// The complaints, each with its place.
    pub reason: String,
    /// Its server and its user, where its file is right and it is the password or the `ca_file` that cannot be had.
    pub mailbox: Option<(net::Settings, String)>,
    /// Where its mail goes, where its file is right.
    pub routes: Vec<DestinationName>,
}

#[cfg(test)]
mod tests;
