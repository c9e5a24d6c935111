//! What adding and changing an account has in common with adding and changing a destination.

use std::io::Read;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;
use crate::config::draft::{self, ENCRYPTIONS, PeerDraft, Ports};
use crate::ledger::{Ledger, Request};
use crate::setup::{self, NoWay, Saved, Suggestion, Told};

use super::person::{Person, Question};
use super::{exit, people, plain, print};

/// Nobody can sign in, and this is what the config lacks.
pub fn without_way(NoWay { text, block }: NoWay) -> anyhow::Error {
    print(&format!("\n{block}\n"));
    plain(exit::USAGE, text)
}

/// One of the ways to log in; the first is the default.
pub fn choose_way(
    person: &Person,
    ways: Vec<Option<String>>,
    option: &str,
) -> anyhow::Result<Option<String>> {
    let text = |way: &Option<String>| match way {
        None => "with a password".to_owned(),
        Some(name) => format!("by OAuth, as [oauth.{name}] of the config says"),
    };
    let choices: Vec<(String, usize)> = ways.iter().map(text).zip(0..).collect();
    let chosen = match choices.len() {
        1 => 0,
        _ => person.choose(Question { text: "How to sign in", option }, &choices)?,
    };
    Ok(ways.into_iter().nth(chosen).flatten())
}

pub fn tell(suggestion: &Suggestion) {
    for Told { text, link } in &suggestion.told {
        print(&format!("  {text}{}\n", link.map(|link| format!(" {link}")).unwrap_or_default()));
    }
}

/// What is suggested, once the person has said yes to it; else without a host.
pub fn accepted(person: &Person, suggestion: Suggestion) -> anyhow::Result<Suggestion> {
    match &suggestion.question {
        Some(question) if !person.confirm(question, false)? => {
            let peer = PeerDraft { host: String::new(), ..suggestion.peer };
            Ok(Suggestion { peer, only_oauth: None, ..suggestion })
        }
        _ => Ok(suggestion),
    }
}

/// `options` begin with this: `--` or `--to-`.
pub fn ask_server(
    person: &Person,
    peer: &mut PeerDraft,
    text: &str,
    ports: &Ports,
    options: &str,
) -> anyhow::Result<()> {
    let option = |name| format!("{options}{name}");
    let known = Some(peer.host.as_str()).filter(|host| !host.is_empty());
    peer.host = person.line(Question { text, option: &option("host") }, known)?;
    let mut ways = ENCRYPTIONS.map(|(text, tls)| (text.to_owned(), tls));
    // What was answered before comes first.
    ways.sort_by_key(|(_, tls)| *tls != peer.tls);
    let tls = person.choose(Question { text: "Encryption", option: &option("tls") }, &ways)?;
    let port = if peer.port == 0 || tls != peer.tls { ports.of(tls) } else { peer.port };
    peer.tls = tls;
    peer.port = loop {
        let question = Question { text: "Port", option: &option("port") };
        let answer = person.line(question, Some(&port.to_string()))?;
        match answer.parse() {
            Ok(port) if port > 0 => break port,
            _ => print("A port is a number from 1 to 65535.\n"),
        }
    };
    Ok(())
}

/// A password out of a file, or else typed unseen.
pub fn password(person: &Person, file: Option<&Path>) -> anyhow::Result<SecretString> {
    let Some(file) = file else {
        return new_password(person, Question { text: "Password", option: "--password-file" });
    };
    let shown = file.display();
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(LONGEST_PASSWORD).read_to_end(&mut bytes),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(LONGEST_PASSWORD).read_to_end(&mut bytes))
        }
    };
    read.map_err(|error| plain(exit::USAGE, format!("the password cannot be read from {shown} ({error})")))?;
    draft::parse_secret(bytes)
        .map_err(|reason| plain(exit::USAGE, format!("the password in {shown} cannot be used: it {reason}")))
}

/// A password that is typed unseen, until it is one.
pub fn new_password(person: &Person, question: Question<'_>) -> anyhow::Result<SecretString> {
    loop {
        let typed = person.password(question)?;
        match draft::parse_secret(typed.expose_secret().as_bytes().to_vec()) {
            Ok(password) => return Ok(password),
            Err(reason) => print(&format!("That is no password: it {reason}.\n")),
        }
    }
}

/// In octets, with room for an OAuth token.
const LONGEST_PASSWORD: u64 = 16 << 10;

/// Sees to it that there is a main file to write to.
pub fn make_sure_of(file: &Path) -> anyhow::Result<()> {
    if !file.exists() {
        setup::create(file)?;
        print(&format!("There was no config yet: {} is new\n", file.display()));
    }
    Ok(())
}

pub fn warn(saved: &Saved) {
    for warning in &saved.warnings {
        print(&format!("warning: {warning}\n"));
    }
}

/// Lets the mailferry that runs, if one does, take the changed config over.
pub async fn take_up(config: &Config) -> anyhow::Result<u8> {
    if !Ledger::is_held(&config.ledger) {
        print("Nothing polls yet: `mailferry run` does, and `mailferry fetch` does once.\n");
        return Ok(exit::OK);
    }
    match people::ask_for(config, &Request::Reload).await? {
        Some(Ok(_)) => print("The mailferry that is running has taken it up.\n"),
        Some(Err(reason)) => {
            let text = format!("saved, but the mailferry that is running goes on as before: {reason}");
            return Err(plain(exit::LATER, text));
        }
        // Such as a `fetch`, which looks for no requests.
        None => print("What was running has ended; the next start takes it up.\n"),
    }
    Ok(exit::OK)
}
