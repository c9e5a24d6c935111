//! What a file says, understood and complete, but with its secrets still where they are kept.

use std::path::PathBuf;

use tracing::Level;

use super::account::{self, Around, RawAccount};
use super::alerts::{self, RawAlerts};
use super::destination::{self, Known, RawDestination};
use super::fault::Fault;
use super::lookup::{self, RawLookup};
use super::oauth::{self, OAuth};
use super::secret::{self, Secret};
use super::section::{Document, Section};
use super::web::{self, Web};
use super::{Log, LogFormat, keys, value};
use crate::message::{AccountName, DestinationName, NAME_RULE};

/// The main file.
#[derive(Debug)]
pub struct RawConfig {
    pub ledger: PathBuf,
    pub accounts_dir: Option<AccountsDir>,
    pub web: Option<Web>,
    pub log: Log,
    pub alerts: Option<RawAlerts>,
    pub lookup: RawLookup,
    pub token_key: Option<Secret>,
    pub oauth: Vec<OAuth>,
    pub destinations: Vec<RawDestination>,
    pub accounts: Vec<RawAccount>,
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct AccountsDir {
    pub path: PathBuf,
    /// Where the main file names it.
    pub line: usize,
}

/// Reads the main file. `zone` is that of a cron line without a `time_zone`.
///
/// # Errors
/// All that is wrong with it.
pub fn config(document: &Document<'_>, zone: &account::LocalZone) -> Result<RawConfig, Vec<Fault>> {
    let table = document.parse()?;
    let top = document.section(table.get_ref());
    top.only(&[keys::TOP]);
    let oauth = oauth::all(&top);
    let destinations = named(&top, "destination", DestinationName::new);
    let known: Vec<Known> = destinations.iter().map(|(name, section)| Known::of(name, section)).collect();
    let destinations: Vec<Option<RawDestination>> =
        destinations.iter().map(|(name, section)| destination::destination(name, section, &oauth)).collect();
    let around = Around { known: &known, oauth: &oauth, zone };
    let accounts: Vec<Option<RawAccount>> = named(&top, "account", AccountName::new)
        .iter()
        .map(|(name, section)| account::account(name, section, &around))
        .collect();
    let config = RawConfig {
        ledger: top.path("ledger").unwrap_or_else(|| top.folder().join(keys::LEDGER)),
        accounts_dir: top
            .path("accounts_dir")
            .map(|path| AccountsDir { path, line: top.line_of("accounts_dir") }),
        web: top.table("web").and_then(|section| web::web(&section)),
        log: top.table("log").map(|section| log(&section)).unwrap_or_default(),
        alerts: top.table("alerts").map(|section| alerts::alerts(&section, &known)),
        lookup: top.table("lookup").map_or_else(RawLookup::default, |section| lookup::lookup(&section)),
        token_key: if top.has("token_key") { secret::one(&top, "token_key") } else { None },
        destinations: destinations.into_iter().flatten().collect(),
        accounts: accounts.into_iter().flatten().collect(),
        oauth,
        warnings: document.warnings(),
    };
    let faults = document.faults();
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// Reads a drop-in: the keys of `[account.NAME]` at its top level.
///
/// # Errors
/// All that is wrong with it.
pub fn drop_in(
    document: &Document<'_>,
    name: &AccountName,
    around: &Around<'_>,
) -> Result<(RawAccount, Vec<String>), Vec<Fault>> {
    let table = document.parse()?;
    let account = account::account(name, &document.section(table.get_ref()), around);
    let faults = document.faults();
    match account {
        Some(account) if faults.is_empty() => Ok((account, document.warnings())),
        _ => Err(faults),
    }
}

fn named<'d, N>(top: &Section<'d>, key: &str, new: impl Fn(&str) -> Option<N>) -> Vec<(N, Section<'d>)> {
    let mut tables = Vec::new();
    for (name, section) in top.named_tables(key) {
        match new(name) {
            Some(name) => tables.push((name, section)),
            None => section.fault("", format!("is not a name; a name has {NAME_RULE}")),
        }
    }
    tables
}

fn log(section: &Section<'_>) -> Log {
    section.only(&[keys::LOG]);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let default = Log::default();
    Log {
        format: section.read("format", |v| value::choice(v, &formats)).unwrap_or(default.format),
        level: section.read("level", |v| value::choice(v, &levels)).unwrap_or(default.level),
    }
}
