//! `mailferry providers`: what is known of mail providers, and what of it was tried.

use serde::Serialize;

use crate::net::Tls;
use crate::providers::{Endpoint, PRESETS, Provider, TRIED, UNTRIED};

use super::report::print_json;
use super::table::{Look, Row, table, terminal_size};
use super::{exit, plain, print};

/// What `providers --json` prints.
#[derive(Serialize)]
struct Providers {
    providers: Vec<Known>,
}

#[derive(Serialize)]
struct Known {
    id: &'static str,
    name: &'static str,
    domains: &'static [&'static str],
    pop3: Vec<String>,
    imap: Vec<String>,
    sign_in: &'static str,
    advice: Vec<Advice>,
    tried: Vec<Tried>,
    checked: &'static str,
}

#[derive(Serialize)]
struct Advice {
    text: String,
    link: Option<&'static str>,
}

#[derive(Serialize)]
struct Tried {
    way: &'static str,
    by: &'static [&'static str],
}

/// So few are shown with all that is known of them.
const IN_FULL: usize = 4;

pub fn providers(word: Option<&str>, json: bool) -> anyhow::Result<u8> {
    let found: Vec<&Provider> =
        PRESETS.iter().filter(|provider| word.is_none_or(|word| provider.is_called(word))).collect();
    if let (true, Some(word)) = (found.is_empty(), word) {
        let text =
            format!("no provider is known as `{word}`; `mailferry add` asks its domain for its servers");
        return Err(plain(exit::USAGE, text));
    }
    if json {
        return print_json(&Providers { providers: found.into_iter().map(known).collect() });
    }
    let in_full = found.len() <= IN_FULL;
    let rows = found.iter().map(|provider| row(provider, in_full));
    let heads = ["~PROVIDER", "~POP3", "SIGN IN", "TRIED", "CHECKED"];
    print(&table(&heads, rows, terminal_size().map(|size| size.columns)));
    if !in_full {
        print(&format!(
            "\n`mailferry providers NAME` says what to do at one of them, and what was tried; with --json also by which dialog or \
             test.\n{TRIED} checked: when its documentation was last read.\n{UNTRIED}\n"
        ));
    }
    Ok(exit::OK)
}

fn row(provider: &Provider, in_full: bool) -> Row {
    let cells = vec![
        provider.name.to_owned(),
        provider.pop3.first().map_or_else(|| "none".to_owned(), |server| shown(*server)),
        provider.sign_in().to_owned(),
        provider.how_tried().to_owned(),
        provider.checked.to_owned(),
    ];
    Row { cells, note: in_full.then(|| note(provider)), look: Look::Plain }
}

fn note(provider: &Provider) -> String {
    let mut sentences: Vec<String> = provider
        .advice()
        .into_iter()
        .map(|(text, link)| link.map_or(text.clone(), |link| format!("{text} {link}")))
        .collect();
    if !provider.imap.is_empty() {
        let servers: Vec<String> = provider.imap.iter().map(|server| shown(*server)).collect();
        sentences.push(format!("IMAP: {}.", servers.join(", ")));
    }
    sentences.extend(provider.trials().into_iter().map(|(how, trials)| {
        let ways: Vec<&str> = trials.iter().map(|trial| trial.way).collect();
        format!("{how}: {}.", ways.join("; "))
    }));
    sentences.push("Not tried with a real account.".into());
    sentences.join(" ")
}

fn known(provider: &Provider) -> Known {
    let servers = |servers: &[Endpoint]| servers.iter().map(|server| shown(*server)).collect();
    let tried = provider.trials().into_iter().flat_map(|(_, trials)| trials);
    Known {
        id: provider.id,
        name: provider.name,
        domains: provider.domains,
        pop3: servers(provider.pop3),
        imap: servers(provider.imap),
        sign_in: provider.sign_in(),
        advice: provider.advice().into_iter().map(|(text, link)| Advice { text, link }).collect(),
        tried: tried.map(|trial| Tried { way: trial.way, by: trial.by }).collect(),
        checked: provider.checked,
    }
}

fn shown(server: Endpoint) -> String {
    let tls = match server.tls {
        Tls::Implicit => "",
        Tls::StartTls => " STARTTLS",
        Tls::None => " in the clear",
    };
    format!("{}:{}{tls}", server.host, server.port)
}
