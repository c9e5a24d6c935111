//! `add`, `edit`, `pause`, `resume`, `delete`: accounts that have files of their own.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::draft::{self, AccountDraft, POP3_PORTS, PeerDraft};
use crate::config::{self, Account, Config};
use crate::ledger::{Ledger, Request};
use crate::message::{AccountName, Import, LeaveCopy};
use crate::net::Tls;
use crate::setup::{self, Door, Mailbox, NewLogin, NewSignIn, Suggestion};

use super::answers::{Answers, ImportWord};
use super::destination::NewHome;
use super::person::{Person, Question};
use super::route::{Goal, ask_route};
use super::steps::{
    accepted, ask_server, choose_way, make_sure_of, new_password, password, take_up, tell, warn, without_way,
};
use super::{counted, exit, login, page, people, plain, print};

/// Adds an account: settings, a login on both sides, and then its file.
pub async fn add(
    file: Option<PathBuf>,
    address: Option<String>,
    name: Option<AccountName>,
    answers: Answers,
    home: NewHome,
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
    let home = home.answers(&config, answers.to.as_ref())?;
    match (&home, &answers.to) {
        (Some((to, home)), _) => {
            answers.must_fit(to, home.kind.word())?;
            home.way_into_gmail(&config).map_err(without_way)?;
        }
        (None, Some(to)) => drop(answers.route(&config, to.clone(), None)?),
        (None, None) => {}
    }
    let suggestion = settings(&person, &answers, &address, &config).await?;
    let oauth = ask_way(&person, &answers, &config, &suggestion)?;
    let mut peer = answers.applied_to_peer(suggestion.peer);
    let newcomer = Newcomer { config: &config, name: &name, oauth: oauth.as_deref() };
    let (login, mailbox) = newcomer.log_in(&person, &answers, &mut peer).await?;
    print(&format!("Logged in: {mailbox}\n"));
    let leave_copy = ask_leave_copy(&person, answers.leave_copy, None)?;
    let import = ask_import(&person, answers.import, &mailbox)?;
    let Goal { config, route, is_new } =
        ask_route(&person, config.clone(), &answers, home.as_ref(), None).await?;
    if !person.confirm(&format!("Save the account {name}?"), true)? {
        print(&match is_new {
            true => format!("The account was not saved; the destination {} stays.\n", route.to),
            false => "Nothing was saved.\n".to_owned(),
        });
        return Ok(exit::OK);
    }
    let account = AccountDraft { name, peer, leave_copy, import, routes: vec![route], paused: false };
    make_sure_of(&config.file)?;
    if oauth.is_some() {
        page::open_ledger(&config.ledger).await?;
    }
    let saved = setup::add(&config.file, account, login).await?;
    print(&format!("Saved as {}\n", saved.file.display()));
    warn(&saved);
    take_up(&config).await
}

/// What is known of the address; nobody is asked where the server is given.
async fn settings(
    person: &Person,
    answers: &Answers,
    address: &str,
    config: &Config,
) -> anyhow::Result<Suggestion> {
    if let Some(host) = &answers.host {
        let (host, user) = (host.clone(), address.trim().to_owned());
        let peer = PeerDraft { host, port: POP3_PORTS.of(Tls::Implicit), tls: Tls::Implicit, user };
        return Ok(setup::suggestion_for(peer));
    }
    print(&format!("Looking for the settings of {address} ...\n"));
    let suggestion = setup::suggest(address, config.lookup.as_ref()).await;
    let suggestion = suggestion.map_err(|reason| plain(exit::USAGE, reason))?;
    tell(&suggestion);
    if let (Some(question), true) = (&suggestion.question, person.is_absent()) {
        let command = answers.again_with(&suggestion.peer);
        return Err(plain(exit::USAGE, format!("{question} If it is, run: {command}")));
    }
    accepted(person, suggestion)
}

/// By which application one signs in; `None` is by a password.
fn ask_way(
    person: &Person,
    answers: &Answers,
    config: &Config,
    suggestion: &Suggestion,
) -> anyhow::Result<Option<String>> {
    if answers.oauth.is_some() {
        return Ok(answers.oauth.clone());
    }
    let ways = setup::ways_in(config, suggestion).map_err(without_way)?;
    if answers.password_file.is_some() && ways.contains(&None) {
        return Ok(None);
    }
    choose_way(person, ways, "--oauth")
}

/// The config, or what a first one will be: until all is answered nothing is written.
async fn open(file: &Path) -> anyhow::Result<Config> {
    Ok(match file.exists() {
        true => config::load_without_secrets(file).await?,
        false => config::load_text(file, &draft::new_main_file()).await?,
    })
}

/// An account that is not there yet.
struct Newcomer<'a> {
    config: &'a Config,
    name: &'a AccountName,
    /// NAME of `[oauth.NAME]`; `None` is by a password.
    oauth: Option<&'a str>,
}

impl Newcomer<'_> {
    /// Asks until the source lets us in. Returns what opened it.
    async fn log_in(
        &self,
        person: &Person,
        answers: &Answers,
        peer: &mut PeerDraft,
    ) -> anyhow::Result<(NewLogin, Mailbox)> {
        let mut signed_in = None;
        loop {
            peer.user = person.line(Question { text: "User name", option: "--user" }, Some(&peer.user))?;
            let password = match self.oauth {
                Some(_) => None,
                None => Some(password(person, answers.password_file.as_deref())?),
            };
            ask_server(person, peer, "POP3 server", &POP3_PORTS, "--")?;
            match setup::must_be_another(self.config, self.name, peer) {
                Err(error) if person.is_absent() => return Err(error.into()),
                Err(error) => {
                    print(&format!("That did not work: {error}\n"));
                    continue;
                }
                Ok(()) => {}
            }
            let login = match (password, self.oauth) {
                (None, Some(oauth)) => {
                    let main = &self.config.file;
                    let new = NewSignIn::for_account(main, oauth, self.name, peer);
                    let door = Door::Source(peer.clone());
                    let new = NewSignIn::or_new(signed_in.take(), oauth, &door, new).await?;
                    login::of_newcomer(&new).await?;
                    signed_in.insert(new).clone().into()
                }
                (password, _) => NewLogin::Password(password.unwrap_or_default()),
            };
            print(&format!("Logging in to {} ...\n", peer.host));
            match setup::log_in_account(peer.net(), &peer.user, login.login()).await {
                Ok(mailbox) => return Ok((login, mailbox)),
                Err(reason) if person.is_absent() => {
                    return Err(plain(exit::LATER, format!("{}: {reason}", peer.host)));
                }
                Err(reason) => {
                    print(&format!("That did not work. {}: {reason}\n", peer.host));
                    // Where it was not the sign-in, nobody has to sign in once more, unless for another server.
                    signed_in = signed_in.filter(|_| !reason.is_of_credentials());
                }
            }
        }
    }
}

fn ask_leave_copy(
    person: &Person,
    given: Option<LeaveCopy>,
    before: Option<LeaveCopy>,
) -> anyhow::Result<LeaveCopy> {
    if let Some(given) = given {
        return Ok(given);
    }
    let question =
        Question { text: "Leave a copy of retrieved messages on the server", option: "--leave-copy" };
    let as_it_is =
        before.map(|before| (format!("as it is: {}", draft::leave_copy_word(before)), Some(before)));
    let ways = [("yes", Some(LeaveCopy::Forever)), ("no", Some(draft::AT_ONCE)), ("for some days", None)];
    let ways = ways.into_iter().filter(|(_, way)| before.is_none_or(|before| *way != Some(before)));
    let ways = ways.map(|(text, way)| (text.to_owned(), way));
    let ways: Vec<(String, Option<LeaveCopy>)> = as_it_is.into_iter().chain(ways).collect();
    if let Some(leave_copy) = person.choose(question, &ways)? {
        return Ok(leave_copy);
    }
    loop {
        let days = person.line(Question { text: "For how many days", ..question }, Some("14"))?;
        match draft::parse_leave_copy(&format!("{days}d")) {
            Ok(leave_copy) => return Ok(leave_copy),
            Err(_) if draft::is_number(&days) => {
                print(&format!("Type at most {}.\n", draft::MOST_DAYS));
            }
            Err(_) => print("Type a number of days.\n"),
        }
    }
}

fn ask_import(person: &Person, given: Option<ImportWord>, mailbox: &Mailbox) -> anyhow::Result<Import> {
    if let Some(given) = given {
        return Ok(given.into());
    }
    if !person.is_absent() {
        print(&format!("{}\n", setup::COMPARED));
    }
    let all = format!("all mail: {} now", mailbox.amount());
    let ways = [(all, Import::All), ("only new mail".to_owned(), Import::New)];
    person.choose(Question { text: "Import", option: "--import" }, &ways)
}

/// What the options say; the rest stays.
fn given_changes(
    person: &Person,
    answers: &Answers,
    config: &Config,
    before: &AccountDraft,
    by_oauth: bool,
) -> anyhow::Result<(AccountDraft, Option<SecretString>)> {
    let after = answers.applied_to(before.clone(), config)?;
    let password = match &answers.password_file {
        Some(file) => Some(password(person, Some(file))?),
        None if after.peer != before.peer && !by_oauth => Some(new_password(person, FOR_ANOTHER)?),
        None => None,
    };
    Ok((after, password))
}

const FOR_ANOTHER: Question<'static> =
    Question { text: "Password for the new server or user", option: "--password-file" };

/// Asks for all that can be changed, and offers what is.
async fn ask_changes(
    person: &Person,
    config: &Config,
    before: &AccountDraft,
    by_oauth: bool,
) -> anyhow::Result<(AccountDraft, Option<SecretString>)> {
    let mut after = before.clone();
    after.peer.user =
        person.line(Question { text: "User name", option: "--user" }, Some(&before.peer.user))?;
    ask_server(person, &mut after.peer, "POP3 server", &POP3_PORTS, "--")?;
    let password = match after.peer == before.peer {
        _ if by_oauth => None,
        true => person.password_if_new("New password (empty keeps the one that is known)")?,
        false => Some(new_password(person, FOR_ANOTHER)?),
    };
    after.leave_copy = ask_leave_copy(person, None, Some(before.leave_copy))?;
    let mut imports = [("all mail", Import::All), ("only new mail", Import::New)]
        .map(|(text, import)| (text.to_owned(), import));
    imports.sort_by_key(|(_, import)| *import != before.import);
    after.import = person.choose(Question { text: "Import", option: "--import" }, &imports)?;
    match &before.routes[..] {
        [route] => {
            let goal = ask_route(person, config.clone(), &Answers::default(), None, Some(route)).await?;
            after.routes = vec![goal.route];
        }
        routes => print(&format!("It has {} destinations, which are changed in its file.\n", routes.len())),
    }
    Ok((after, password))
}

/// Changes an account; what is not answered stays, and where nothing is, all of it is asked.
pub async fn edit(file: &Path, name: &AccountName, answers: &Answers) -> anyhow::Result<u8> {
    if answers.oauth.is_some() {
        let text = format!(
            "how an account signs in is changed in its file: write `oauth` or `password` there, and run `mailferry login {name}`"
        );
        return Err(plain(exit::USAGE, text));
    }
    let config = config::load_without_secrets(file).await?;
    let account = known(&config, name)?;
    let person = Person::new(answers.yes);
    let before = AccountDraft::of(account);
    let by_oauth = account.pop3.login.is_by_oauth();
    let (after, password) = match answers.is_none() {
        true if person.is_absent() => {
            let text = "nothing was said to be changed; mailferry edit --help lists what can be";
            return Err(plain(exit::USAGE, text));
        }
        true => ask_changes(&person, &config, &before, by_oauth).await?,
        false => given_changes(&person, answers, &config, &before, by_oauth)?,
    };
    if after == before && password.is_none() {
        print("Nothing was changed.\n");
        return Ok(exit::OK);
    }
    let is_import_alone = after.import != before.import && after.peer == before.peer;
    let is_let_in = password.is_some() && !after.paused;
    let saved = setup::change(file, account, after, password).await?;
    print(&format!("Changed {}\n", saved.file.display()));
    if is_import_alone {
        print(&format!("{}\n", setup::COUNTS_AT_FIRST));
    }
    warn(&saved);
    if saved.wants_sign_in {
        print(&format!(
            "The server or the user is another one now: sign in again by `mailferry login {name}`\n"
        ));
    }
    let code = take_up(&config).await?;
    if is_let_in && Ledger::is_held(&config.ledger) {
        // Whatever failed with the old password may be well now.
        people::leave(&config, &Request::Poll { account: name.clone() }).await?;
    }
    Ok(code)
}

/// Stops polling an account, or begins again.
pub async fn pause(file: &Path, name: &AccountName, paused: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    let account = known(&config, name)?;
    let after = AccountDraft { paused, ..AccountDraft::of(account) };
    setup::change(file, account, after, None).await?;
    print(&format!("{name} is {}\n", if paused { "paused" } else { "polled again" }));
    take_up(&config).await
}

/// Takes an account out of the config; what the ledger knows of it stays, unless it is to be forgotten.
pub async fn delete(file: &Path, name: &AccountName, forget: bool, yes: bool) -> anyhow::Result<u8> {
    let config = config::load_without_secrets(file).await?;
    setup::own_file(&config, name)?;
    let person = Person::new(yes);
    if person.is_absent() && !yes {
        let text = format!("there is no terminal to ask at; with --yes {name} is deleted without a question");
        return Err(plain(exit::USAGE, text));
    }
    let question = format!("Delete the account {name}? Its mail stays where it is");
    if !person.confirm(&question, yes)? {
        print("Nothing was deleted.\n");
        return Ok(exit::OK);
    }
    let forget = forget
        || person.confirm("Forget which messages it has had? If it is added again, all come again", false)?;
    let deleted = setup::delete(file, name).await?;
    print(&format!("Deleted {}\n", deleted.display()));
    let config = config::load_without_secrets(file).await?;
    let code = take_up(&config).await?;
    if config.accounts.iter().any(|account| account.name == *name) {
        print(&format!("The account {name} of {} stays\n", file.display()));
    } else if forget {
        let messages = people::forget_account(&config, name).await?;
        let messages = counted(messages, "message", "messages");
        print(&format!("The ledger has forgotten {name} and its {messages}\n"));
    }
    Ok(code)
}

fn known<'c>(config: &'c Config, name: &AccountName) -> anyhow::Result<&'c Account> {
    setup::own_file(config, name)?;
    if let Some(found) = config.accounts.iter().find(|account| account.name == *name) {
        return Ok(found);
    }
    let broken = config.broken.iter().find(|broken| broken.name == *name);
    let reason = broken.map(|broken| broken.reason.as_str()).unwrap_or_default();
    Err(plain(exit::USAGE, format!("{name} cannot be used as it is: {reason}")))
}
