//! `[destination.NAME]`.

use toml::de::DeValue;

use super::ca_file::{CaFile, ca_file};
use super::fault::quoted;
use super::oauth::{self, OAuth, Service};
use super::peer::{self, Peer};
use super::section::Section;
use super::webhook::{self, RawWebhook};
use super::{keys, value};
use crate::destination::gmail;
use crate::message::DestinationName;
use crate::net::is_loopback;
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
    Gmail(RawGmail),
}

#[derive(Debug)]
pub struct RawImap {
    pub peer: Peer,
    pub daily_budget: Option<u64>,
}

/// Gmail by its API. It lacks its sign-in.
#[derive(Debug)]
pub struct RawGmail {
    pub user: String,
    pub oauth: OAuth,
    pub url: String,
    pub never_mark_spam: bool,
    pub process_for_calendar: bool,
    pub ca_file: Option<CaFile>,
}

/// What an account's `deliver` needs to know of a destination, even of a faulty one.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: DestinationName,
    pub kind: Kind,
}

impl Known {
    pub fn of(name: &DestinationName, section: &Section<'_>) -> Known {
        let kind = section.read("kind", |value| Ok(value.as_str().and_then(Kind::of)));
        Known { name: name.clone(), kind: kind.flatten().unwrap_or(Kind::Imap) }
    }
}

/// The `kind` of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Imap,
    Webhook,
    Gmail,
}

impl Kind {
    const ALL: [(&str, Kind); 3] = [("imap", Kind::Imap), ("webhook", Kind::Webhook), ("gmail", Kind::Gmail)];

    /// `None` where there is no such word.
    pub fn of(word: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }
}

pub fn destination(name: &DestinationName, section: &Section<'_>, oauth: &[OAuth]) -> Option<RawDestination> {
    let example = "\"imap\", \"gmail\" or \"webhook\"";
    let kind = match section.need("kind", example, |v| value::choice(v, &Kind::ALL))? {
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
        Kind::Gmail => {
            section.only(&[keys::GMAIL]);
            RawKind::Gmail(gmail(section, oauth)?)
        }
    };
    Some(RawDestination { name: name.clone(), kind })
}

fn gmail(section: &Section<'_>, known: &[OAuth]) -> Option<RawGmail> {
    let user = section.need("user", "\"me@gmail.com\"", value::line).map(str::to_owned);
    if !section.has("oauth") {
        section.fault(
            "oauth",
            "is missing; write oauth = \"google\", and an [oauth.google]: see deploy/oauth.md",
        );
    }
    let oauth = oauth::named(section, known).cloned();
    if let Some(oauth) = oauth.as_ref().filter(|oauth| !oauth.has_scopes(Service::Gmail)) {
        let text = format!("{} lets nobody into Gmail; name an [oauth.NAME] of Google", quoted(&oauth.name));
        section.fault("oauth", text);
    }
    let url = section.read("url", value::url);
    if url.as_ref().is_some_and(|url| url.has_login) {
        section.fault("url", "holds a user, and Gmail asks for a token; take it out");
    }
    if let Some(host) = url.as_ref().and_then(|url| url.plaintext_to.as_ref()) {
        plaintext(section, host);
    }
    Some(RawGmail {
        user: user?,
        oauth: oauth?,
        url: url.map_or_else(|| gmail::URL.to_owned(), |url| url.text),
        never_mark_spam: section.flag("never_mark_spam"),
        process_for_calendar: section.read("process_for_calendar", value::flag).unwrap_or(true),
        ca_file: ca_file(section),
    })
}

/// A token and mail go there in the clear: on this machine only.
fn plaintext(section: &Section<'_>, host: &str) {
    if section.has("ca_file") {
        section.fault("ca_file", "protects nothing without TLS; take it out, or use https://");
    }
    if !is_loopback(host) {
        section.fault("url", format!("would send a token and mail to {host} unencrypted; use https://"));
    }
}

/// From a message that says no more than hello to more than POP3 servers hand out.
pub fn octets(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1024..=4 << 30)
}

/// From one large message to more than anybody sends in a day.
fn budget(value: &DeValue<'_>) -> value::Read<u64> {
    value::size(value, 1_000_000..=1 << 50)
}
