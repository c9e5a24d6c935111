//! `[alerts]`.

use std::time::Duration;

use super::destination::{Kind, Known};
use super::fault::{Fault, quoted, suggestion};
use super::secret::{self, Secret};
use super::section::Section;
use super::{keys, peer, value};
use crate::alerts::{Address, Command, Settings, To};
use crate::destination::notifier;

#[derive(Debug)]
pub struct RawAlerts {
    /// Without its secret.
    pub settings: Settings,
    pub secret: Option<(Secret, Fault)>,
}

pub fn alerts(section: &Section<'_>, known: &[Known]) -> RawAlerts {
    section.only(&[keys::ALERTS]);
    let formats = [("json", notifier::Format::Json), ("text", notifier::Format::Text)];
    let format = section.read("format", |v| value::choice(v, &formats)).unwrap_or(notifier::Format::Json);
    let in_the_clear = section.flag("allow_plaintext");
    let url = address(section, "url", in_the_clear);
    if section.has("secret") && !section.has("url") {
        section.fault("secret", "signs what is posted to url; add url, or take it out");
    }
    let secret = if section.has("secret") { secret::one(section, "secret") } else { None };
    let time = |value| value::duration(value, Duration::from_secs(1)..=Duration::from_secs(28 * 24 * 3600));
    let settings = Settings {
        after: section.read("after", time).unwrap_or(keys::AFTER),
        to: to(section, known),
        url: url.map(|url| Ok(notifier::Settings { url, format, secret: None })),
        command: command(section),
        heartbeat: address(section, "heartbeat", in_the_clear).map(Address),
    };
    RawAlerts { settings, secret: secret.map(|secret| (secret, section.place("secret"))) }
}

fn to(section: &Section<'_>, known: &[Known]) -> Option<To> {
    let imap: Vec<&str> =
        known.iter().filter(|known| known.kind == Kind::Imap).map(|known| known.name.as_str()).collect();
    section.read("to", |value| {
        let Some(name) = value.as_str() else {
            return match value.as_bool() {
                Some(true) if imap.is_empty() => {
                    Err("there is no IMAP destination that could take mail".into())
                }
                Some(true) => Ok(To::Each),
                _ => Err("must be the name of an IMAP destination, or true for that of each account".into()),
            };
        };
        match known.iter().find(|known| known.name.as_str() == name) {
            Some(known) if known.kind == Kind::Gmail => Err(format!(
                "{} is Gmail by its API, and notices go to IMAP destinations; name one, or write url or command",
                quoted(name)
            )),
            Some(known) if known.kind == Kind::Webhook => Err(format!(
                "{} is a webhook, which takes mail; for notices write its address as url",
                quoted(name)
            )),
            Some(known) => Ok(To::One(known.name.clone())),
            None if imap.is_empty() => {
                Err(format!("{} names no destination, for there is no IMAP destination", quoted(name)))
            }
            None => Err(format!("{} names no destination; {}", quoted(name), suggestion(name, &imap))),
        }
    })
}

fn address(section: &Section<'_>, key: &str, in_the_clear: bool) -> Option<String> {
    let url = section.read(key, value::url)?;
    if url.has_login {
        secret::refuse_exposure(section, key);
    }
    if let Some(host) = &url.plaintext_to {
        peer::plaintext(section, key, host, in_the_clear, &[]);
    }
    Some(url.text)
}

fn command(section: &Section<'_>) -> Option<Command> {
    let words = section.read("command", secret::command_line)?;
    let (program, arguments) = words.split_first()?;
    let folder = section.folder().to_owned();
    let program = secret::program(&folder, program);
    Some(Command { program, arguments: arguments.to_vec(), folder })
}
