//! `[account.NAME]`, or a drop-in of that name.

use std::time::Duration;

use chrono_tz::Tz;
use toml::de::DeValue;

use super::destination::{Kind, Known, octets};
use super::fault::{nearest, quoted, suggestion};
use super::oauth::OAuth;
use super::peer::{self, Peer};
use super::section::Section;
use super::{keys, value, when};
use crate::message::{ARCHIVE, AccountName, Import, LeaveCopy, Quirks, Route, SpamSign, Takers};
use crate::poll;
use crate::providers::{self, Provider};
use crate::schedule::{LONGEST_EVERY, SHORTEST_EVERY, Schedule};

/// The time zone of this machine, or why it is not known.
pub type LocalZone = Result<Tz, String>;

#[derive(Debug)]
pub struct RawAccount {
    pub name: AccountName,
    pub peer: Peer,
    pub max_size: u64,
    pub poll: poll::Settings,
    pub schedule: Schedule,
    pub quirks: Quirks,
    pub paused: bool,
    /// Where it begins in its file.
    pub line: usize,
}

/// What an account is read with.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub known: &'a [Known],
    pub oauth: &'a [OAuth],
    pub zone: &'a LocalZone,
}

pub fn account(name: &AccountName, section: &Section<'_>, around: &Around<'_>) -> Option<RawAccount> {
    let Around { known, oauth, zone } = *around;
    section.only(&[keys::PEER, keys::ACCOUNT]);
    let peer = peer::peer(section, &keys::POP3_PORTS, oauth);
    let schedule = schedule(section, zone);
    let imports = [("all", Import::All), ("new", Import::New)];
    let takers = [("all", Takers::All), ("first", Takers::First)];
    let poll = poll::Settings {
        leave_copy: section.read("leave_copy", leave_copy).unwrap_or(LeaveCopy::Forever),
        import: section.read("import", |v| value::choice(v, &imports)).unwrap_or(Import::All),
        takers: section.read("deliver_to", |v| value::choice(v, &takers)).unwrap_or_default(),
        routes: routes(section, known),
    };
    warn_of_order(section, &poll);
    let (peer, schedule) = (peer?, schedule?);
    let provider = providers::for_host(&peer.net.host);
    if let Some(provider) = provider {
        warn_of_provider(section, provider, &schedule, &poll);
    }
    Some(RawAccount {
        name: name.clone(),
        peer,
        max_size: section.read("max_size", octets).unwrap_or(keys::MAX_SIZE),
        poll,
        schedule,
        quirks: provider.map(|provider| provider.quirks).unwrap_or_default(),
        paused: section.flag("paused"),
        line: section.line_of(""),
    })
}

/// Behind one that takes all mail, nothing is left for the others.
fn warn_of_order(section: &Section<'_>, settings: &poll::Settings) {
    let greedy = settings.routes.iter().position(|route| route.when.is_none());
    let Some(greedy) = greedy.filter(|_| settings.takers == Takers::First) else { return };
    if greedy + 1 < settings.routes.len() {
        let to = quoted(settings.routes[greedy].to.as_str());
        section.warn(
            "deliver",
            format!(
                "the entry for {to} has no `when` and takes all mail, so that deliver_to = \"first\" leaves none for the \
                 entries behind it; put it last"
            ),
        );
    }
}

/// What of the account its provider is known not to let happen.
fn warn_of_provider(
    section: &Section<'_>,
    provider: &Provider,
    schedule: &Schedule,
    settings: &poll::Settings,
) {
    let name = provider.name;
    if let (Schedule::Every(every), Some(delay)) = (schedule, provider.quirks.login_delay)
        && *every < delay
    {
        let minutes = delay.as_secs() / 60;
        section.warn(
            "every",
            format!(
                "{name} lets nobody log in more often than every {minutes} minutes, and is polled that often"
            ),
        );
    }
    if settings.leave_copy == LeaveCopy::Forever {
        return;
    }
    if provider.ignores_deletion {
        section.warn(
            "leave_copy",
            format!("{name} is known to keep what a program deletes by POP3, so mail stays there"),
        );
    }
    if !provider.quirks.hides_retrieved {
        return;
    }
    if matches!(settings.leave_copy, LeaveCopy::For(time) if !time.is_zero()) {
        section.warn(
            "leave_copy",
            format!(
                "{name} shows a message to POP3 until it is retrieved, so it cannot be deleted there later"
            ),
        );
    }
    if settings.import == Import::New {
        section.warn(
            "import",
            format!(
                "{name} shows a message to POP3 until it is retrieved, so all mail is retrieved once, the old for \
                 nothing; leave_copy = true spares that, or POP switched on in {name} for new mail only"
            ),
        );
    }
}

fn schedule(section: &Section<'_>, zone: &LocalZone) -> Option<Schedule> {
    let time_zone = section.read("time_zone", time_zone);
    if !section.has("cron") {
        if section.has("time_zone") {
            section.fault("time_zone", "is for cron only; add cron, or take it out");
        }
        return if section.has("every") { section.read("every", every) } else { Some(Schedule::Auto) };
    }
    if section.has("every") {
        section.fault("cron", "and every are both given; keep one of them");
        return None;
    }
    let zone = match (section.has("time_zone"), zone) {
        (true, _) => time_zone?,
        (false, Ok(zone)) => *zone,
        (false, Err(reason)) => {
            section.fault("cron", format!("needs a time zone: {reason}; set time_zone = \"Europe/Berlin\""));
            return None;
        }
    };
    section.read("cron", |value| {
        let text = value::text(value)?;
        Schedule::cron(text, zone).map_err(|reason| format!("{} {reason}", quoted(text)))
    })
}

fn every(value: &DeValue<'_>) -> value::Read<Schedule> {
    if let Some(word) = value.as_str()
        && nearest(word, &["auto"]).is_some()
        && !word.contains(|c: char| c.is_ascii_digit())
    {
        return value::choice(value, &[("auto", ())]).map(|()| Schedule::Auto);
    }
    value::duration(value, SHORTEST_EVERY..=LONGEST_EVERY).map(Schedule::Every)
}

fn time_zone(value: &DeValue<'_>) -> value::Read<Tz> {
    let name = value::text(value)?;
    name.parse().map_err(|_| {
        let zones: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        let hint = match nearest(name, &zones) {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => "write it like \"Europe/Berlin\"".into(),
        };
        format!("{} is not a time zone; {hint}", quoted(name))
    })
}

fn leave_copy(value: &DeValue<'_>) -> value::Read<LeaveCopy> {
    match value {
        DeValue::Boolean(true) => Ok(LeaveCopy::Forever),
        DeValue::Boolean(false) => Ok(LeaveCopy::For(Duration::ZERO)),
        DeValue::String(_) => value::duration(value, Duration::ZERO..=keys::LONGEST_COPY).map(LeaveCopy::For),
        other => {
            Err(format!("must be true, false or a duration such as \"14d\", not {}", value::kind(other)))
        }
    }
}

/// Where `spam_headers` says nothing.
pub fn usual_spam_signs() -> Vec<SpamSign> {
    keys::SPAM_HEADERS.iter().filter_map(|text| SpamSign::new(text)).collect()
}

fn routes(section: &Section<'_>, known: &[Known]) -> Vec<Route> {
    let signs = section.read("spam_headers", spam_headers).unwrap_or_else(usual_spam_signs);
    let example = "[{ to = \"NAME\" }] with the NAME of a [destination.NAME]";
    let mut routes: Vec<Route> = Vec::new();
    for entry in section.list("deliver", example) {
        let Some(route) = route(&entry, known, &signs) else { continue };
        if routes.iter().any(|earlier| earlier.to == route.to) {
            entry.fault("to", format!("{} is named twice; keep one of them", quoted(route.to.as_str())));
        }
        routes.push(route);
    }
    routes
}

fn route(entry: &Section<'_>, known: &[Known], signs: &[SpamSign]) -> Option<Route> {
    entry.only(&[keys::DELIVER]);
    let folder = entry
        .read("folder", |value| value::folder(value::text(value)?).map(str::to_owned))
        .unwrap_or_else(|| keys::FOLDER.to_owned());
    let folder = if entry.flag("skip_inbox") { ARCHIVE.to_owned() } else { folder };
    if entry.flag("skip_inbox") && entry.has("folder") {
        entry.fault("skip_inbox", "and folder are both given, and only one of them says where; keep that");
    }
    let labels = entry.read("labels", labels).unwrap_or_default();
    let mark_read = entry.flag("mark_read");
    let recipient = entry.read("recipient", value::line).map(str::to_owned);
    let junk = if entry.flag("junk") { signs.to_vec() } else { Vec::new() };
    let when = entry.has("when").then(|| when::when(entry));
    let to = entry.need("to", "\"NAME\", the NAME of a [destination.NAME]", |value| {
        let name = value::text(value)?;
        let found = known.iter().find(|known| known.name.as_str() == name);
        found.ok_or_else(|| unknown(name, known))
    })?;
    refuse_idle(entry, to);
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    Some(Route { to: to.name.clone(), folder, mark_read, labels, recipient, junk, when })
}

/// Keys that mean nothing where the mail goes.
fn refuse_idle(entry: &Section<'_>, to: &Known) {
    let name = quoted(to.name.as_str());
    let of_webhooks = format!("is for webhooks only, and {name} is none; take it out");
    let of_imap = format!(
        "is for IMAP, and {name} is Gmail, which has labels; write labels = [\"...\"], or skip_inbox = true"
    );
    let of_mailboxes = format!("is for mailboxes, and {name} is a webhook; take it out");
    let idle: &[(&str, &String)] = match to.kind {
        Kind::Imap => &[("recipient", &of_webhooks)],
        Kind::Gmail => &[("recipient", &of_webhooks), ("folder", &of_imap)],
        Kind::Webhook => {
            &["folder", "skip_inbox", "labels", "mark_read", "junk"].map(|key| (key, &of_mailboxes))
        }
    };
    for (key, why) in idle.iter().filter(|(key, _)| entry.has(key)) {
        entry.fault(key, why.as_str());
    }
}

fn labels(value: &DeValue<'_>) -> value::Read<Vec<String>> {
    let wrong = || "must be a list of names, such as [\"Old address\"]".to_owned();
    let names = value.as_array().filter(|names| !names.is_empty()).ok_or_else(wrong)?;
    value::labels(names.iter().map(|name| value::text(name.get_ref())))
}

fn spam_headers(value: &DeValue<'_>) -> value::Read<Vec<SpamSign>> {
    let wrong = || "must be a list of header fields, such as [\"X-Spam-Flag: YES\"]".to_owned();
    let fields = value.as_array().filter(|fields| !fields.is_empty()).ok_or_else(wrong)?;
    let sign = |field: &DeValue<'_>| {
        let text = value::text(field)?;
        SpamSign::new(text).ok_or_else(|| {
            format!("{} is not a header field; write it like \"X-Spam-Flag: YES\"", quoted(text))
        })
    };
    fields.iter().map(|field| sign(field.get_ref())).collect()
}

fn unknown(name: &str, known: &[Known]) -> String {
    let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
    if names.is_empty() {
        return format!(
            "{} names no destination, for there is none; write a [destination.NAME]",
            quoted(name)
        );
    }
    format!("{} names no destination; {}", quoted(name), suggestion(name, &names))
}
