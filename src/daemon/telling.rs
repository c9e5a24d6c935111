//! Whom the alerts reach, and how, of one config.

use std::net::IpAddr;
use std::sync::Arc;

use super::bridge::{Bridge, configured};
use crate::alerts::{Mailbox, Plan, Settings};
use crate::config::{Config, Kind};
use crate::destination::imap_folder;
use crate::ledger::Configured;
use crate::net::Connectors;

/// What is kept of a config until its bridge is built.
pub struct Telling {
    settings: Option<Settings>,
    /// That of the destination `to`; `None` where it cannot be used.
    address: Option<String>,
    configured: Configured,
}

impl Telling {
    pub fn of(config: &Config) -> Telling {
        let to = config.alerts.as_ref().and_then(|settings| settings.to.as_ref());
        let destination = to.and_then(|to| config.destinations.iter().find(|known| known.name == *to));
        let address = destination.and_then(|destination| match &destination.kind {
            Ok(Kind::Imap(settings)) => Some(address(settings)),
            Ok(Kind::Webhook(_)) | Err(_) => None,
        });
        Telling { settings: config.alerts.clone(), address, configured: configured(config) }
    }

    pub fn plan(self, bridge: &Bridge) -> Plan {
        let to = self.settings.as_ref().and_then(|settings| settings.to.as_ref());
        let destination = to.and_then(|to| bridge.destination(to)).map(Arc::clone);
        let mailbox =
            destination.zip(self.address).map(|(destination, address)| Mailbox { destination, address });
        Plan::new(self.settings, mailbox, self.configured, &mut Connectors::default())
    }
}

/// A mailbox's own address: its user, if that is an address, else the user at the host.
fn address(settings: &imap_folder::Settings) -> String {
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    let (local, domain) = settings.user.rsplit_once('@').unwrap_or((&settings.user, &settings.peer.host));
    let local = if is_plain(local) && !local.is_empty() { local } else { "mailferry" };
    let is_name = is_plain(domain) && !domain.is_empty() && domain.parse::<IpAddr>().is_err();
    format!("{local}@{}", if is_name { domain } else { "localhost" })
}
