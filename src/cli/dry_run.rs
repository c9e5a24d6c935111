//! `mailferry check --message`: where a message would go, and the requests it would make. Nothing is sent.

use std::path::Path;

use anyhow::Context as _;
use indicatif::HumanBytes;

use crate::config::{self, Account, Config};
use crate::destination::{Destination, gmail};
use crate::message::{AccountName, Message, Outgoing, Route, Spool, Uidl, Verdict, subject, takers};
use crate::net::Connectors;
use crate::printable::{printable, printable_text};
use crate::setup;

use super::{exit, fetch, payload, plain, print};

/// The longest subject or folder that is shown, in characters.
const LONGEST: usize = 200;

/// Stands for what only the source knows.
const UIDL: &[u8] = b"UIDL-of-the-source";

pub async fn dry_run(file: &Path, accounts: &[AccountName], eml: &Path) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    let names = fetch::known(&config, accounts)?;
    let mut is_usable = true;
    for broken in fetch::broken(&config, accounts) {
        print(&format!("account {}: {}\n", broken.name, broken.reason));
        is_usable = false;
    }
    let message = read(eml).await?;
    let size = HumanBytes(message.octets());
    let subject = subject(message.head()).map(|text| format!(", {}", quoted(&text))).unwrap_or_default();
    print(&format!("{}: {size}{subject}\n", eml.display()));
    let mut requests = Vec::new();
    for account in config.accounts.iter().filter(|account| names.contains(&account.name)) {
        requests.extend(tell_routes(account, &config, &message).await?);
    }
    let mut connectors = Connectors::default();
    let mut shown: Vec<&Route> = Vec::new();
    for (account, route) in requests {
        if shown.iter().any(|earlier| earlier.to == route.to && earlier.recipient == route.recipient) {
            continue;
        }
        shown.push(route);
        let known = config.destinations.iter().find(|known| known.name == route.to);
        let Some(known) = known.filter(|known| known.word == "webhook") else { continue };
        is_usable &= known.kind.is_ok();
        let destination = setup::build_destination(known.clone(), &mut connectors);
        print(&format!(
            "\nthe request to {}:\n\n{}",
            route.to,
            request(&destination, account, route, &message).await
        ));
    }
    Ok(if is_usable { exit::OK } else { exit::CONFIG })
}

async fn read(eml: &Path) -> anyhow::Result<Message> {
    let missing = |fault| plain(exit::USAGE, format!("{}: {fault}", eml.display()));
    let mut file = tokio::fs::File::open(eml).await.map_err(missing)?;
    let mut spool = Spool::new(&std::env::temp_dir());
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = tokio::io::AsyncReadExt::read(&mut file, &mut piece).await.map_err(missing)?;
        if length == 0 {
            return spool.finish().await.context("no temporary file");
        }
        spool.write(&piece[..length]).await.context("no temporary file")?;
    }
}

/// Says where the message goes, and returns the routes that take it.
async fn tell_routes<'c>(
    account: &'c Account,
    config: &'c Config,
    message: &Message,
) -> anyhow::Result<Vec<(&'c AccountName, &'c Route)>> {
    let settings = &account.poll;
    let takes = takers(&settings.routes, settings.takers, message).await.context("no temporary file")?;
    print(&format!("account {}:\n", account.name));
    if message.octets() > account.pop3.max_size {
        print("  nowhere: it is larger than max_size, and would be parked\n");
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    for (route, takes) in settings.routes.iter().zip(takes) {
        let word =
            config.destinations.iter().find(|known| known.name == route.to).map_or("", |known| known.word);
        let what = match (takes, word, &route.recipient) {
            (false, ..) => "does not take it".to_owned(),
            (true, "gmail", _) => format!("takes it, as {}", labels(route, message)),
            (true, "imap", _) => format!("takes it into {}", quoted(route.folder_of(message.head()))),
            (true, _, Some(recipient)) => format!("takes it, for {recipient}"),
            (true, ..) => "takes it".to_owned(),
        };
        print(&format!("  {} ({word}) {what}\n", route.to));
        taken.extend(takes.then_some((&account.name, route)));
    }
    if taken.is_empty() {
        print("  no entry of `deliver` takes it: it would stay at its source, unrouted\n");
    }
    Ok(taken)
}

async fn request(
    destination: &Destination,
    account: &AccountName,
    route: &Route,
    message: &Message,
) -> String {
    let mark = match destination.prepare(route, &[message]).await {
        Ok(marks) => marks.into_iter().next().unwrap_or_default(),
        Err(verdict) => return format!("none: {}\n", Verdict::into_reason(verdict)),
    };
    let outgoing = Outgoing {
        message: message.clone(),
        account: account.clone(),
        uidl: Uidl::new(UIDL),
        mark,
        attempts: 0,
    };
    match destination.preview(route, &outgoing).await {
        None => String::new(),
        Some(Err(reason)) => format!("none: {reason}\n"),
        Some(Ok(preview)) => {
            let (beginning, octets) = match preview.body(1 << 20).await {
                Ok(body) => body,
                Err(fault) => return format!("none: {fault}\n"),
            };
            let (fields, body) = (payload::fields(&preview.fields), payload::body(&beginning, octets));
            format!("POST {}\n{fields}\n{body}", printable(&preview.url))
        }
    }
}

/// What Gmail shows it under.
fn labels(route: &Route, message: &Message) -> String {
    let own = gmail::own_labels(route, message.head()).map(str::to_owned);
    let labels: Vec<String> = own.chain(route.labels.iter().map(|label| quoted(label))).collect();
    if labels.is_empty() { "read mail without a label".into() } else { labels.join(", ") }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", printable_text(text, LONGEST))
}
