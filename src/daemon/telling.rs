//! Whom the alerts reach, and how, of one config.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bridge::{Bridge, configured};
use crate::alerts::{Mailbox, Mailboxes, Plan, Settings, To};
use crate::config::{Config, Kind};
use crate::destination::imap_folder;
use crate::ledger::Configured;
use crate::message::{AccountName, DestinationName};
use crate::net::Connectors;

/// What is kept of a config until its bridge is built.
pub struct Telling {
    settings: Option<Settings>,
    /// The destinations that take notices, with the address of each.
    addresses: Vec<(DestinationName, String)>,
    /// See [`Mailboxes::own`].
    own: BTreeMap<AccountName, DestinationName>,
    configured: Configured,
}

impl Telling {
    pub fn of(config: &Config) -> Telling {
        let to = config.alerts.as_ref().and_then(|settings| settings.to.as_ref());
        let takes = |name: &DestinationName| match to {
            Some(To::One(to)) => to == name,
            Some(To::Each) => true,
            None => false,
        };
        let addresses = config.destinations.iter().filter_map(|destination| match &destination.kind {
            Ok(Kind::Imap(settings)) if takes(&destination.name) => {
                Some((destination.name.clone(), address(settings)))
            }
            _ => None,
        });
        let addresses: Vec<(DestinationName, String)> = addresses.collect();
        let own = match to {
            Some(To::Each) => own(config, &addresses),
            Some(To::One(_)) | None => BTreeMap::new(),
        };
        Telling { settings: config.alerts.clone(), addresses, own, configured: configured(config) }
    }

    pub fn plan(self, bridge: &Bridge) -> Plan {
        let all = self.addresses.into_iter().filter_map(|(name, address)| {
            Some(Mailbox { destination: Arc::clone(bridge.destination(&name)?), address })
        });
        let mailboxes = Mailboxes { all: all.collect(), own: self.own };
        Plan::new(self.settings, mailboxes, self.configured, &mut Connectors::default())
    }
}

/// For each account the first of its destinations that takes notices.
fn own(config: &Config, takers: &[(DestinationName, String)]) -> BTreeMap<AccountName, DestinationName> {
    let takes = |name: &DestinationName| takers.iter().any(|(taker, _)| taker == name);
    let usable = config.accounts.iter().map(|account| {
        let routes = account.poll.routes.iter().map(|route| &route.to).collect::<Vec<_>>();
        (&account.name, routes)
    });
    let broken = config.broken.iter().map(|broken| (&broken.name, broken.routes.iter().collect()));
    let own = usable
        .chain(broken)
        .filter_map(|(name, routes)| Some((name.clone(), routes.into_iter().find(|to| takes(to))?.clone())));
    own.collect()
}

/// A mailbox's own address: its user, if that is an address, else the user at the host.
fn address(settings: &imap_folder::Settings) -> String {
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    let (local, domain) = settings.user.rsplit_once('@').unwrap_or((&settings.user, &settings.peer.host));
    let local = if is_plain(local) && !local.is_empty() { local } else { "mailferry" };
    let is_name = is_plain(domain) && !domain.is_empty() && domain.parse::<IpAddr>().is_err();
    format!("{local}@{}", if is_name { domain } else { "localhost" })
}
