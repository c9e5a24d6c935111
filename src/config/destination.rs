//! `[destination.NAME]`.

use std::time::Duration;

use toml::de::DeValue;

use super::ca_file::{CaFile, ca_file};
use super::fault::Fault;
use super::peer::{self, Peer};
use super::secret::{self, Secret};
use super::section::Section;
use super::{keys, value};
use crate::destination::webhook;
use crate::message::DestinationName;

#[derive(Debug)]
pub struct RawDestination {
    pub name: DestinationName,
    pub kind: RawKind,
}

#[derive(Debug)]
pub enum RawKind {
    Imap(Peer),
    /// The settings lack their secrets, which are named at `place`.
    Webhook {
        settings: webhook::Settings,
        secrets: Vec<Secret>,
        place: Fault,
        ca_file: Option<CaFile>,
    },
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

pub fn destination(name: &DestinationName, section: &Section<'_>) -> Option<RawDestination> {
    let kinds = [("imap", Kind::Imap), ("webhook", Kind::Webhook)];
    let kind = match section.need("kind", "\"imap\" or \"webhook\"", |v| value::choice(v, &kinds))? {
        Kind::Imap => {
            section.only(&[keys::IMAP, keys::PEER]);
            RawKind::Imap(peer::peer(section, &keys::IMAP_PORTS)?)
        }
        Kind::Webhook => {
            section.only(&[keys::WEBHOOK]);
            webhook(section)?
        }
    };
    Some(RawDestination { name: name.clone(), kind })
}

fn webhook(section: &Section<'_>) -> Option<RawKind> {
    let url = section.need("url", "\"https://app.example.org/inbound\"", value::url);
    let secrets = secret::several(section, "secret");
    let formats = [("json", webhook::Format::Json), ("raw", webhook::Format::Raw)];
    let time = |value| value::duration(value, Duration::from_secs(1)..=Duration::from_secs(600));
    let ca_file = ca_file(section);
    let settings = webhook::Settings {
        url: url.as_ref().map(|url| url.text.clone()).unwrap_or_default(),
        format: section.read("format", |v| value::choice(v, &formats)).unwrap_or(webhook::Format::Json),
        secrets: Vec::new(),
        max_bytes: section.read("max_bytes", octets).unwrap_or(keys::MAX_BYTES),
        max_in_flight: section.read("max_in_flight", in_flight).unwrap_or(keys::MAX_IN_FLIGHT),
        connect_timeout: section.read("connect_timeout", time).unwrap_or(keys::CONNECT_TIMEOUT),
        timeout: section.read("timeout", time).unwrap_or(keys::TIMEOUT),
        ca_file: ca_file.as_ref().map(|file| file.path.clone()),
        pin: section.read("pin", value::pin),
        allow_plaintext: section.flag("allow_plaintext"),
    };
    let url = url?;
    if url.has_login {
        secret::refuse_exposure(section, "url");
    }
    if let Some(host) = &url.plaintext_to {
        peer::plaintext(section, "url", host, settings.allow_plaintext, &["ca_file", "pin"]);
    }
    Some(RawKind::Webhook { settings, secrets: secrets?, place: section.place("secret"), ca_file })
}

/// From a message that says no more than hello to more than POP3 servers hand out.
pub fn octets(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1024..=4 << 30)
}

fn in_flight(value: &DeValue<'_>) -> value::Read<usize> {
    usize::try_from(value::whole(value, 1..=256)?).map_err(|e| e.to_string())
}
