//! `mailferry check`: the config, then every peer, without moving mail.

use std::path::Path;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::config::Config;
use crate::message::{AccountName, DestinationName, Route};
use crate::net::Connectors;
use crate::setup;
use crate::{daemon, ledger};

use super::{exit, fetch, log, print};

pub async fn check(
    file: &Path,
    accounts: &[AccountName],
    offline: bool,
    log: &log::Wish,
) -> anyhow::Result<u8> {
    let config = setup::load(file).await?;
    log.start();
    let names = fetch::known(&config, accounts)?;
    for warning in &config.warnings {
        print(&format!("warning: {warning}\n"));
    }
    let faulty = tell_faults(&config);
    print(&format!(
        "{}: {}, {}\n",
        file.display(),
        counted(config.accounts.len() + config.broken.len(), "account"),
        counted(config.destinations.len(), "destination")
    ));
    let faulty = !check_page(&config).await || faulty;
    let ledger = ledger::check_place(&config.ledger);
    if let Err(error) = &ledger {
        print(&format!("{error}\n"));
    }
    let good = offline || probe(config, &names, |_| accounts.is_empty()).await;
    Ok(match (faulty, ledger, good) {
        (true, ..) => exit::CONFIG,
        (_, Err(_), _) => exit::LEDGER,
        (.., false) => exit::LATER,
        (.., true) => exit::OK,
    })
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Says what a person must mend in the config, and whether there is anything.
fn tell_faults(config: &Config) -> bool {
    for broken in &config.broken {
        print(&format!("account {}: {}\n", broken.name, broken.reason));
    }
    let destinations = config.destinations.iter();
    let faulty: Vec<_> = destinations.filter_map(|d| Some((&d.name, d.kind.as_ref().err()?))).collect();
    for (name, reason) in &faulty {
        print(&format!("destination {name}: {reason}\n"));
    }
    !config.broken.is_empty() || !faulty.is_empty()
}

/// Says whether the page's certificate can be used, if it has one.
async fn check_page(config: &Config) -> bool {
    let Some(web) = &config.web else { return true };
    match daemon::acceptor(web, &config.file).await {
        Ok(acceptor) => {
            if let Some(certificate) = acceptor.and_then(|acceptor| acceptor.certificate) {
                print(&format!("page: {certificate}\n"));
            }
            true
        }
        Err(faults) => {
            print(&format!("{faults}\n"));
            false
        }
    }
}

/// Logs in to this account, or to this destination. Says what came of it, and whether it went well.
pub async fn probe_one(
    config: Config,
    (account, home): (Option<AccountName>, Option<DestinationName>),
) -> bool {
    let accounts: Vec<AccountName> = account.into_iter().collect();
    probe(config, &accounts, |name| Some(name) == home.as_ref()).await
}

/// Logs in to the accounts of these names, and to the destinations that are `wanted`. Says what came of it, and whether all
/// went well.
async fn probe(config: Config, names: &[AccountName], wanted: impl Fn(&DestinationName) -> bool) -> bool {
    let mut connectors = Connectors::default();
    let routes: Vec<Route> =
        config.accounts.iter().flat_map(|account| account.poll.routes.iter().cloned()).collect();
    let mut probes: FuturesUnordered<LocalBoxFuture<'_, (String, Result<String, String>)>> =
        FuturesUnordered::new();
    for account in config.accounts.into_iter().filter(|account| names.contains(&account.name)) {
        let connector = connectors.connector(&account.pop3.peer);
        probes.push(Box::pin(async move {
            let outcome = match connector {
                Ok(connector) => {
                    setup::log_in(&account.pop3, &connector).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            (format!("account {}", account.name), outcome.map(|mailbox| mailbox.to_string()))
        }));
    }
    for destination in config.destinations.into_iter().filter(|d| wanted(&d.name) && d.kind.is_ok()) {
        let destination = setup::build_destination(destination, &mut connectors);
        let routes =
            routes.iter().filter(|route| route.to == *destination.name()).cloned().collect::<Vec<_>>();
        probes.push(Box::pin(async move {
            (format!("destination {}", destination.name()), destination.probe(&routes).await)
        }));
    }
    let mut good = true;
    // As they come: a server that does not answer holds up no other's result.
    while let Some((who, outcome)) = probes.next().await {
        match outcome {
            Ok(text) => print(&format!("{who}: {text}\n")),
            Err(text) => {
                good = false;
                print(&format!("{who}: FAILED: {text}\n"));
            }
        }
    }
    good
}
