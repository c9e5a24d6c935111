//! `[destination.NAME]`.

use toml::de::DeValue;

use super::oauth::OAuth;
use super::peer::{self, Peer};
use super::section::Section;
use super::webhook::{self, RawWebhook};
use super::{keys, value};
use crate::message::DestinationName;

#[derive(Debug)]
pub struct RawDestination {
    pub name: DestinationName,
    pub kind: RawKind,
}

#[derive(Debug)]
pub enum RawKind {
    Imap(Peer),
    Webhook(RawWebhook),
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
            RawKind::Imap(peer::peer(section, &keys::IMAP_PORTS, oauth)?)
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
