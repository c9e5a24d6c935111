//! `add`, `edit`, `pause`, `resume`, `delete`: accounts that have files of their own.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::config::draft::{self, AccountDraft, HomeDraft, IMAP_PORTS, POP3_PORTS, PeerDraft, Ports};
use crate::config::{self, Account, Config};
use crate::ledger::{Ledger, Request};
use crate::message::{AccountName, DestinationName, Import, LeaveCopy, NAME_RULE, Route};
use crate::net::Tls;
use crate::setup::{self, Mailbox};

use super::person::{Person, Question};
use super::{counted, exit, people, plain, print};

/// Answers given beforehand; what is missing is asked for, if somebody is there.
#[derive(Args, Default)]
pub struct Answers {
    /// The POP3 server
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Its port [default: 995, or 110 with --tls starttls]
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is encrypted
    #[arg(long, value_enum)]
    tls: Option<TlsWord>,
    /// Who logs in [default: the address]
    #[arg(long)]
    user: Option<String>,
    /// A file with the password, or - for standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Leave a copy of retrieved messages on the server: yes, no, or for how long, such as 14d
    #[arg(long, value_name = "yes|no|TIME", value_parser = draft::parse_leave_copy)]
    leave_copy: Option<LeaveCopy>,
    /// What of the mail that is there already is wanted
    #[arg(long, value_enum)]
    import: Option<ImportWord>,
    /// The destination, by its name in the config
    #[arg(long, value_name = "DESTINATION", value_parser = super::destination_name)]
    to: Option<DestinationName>,
    /// The folder, for an IMAP destination
    #[arg(long)]
    folder: Option<String>,
    /// Deliver as read
    #[arg(long)]
    mark_read: bool,
    /// Ask nothing: take the defaults of what is not given
    #[arg(short, long)]
    yes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TlsWord {
    Implicit,
    Starttls,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum ImportWord {
    All,
    New,
}

impl From<TlsWord> for Tls {
    fn from(word: TlsWord) -> Tls {
        match word {
            TlsWord::Implicit => Tls::Implicit,
            TlsWord::Starttls => Tls::StartTls,
            TlsWord::None => Tls::None,
        }
    }
}

impl From<ImportWord> for Import {
    fn from(word: ImportWord) -> Import {
        match word {
            ImportWord::All => Import::All,
            ImportWord::New => Import::New,
        }
    }
}

impl Answers {
    /// `account`, changed as far as there are answers.
    fn applied_to(&self, mut account: AccountDraft) -> AccountDraft {
        account.peer = self.applied_to_peer(account.peer);
        account.leave_copy = self.leave_copy.unwrap_or(account.leave_copy);
        account.import = self.import.map_or(account.import, Import::from);
        // Several routes are a matter for the file.
        if let [route] = &mut account.routes[..] {
            route.to = self.to.clone().unwrap_or_else(|| route.to.clone());
            route.folder = self.folder.clone().unwrap_or_else(|| route.folder.clone());
            route.mark_read |= self.mark_read;
        }
        account
    }

    fn applied_to_peer(&self, mut peer: PeerDraft) -> PeerDraft {
        if let Some(tls) = self.tls.map(Tls::from).filter(|tls| *tls != peer.tls) {
            (peer.tls, peer.port) = (tls, POP3_PORTS.of(tls));
        }
        peer.port = self.port.unwrap_or(peer.port);
        peer.host = self.host.clone().unwrap_or(peer.host);
        peer.user = self.user.clone().unwrap_or(peer.user);
        peer
    }
}

/// Adds an account: settings, a login on both sides, and then its file.
pub async fn add(
    file: Option<PathBuf>,
    address: Option<String>,
    name: Option<AccountName>,
    answers: Answers,
) -> anyhow::Result<u8> {
    let person = Person::new(answers.yes);
    let config = open(&config::place(file)).await?;
    let address = match address {
        Some(address) => address,
        None => person.line(Question { text: "Mail address", option: "mailferry add ADDRESS" }, None)?,
    };
    let name = name.or_else(|| setup::free_name(&config, &address));
    let name =
        name.ok_or_else(|| plain(exit::USAGE, "no name can be made of this address; give one with --name"))?;
    setup::must_be_free(&config, &name)?;
    let mut peer = answers.applied_to_peer(settings(&person, &answers, &address).await?);
    let (password, mailbox) = log_in(&person, &answers, &mut peer).await?;
    print(&format!("Logged in: {mailbox}\n"));
    let leave_copy = ask_leave_copy(&person, answers.leave_copy)?;
    let import = ask_import(&person, answers.import, &mailbox)?;
    let (config, route) = ask_route(&person, config, &answers).await?;
    if !person.confirm(&format!("Save the account {name}?"), true)? {
        print("Nothing was saved.\n");
        return Ok(exit::OK);
    }
    let account =
        AccountDraft { name: name.clone(), peer, leave_copy, import, routes: vec![route], paused: false };
    let saved = setup::add(&config, &account, &password)?;
    print(&format!("Saved as {}\n", saved.file.display()));
    take_up(&config).await?;
    Ok(exit::OK)
}

/// What is known of the address; nobody is asked where the server is given.
async fn settings(person: &Person, answers: &Answers, address: &str) -> anyhow::Result<PeerDraft> {
    if let Some(host) = &answers.host {
        let (host, user) = (host.clone(), address.trim().to_owned());
        return Ok(PeerDraft { host, port: POP3_PORTS.of(Tls::Implicit), tls: Tls::Implicit, user });
    }
    print(&format!("Looking for the settings of {address} ...\n"));
    let suggestion = setup::suggest(address).await.map_err(|reason| plain(exit::USAGE, reason))?;
    for told in &suggestion.told {
        print(&format!("  {told}\n"));
    }
    if let Some(question) = suggestion.question {
        if person.is_absent() {
            let host = suggestion.peer.host;
            return Err(plain(exit::USAGE, format!("{question} If it is, give --host {host}")));
        }
        if !person.confirm(&question, false)? {
            return Ok(PeerDraft { host: String::new(), ..suggestion.peer });
        }
    }
    Ok(suggestion.peer)
}

/// The config, or a first one.
async fn open(file: &Path) -> anyhow::Result<Config> {
    if !file.exists() {
        setup::create(file)?;
        print(&format!("There was no config yet: {} is new\n", file.display()));
    }
    Ok(config::load_without_secrets(file).await?)
}

/// Asks until the source lets us in. Returns its password.
async fn log_in(
    person: &Person,
    answers: &Answers,
    peer: &mut PeerDraft,
) -> anyhow::Result<(SecretString, Mailbox)> {
    loop {
        peer.user = person.line(Question { text: "User name", option: "--user" }, Some(&peer.user))?;
        let password = password(person, answers.password_file.as_deref())?;
        ask_server(person, peer, "POP3 server", &POP3_PORTS)?;
        print(&format!("Logging in to {} ...\n", peer.host));
        match setup::log_in_account(peer.net(), &peer.user, &password).await {
            Ok(mailbox) => return Ok((password, mailbox)),
            Err(reason) if person.is_absent() => {
                return Err(plain(exit::LATER, format!("{}: {reason}", peer.host)));
            }
            Err(reason) => print(&format!("That did not work. {}: {reason}\n", peer.host)),
        }
    }
}

fn ask_server(person: &Person, peer: &mut PeerDraft, text: &str, ports: &Ports) -> anyhow::Result<()> {
    let known = Some(peer.host.as_str()).filter(|host| !host.is_empty());
    peer.host = person.line(Question { text, option: "--host" }, known)?;
    let mut ways = vec![
        ("TLS from the first byte".to_owned(), Tls::Implicit),
        ("STARTTLS, on the plaintext port".to_owned(), Tls::StartTls),
        ("none, for a server on this machine".to_owned(), Tls::None),
    ];
    // What was answered before comes first.
    ways.sort_by_key(|(_, tls)| *tls != peer.tls);
    let tls = person.choose(Question { text: "Encryption", option: "--tls" }, &ways)?;
    let port = if peer.port == 0 || tls != peer.tls { ports.of(tls) } else { peer.port };
    peer.tls = tls;
    peer.port = loop {
        let answer = person.line(Question { text: "Port", option: "--port" }, Some(&port.to_string()))?;
        match answer.parse() {
            Ok(port) if port > 0 => break port,
            _ => print("A port is a number from 1 to 65535.\n"),
        }
    };
    Ok(())
}

/// A password out of a file, or else typed unseen.
pub(super) fn password(person: &Person, file: Option<&Path>) -> anyhow::Result<SecretString> {
    let Some(file) = file else {
        return person.password(Question { text: "Password", option: "--password-file" });
    };
    let shown = file.display();
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(LONGEST_PASSWORD).read_to_string(&mut text),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(LONGEST_PASSWORD).read_to_string(&mut text))
        }
    };
    read.map_err(|error| plain(exit::USAGE, format!("the password cannot be read from {shown} ({error})")))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

/// In octets, with room for an OAuth token.
const LONGEST_PASSWORD: u64 = 16 << 10;

fn ask_leave_copy(person: &Person, given: Option<LeaveCopy>) -> anyhow::Result<LeaveCopy> {
    if let Some(given) = given {
        return Ok(given);
    }
    let question =
        Question { text: "Leave a copy of retrieved messages on the server", option: "--leave-copy" };
    let ways = [("yes", Some(LeaveCopy::Forever)), ("no", Some(draft::AT_ONCE)), ("for some days", None)];
    if let Some(leave_copy) = person.choose(question, &ways.map(|(text, way)| (text.to_owned(), way)))? {
        return Ok(leave_copy);
    }
    loop {
        let days = person.line(Question { text: "For how many days", ..question }, Some("14"))?;
        match draft::parse_leave_copy(&format!("{days}d")) {
            Ok(leave_copy) => return Ok(leave_copy),
            Err(_) => print("Type a number of days.\n"),
        }
    }
}

fn ask_import(person: &Person, given: Option<ImportWord>, mailbox: &Mailbox) -> anyhow::Result<Import> {
    if let Some(given) = given {
        return Ok(given.into());
    }
    let all = format!("all mail: {} now", mailbox.amount());
    let ways = [(all, Import::All), ("only new mail".to_owned(), Import::New)];
    person.choose(Question { text: "Import", option: "--import" }, &ways)
}

/// Where the mail goes: a destination of the config, or a new IMAP server that is added to it.
async fn ask_route(person: &Person, config: Config, answers: &Answers) -> anyhow::Result<(Config, Route)> {
    let question = Question { text: "Deliver to", option: "--to" };
    let (config, to) = match &answers.to {
        Some(to) => (config, to.clone()),
        None => {
            let mut ways: Vec<(String, Option<usize>)> = Vec::new();
            for (at, destination) in config.destinations.iter().enumerate() {
                ways.push((format!("{} ({})", destination.name, destination.word), Some(at)));
            }
            if !person.is_absent() {
                ways.push(("another IMAP server".to_owned(), None));
            }
            match person.choose(question, &ways)? {
                Some(at) => (config.clone(), config.destinations[at].name.clone()),
                None => add_home(person, config).await?,
            }
        }
    };
    let Some(destination) = config.destinations.iter().find(|destination| destination.name == to) else {
        let known: Vec<&str> = config.destinations.iter().map(|known| known.name.as_str()).collect();
        let text = format!("there is no destination {to}; the config has: {}", known.join(", "));
        return Err(plain(exit::USAGE, text));
    };
    let mut route = Route { to, folder: "INBOX".into(), mark_read: answers.mark_read, junk: Vec::new() };
    if destination.word == "imap" {
        route.folder = match &answers.folder {
            Some(folder) => folder.clone(),
            None => person.line(Question { text: "Folder", option: "--folder" }, Some(&route.folder))?,
        };
    }
    Ok((config, route))
}

/// Asks for an IMAP server, logs in there, and adds it to the config.
async fn add_home(person: &Person, config: Config) -> anyhow::Result<(Config, DestinationName)> {
    let names = config.destinations.iter().map(|destination| destination.name.as_str());
    let usual = if names.into_iter().any(|name| name == "home") { None } else { Some("home") };
    let name = loop {
        let name = person.line(Question { text: "A name for it", option: "--to" }, usual)?;
        match DestinationName::new(&name) {
            Some(name) if config.destinations.iter().any(|known| known.name == name) => {
                print(&format!("There is a destination {name} already.\n"));
            }
            Some(name) => break name,
            None => print(&format!("A name has {NAME_RULE}.\n")),
        }
    };
    let mut peer = PeerDraft { host: String::new(), port: 0, tls: Tls::Implicit, user: String::new() };
    loop {
        let known = Some(peer.user.as_str()).filter(|user| !user.is_empty());
        peer.user = person.line(Question { text: "User name there", option: "--to" }, known)?;
        if peer.host.is_empty() {
            peer = setup::suggest_home(&peer.user).await;
        }
        let password = person.password(Question { text: "Password there", option: "--to" })?;
        ask_server(person, &mut peer, "IMAP server", &IMAP_PORTS)?;
        let home = HomeDraft { name: name.clone(), peer: peer.clone() };
        print(&format!("Logging in to {} ...\n", peer.host));
        match setup::log_in_home(&home, &password).await {
            Ok(told) => {
                print(&format!("Logged in: {told}\n"));
                setup::add_home(&config, &home, &password)?;
                let file = &config.file;
                print(&format!("Added the destination {name} to {}\n", file.display()));
                return Ok((config::load_without_secrets(file).await?, name));
            }
            Err(reason) => print(&format!("That did not work. {}: {reason}\n", peer.host)),
        }
    }
}

/// Lets the mailferry that runs, if one does, take the changed config over.
async fn take_up(config: &Config) -> anyhow::Result<()> {
    if !Ledger::is_held(&config.ledger) {
        print("Nothing polls yet: `mailferry run` does, and `mailferry fetch` does once.\n");
        return Ok(());
    }
    match people::ask_for(config, &Request::Reload).await? {
        Ok(_) => print("The mailferry that is running has taken it up.\n"),
        Err(reason) => print(&format!("The mailferry that is running goes on as before: {reason}\n")),
    }
    Ok(())
}

/// Changes an account; what is not answered stays.
pub async fn edit(file: &Path, name: &AccountName, answers: &Answers) -> anyhow::Result<u8> {
    let config = config::load(file).await?;
    let account = known(&config, name)?;
    let person = Person::new(answers.yes);
    let after = answers.applied_to(AccountDraft::of(account));
    let password = answers.password_file.as_deref().map(|file| password(&person, Some(file))).transpose()?;
    setup::change(&config, account, &after, password.as_ref())?;
    print(&format!("Changed {}\n", account.file.display()));
    take_up(&config).await?;
    Ok(exit::OK)
}

/// Stops polling an account, or begins again.
pub async fn pause(file: &Path, name: &AccountName, paused: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let account = known(&config, name)?;
    let after = AccountDraft { paused, ..AccountDraft::of(account) };
    setup::change(&config, account, &after, None)?;
    print(&format!("{name} is {}\n", if paused { "paused" } else { "polled again" }));
    take_up(&config).await?;
    Ok(exit::OK)
}

/// Takes an account out of the config; what the ledger knows of it stays, unless it is to be forgotten.
pub async fn delete(file: &Path, name: &AccountName, forget: bool, yes: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let account = known(&config, name)?;
    let person = Person::new(yes);
    let question = format!("Delete the account {name}? Its mail stays where it is");
    if !person.confirm(&question, yes)? {
        print("Nothing was deleted.\n");
        return Ok(exit::OK);
    }
    let forget = forget
        || person.confirm("Forget which messages it has had? If it is added again, all come again", false)?;
    setup::delete(&config, account)?;
    print(&format!("{name} is no longer in the config\n"));
    take_up(&config).await?;
    if forget {
        let messages = people::forget_account(&config, name).await?;
        let messages = counted(messages, "message", "messages");
        print(&format!("The ledger has forgotten {name} and its {messages}\n"));
    }
    Ok(exit::OK)
}

fn known<'c>(config: &'c Config, name: &AccountName) -> anyhow::Result<&'c Account> {
    let found = config.accounts.iter().find(|account| account.name == *name);
    found.ok_or_else(|| {
        let broken = config.broken.iter().find(|broken| broken.name == *name);
        let text = match broken {
            Some(broken) => format!("{name} cannot be used as it is: {}", broken.reason),
            None => {
                let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
                format!("there is no account {name}; the config has: {}", names.join(", "))
            }
        };
        plain(exit::USAGE, text)
    })
}
