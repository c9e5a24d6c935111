//! `add`, `edit`, `pause`, `resume`, `delete`: accounts that have files of their own.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

use crate::config::draft::{self, AccountDraft, ENCRYPTIONS, POP3_PORTS, PeerDraft, Ports};
use crate::config::{self, Account, Config};
use crate::ledger::{Ledger, Request};
use crate::message::{ARCHIVE, AccountName, DestinationName, Import, LeaveCopy, Route};
use crate::net::Tls;
use crate::setup::{
    self, Door, Mailbox, NewLogin, NewSignIn, NoWay, RouteAnswers, Saved, Suggestion, Told, Unusable,
};

use super::destination::{self, Added, HomeAnswers, Kind, NewHome};
use super::person::{Person, Question};
use super::{counted, exit, login, page, people, plain, print};

pub(super) fn changed(
    mut peer: PeerDraft,
    ports: &Ports,
    host: Option<&String>,
    port: Option<u16>,
    tls: Option<TlsWord>,
    user: Option<&String>,
) -> PeerDraft {
    if let Some(tls) = tls.map(Tls::from).filter(|tls| *tls != peer.tls) {
        (peer.tls, peer.port) = (tls, ports.of(tls));
    }
    peer.port = port.unwrap_or(peer.port);
    peer.host = host.cloned().unwrap_or(peer.host);
    peer.user = user.cloned().unwrap_or(peer.user);
    peer
}

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
    /// Sign in by OAuth, in the place of a password: by the application [oauth.NAME] of the config; for `add`
    #[arg(long, value_name = "NAME", conflicts_with = "password_file")]
    oauth: Option<String>,
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
    #[arg(long, value_parser = draft::parse_folder)]
    folder: Option<String>,
    /// Archive incoming messages (Skip the Inbox): on Gmail they are in All Mail then, elsewhere in the folder for the
    /// archive
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    skip_inbox: Option<bool>,
    /// Label incoming messages, on Gmail: names, with commas between them
    #[arg(long, value_name = "NAMES", value_parser = draft::parse_labels)]
    labels: Option<Labels>,
    /// Deliver as read, to an IMAP destination or Gmail
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    mark_read: Option<bool>,
    /// Put what its provider marks as spam into the junk folder of an IMAP destination, or Gmail's spam
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes",
        value_parser = yes_or_no)]
    junk: Option<bool>,
    /// Ask nothing: take the defaults of what is not given
    #[arg(short, long)]
    yes: bool,
}

/// One answer, not many.
type Labels = Vec<String>;

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum TlsWord {
    Implicit,
    Starttls,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum ImportWord {
    All,
    New,
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("answer yes or no"),
    }
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
    /// Nothing is answered beforehand.
    fn is_none(&self) -> bool {
        let Answers { host, port, tls, user, password_file, oauth, leave_copy, import, .. } = self;
        let server = host.is_none() && port.is_none() && tls.is_none() && user.is_none();
        let terms = leave_copy.is_none() && import.is_none();
        server && password_file.is_none() && oauth.is_none() && terms && !self.says_where()
    }

    /// `account`, changed as far as there are answers.
    fn applied_to(&self, mut account: AccountDraft, config: &Config) -> anyhow::Result<AccountDraft> {
        account.peer = self.applied_to_peer(account.peer);
        account.leave_copy = self.leave_copy.unwrap_or(account.leave_copy);
        account.import = self.import.map_or(account.import, Import::from);
        if !self.says_where() {
            return Ok(account);
        }
        match &mut account.routes[..] {
            [route] => *route = self.route(config, route.to.clone(), Some(route))?,
            routes => {
                let text =
                    format!("{} has {} destinations; change them in its file", account.name, routes.len());
                return Err(plain(exit::USAGE, text));
            }
        }
        Ok(account)
    }

    /// Whether anything is answered of where the mail goes, and as what.
    fn says_where(&self) -> bool {
        let Answers { to, folder, skip_inbox, labels, mark_read, junk, .. } = self;
        to.is_some()
            || folder.is_some()
            || labels.is_some()
            || [skip_inbox, mark_read, junk].into_iter().any(Option::is_some)
    }

    /// The route to the destination that is answered, or else to `to`.
    fn route(&self, config: &Config, to: DestinationName, before: Option<&Route>) -> anyhow::Result<Route> {
        let to = self.to.clone().unwrap_or(to);
        self.must_fit(&to, word(config, &to))?;
        let answers = RouteAnswers {
            to: to.as_str(),
            folder: self.folder.as_deref(),
            skip_inbox: self.skip_inbox,
            labels: self.labels.clone(),
            mark_read: self.mark_read,
            junk: self.junk,
        };
        Ok(setup::route(config, answers, before)?)
    }

    /// Whether a destination of the kind with this word can do what is answered.
    fn must_fit(&self, to: &DestinationName, word: &str) -> anyhow::Result<()> {
        let is_for_mailboxes = self.folder.is_some()
            || self.labels.is_some()
            || [self.skip_inbox, self.mark_read, self.junk].contains(&Some(true));
        if is_for_mailboxes && word == "webhook" {
            let text = format!(
                "--folder, --skip-inbox, --labels, --mark-read and --junk are for mailboxes, and {to} is a webhook; leave \
                 them out"
            );
            return Err(plain(exit::USAGE, text));
        }
        if self.folder.is_some() && word == "gmail" {
            let text = format!("--folder is for IMAP, and {to} is Gmail, which has labels; take --labels");
            return Err(plain(exit::USAGE, text));
        }
        Ok(())
    }

    fn applied_to_peer(&self, peer: PeerDraft) -> PeerDraft {
        changed(peer, &POP3_PORTS, self.host.as_ref(), self.port, self.tls, self.user.as_ref())
    }
}

/// The kind of a destination, by its word in the config.
fn word(config: &Config, name: &DestinationName) -> &'static str {
    config.destinations.iter().find(|known| known.name == *name).map_or("", |known| known.word)
}

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

pub(super) fn warn(saved: &Saved) {
    for warning in &saved.warnings {
        print(&format!("warning: {warning}\n"));
    }
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

/// Nobody can sign in, and this is what the config lacks.
pub(super) fn without_way(NoWay { text, block }: NoWay) -> anyhow::Error {
    print(&format!("\n{block}\n"));
    plain(exit::USAGE, text)
}

/// One of the ways to log in; the first is the default.
pub(super) fn choose_way(
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

pub(super) fn tell(suggestion: &Suggestion) {
    for Told { text, link } in &suggestion.told {
        print(&format!("  {text}{}\n", link.map(|link| format!(" {link}")).unwrap_or_default()));
    }
}

/// What is suggested, once the person has said yes to it; else without a host.
pub(super) fn accepted(person: &Person, suggestion: Suggestion) -> anyhow::Result<Suggestion> {
    match &suggestion.question {
        Some(question) if !person.confirm(question, false)? => {
            let peer = PeerDraft { host: String::new(), ..suggestion.peer };
            Ok(Suggestion { peer, only_oauth: None, ..suggestion })
        }
        _ => Ok(suggestion),
    }
}

impl Answers {
    /// This command line with the settings of `peer`, as a shell takes it.
    fn again_with(&self, peer: &PeerDraft) -> String {
        let given = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let options = [
            ("--host", Some(peer.host.clone())),
            ("--port", self.port.is_none().then(|| peer.port.to_string())),
            ("--tls", self.tls.is_none().then(|| draft::tls_word(peer.tls).to_owned())),
            ("--user", self.user.is_none().then(|| peer.user.clone())),
        ];
        let more =
            options.into_iter().filter_map(|(option, value)| Some([option.to_owned(), value?])).flatten();
        given.chain(more).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it: a server may have named it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@=+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The config, or what a first one will be: until all is answered nothing is written.
async fn open(file: &Path) -> anyhow::Result<Config> {
    Ok(match file.exists() {
        true => config::load_without_secrets(file).await?,
        false => config::load_text(file, &draft::new_main_file()).await?,
    })
}

/// Sees to it that there is a main file to write to.
pub(super) fn make_sure_of(file: &Path) -> anyhow::Result<()> {
    if !file.exists() {
        setup::create(file)?;
        print(&format!("There was no config yet: {} is new\n", file.display()));
    }
    Ok(())
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

/// `options` begin with this: `--` or `--to-`.
pub(super) fn ask_server(
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
pub(super) fn password(person: &Person, file: Option<&Path>) -> anyhow::Result<SecretString> {
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
pub(super) fn new_password(person: &Person, question: Question<'_>) -> anyhow::Result<SecretString> {
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

/// Where the mail goes.
struct Goal {
    /// With the destination, if that is new.
    config: Config,
    route: Route,
    is_new: bool,
}

/// A destination of the config, once it has let us in, or a new one that is added to it: as `home` says, if it does.
async fn ask_route(
    person: &Person,
    mut config: Config,
    answers: &Answers,
    home: Option<&(DestinationName, HomeAnswers)>,
    before: Option<&Route>,
) -> anyhow::Result<Goal> {
    let (to, is_new) = loop {
        let chosen = match home {
            Some((name, home)) => Chosen::New(Some(name), Cow::Borrowed(home)),
            None => ask_destination(person, &config, answers, before)?,
        };
        let to = match chosen {
            Chosen::Known(to) => to,
            Chosen::New(name, home) => match destination::add(person, &config, name, &home).await? {
                Added::As(to) => {
                    config = config::load_without_secrets(&config.file).await?;
                    break (to, true);
                }
                Added::Not => continue,
            },
        };
        // Whatever is wrong with it, it is where the mail goes.
        if before.is_some_and(|before| before.to == to) {
            break (to, false);
        }
        match setup::log_in_destination(&config.file, &answers.route(&config, to.clone(), before)?).await {
            Ok(told) => print(&format!("Logged in to {to}: {told}\n")),
            Err(Unusable::NoSecret(reason)) => print(&format!("{to} was not logged in to: {reason}\n")),
            Err(Unusable::Refused(reason)) if person.is_absent() || answers.to.is_some() => {
                return Err(plain(exit::LATER, format!("{to}: {reason}")));
            }
            Err(Unusable::Refused(reason)) => {
                print(&format!("That did not work. {to}: {reason}\n"));
                continue;
            }
        }
        break (to, false);
    };
    let mut route = answers.route(&config, to, before)?;
    let word = word(&config, &route.to);
    if word != "webhook" {
        if answers.skip_inbox.is_none() && word == "gmail" {
            route.folder = ask_archive(person, &route.folder)?;
        } else if answers.folder.is_none() && answers.skip_inbox != Some(true) {
            route.folder = ask_folder(person, &route.folder, answers.skip_inbox)?;
        }
        if answers.labels.is_none() && (!route.labels.is_empty() || setup::has_labels(&config, &route.to)) {
            route.labels = ask_labels(person, &route.labels)?;
        }
        if answers.mark_read.is_none() {
            route.mark_read = person.confirm("Mark as read?", route.mark_read)?;
        }
        let spam = "Put what its provider marks as spam into the junk folder?";
        if answers.junk.is_none() {
            let is_sorted = !route.junk.is_empty();
            match person.confirm(spam, is_sorted)? {
                is_wanted if is_wanted == is_sorted => {}
                true => route.junk = config::usual_spam_signs(),
                false => route.junk = Vec::new(),
            }
        }
    }
    Ok(Goal { config, route, is_new })
}

enum Chosen<'a> {
    Known(DestinationName),
    /// With its name and what else is answered beforehand.
    New(Option<&'a DestinationName>, Cow<'a, HomeAnswers>),
}

fn ask_destination<'a>(
    person: &Person,
    config: &Config,
    answers: &Answers,
    before: Option<&Route>,
) -> anyhow::Result<Chosen<'a>> {
    if let Some(to) = &answers.to {
        return Ok(Chosen::Known(to.clone()));
    }
    let known = config.destinations.iter();
    let mut known: Vec<(&DestinationName, &str)> = known.map(|known| (&known.name, known.word)).collect();
    known.sort_by_key(|(name, _)| before.is_none_or(|before| before.to != **name));
    let mut ways: Vec<(String, Result<&DestinationName, Kind>)> =
        known.into_iter().map(|(name, word)| (format!("{name} ({word})"), Ok(name))).collect();
    if !person.is_absent() {
        ways.extend(Kind::ALL.map(|kind| (kind.another().to_owned(), Err(kind))));
    }
    let chosen = person.choose(Question { text: "Deliver to", option: "--to" }, &ways)?;
    Ok(match chosen {
        Ok(to) => Chosen::Known(to.clone()),
        Err(kind) => Chosen::New(None, Cow::Owned(HomeAnswers::none(kind))),
    })
}

/// A folder, or [`ARCHIVE`].
fn ask_folder(person: &Person, before: &str, archived: Option<bool>) -> anyhow::Result<String> {
    let usual = if before == ARCHIVE { draft::FOLDER } else { before };
    let folder = loop {
        let folder = person.line(Question { text: "Folder", option: "--folder" }, Some(usual))?;
        match draft::parse_folder(&folder) {
            Ok(folder) => break folder,
            Err(reason) => print(&format!("That is no folder: it {reason}.\n")),
        }
    };
    match archived {
        None if folder == draft::FOLDER => ask_archive(person, before),
        _ => Ok(folder),
    }
}

/// The inbox, or [`ARCHIVE`].
fn ask_archive(person: &Person, before: &str) -> anyhow::Result<String> {
    let archives = "Archive incoming messages (Skip the Inbox)?";
    let is_archived = person.confirm(archives, before == ARCHIVE)?;
    Ok(if is_archived { ARCHIVE } else { draft::FOLDER }.to_owned())
}

fn ask_labels(person: &Person, before: &[String]) -> anyhow::Result<Vec<String>> {
    let text = "Label incoming messages: names, with commas between them (empty for none)";
    loop {
        let answer = person.changed_line(text, &before.join(", "))?;
        match draft::parse_labels(&answer) {
            Ok(labels) => return Ok(labels),
            Err(reason) => print(&format!("That is no list of labels: {reason}.\n")),
        }
    }
}

/// Lets the mailferry that runs, if one does, take the changed config over.
pub(super) async fn take_up(config: &Config) -> anyhow::Result<u8> {
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
