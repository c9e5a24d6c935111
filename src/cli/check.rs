//! `mailferry check`: the config, then every peer, without moving mail.

use std::path::Path;

use chrono::DateTime;
use futures_util::future::{LocalBoxFuture, join_all};
use indicatif::{HumanBytes, HumanCount};

use crate::config::{self, Account};
use crate::message::{AccountName, Quirks};
use crate::net::Connectors;
use crate::pop3::{self, Session};
use crate::printable::printable;

use super::{exit, fetch, log, print};

pub async fn check(
    file: &Path,
    accounts: &[AccountName],
    offline: bool,
    log: &log::Wish,
) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    log.start();
    let names = fetch::known(&config, accounts)?;
    for warning in &config.warnings {
        print(&format!("warning: {warning}\n"));
    }
    let mut good = config.broken.is_empty();
    for broken in &config.broken {
        print(&format!("{}: {}\n", broken.name, broken.reason));
    }
    print(&format!(
        "{}: {} accounts, {} destinations\n",
        file.display(),
        config.accounts.len() + config.broken.len(),
        config.destinations.len()
    ));
    if offline {
        return Ok(if good { exit::OK } else { exit::CONFIG });
    }
    let mut connectors = Connectors::default();
    let mut probes: Vec<LocalBoxFuture<'_, (String, Result<String, String>)>> = Vec::new();
    for account in config.accounts.into_iter().filter(|account| names.contains(&account.name)) {
        let connector = connectors.connector(&account.pop3.peer);
        probes.push(Box::pin(async move {
            let outcome = match connector {
                Ok(connector) => log_in(&account, &connector).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            (format!("account {}", account.name), outcome)
        }));
    }
    for destination in config.destinations.into_iter().filter(|_| accounts.is_empty()) {
        let destination = crate::daemon::build_destination(destination, &mut connectors);
        probes.push(Box::pin(async move {
            (format!("destination {}", destination.name()), destination.probe().await)
        }));
    }
    for (who, outcome) in join_all(probes).await {
        match outcome {
            Ok(text) => print(&format!("{who}: {text}\n")),
            Err(text) => {
                good = false;
                print(&format!("{who}: FAILED: {text}\n"));
            }
        }
    }
    Ok(if good { exit::OK } else { exit::LATER })
}

async fn log_in(account: &Account, connector: &pop3::Connector) -> Result<String, pop3::Error> {
    let mut session = Session::open(connector, &account.pop3, Quirks::default()).await?;
    let stat = session.stat().await?;
    let certificate = session.certificate().map(|certificate| {
        let until = DateTime::from_timestamp(certificate.not_after, 0);
        let until = until.map(|until| until.format(" until %Y-%m-%d").to_string()).unwrap_or_default();
        format!("; certificate of {}{until}", printable(certificate.issuer))
    });
    session.quit().await?;
    Ok(format!(
        "{} messages, {}{}",
        HumanCount(stat.count.into()),
        HumanBytes(stat.octets),
        certificate.unwrap_or_else(|| "; NOT ENCRYPTED".into())
    ))
}
