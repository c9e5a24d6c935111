//! `[destination.NAME]`.

use toml::de::DeValue;

use super::oauth::OAuth;
use super::peer::{self, Peer};
use super::section::Section;
use super::webhook::{self, RawWebhook};
use super::{keys, value};
use crate::message::DestinationName;
use crate::providers;

#[derive(Debug)]
pub struct RawDestination {
    pub name: DestinationName,
    pub kind: RawKind,
}

#[derive(Debug)]
pub enum RawKind {
    Imap(RawImap),
    Webhook(RawWebhook),
}

#[derive(Debug)]
pub struct RawImap {
    pub peer: Peer,
    pub daily_budget: Option<u64>,
}

/// What an account's `deliver` needs to know of a destination, even of a faulty one.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: DestinationName,
    pub is_webhook: bool,
}

impl Known {
    pub fn of(name: &DestinationName, section: &Section<'_>) -> Known {
        let is_webhook = section.read("kind", |value| Ok(value.as_str() == Some("webhook")));
        Known { name: name.clone(), is_webhook: is_webhook.unwrap_or(false) }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Imap,
    Webhook,
}

pub fn destination(name: &DestinationName, section: &Section<'_>, oauth: &[OAuth]) -> Option<RawDestination> {
    let kinds = [("imap", Kind::Imap), ("webhook", Kind::Webhook)];
    let kind = match section.need("kind", "\"imap\" or \"webhook\"", |v| value::choice(v, &kinds))? {
        Kind::Imap => {
            section.only(&[keys::IMAP, keys::PEER]);
            let daily_budget = section.read("daily_budget", budget);
            let peer = peer::peer(section, &keys::IMAP_PORTS, oauth)?;
            let usual = providers::for_host(&peer.net.host).and_then(|provider| provider.daily_budget);
            RawKind::Imap(RawImap { peer, daily_budget: daily_budget.or(usual) })
        }
        Kind::Webhook => {
            section.only(&[keys::WEBHOOK]);
            RawKind::Webhook(webhook::webhook(section)?)
        }
    };
    Some(RawDestination { name: name.clone(), kind })
}

/// From a message that says no more than hello to more than POP3 servers hand out.
pub fn octets(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1024..=4 << 30)
}

/// From one large message to more than anybody sends in a day.
fn budget(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1_000_000..=1 << 50)
}
